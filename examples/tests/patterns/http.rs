//! A response keeps the status of the call that failed, also if a handler on another node made it.

use std::future::pending;

use flyrpc_examples::patterns::http::{
    Articles, ReadThrough, ReaderClient, Response, ServeArticles, ServeReader, get,
};
use flyrpc_testkit::SimCluster;
use tokio::time::{Instant, sleep};

use crate::{regions, secs};

/// Article 1 exists, article 2 does not, and the others take forever.
struct Shelf;

impl Articles for Shelf {
    async fn find(&self, id: u64) -> Option<String> {
        match id {
            1 => Some("news".into()),
            2 => None,
            _ => pending().await,
        }
    }
}

/// Returns a client of the reader on hkg-0, for a web server on fra-0.
async fn cluster() -> (SimCluster, ReaderClient) {
    let cluster = regions()
        .serve(|_node| ServeArticles::new(Shelf))
        .serve(|_node| ServeReader::new(ReadThrough))
        .start()
        .await;
    let reader = cluster.node("fra-0").client::<ReaderClient>().on_region("hkg");
    (cluster, reader)
}

fn response(status: u16, body: &str) -> Response {
    Response { status, body: body.into() }
}

#[tokio::test(start_paused = true)]
async fn an_article_is_found_or_not() {
    let (_cluster, reader) = cluster().await;
    assert_eq!(get(&reader, 1).await, response(200, "news"));
    assert_eq!(get(&reader, 2).await, response(404, "no such article"));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_the_reader_is_504() {
    let (_cluster, reader) = cluster().await;
    let start = Instant::now();
    assert_eq!(get(&reader, 3).await, response(504, "TIMEOUT"));
    assert!(start.elapsed() < secs(3), "the call of the reader timed out: {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_the_web_server_is_504() {
    let (_cluster, reader) = cluster().await;
    assert_eq!(get(&reader.timeout(secs(1)), 3).await, response(504, "TIMEOUT"));
}

#[tokio::test(start_paused = true)]
async fn a_primary_region_without_nodes_is_503() {
    let (cluster, reader) = cluster().await;
    cluster.crash("iad-0");
    cluster.crash("iad-1");
    assert_eq!(get(&reader, 1).await, response(503, "NO_NODE"));
}

#[tokio::test(start_paused = true)]
async fn a_region_without_readers_is_503() {
    let (cluster, reader) = cluster().await;
    cluster.crash("hkg-0");
    sleep(secs(1)).await; // its links are lost
    assert_eq!(get(&reader, 1).await, response(503, "NO_NODE"));
}

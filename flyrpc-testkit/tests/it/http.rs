//! HTTP servers of axum on the simulated network.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    routing::get,
};
use flyrpc::{Env, fly_rpc};
use flyrpc_testkit::{HttpClient, SimCluster};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep};

use crate::support::ms;

#[fly_rpc]
pub trait Names {
    async fn region(&self) -> String;
}

struct Here(String);

impl Names for Here {
    async fn region(&self) -> String {
        self.0.clone()
    }
}

async fn primary(State(names): State<NamesClient>) -> String {
    match names.on_primary().region().await {
        Ok(region) => region,
        Err(error) => error.to_string(),
    }
}

async fn pause(Path(millis): Path<u64>) -> &'static str {
    sleep(Duration::from_millis(millis)).await;
    "done"
}

/// A node in iad and one in hkg, each with an HTTP server on port 8080.
async fn cluster() -> SimCluster {
    SimCluster::builder()
        .region("iad", 1)
        .region("hkg", 1)
        .rtt("iad", "hkg", ms(200))
        .serve(|node| ServeNames::new(Here(node.region().to_string())))
        .boot(|sim, builder| async move {
            let node = builder.start().await?;
            let router = Router::new()
                .route("/primary", get(primary))
                .route("/pause/{millis}", get(pause))
                .with_state(node.client::<NamesClient>());
            let listener = sim.env().tcp_listener(8080).await.expect("the port is free");
            node.spawn(async move { axum::serve(listener, router).await });
            Ok::<_, flyrpc::StartError>(node)
        })
        .start()
        .await
}

async fn fetch(client: &HttpClient, uri: &str) -> Result<String, String> {
    let response = client.get(uri.parse().unwrap()).await.map_err(|error| error.to_string())?;
    let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap())
}

#[flyrpc_testkit::test(check_determinism)]
async fn a_request_goes_through_the_front_to_the_primary() {
    let cluster = cluster().await;
    let browser = cluster.add_host("browser", "hkg").http_client();
    let start = Instant::now();
    assert_eq!(fetch(&browser, "http://hkg-0:8080/primary").await.unwrap(), "iad");
    // A connection and a request within the region, and a call to the primary.
    assert_eq!(start.elapsed(), ms(1) + ms(1) + ms(200));
    let start = Instant::now();
    assert_eq!(fetch(&browser, "http://hkg-0:8080/primary").await.unwrap(), "iad");
    assert_eq!(start.elapsed(), ms(1) + ms(200), "the client reuses the connection");
}

#[flyrpc_testkit::test]
async fn a_crash_ends_the_requests_of_a_server_and_its_connections() {
    let cluster = cluster().await;
    let browser = Arc::new(cluster.add_host("browser", "hkg").http_client());
    let request = tokio::spawn({
        let browser = Arc::clone(&browser);
        async move { fetch(&browser, "http://hkg-0:8080/pause/5000").await }
    });
    sleep(ms(1_000)).await;
    cluster.crash("hkg-0");
    sleep(ms(2)).await;
    assert!(request.is_finished(), "the client sees the crash");
    request.await.unwrap().unwrap_err();
    fetch(&browser, "http://hkg-0:8080/primary").await.unwrap_err();

    cluster.restart("hkg-0").await;
    cluster.settled().await;
    assert_eq!(fetch(&browser, "http://hkg-0:8080/primary").await.unwrap(), "iad");
}

#[flyrpc_testkit::test]
async fn a_frozen_server_answers_after_it_resumes() {
    let cluster = cluster().await;
    let browser = cluster.add_host("browser", "hkg").http_client();
    assert_eq!(fetch(&browser, "http://hkg-0:8080/pause/0").await.unwrap(), "done");
    let frozen = cluster.frozen("hkg-0");
    let start = Instant::now();
    let resume = async {
        sleep(ms(3_000)).await;
        drop(frozen);
    };
    let (answer, ()) = tokio::join!(fetch(&browser, "http://hkg-0:8080/pause/0"), resume);
    assert_eq!(answer.unwrap(), "done");
    assert!(start.elapsed() >= ms(3_000), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn wrong_addresses_and_closed_ports_are_errors() {
    let cluster = cluster().await;
    let browser = cluster.add_host("browser", "hkg");
    let client = browser.http_client();
    for uri in ["http://nowhere:8080/", "http://hkg-0:81/", "/relative"] {
        client.get(uri.parse().unwrap()).await.map(|_response| Body::empty()).unwrap_err();
    }
    assert!(browser.tcp_connect("hkg-0:8080").await.is_ok());
    assert!(browser.connect(browser.addr(80)).await.is_err());
}

//! Nodes of flyrpc 0.1 and of this version in one cluster. The old node is built from the history of this
//! repository, which takes a minute for the first time, so `cargo test` does not include these tests:
//!
//! ```sh
//! cargo test -p flyrpc-tests --test old_version
//! ```

mod bodies;
mod build;
mod calls;
mod endings;
mod old_node;
mod refusals;
mod secrets;
mod several_nodes;
mod work;

use std::{net::SocketAddr, time::Duration};

use flyrpc::{Node, NodeBuilder, fly_rpc};
use tokio::time::{Instant, sleep};

use crate::{
    old_node::OldNode,
    work::{Handlers, ServeWork, WorkClient, Works},
};

/// The service of the old node, and one method more.
#[fly_rpc]
trait Text {
    async fn upcase(&self, text: String) -> String;
    async fn parse(&self, text: String) -> Result<u64, String>;
    async fn panic(&self, text: String);
    async fn calls(&self) -> u64;
    async fn reverse(&self, text: String) -> String;
}

struct Texts;

impl Text for Texts {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }

    async fn parse(&self, text: String) -> Result<u64, String> {
        text.parse().map_err(|_| format!("{text} is not a number"))
    }

    async fn panic(&self, text: String) {
        panic!("{text}");
    }

    async fn calls(&self) -> u64 {
        0
    }

    async fn reverse(&self, text: String) -> String {
        text.chars().rev().collect()
    }
}

/// Above the size from which bodies are sent in chunks.
const LONG: usize = 200_000;

const GENEROUS_TIMEOUT: Duration = Duration::from_secs(20);

/// Starts a node of this version in this process.
async fn new_node(name: &str, region: &str, seeds: &[SocketAddr]) -> Node {
    start(Node::builder(), name, region, seeds).await
}

async fn start(builder: NodeBuilder, name: &str, region: &str, seeds: &[SocketAddr]) -> Node {
    start_with_handlers(builder, name, region, seeds).await.0
}

async fn start_with_handlers(
    builder: NodeBuilder,
    name: &str,
    region: &str,
    seeds: &[SocketAddr],
) -> (Node, Handlers) {
    let (works, handlers) = Works::new(name);
    let node = builder
        .name(name)
        .region(region)
        .primary_region("iad")
        .heartbeat(Duration::from_millis(100))
        .seeds(seeds)
        .serve(ServeText::new(Texts))
        .serve(ServeWork::new(works))
        .start()
        .await
        .unwrap();
    node.ready().await;
    (node, handlers)
}

/// Starts an old node in iad and a new one in hkg, which are linked.
async fn old_and_new() -> (OldNode, Node) {
    let (old, new, _) = old_and_new_with(&[], Node::builder()).await;
    (old, new)
}

/// Starts an old node in iad with settings (see `node/main.rs`) and a new one in hkg, which are linked.
async fn old_and_new_with(settings: &[&str], builder: NodeBuilder) -> (OldNode, Node, Handlers) {
    let mut old = OldNode::start_with(&[], settings).await;
    let (new, handlers) = start_with_handlers(builder, "new", "hkg", &[old.addr()]).await;
    old.event("up new").await;
    (old, new, handlers)
}

fn client(node: &Node) -> WorkClient {
    node.client::<WorkClient>().timeout(GENEROUS_TIMEOUT)
}

fn names(node: &Node, region: &str) -> Vec<String> {
    node.nodes_in(region).iter().map(|node| node.name().to_owned()).collect()
}

async fn eventually(mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < GENEROUS_TIMEOUT);
        sleep(Duration::from_millis(5)).await;
    }
}

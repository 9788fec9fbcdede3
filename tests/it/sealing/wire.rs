//! What can be read on the wire.

use std::collections::{BTreeMap, BTreeSet};

use flyrpc::{Keyring, Node, fly_rpc};
use flyrpc_testkit::{SimNet, Via};
use tokio::time::timeout;

use super::{Recording, keyring};
use crate::support::{PORT, millis, secs};

#[fly_rpc(name = "Markservice")]
trait Marked {
    async fn markmethod(&self, argument: String) -> String;
}

struct Marker;

impl Marked for Marker {
    async fn markmethod(&self, argument: String) -> String {
        argument.replace("markargument", "markreply")
    }
}

const MARKERS: [&str; 7] = [
    "markargument",
    "markreply",
    "marknode",
    "markregion",
    "Markservice",
    "markmethod",
    "markcluster",
];

/// The markers that are readable on streams, and in datagrams, while two nodes make 1,000 calls.
async fn readable(secret: Option<Keyring>) -> [BTreeSet<&'static str>; 2] {
    let net = SimNet::builder().rtt("markregion-a", "markregion-b", millis(100)).build();
    let recording = Recording::default();
    net.tap(recording.tap());
    let mut nodes: Vec<Node> = Vec::new();
    for name in ["a", "b"] {
        let env = net.add_host(name, format!("markregion-{name}"));
        let mut node = Node::builder()
            .env(env.clone())
            .cluster("markcluster")
            .name(format!("marknode-{name}"))
            .region(env.region())
            .listen(env.addr(PORT))
            .seeds(nodes.iter().map(Node::addr))
            .serve(ServeMarked::new(Marker));
        if let Some(keyring) = &secret {
            node = node.secret(keyring.clone());
        }
        let node = node.start().await.unwrap();
        timeout(secs(10), node.ready()).await.unwrap();
        nodes.push(node);
    }
    let marked = nodes[0].client::<MarkedClient>().on_region("markregion-b");
    for number in 0..1_000 {
        // Each tenth call is long, and sent in chunks.
        let padding = "-".repeat(if number % 10 == 0 { 50_000 } else { number % 100 });
        let argument = format!("{padding}markargument{padding}");
        let reply = marked.markmethod(argument.clone()).await.unwrap();
        assert_eq!(reply, argument.replace("markargument", "markreply"));
    }
    // So that nodes gossip, and are asked about members.
    tokio::time::sleep(secs(60)).await;
    for node in &nodes {
        node.shutdown().await;
    }
    let (mut streams, mut datagrams) = (BTreeMap::<_, Vec<u8>>::new(), Vec::new());
    for sent in recording.take() {
        match sent.via {
            Via::Stream { .. } => {
                streams.entry(sent.via).or_default().extend_from_slice(&sent.bytes);
            }
            _ => datagrams.push(sent.bytes.to_vec()),
        }
    }
    assert!(!streams.is_empty() && datagrams.len() > 20, "{}", datagrams.len());
    [markers_in(streams.into_values()), markers_in(datagrams.into_iter())]
}

fn markers_in(texts: impl Iterator<Item = Vec<u8>>) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    for text in texts {
        // Fast for long texts: a window is compared only if it starts with the first byte of a marker.
        let starts = |at: usize, marker: &str| text[at..].starts_with(marker.as_bytes());
        for at in (0..text.len()).filter(|&at| matches!(text[at], b'm' | b'M')) {
            found.extend(MARKERS.iter().filter(|marker| starts(at, marker)));
        }
    }
    found
}

#[tokio::test(start_paused = true)]
async fn nothing_of_calls_or_nodes_is_readable_with_a_secret() {
    let [streams, datagrams] = readable(Some(keyring(&[1]))).await;
    assert_eq!((streams, datagrams), (BTreeSet::new(), BTreeSet::new()));
}

#[tokio::test(start_paused = true)]
async fn everything_is_readable_without_a_secret() {
    let [streams, datagrams] = readable(None).await;
    assert_eq!(streams, MARKERS.into());
    assert_eq!(datagrams, ["markcluster", "marknode", "markregion"].into());
}

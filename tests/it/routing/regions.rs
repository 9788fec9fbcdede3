//! Calls to the nearest node.

use std::collections::BTreeMap;

use flyrpc_testkit::Release;

use super::{Nodes, WorkClient};
use crate::support::{millis, secs, sleep};

#[tokio::test(start_paused = true)]
async fn a_call_to_the_nearest_node_uses_all_nodes_of_equally_near_regions() {
    let nodes = Nodes::default();
    let cluster = nodes
        .cluster()
        .region("iad", 1)
        .region("hkg", 3)
        .region("nrt", 2)
        .rtt("lhr", "iad", millis(40))
        .rtt("lhr", "hkg", millis(46))
        .rtt("lhr", "nrt", millis(60))
        .start()
        .await;
    // A nearer node, which serves nothing.
    cluster.add_node_with("lhr", Release::new()).await;
    let caller = cluster.node(cluster.add_node_with("lhr", Release::new()).await);
    sleep(secs(5)).await;
    let client: WorkClient = caller.client();
    let mut counts = BTreeMap::new();
    for _ in 0..200 {
        *counts.entry(client.slow(1, Vec::new()).await.unwrap()).or_insert(0) += 1;
    }
    let names: Vec<_> = counts.keys().map(String::as_str).collect();
    assert_eq!(names, ["hkg-0", "hkg-1", "hkg-2", "iad-0"]);
    assert!(counts.values().all(|count| *count >= 20), "{counts:?}");

    for node in ["hkg-0", "hkg-1", "hkg-2", "iad-0"] {
        cluster.node(node).hold();
    }
    sleep(secs(1)).await;
    assert!(client.slow(1, Vec::new()).await.unwrap().starts_with("nrt-"));
}

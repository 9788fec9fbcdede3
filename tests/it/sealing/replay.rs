//! An attacker who has recorded everything that was sent, and sends it again.

use std::collections::BTreeMap;

use bytes::Bytes;
use flyrpc::{BoxStream, Env, Node};
use flyrpc_testkit::{Sent, SimCluster, SimEnv, Via};
use flyrpc_tests::frames::PREFACE;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{Recording, keyring};
use crate::support::{
    Counts, PORT, ProbeClient, millis, probe_cluster, probe_release, secs, sleep,
};

/// What an attacker can send again.
struct Recorded {
    /// The writes of the dialer of each connection, in the order of the connections.
    dialers: Vec<Vec<Bytes>>,
    datagrams: Vec<Bytes>,
}

impl Recorded {
    fn new(sent: Vec<Sent>) -> Self {
        let (mut dialers, mut datagrams) = (BTreeMap::<_, Vec<Bytes>>::new(), Vec::new());
        for sent in sent {
            match sent.via {
                Via::Stream { connection, by_dialer: true } => {
                    dialers.entry(connection).or_default().push(sent.bytes);
                }
                Via::Datagram => datagrams.push(sent.bytes),
                _ => {}
            }
        }
        Recorded { dialers: dialers.into_values().collect(), datagrams }
    }
}

/// The order in which an attacker repeats what was recorded.
#[derive(Clone, Copy)]
enum Order {
    Recorded,
    Reversed,
    Shuffled,
}

impl Order {
    fn apply<T: Clone>(self, items: &[T]) -> Vec<T> {
        let mut items = items.to_vec();
        match self {
            Order::Recorded => {}
            Order::Reversed => items.reverse(),
            Order::Shuffled => {
                let mut random = 7_u64;
                for at in (1..items.len()).rev() {
                    random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
                    items.swap(at, (random >> 33) as usize % (at + 1));
                }
            }
        }
        items
    }
}

/// Starts a sealed cluster with two nodes in each of two regions. Replaces all nodes, so that all of their
/// connections are recorded from the beginning, and makes calls between all of them.
async fn recorded_cluster(counts: &Counts) -> (SimCluster, Recorded) {
    let cluster = probe_cluster(counts).region("iad", 2).region("hkg", 2);
    let cluster = cluster.secret(keyring(&[1])).start().await;
    let recording = Recording::of(&cluster);
    cluster.roll(probe_release(counts)).await;
    for number in 0..50 {
        for from in cluster.nodes() {
            for to in cluster.nodes() {
                let probe = from.client::<ProbeClient>().on_node(to.id());
                probe.shout(format!("call {number}")).await.unwrap();
            }
        }
    }
    // So that nodes gossip and compare their members.
    sleep(secs(60)).await;
    let recorded = Recorded::new(recording.take());
    let complete = recorded.dialers.iter().filter(|writes| writes[0].starts_with(PREFACE)).count();
    assert!(complete >= 6, "{complete}");
    assert!(recorded.datagrams.len() > 100, "{}", recorded.datagrams.len());
    (cluster, recorded)
}

/// Sends everything that was recorded to every node, in each order, from the host of `env`. Checks that nothing
/// happens at any node.
async fn replay(cluster: &SimCluster, counts: &Counts, env: &SimEnv, recorded: &Recorded) {
    let (start, executed) = (cluster.elapsed(), counts.started());
    let targets: Vec<_> = cluster.nodes().iter().map(Node::addr).collect();
    let socket = env.datagram(env.addr(PORT)).await.unwrap();
    for order in [Order::Recorded, Order::Reversed, Order::Shuffled] {
        for writes in order.apply(&recorded.dialers) {
            for &to in &targets {
                let mut stream = env.connect(to).await.unwrap();
                send(&mut stream, &writes).await;
                // So that the node has time to handle everything before the connection is closed.
                let _ = timeout(millis(300), stream.reader.read_to_end(&mut Vec::new())).await;
            }
        }
        for datagram in order.apply(&recorded.datagrams) {
            for &to in &targets {
                socket.send(&datagram, to).await.unwrap();
            }
            sleep(millis(1)).await;
        }
    }
    sleep(secs(60)).await;
    assert_eq!(counts.started(), executed);
    let trace = cluster.trace();
    let links: Vec<_> = trace.events().since(start).links().collect();
    assert!(links.is_empty(), "{links:#?}");
    let membership: Vec<_> = trace.events().since(start).membership().collect();
    assert!(membership.is_empty(), "{membership:#?}");
    assert_calls_work(cluster).await;
}

/// Sends all writes, or as many as the node accepts before it closes the connection.
async fn send(stream: &mut BoxStream, writes: &[Bytes]) {
    for bytes in writes {
        if stream.writer.write_all(bytes).await.is_err() {
            return;
        }
    }
}

async fn assert_calls_work(cluster: &SimCluster) {
    for from in cluster.nodes() {
        for to in cluster.nodes() {
            let probe = from.client::<ProbeClient>().on_node(to.id());
            probe.shout("still".into()).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn replayed_bytes_change_nothing() {
    let counts = Counts::default();
    let (cluster, recorded) = recorded_cluster(&counts).await;
    let attacker = cluster.add_host("attacker", "iad");
    replay(&cluster, &counts, &attacker, &recorded).await;
}

#[tokio::test(start_paused = true)]
async fn replayed_bytes_change_nothing_after_a_node_has_restarted() {
    let counts = Counts::default();
    let (cluster, recorded) = recorded_cluster(&counts).await;
    let attacker = cluster.add_host("attacker", "iad");
    cluster.crash("hkg-1");
    cluster.restart("hkg-1").await;
    cluster.settled().await;
    sleep(secs(30)).await;
    replay(&cluster, &counts, &attacker, &recorded).await;
}

#[tokio::test(start_paused = true)]
async fn bytes_replayed_from_the_address_of_a_node_that_has_left_change_nothing() {
    let counts = Counts::default();
    let (cluster, recorded) = recorded_cluster(&counts).await;
    cluster.shutdown("hkg-1").await;
    sleep(secs(30)).await;
    let attacker = cluster.restart_machine("hkg-1");
    replay(&cluster, &counts, &attacker, &recorded).await;
}

/// The first message of the dialer is the only one that can be authentic when it is repeated.
#[tokio::test(start_paused = true)]
async fn a_replayed_first_message_does_not_displace_the_link_of_the_node_that_it_names() {
    let counts = Counts::default();
    let (cluster, recorded) = recorded_cluster(&counts).await;
    let attacker = cluster.add_host("attacker", "iad");
    let start = cluster.elapsed();
    let is_complete = |writes: &&Vec<Bytes>| writes[0].starts_with(PREFACE);
    for writes in recorded.dialers.iter().filter(is_complete) {
        for node in cluster.nodes() {
            let mut stream = attacker.connect(node.addr()).await.unwrap();
            send(&mut stream, &writes[..1]).await;
            let mut response = Vec::new();
            // The node answers, and closes the connection because nothing authentic follows.
            let closed = timeout(secs(10), stream.reader.read_to_end(&mut response)).await;
            assert!(closed.is_ok(), "the connection is still open");
            assert!(!response.is_empty());
        }
    }
    let trace = cluster.trace();
    let events: Vec<_> = trace.events().since(start).collect();
    assert!(events.is_empty(), "{events:#?}");
    assert_calls_work(&cluster).await;
}

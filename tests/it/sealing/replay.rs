//! An attacker who has recorded everything that was sent, and sends it again.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use bytes::Bytes;
use flyrpc::{BoxStream, Datagram, Env, Event, Keyring, Node, Support};
use flyrpc_testkit::{Occurrence, Sent, SimCluster, SimEnv, TracedEvent, Via};
use flyrpc_tests::{frames::PREFACE, replay_order::Order};
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
    /// Those of the acceptor.
    acceptors: Vec<Vec<Bytes>>,
    datagrams: Vec<Bytes>,
}

impl Recorded {
    fn new(sent: Vec<Sent>) -> Self {
        let [mut dialers, mut acceptors] = [(); 2].map(|()| BTreeMap::<_, Vec<Bytes>>::new());
        let mut datagrams = Vec::new();
        for sent in sent {
            match sent.via {
                Via::Stream { connection, by_dialer } => {
                    let end = if by_dialer { &mut dialers } else { &mut acceptors };
                    end.entry(connection).or_default().push(sent.bytes);
                }
                Via::Datagram => datagrams.push(sent.bytes),
                _ => {}
            }
        }
        let [dialers, acceptors] = [dialers, acceptors].map(|end| end.into_values().collect());
        Recorded { dialers, acceptors, datagrams }
    }
}

/// Whether these are the writes of one end of a connection from its beginning.
fn is_complete(writes: &&Vec<Bytes>) -> bool {
    writes[0].starts_with(PREFACE)
}

/// The seed of the order at random.
const SHUFFLE: u64 = 7;

/// Starts a sealed cluster and records it, as [`recorded_cluster_with`] does.
async fn recorded_cluster(counts: &Counts) -> (SimCluster, Recorded) {
    recorded_cluster_with(counts, Some(keyring(&[1]))).await
}

/// Starts a cluster with two nodes in each of two regions. Replaces all nodes, so that all of their connections are
/// recorded from the beginning, and makes calls between all of them.
async fn recorded_cluster_with(counts: &Counts, secret: Option<Keyring>) -> (SimCluster, Recorded) {
    let cluster = probe_cluster(counts).region("iad", 2).region("hkg", 2);
    let cluster = match secret {
        Some(keyring) => cluster.secret(keyring),
        None => cluster,
    };
    let cluster = cluster.start().await;
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
    for end in [&recorded.dialers, &recorded.acceptors] {
        let complete = end.iter().filter(is_complete).count();
        assert!(complete >= 6, "{complete}");
    }
    assert!(recorded.datagrams.len() > 100, "{}", recorded.datagrams.len());
    (cluster, recorded)
}

/// Sends everything that was recorded to every node, in each order, from the host of `env`. Checks that nothing
/// happens at any node, except that it counts the datagrams.
async fn replay(cluster: &SimCluster, counts: &Counts, env: &SimEnv, recorded: &Recorded) {
    let before = Before::new(cluster, counts);
    let targets: Vec<_> = cluster.nodes().iter().map(Node::addr).collect();
    let socket = env.datagram(env.addr(PORT)).await.unwrap();
    for order in Order::all(SHUFFLE) {
        for writes in order.apply(&recorded.dialers) {
            for &to in &targets {
                let mut stream = env.connect(to).await.unwrap();
                send(&mut stream, &writes).await;
                // So that the node has time to handle everything before the connection is closed.
                let _ = timeout(millis(300), stream.reader.read_to_end(&mut Vec::new())).await;
            }
        }
        replay_datagrams(cluster, &*socket, &order.apply(&recorded.datagrams)).await;
    }
    sleep(secs(60)).await;
    before.assert_unchanged(cluster, |_| false);
    for node in cluster.nodes() {
        // Not all are known to be repeated the first time: the node receives those of others, too.
        let replayed = node.stats().gossip.dropped["REPLAYED"];
        assert!(replayed >= 2 * recorded.datagrams.len() as u64, "{:?}", node.stats().gossip);
    }
    assert_calls_work(cluster).await;
}

/// Sends datagrams to every node.
async fn replay_datagrams(cluster: &SimCluster, socket: &dyn Datagram, datagrams: &[Bytes]) {
    let targets: Vec<_> = cluster.nodes().iter().map(Node::addr).collect();
    for datagram in datagrams {
        for &to in &targets {
            socket.send(datagram, to).await.unwrap();
        }
        sleep(millis(1)).await;
    }
}

/// When an attack began, and the number of calls that had executed by then.
struct Before<'a> {
    counts: &'a Counts,
    executed: u64,
    start: Duration,
}

impl<'a> Before<'a> {
    fn new(cluster: &SimCluster, counts: &'a Counts) -> Self {
        Before { counts, executed: counts.started(), start: cluster.elapsed() }
    }

    /// Checks that no call was executed, that no link was opened or closed, and that no node observed a change of another
    /// node, except for those that `is_expected`.
    fn assert_unchanged(&self, cluster: &SimCluster, is_expected: impl Fn(&Event) -> bool) {
        assert_eq!(self.counts.started(), self.executed);
        let trace = cluster.trace();
        let links: Vec<_> = trace.events().since(self.start).links().collect();
        assert!(links.is_empty(), "{links:#?}");
        let is_unexpected = |event: &&TracedEvent| match event.what() {
            Occurrence::Membership(event) => !is_expected(event),
            _ => false,
        };
        let events: Vec<_> = trace.events().since(self.start).filter(is_unexpected).collect();
        assert!(events.is_empty(), "{events:#?}");
    }
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

/// Crashes iad-0 for good, and adds a node that knows its address only as a seed. All nodes dial it. Returns the
/// environment of its machine.
async fn crash_iad_0(cluster: &SimCluster) -> SimEnv {
    cluster.crash("iad-0");
    sleep(secs(30)).await;
    cluster.add_node("iad").await;
    sleep(secs(30)).await;
    cluster.restart_machine("iad-0")
}

/// Answers the connections of each node to `env` with the writes of the acceptors that were recorded, one after another in
/// each order. Returns once each node has received all of them.
async fn impersonate(cluster: &SimCluster, env: &SimEnv, recorded: &Recorded) {
    let answers: Vec<_> =
        Order::all(SHUFFLE).iter().flat_map(|order| order.apply(&recorded.acceptors)).collect();
    let dialers = cluster.nodes().into_iter().map(|node| (node.addr().ip(), answers.iter()));
    let mut left: BTreeMap<IpAddr, _> = dialers.collect();
    let mut listener = env.listen(env.addr(PORT)).await.unwrap();
    while left.values().any(|answers| answers.len() > 0) {
        let (mut stream, from) = listener.accept().await.unwrap();
        let Some(writes) = left.get_mut(&from.ip()).and_then(Iterator::next).cloned() else {
            continue;
        };
        tokio::spawn(async move {
            // Like an acceptor, after the first message of the dialer.
            let _ = stream.reader.read(&mut [0; 4096]).await;
            send(&mut stream, &writes).await;
            let _ = timeout(secs(1), stream.reader.read_to_end(&mut Vec::new())).await;
        });
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_of_acceptors_replayed_to_nodes_that_dial_a_crashed_one_change_nothing() {
    let counts = Counts::default();
    let (cluster, recorded) = recorded_cluster(&counts).await;
    let attacker = crash_iad_0(&cluster).await;
    let before = Before::new(&cluster, &counts);
    let replayed = impersonate(&cluster, &attacker, &recorded);
    timeout(secs(3_600), replayed).await.expect("each node dials until it has received everything");
    let socket = attacker.datagram(attacker.addr(PORT)).await.unwrap();
    for order in Order::all(SHUFFLE) {
        replay_datagrams(&cluster, &*socket, &order.apply(&recorded.datagrams)).await;
    }
    sleep(secs(60)).await;
    // Nodes report that another program responds at the address.
    let at = attacker.addr(PORT);
    before.assert_unchanged(&cluster, |event| {
        matches!(
            event,
            Event::SupportChanged { addr, support: Support::Unsupported(_), .. } if *addr == at
        )
    });
    assert!(cluster.nodes().iter().all(|node| node.nodes().len() == 4));
    assert_calls_work(&cluster).await;
}

/// Without a secret, the same bytes are sufficient for links. Even then, a node holds the requests, because no pong that was
/// recorded answers a ping of this connection.
#[tokio::test(start_paused = true)]
async fn bytes_of_acceptors_replayed_without_a_secret_open_links() {
    let counts = Counts::default();
    let (cluster, recorded) = recorded_cluster_with(&counts, None).await;
    let attacker = crash_iad_0(&cluster).await;
    let start = cluster.elapsed();
    // Not all of it: a node that was linked to another address than it dialed rarely dials again.
    let _ = timeout(secs(300), impersonate(&cluster, &attacker, &recorded)).await;
    let trace = cluster.trace();
    let linked = |event: &TracedEvent| matches!(event.what(), Occurrence::LinkOpened(_));
    assert!(trace.events().since(start).any(linked), "{trace}");
    assert!(trace.events().since(start).up("iad-0").next().is_some(), "{trace}");
}

/// The first message of the dialer is the only one that can be authentic when it is repeated.
#[tokio::test(start_paused = true)]
async fn a_replayed_first_message_does_not_displace_the_link_of_the_node_that_it_names() {
    let counts = Counts::default();
    let (cluster, recorded) = recorded_cluster(&counts).await;
    let attacker = cluster.add_host("attacker", "iad");
    let start = cluster.elapsed();
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

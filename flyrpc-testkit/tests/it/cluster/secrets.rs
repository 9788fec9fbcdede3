use std::sync::{Arc, Mutex};

use flyrpc::{Keyring, LinkSecurity};
use flyrpc_testkit::{Release, Sent, SimCluster};
use tokio::time::sleep;

use super::service::{builder, desk, ms, secs, v1};

/// A keyring with a key for each of these bytes.
fn keyring(keys: &[u8]) -> Keyring {
    let keys: Vec<_> = keys.iter().map(|byte| format!("{byte:02x}").repeat(32)).collect();
    Keyring::parse(&keys.join(",")).unwrap()
}

/// The security of every link, as each node reports it.
fn links(cluster: &SimCluster) -> Vec<Option<LinkSecurity>> {
    let nodes = cluster.nodes();
    nodes.iter().flat_map(|node| node.peers()).map(|peer| peer.security).collect()
}

fn sealed(key: u8) -> Option<LinkSecurity> {
    keyring(&[key]).ids().next().map(LinkSecurity::Sealed)
}

#[track_caller]
fn assert_links(cluster: &SimCluster, expected: Option<LinkSecurity>) {
    let links = links(cluster);
    assert!(links.iter().all(|link| *link == expected), "{links:?}, expected {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn nodes_are_open_by_default_and_sealed_with_a_secret() {
    assert_links(&builder().start().await, Some(LinkSecurity::Open));
    let cluster = builder().secret(keyring(&[1])).start().await;
    assert_links(&cluster, sealed(1));
    assert_eq!(desk(&cluster, "hkg-0").on_region("iad").echo(vec![7]).await.unwrap(), [7]);
    cluster.add_node("hkg").await;
    cluster.crash("iad-1");
    cluster.restart("iad-1").await;
    cluster.settled().await;
    assert_links(&cluster, sealed(1));
}

#[tokio::test(start_paused = true)]
async fn a_release_overrides_the_secret_of_the_cluster() {
    let cluster = builder().secret(keyring(&[1])).start().await;
    cluster.roll(v1().secret(keyring(&[2, 1]))).await;
    cluster.roll(v1().secret(keyring(&[2]))).await;
    assert_links(&cluster, sealed(2));
    cluster.roll(v1().secret(keyring(&[2])).insecure()).await;
    assert_links(&cluster, sealed(2));
    cluster.roll(v1().without_secret()).await;
    assert_links(&cluster, Some(LinkSecurity::Open));
    cluster.roll(v1().insecure()).await;
    assert_links(&cluster, sealed(1));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "has no secret; this node requires one")]
async fn a_node_without_the_secret_of_the_others_is_reported_as_not_linked() {
    let release = Release::new().without_secret();
    builder().secret(keyring(&[1])).node("iad-1", release).announce(false).start().await;
}

/// Runs calls, a rollout and a crash. Returns the trace, and everything that was sent.
fn run(seed: u64, key: u8) -> (String, Vec<Sent>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let builder = builder().seed(seed).jitter(ms(20)).loss(0.1).announce(false);
        let cluster = builder.secret(keyring(&[key])).start().await;
        let sent = Arc::new(Mutex::new(Vec::new()));
        cluster.tap({
            let sent = Arc::clone(&sent);
            move |message| sent.lock().unwrap().push(message.clone())
        });
        let call = async || desk(&cluster, "hkg-0").on_region("iad").echo(vec![1; 300]).await;
        call().await.unwrap();
        cluster.roll(v1().secret(keyring(&[key + 1, key]))).await;
        call().await.unwrap();
        cluster.crash("iad-0");
        sleep(secs(2)).await;
        cluster.restart("iad-0").await;
        cluster.settled().await;
        call().await.unwrap();
        let sent = std::mem::take(&mut *sent.lock().unwrap());
        (cluster.trace().to_string(), sent)
    })
}

#[test]
fn sealed_runs_with_equal_seeds_are_equal_to_the_byte() {
    let (trace, sent) = run(3, 1);
    assert!(sent.len() > 150, "{}", sent.len());
    let (same_trace, same_sent) = run(3, 1);
    assert_eq!(trace, same_trace);
    assert!(sent == same_sent, "two runs of seed 3 send different bytes");
    let (other_trace, other_sent) = run(3, 7);
    assert_eq!(trace, other_trace, "the key has no influence on the run");
    assert!(sent != other_sent);
    let of_other_seed = run(4, 1);
    assert!(trace != of_other_seed.0 && sent != of_other_seed.1);
}

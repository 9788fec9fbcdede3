//! Nodes that do not belong to a sealed cluster.

use std::collections::BTreeSet;

use flyrpc::{NoSupport, Node, NodeBuilder, RpcError, Support};
use flyrpc_testkit::SimCluster;

use super::{key_ids, keyring};
use crate::support::{
    Counts, PORT, ProbeClient, node_on, probe_cluster, probe_release, prober, secs, sleep,
};

/// The reason why `node` cannot call what is at the address of `other`.
#[track_caller]
fn reason(node: &Node, other: &Node) -> NoSupport {
    let peers = node.peers();
    let peer = peers.iter().find(|peer| peer.addr == other.addr());
    match peer.map(|peer| &peer.support) {
        Some(Support::Unsupported(why)) => why.clone(),
        other => panic!("{other:?} in {peers:?}"),
    }
}

/// Checks that a call of `node` to `region` finds no node, and that the error counts the addresses.
async fn assert_not_called(node: &Node, region: &str, why: &NoSupport) {
    let error = node.client::<ProbeClient>().on_region(region).shout("a".into()).await.unwrap_err();
    let RpcError::NoNode { known, .. } = &error else { panic!("{error:?}") };
    let counts = (known.other_cluster > 0, known.other_secret > 0, known.not_flyrpc > 0);
    let is_other_cluster = matches!(why, NoSupport::OtherCluster(_));
    assert_eq!(counts, (is_other_cluster, !is_other_cluster, false), "{error}");
    let text = if is_other_cluster { "another cluster" } else { "share this node's secret" };
    assert!(error.to_string().contains(text), "{error}");
    assert!(!error.may_have_executed());
}

/// Starts a stranger beside a sealed cluster. Each dials the other. `theirs` is the reason that the stranger
/// reports, and `ours` that of the cluster's nodes. They count the handshakes of the stranger as `counted`.
async fn check(
    configure: impl Fn(NodeBuilder) -> NodeBuilder,
    theirs: NoSupport,
    ours: NoSupport,
    counted: &str,
) {
    let counts = Counts::default();
    let cluster = probe_cluster(&counts).region("iad", 2).region("hkg", 1);
    let cluster = cluster.secret(keyring(&[1])).start().await;
    let (stranger, seeded) = start_stranger(&cluster, &counts, configure).await;
    sleep(secs(5)).await;
    assert_eq!(reason(&stranger, &cluster.node("iad-0")), theirs);
    assert_eq!(reason(&seeded, &stranger), ours);
    for at in [0, 60] {
        sleep(secs(at)).await;
        assert_not_called(&stranger, "iad", &theirs).await;
        assert_not_called(&seeded, "fra", &ours).await;
        let only_itself = [stranger.info().clone()];
        assert_eq!(stranger.nodes(), only_itself);
        assert!(stranger.peers().iter().all(|peer| peer.node.is_none()), "{:?}", stranger.peers());
        for node in cluster.nodes() {
            assert_eq!(node.nodes().len(), 4, "{:?}", node.nodes());
            let peers = node.peers();
            let mut names = peers.iter().filter_map(|peer| Some(peer.node.as_ref()?.name()));
            assert!(names.all(|name| name != "stranger"), "{peers:?}");
        }
    }
    let handshakes = cluster.node("iad-0").stats().handshakes;
    assert_eq!(handshakes.into_keys().collect::<BTreeSet<_>>(), ["OK", counted].into());
    assert_eq!(counts.started(), 0);
    let linked = cluster.trace().events().links().about("stranger").count();
    assert_eq!(linked, 0, "{}", cluster.trace());
}

/// Starts the stranger, whose seeds are the nodes of the cluster, and a node of the cluster whose seeds include
/// the stranger.
async fn start_stranger(
    cluster: &SimCluster,
    counts: &Counts,
    configure: impl Fn(NodeBuilder) -> NodeBuilder,
) -> (Node, Node) {
    let env = cluster.add_host("stranger", "fra");
    let of_cluster: Vec<_> = cluster.nodes().iter().map(Node::addr).collect();
    let stranger = node_on(&env).seeds(&of_cluster).serve(prober("stranger", counts));
    let stranger = configure(stranger).start().await.unwrap();
    let seeds = [of_cluster, vec![env.addr(PORT)]].concat();
    let release = probe_release(counts);
    let release = release.configure(move |_, builder| builder.seeds(&seeds));
    let seeded = cluster.node(cluster.add_node_with("iad", release).await);
    (stranger, seeded)
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_secret_is_not_accepted() {
    check(|node| node, NoSupport::SecretRequired, NoSupport::NoSecret, "NO_SECRET").await;
}

#[tokio::test(start_paused = true)]
async fn a_node_with_another_secret_is_not_accepted() {
    check(
        |node| node.secret(keyring(&[2, 3])),
        NoSupport::OtherSecret(key_ids(&[1])),
        NoSupport::OtherSecret(key_ids(&[2, 3])),
        "UNKNOWN_KEY",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_of_another_cluster_with_the_same_secret_is_not_accepted() {
    check(
        |node| node.secret(keyring(&[1])).cluster("other"),
        NoSupport::OtherCluster("local".to_owned()),
        NoSupport::OtherCluster("other".to_owned()),
        "OTHER_CLUSTER",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_permissive_node_with_another_secret_is_not_accepted() {
    check(
        |node| node.secret(keyring(&[2])).insecure(),
        NoSupport::OtherSecret(key_ids(&[1])),
        NoSupport::OtherSecret(key_ids(&[2])),
        "UNKNOWN_KEY",
    )
    .await;
}

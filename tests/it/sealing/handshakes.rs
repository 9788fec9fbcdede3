//! Links between nodes whose secrets differ, and links that need more than a short handshake.

use flyrpc::{
    LinkSecurity, fly_rpc,
    operations::{VisitOptions, Visitor},
};
use flyrpc_testkit::{Release, SimCluster, SimNet, Via};
use tokio::time::{Instant, timeout};

use super::{Recording, assert_peers, keyring, sealed_with};
use crate::support::{Counts, ProbeClient, millis, node_on, probe_cluster, probe_release, secs};

/// Checks that each node of `cluster` can call each other.
async fn assert_calls_work(cluster: &SimCluster) {
    for from in cluster.nodes() {
        for to in cluster.nodes() {
            let probe = from.client::<ProbeClient>().on_node(to.id());
            probe.shout("a".into()).await.unwrap();
        }
    }
}

/// Starts a permissive node and another one, in both orders. Returns the clusters.
async fn permissive_and(other: impl Fn(&Counts) -> Release) -> [SimCluster; 2] {
    let counts = Counts::default();
    let permissive = || probe_release(&counts).secret(keyring(&[1])).insecure();
    let cluster = async |first: Release, second: Release| {
        let cluster = SimCluster::builder().region("iad", 1).region("hkg", 1);
        let cluster = cluster.node("iad-0", first).node("hkg-0", second).start().await;
        assert_calls_work(&cluster).await;
        cluster
    };
    [cluster(permissive(), other(&counts)).await, cluster(other(&counts), permissive()).await]
}

#[tokio::test(start_paused = true)]
async fn a_permissive_node_has_an_open_link_with_a_node_without_a_secret() {
    for cluster in permissive_and(probe_release).await {
        for node in cluster.nodes() {
            let security: Vec<_> = node.peers().iter().map(|peer| peer.security).collect();
            assert_eq!(security, [Some(LinkSecurity::Open)]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_permissive_node_has_a_sealed_link_with_a_node_that_has_the_secret() {
    let sealed = |counts: &Counts| probe_release(counts).secret(keyring(&[1]));
    let permissive = |counts: &Counts| sealed(counts).insecure();
    for clusters in [permissive_and(sealed).await, permissive_and(permissive).await] {
        for node in clusters.iter().flat_map(SimCluster::nodes) {
            assert_peers(&node, sealed_with(1), &[1]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_share_a_key_link_whichever_they_offer_first() {
    let counts = Counts::default();
    let release = |keys: &[u8]| probe_release(&counts).secret(keyring(keys));
    for (first, second) in [([1, 2], [2, 1]), ([1, 2], [2, 3]), ([1, 2], [3, 2])] {
        let cluster = SimCluster::builder().region("iad", 1).region("hkg", 1);
        let cluster = cluster.node("iad-0", release(&first)).node("hkg-0", release(&second));
        let cluster = cluster.start().await;
        assert_calls_work(&cluster).await;
        let of = |name| cluster.node(name).peers()[0].clone();
        let (iad, hkg) = (of("hkg-0"), of("iad-0"));
        assert_eq!(iad.security, hkg.security);
        assert_eq!(iad.keys, keyring(&first).ids().collect::<Vec<_>>());
        assert_eq!(hkg.keys, keyring(&second).ids().collect::<Vec<_>>());
    }
}

macro_rules! wide {
    ($($method:ident)*) => {
        #[fly_rpc]
        trait Wide {
            $(
                #[allow(clippy::too_many_arguments)]
                async fn $method(
                    &self,
                    argument_00_with_a_name_that_makes_the_description_of_the_node_long: u8,
                    argument_01_with_a_name_that_makes_the_description_of_the_node_long: u8,
                    argument_02_with_a_name_that_makes_the_description_of_the_node_long: u8,
                    argument_03_with_a_name_that_makes_the_description_of_the_node_long: u8,
                    argument_04_with_a_name_that_makes_the_description_of_the_node_long: u8,
                    argument_05_with_a_name_that_makes_the_description_of_the_node_long: u8,
                    argument_06_with_a_name_that_makes_the_description_of_the_node_long: u8,
                    argument_07_with_a_name_that_makes_the_description_of_the_node_long: u8,
                    argument_08_with_a_name_that_makes_the_description_of_the_node_long: u8,
                    argument_09_with_a_name_that_makes_the_description_of_the_node_long: u8,
                    argument_10_with_a_name_that_makes_the_description_of_the_node_long: u8,
                    argument_11_with_a_name_that_makes_the_description_of_the_node_long: u8,
                    argument_12_with_a_name_that_makes_the_description_of_the_node_long: u8,
                    argument_13_with_a_name_that_makes_the_description_of_the_node_long: u8,
                );
            )*
        }

        struct Widest;

        impl Wide for Widest {
            $(
                async fn $method(
                    &self,
                    _: u8,
                    _: u8,
                    _: u8,
                    _: u8,
                    _: u8,
                    _: u8,
                    _: u8,
                    _: u8,
                    _: u8,
                    _: u8,
                    _: u8,
                    _: u8,
                    _: u8,
                    _: u8,
                ) {}
            )*
        }
    };
}

wide! {
    m00 m01 m02 m03 m04 m05 m06 m07 m08 m09 m10 m11 m12 m13 m14 m15 m16 m17 m18 m19 m20 m21 m22 m23
    m24 m25 m26 m27 m28 m29 m30 m31 m32 m33 m34 m35 m36 m37 m38 m39 m40 m41 m42 m43 m44 m45 m46 m47
    m48 m49 m50 m51 m52 m53 m54 m55 m56 m57 m58 m59 m60 m61 m62 m63 m64 m65 m66 m67 m68 m69
}

/// The longest hello that fits in a handshake message has 20 KiB.
#[tokio::test(start_paused = true)]
async fn a_hello_that_is_longer_than_a_handshake_message_is_sealed_too() {
    let counts = Counts::default();
    let cluster = probe_cluster(&counts).region("iad", 1).region("hkg", 1);
    let cluster = cluster.serve(|_| ServeWide::new(Widest)).secret(keyring(&[1])).start().await;
    let recording = Recording::of(&cluster);
    for name in ["hkg-0", "iad-0"] {
        cluster.crash(name);
        cluster.restart(name).await;
        cluster.settled().await;
        assert_calls_work(&cluster).await;
    }
    let (mut longest, mut readable) = (0, 0);
    for sent in recording.take() {
        longest = longest.max(sent.bytes.len());
        let has_name = sent.bytes.windows(16).any(|bytes| bytes == b"with_a_name_that");
        readable += usize::from(has_name && matches!(sent.via, Via::Stream { .. }));
    }
    assert!(longest > 20 << 10, "{longest}");
    assert_eq!(readable, 0);
}

/// If both ends sent their hellos before they read, neither could finish.
#[tokio::test(start_paused = true)]
async fn two_long_hellos_need_no_buffer_that_holds_them() {
    let net = SimNet::builder().socket_buffer(16 << 10).build();
    let hosts = ["iad", "hkg"].map(|region| net.add_host(format!("{region}-0"), region));
    let node = |at: usize| {
        let node = node_on(&hosts[at]).secret(keyring(&[1])).serve(ServeWide::new(Widest));
        node.seeds([hosts[0].addr(3590)])
    };
    let iad = node(0).start().await.unwrap();
    let hkg = node(1).start().await.unwrap();
    hkg.ready().await;
    for (node, other) in [(&iad, "hkg"), (&hkg, "iad")] {
        assert_eq!(node.nodes_in(other).len(), 1, "{:?}", node.peers());
    }
}

#[tokio::test(start_paused = true)]
async fn a_sealed_handshake_takes_one_round_trip_after_that_of_tcp_like_an_open_one() {
    let round_trip = millis(100);
    let net = SimNet::builder().rtt("iad", "hkg", round_trip).build();
    for (name, sealed) in [("open", false), ("sealed", true)] {
        let builder = node_on(&net.add_host(name, "iad"));
        let builder = if sealed { builder.secret(keyring(&[1])) } else { builder };
        let node = builder.start().await.unwrap();
        let env = net.add_host(format!("visitor-{name}"), "hkg");
        let options = VisitOptions::new().cluster("local").env(env);
        let options = if sealed { options.secret(keyring(&[1])) } else { options };
        let start = Instant::now();
        let visitor = Visitor::connect(node.addr(), options).await.unwrap();
        assert_eq!(start.elapsed(), 2 * round_trip, "{name}");
        assert_eq!(visitor.sealed_with().is_some(), sealed);
    }
}

/// Both ends change the keys after 65,536 records. Each call and each reply is a record.
#[tokio::test(start_paused = true)]
#[ignore = "takes half a minute in a debug build; a unit test of `proto/seal` changes the keys of both ends too"]
async fn a_link_continues_after_its_keys_change() {
    let counts = Counts::default();
    let cluster = probe_cluster(&counts).region("iad", 2).secret(keyring(&[1])).start().await;
    let recording = Recording::of(&cluster);
    let other = cluster.node("iad-1").id().clone();
    let probe = cluster.node("iad-0").client::<ProbeClient>().on_node(&other);
    let start = cluster.elapsed();
    for _ in 0..66_000 {
        timeout(secs(5), probe.echo(Vec::new())).await.unwrap().unwrap();
    }
    let mut writes = [0, 0];
    for sent in recording.take() {
        if let Via::Stream { by_dialer, .. } = sent.via {
            writes[usize::from(by_dialer)] += 1;
        }
    }
    assert!(writes.iter().all(|&writes| writes > 65_600), "{writes:?}");
    assert_eq!(cluster.trace().events().since(start).links().count(), 0);
}

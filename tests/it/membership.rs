//! Membership: joining, leaving, restarting, and discovery through seeds.
//!
//! Most tests start nodes on a raw SimNet, because they choose the seeds of each node or observe
//! nodes from their start. A SimCluster chooses the seeds itself, and waits until all nodes are
//! linked.

use std::collections::BTreeSet;

use flyrpc::{NoSupport, Node, NodeBuilder, PeerState, Support};
use flyrpc_testkit::{SimEnv, SimNet};
use tokio::time::Instant;

use crate::support::{
    Counts, EventLog, ProbeClient, iad_and_hkg, millis, node_names, node_on, peer_named,
    probe_cluster, probe_release, prober, secs, sleep,
};

/// The number of open links of `node`, and the number of distinct nodes that they lead to.
fn links(node: &Node) -> (usize, usize) {
    let linked = node.peers().into_iter().filter(|peer| peer.state == PeerState::Linked);
    let to: Vec<_> = linked.filter_map(|peer| peer.node).collect();
    (to.len(), to.iter().map(|node| node.id()).collect::<BTreeSet<_>>().len())
}

/// Returns a builder for a node on `env` that serves [`Probe`](crate::support::prober).
fn probe_on(env: &SimEnv) -> NodeBuilder {
    node_on(env).serve(prober(&env.name(), &Counts::default()))
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_seed_each_other_and_start_at_once_find_each_other() {
    for seed in 0..25 {
        let net = SimNet::builder().seed(seed).build();
        let (iad, hkg) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
        let seeds = ["iad-0:3590", "hkg-0:3590"];
        let a = probe_on(&iad).seeds(seeds).start().await.unwrap();
        sleep(millis(seed * 7 % 400)).await;
        let b = probe_on(&hkg).seeds(seeds).start().await.unwrap();
        let log = EventLog::of(&a);
        let (first, second) = (a.client::<ProbeClient>(), b.client::<ProbeClient>());
        // No call fails in the meantime.
        for _ in 0..20 {
            first.on_region("hkg").shout("a".into()).await.unwrap();
            second.on_region("iad").shout("a".into()).await.unwrap();
        }
        sleep(secs(10)).await;
        assert_eq!((links(&a), links(&b)), ((1, 1), (1, 1)), "seed {seed}");
        assert_eq!((node_names(&a, "hkg").len(), node_names(&b, "iad").len()), (1, 1));
        assert_eq!(log.nodes(), ["up hkg-0"], "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_nodes_that_start_at_once_find_each_other_and_stay_linked() {
    let net = SimNet::builder().build();
    let mut nodes = Vec::new();
    for at in 0..10 {
        let region = ["iad", "hkg", "lhr"][at % 3];
        let env = net.add_host(format!("{region}-{at}"), region);
        let seeds = ["iad-0:3590", "hkg-1:3590"].into_iter().take(at);
        nodes.push(probe_on(&env).seeds(seeds).start().await.unwrap());
    }
    let logs: Vec<_> = nodes.iter().map(EventLog::of).collect();
    sleep(secs(10)).await;
    for node in &nodes {
        assert_eq!(links(node), (9, 9), "{node:?}");
    }
    sleep(secs(300)).await;
    for (node, log) in nodes.iter().zip(logs) {
        assert_eq!(links(node), (9, 9), "{node:?}");
        assert_eq!(log.nodes().len(), 9, "{:?}", log.nodes());
    }
}

#[tokio::test(start_paused = true)]
async fn seeds_that_are_down_at_first_are_found_once_they_start() {
    let net = SimNet::builder().build();
    let (iad, hkg) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
    let hkg = node_on(&hkg).seeds(["iad-0:3590"]).start().await.unwrap();
    sleep(secs(60)).await;
    let unreachable = |peers: Vec<flyrpc::Peer>| {
        matches!(
            peers[..],
            [flyrpc::Peer { support: Support::Unsupported(NoSupport::Unreachable(_)), .. }]
        )
    };
    assert!(unreachable(hkg.peers()), "{:?}", hkg.peers());
    let _iad = probe_on(&iad).start().await.unwrap();
    sleep(secs(7)).await;
    let probe: ProbeClient = hkg.client();
    probe.on_region("iad").shout("a".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wrong_seeds_that_were_replaced_do_not_fail_the_start() {
    let net = SimNet::builder().build();
    let env = net.add_host("iad-0", "iad");
    probe_on(&env).seeds(["iad:0"]).start().await.unwrap_err();
    probe_on(&env).seeds(["iad:0"]).seeds(["1.2.3.4:3590"]).start().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_is_the_node_itself_is_no_peer() {
    let net = SimNet::builder().build();
    let env = net.add_host("iad-0", "iad");
    net.set_name("all.internal", [env.ip()]);
    let seeds = ["all.internal:3590".to_owned(), env.addr(3590).to_string(), "iad-0:3590".into()];
    let start = Instant::now();
    let iad = probe_on(&env).seeds(seeds).start().await.unwrap();
    iad.ready().await;
    sleep(secs(30)).await;
    assert!(start.elapsed() < secs(31));
    assert!(iad.peers().is_empty(), "{:?}", iad.peers());
    assert_eq!(node_names(&iad, "iad"), ["iad-0"]);
}

#[tokio::test(start_paused = true)]
async fn two_seeds_that_are_the_same_node_list_it_once() {
    let net = SimNet::builder().build();
    let (iad_env, env) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
    // The node listens on all its addresses, including loopback, and advertises one of them.
    let builder = probe_on(&iad_env).listen("0.0.0.0:3590".parse().unwrap());
    let iad = builder.advertise(iad_env.addr(3590)).start().await.unwrap();
    net.set_name("alias.internal", [iad_env.ip()]);
    let seeds = ["alias.internal:3590", "iad-0:3590"];
    let hkg = node_on(&env).seeds(seeds).start().await.unwrap();
    hkg.ready().await;
    let log = EventLog::of(&hkg);
    sleep(secs(60)).await;
    assert_eq!(node_names(&hkg, "iad"), ["iad-0"]);
    assert_eq!(hkg.peers().len(), 1, "{:?}", hkg.peers());
    assert!(log.nodes().is_empty());
    drop(iad);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_advertises_another_address_than_the_seed_is_listed_once() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 1).region("lhr", 1).start().await;
    let iad = cluster.node("iad-0");
    // The seed's port is forwarded, so two addresses lead to one node.
    let other = cluster.add_host("iad-9", "iad");
    let _forward = forward(&other, iad.addr()).await;
    let env = cluster.add_host("hkg-0", "hkg");
    let hkg = node_on(&env).seeds([other.addr(3590)]).start().await.unwrap();
    hkg.ready().await;
    assert_eq!(node_names(&hkg, "iad"), ["iad-0"]);
    assert_eq!(node_names(&hkg, "lhr"), ["lhr-0"]);
    sleep(secs(30)).await;
    assert_eq!(node_names(&hkg, "iad"), ["iad-0"]);
    assert_eq!(links(&hkg), (2, 2), "{:?}", hkg.peers());
    hkg.client::<ProbeClient>().on_node(iad.id()).shout("a".into()).await.unwrap();
}

/// Forwards connections like a load balancer.
async fn forward(env: &SimEnv, to: std::net::SocketAddr) -> tokio::task::JoinHandle<()> {
    use flyrpc::Env;
    let mut listener = env.listen(env.addr(3590)).await.unwrap();
    let env = env.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let Ok(mut server) = env.connect(to).await else { continue };
            tokio::spawn(async move {
                let there = tokio::io::copy(&mut client.reader, &mut server.writer);
                let back = tokio::io::copy(&mut server.reader, &mut client.writer);
                let _ = futures_util::future::select(Box::pin(there), Box::pin(back)).await;
            });
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_seed_name_that_resolves_to_new_addresses_adds_nodes() {
    let net = SimNet::builder().build();
    let (iad_env, hkg_env) = (net.add_host("iad-0", "iad"), net.add_host("hkg-0", "hkg"));
    let seeds = ["app.internal:3590"];
    net.set_name("app.internal", [iad_env.ip()]);
    let _iad = node_on(&iad_env).seeds(seeds).start().await.unwrap();
    // There are two separate clusters until the name resolves to a node of each.
    net.set_name("app.internal", [hkg_env.ip()]);
    let hkg = node_on(&hkg_env).seeds(seeds).start().await.unwrap();
    sleep(secs(20)).await;
    assert!(node_names(&hkg, "iad").len() <= 1);
    net.set_name("app.internal", [hkg_env.ip(), iad_env.ip()]);
    sleep(secs(70)).await;
    assert_eq!(node_names(&hkg, "iad"), ["iad-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_node_is_listed_once_each_time() {
    let cluster = probe_cluster(&Counts::default())
        .region("iad", 1)
        .region("hkg", 1)
        .region("lhr", 1)
        .start()
        .await;
    let hkg = cluster.node("hkg-0");
    let lhr = cluster.node("lhr-0");
    sleep(secs(3)).await;
    for (round, pause) in [0, 10, 300, 2_000, 12_000, 40_000].into_iter().enumerate() {
        let logs = [EventLog::of(&hkg), EventLog::of(&lhr)];
        sleep(millis(1)).await;
        let before = cluster.node("iad-0").id().clone();
        cluster.crash_machine("iad-0");
        sleep(millis(pause)).await;
        cluster.restart("iad-0").await;
        let iad = cluster.node("iad-0");
        assert_ne!(*iad.id(), before);
        for _ in 0..200 {
            sleep(millis(100)).await;
            assert!(node_names(&hkg, "iad").len() <= 1);
        }
        for (node, log) in [&hkg, &lhr].into_iter().zip(logs) {
            assert_eq!(node.nodes_in("iad"), [iad.info().clone()], "round {round}");
            assert_eq!(log.nodes(), ["down iad-0", "up iad-0"], "round {round} at {node:?}");
            node.client::<ProbeClient>().on_node(iad.id()).shout("a".into()).await.unwrap();
        }
        assert_eq!(node_names(&iad, "hkg"), ["hkg-0"], "round {round}");
        assert_eq!(node_names(&iad, "lhr"), ["lhr-0"], "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_left_and_restarts_without_seeds_is_found() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let hkg = cluster.node("hkg-0");
    let log = EventLog::of(&hkg);
    sleep(secs(1)).await;
    cluster.shutdown("iad-0").await;
    sleep(secs(30)).await;
    let _iad = probe_on(&cluster.restart_machine("iad-0")).start().await.unwrap();
    sleep(secs(20)).await;
    assert_eq!(node_names(&hkg, "iad"), ["iad-0"]);
    assert_eq!(log.nodes(), ["left iad-0", "up iad-0"]);
    hkg.client::<ProbeClient>().on_region("iad").shout("a".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_node_has_one_event_when_it_comes_and_one_when_it_goes() {
    let counts = Counts::default();
    let cluster = probe_cluster(&counts).region("iad", 1).start().await;
    let iad = cluster.node("iad-0");
    let log = EventLog::of(&iad);
    for region in ["hkg", "lhr"] {
        cluster.add_node_with(region, probe_release(&counts)).await;
    }
    sleep(secs(5)).await;
    assert_eq!(log.nodes(), ["up hkg-0", "up lhr-0"]);
    log.clear();
    cluster.crash_machine("hkg-0");
    sleep(secs(60)).await;
    cluster.shutdown("lhr-0").await;
    sleep(secs(60)).await;
    assert_eq!(log.nodes(), ["down hkg-0", "left lhr-0"]);
    assert!(iad.nodes_in("hkg").is_empty() && iad.nodes_in("lhr").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_is_observed_as_a_leave_within_one_message() {
    let cluster = probe_cluster(&Counts::default())
        .region("iad", 1)
        .region("hkg", 1)
        .region("lhr", 1)
        .start()
        .await;
    let iad = cluster.node("iad-0");
    let hkg = cluster.node("hkg-0");
    let lhr = cluster.node("lhr-0");
    sleep(secs(3)).await;
    let logs = [EventLog::of(&hkg), EventLog::of(&lhr)];
    let start = Instant::now();
    iad.shutdown().await;
    assert!(start.elapsed() <= millis(1_100), "{:?}", start.elapsed());
    sleep(millis(110)).await;
    for log in logs {
        assert_eq!(log.nodes(), ["left iad-0"]);
    }
    assert_eq!(peer_named(&hkg, "iad-0").state, PeerState::Left);
    assert!(hkg.nodes_in("iad").is_empty());
}

#[tokio::test(start_paused = true)]
async fn clusters_that_share_seeds_never_mix() {
    let net = SimNet::builder().seed(3).build();
    let mut nodes = Vec::new();
    for (at, cluster) in ["blue", "green", "blue", "green"].into_iter().enumerate() {
        let env = net.add_host(format!("iad-{at}"), "iad");
        let seeds = (0..4).map(|at| format!("iad-{at}:3590"));
        nodes.push(probe_on(&env).cluster(cluster).seeds(seeds).start().await.unwrap());
    }
    sleep(secs(120)).await;
    assert_eq!(node_names(&nodes[0], "iad"), ["iad-0", "iad-2"]);
    assert_eq!(node_names(&nodes[1], "iad"), ["iad-1", "iad-3"]);
    let others = nodes[0].peers().into_iter().filter(|peer| {
        peer.support == Support::Unsupported(NoSupport::OtherCluster("green".into()))
    });
    assert_eq!(others.count(), 2);
    // A node starts on an address that belonged to the other cluster before.
    drop(nodes.remove(3));
    let builder = node_on(&net.restart("iad-3")).cluster("blue");
    let _moved = builder.seeds(["iad-0:3590", "iad-1:3590"]).start().await.unwrap();
    sleep(secs(60)).await;
    assert_eq!(node_names(&nodes[0], "iad"), ["iad-0", "iad-2", "iad-3"]);
    assert_eq!(node_names(&nodes[1], "iad"), ["iad-1"]);
}

#[tokio::test(start_paused = true)]
async fn ready_waits_for_all_seeds_for_up_to_five_seconds() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 1).start().await;
    let dead = cluster.add_host("iad-8", "iad");
    cluster.crash_machine("iad-8");
    let closed = cluster.add_host("iad-9", "iad");
    let env = cluster.add_host("hkg-0", "hkg");
    let start = Instant::now();
    let hkg = node_on(&env).seeds(["iad-0:3590"]).start().await.unwrap();
    assert!(hkg.peers().iter().all(|peer| peer.state != PeerState::Linked));
    hkg.ready().await;
    assert!((millis(202)..secs(1)).contains(&start.elapsed()), "{:?}", start.elapsed());
    for seed in [dead.addr(3590), closed.addr(3590)] {
        let env = cluster.add_host(format!("lhr-{}", seed.ip()), "lhr");
        let start = Instant::now();
        let node = node_on(&env).seeds([seed, hkg.addr()]).start().await.unwrap();
        node.ready().await;
        assert!((secs(5)..millis(5_500)).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert_eq!(node_names(&node, "hkg"), ["hkg-0"]);
    }
    // A node without seeds is ready immediately. A node whose seed name does not resolve is ready
    // after 5 s.
    let env = cluster.add_host("sin-0", "sin");
    let start = Instant::now();
    node_on(&env).start().await.unwrap().ready().await;
    assert_eq!(start.elapsed(), millis(0));
    let env = cluster.add_host("sin-1", "sin");
    let builder = node_on(&env).seeds(["nowhere.internal"]);
    builder.start().await.unwrap().ready().await;
    assert!((secs(5)..secs(6)).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_ready_node_knows_all_nodes_and_earlier_calls_wait() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 1).region("lhr", 1);
    let cluster = cluster.region("hkg", 1).region("fra", 1).start().await;
    let seeds = ["iad-0:3590", "lhr-0:3590"];
    let env = cluster.add_host("sin-0", "sin");
    let sin = node_on(&env).seeds(seeds).start().await.unwrap();
    // fra-0 is not a seed, so sin-0 learns about it from the seeds.
    let (_, by) = sin.client::<ProbeClient>().on_region("fra").shout("a".into()).await.unwrap();
    assert_eq!(by, "fra-0");
    let id = cluster.node("fra-0").id().clone();
    let env = cluster.add_host("sin-1", "sin");
    let sin = node_on(&env).seeds(seeds).start().await.unwrap();
    let early = tokio::spawn(sin.client::<ProbeClient>().on_node(&id).shout("a".into()));
    sin.ready().await;
    for region in ["iad", "lhr", "hkg", "fra"] {
        assert_eq!(sin.nodes_in(region).len(), 1, "{region}");
    }
    early.await.unwrap().unwrap();
}

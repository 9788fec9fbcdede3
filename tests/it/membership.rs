//! Who is known, and when: joining, leaving, starting again, and all the ways that seeds can be.

use std::collections::BTreeSet;

use flyrpc::{NoSupport, Node, PeerState, Support};
use flyrpc_testkit::SimNet;
use tokio::time::Instant;

use crate::support::{EventLog, ProbeClient, World, millis, names, peer, secs, sleep};

/// How many open links `node` has, and to how many nodes.
fn links(node: &Node) -> (usize, usize) {
    let linked = node.peers().into_iter().filter(|peer| peer.state == PeerState::Linked);
    let to: Vec<_> = linked.filter_map(|peer| peer.node).collect();
    (to.len(), to.iter().map(|node| node.id()).collect::<BTreeSet<_>>().len())
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_seed_each_other_and_start_at_once_find_each_other() {
    for seed in 0..25 {
        let mut world = World::seeded(seed);
        let (_, a) = world.builder("iad-0", "iad");
        let (_, b) = world.builder("hkg-0", "hkg");
        let seeds = ["iad-0:3590", "hkg-0:3590"];
        let a = a.seeds(seeds).serve(world.prober("iad-0")).start().await.unwrap();
        sleep(millis(seed * 7 % 400)).await;
        let b = b.seeds(seeds).serve(world.prober("hkg-0")).start().await.unwrap();
        let log = EventLog::of(&a);
        let (first, second) = (a.client::<ProbeClient>(), b.client::<ProbeClient>());
        // No call is lost meanwhile.
        for _ in 0..20 {
            first.on_region("hkg").shout("a".into()).await.unwrap();
            second.on_region("iad").shout("a".into()).await.unwrap();
        }
        sleep(secs(10)).await;
        assert_eq!((links(&a), links(&b)), ((1, 1), (1, 1)), "seed {seed}");
        assert_eq!((names(&a, "hkg").len(), names(&b, "iad").len()), (1, 1));
        assert_eq!(log.nodes(), ["up hkg-0"], "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_nodes_that_start_at_once_all_know_each_other_and_stay() {
    let mut world = World::new();
    let mut nodes = Vec::new();
    for at in 0..10 {
        let region = ["iad", "hkg", "lhr"][at % 3];
        let (name, prober) = (format!("{region}-{at}"), world.prober("any"));
        let (_, builder) = world.builder(&name, region);
        nodes.push(builder.serve(prober).start().await.unwrap());
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
async fn seeds_that_are_down_at_first_are_found_when_they_come_up() {
    let world = World::new();
    let iad = world.net.add_host("iad-0", "iad");
    let hkg = world.net.add_host("hkg-0", "hkg");
    let builder = world.builder_on(&hkg, "hkg-0", "hkg").seeds(["iad-0:3590"]);
    let hkg = builder.start().await.unwrap();
    sleep(secs(60)).await;
    let unreachable = |peers: Vec<flyrpc::Peer>| {
        matches!(
            peers[..],
            [flyrpc::Peer { support: Support::Unsupported(NoSupport::Unreachable(_)), .. }]
        )
    };
    assert!(unreachable(hkg.peers()), "{:?}", hkg.peers());
    let builder = world.builder_on(&iad, "iad-0", "iad").serve(world.prober("iad-0"));
    let _iad = builder.start().await.unwrap();
    sleep(secs(7)).await;
    let probe: ProbeClient = hkg.client();
    probe.on_region("iad").shout("a".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_is_this_node_itself_is_no_peer() {
    let mut world = World::new();
    let (env, builder) = world.builder("iad-0", "iad");
    world.net.set_name("all.internal", [env.ip()]);
    let seeds = ["all.internal:3590".to_owned(), env.addr(3590).to_string(), "iad-0:3590".into()];
    let start = Instant::now();
    let iad = builder.seeds(seeds).serve(world.prober("iad-0")).start().await.unwrap();
    iad.ready().await;
    sleep(secs(30)).await;
    assert!(start.elapsed() < secs(31));
    assert!(iad.peers().is_empty(), "{:?}", iad.peers());
    assert_eq!(names(&iad, "iad"), ["iad-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_is_another_way_to_a_node_lists_it_once() {
    let mut world = World::new();
    let (iad_env, builder) = world.builder("iad-0", "iad");
    // It listens on all its addresses, loopback among them, and advertises one.
    let builder = builder.listen("0.0.0.0:3590".parse().unwrap()).advertise(iad_env.addr(3590));
    let iad = builder.serve(world.prober("iad-0")).start().await.unwrap();
    let env = world.net.add_host("hkg-0", "hkg");
    world.net.set_name("alias.internal", [iad_env.ip()]);
    let builder = world.builder_on(&env, "hkg-0", "hkg");
    let hkg = builder.seeds(["alias.internal:3590", "iad-0:3590"]).start().await.unwrap();
    hkg.ready().await;
    let log = EventLog::of(&hkg);
    sleep(secs(60)).await;
    assert_eq!(names(&hkg, "iad"), ["iad-0"]);
    assert_eq!(hkg.peers().len(), 1, "{:?}", hkg.peers());
    assert!(log.nodes().is_empty());
    drop(iad);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_advertises_another_address_than_the_seed_is_listed_once() {
    let mut world = World::new();
    let (iad_env, builder) = world.builder("iad-0", "iad");
    // The seed's port is forwarded: two addresses, one node.
    let other = world.net.add_host("iad-9", "iad");
    let _forward = forward(&other, iad_env.addr(3590)).await;
    let iad = builder.serve(world.prober("iad-0")).start().await.unwrap();
    let _lhr = world.start("lhr-0", "lhr").await;
    let env = world.net.add_host("hkg-0", "hkg");
    let builder = world.builder_on(&env, "hkg-0", "hkg").seeds([other.addr(3590)]);
    let hkg = builder.start().await.unwrap();
    hkg.ready().await;
    assert_eq!(names(&hkg, "iad"), ["iad-0"]);
    assert_eq!(names(&hkg, "lhr"), ["lhr-0"]);
    sleep(secs(30)).await;
    assert_eq!(names(&hkg, "iad"), ["iad-0"]);
    assert_eq!(links(&hkg), (2, 2), "{:?}", hkg.peers());
    hkg.client::<ProbeClient>().on_node(iad.id()).shout("a".into()).await.unwrap();
}

/// Passes connections on, as a load balancer does.
async fn forward(
    env: &flyrpc_testkit::SimEnv,
    to: std::net::SocketAddr,
) -> tokio::task::JoinHandle<()> {
    use flyrpc::Env;
    let mut listener = env.listen(env.addr(3590)).await.unwrap();
    let env = env.clone();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let Ok(mut far) = env.connect(to).await else { continue };
            tokio::spawn(async move {
                let there = tokio::io::copy(&mut near.reader, &mut far.writer);
                let back = tokio::io::copy(&mut far.reader, &mut near.writer);
                let _ = futures_util::future::select(Box::pin(there), Box::pin(back)).await;
            });
        }
    })
}

#[tokio::test(start_paused = true)]
async fn names_that_change_add_nodes() {
    let mut world = World::new();
    let (iad_env, builder) = world.builder("iad-0", "iad");
    let seeds = ["app.internal:3590"];
    world.net.set_name("app.internal", [iad_env.ip()]);
    let _iad = builder.seeds(seeds).start().await.unwrap();
    // Two islands, until the name lists a node of each.
    let (hkg_env, builder) = world.builder("hkg-0", "hkg");
    world.net.set_name("app.internal", [hkg_env.ip()]);
    let hkg = builder.seeds(seeds).start().await.unwrap();
    sleep(secs(20)).await;
    assert!(names(&hkg, "iad").len() <= 1);
    world.net.set_name("app.internal", [hkg_env.ip(), iad_env.ip()]);
    sleep(secs(70)).await;
    assert_eq!(names(&hkg, "iad"), ["iad-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_again_on_its_address_is_listed_once_each_time() {
    let mut world = World::new();
    let mut iad = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let lhr = world.start("lhr-0", "lhr").await;
    sleep(secs(3)).await;
    for (round, pause) in [0, 10, 300, 2_000, 12_000, 40_000].into_iter().enumerate() {
        let logs = [EventLog::of(&hkg), EventLog::of(&lhr)];
        sleep(millis(1)).await;
        world.net.crash("iad-0");
        let before = iad.id().clone();
        drop(iad);
        sleep(millis(pause)).await;
        iad = world.restart("iad-0", "iad").await;
        assert_ne!(*iad.id(), before);
        for _ in 0..200 {
            sleep(millis(100)).await;
            assert!(names(&hkg, "iad").len() <= 1);
        }
        for (node, log) in [&hkg, &lhr].into_iter().zip(logs) {
            assert_eq!(node.nodes_in("iad"), [iad.info().clone()], "round {round}");
            assert_eq!(log.nodes(), ["down iad-0", "up iad-0"], "round {round} at {node:?}");
            node.client::<ProbeClient>().on_node(iad.id()).shout("a".into()).await.unwrap();
        }
        assert_eq!(names(&iad, "hkg"), ["hkg-0"], "round {round}");
        assert_eq!(names(&iad, "lhr"), ["lhr-0"], "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_left_and_starts_again_without_seeds_is_found() {
    let mut world = World::new();
    let iad = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let log = EventLog::of(&hkg);
    sleep(secs(1)).await;
    iad.shutdown().await;
    sleep(secs(30)).await;
    let env = world.net.restart("iad-0");
    let builder = world.builder_on(&env, "iad-0", "iad").seeds([] as [&str; 0]);
    let _iad = builder.serve(world.prober("iad-0")).start().await.unwrap();
    sleep(secs(20)).await;
    assert_eq!(names(&hkg, "iad"), ["iad-0"]);
    assert_eq!(log.nodes(), ["left iad-0", "up iad-0"]);
    hkg.client::<ProbeClient>().on_region("iad").shout("a".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_node_comes_and_goes_once_in_the_events() {
    let mut world = World::new();
    let iad = world.start("iad-0", "iad").await;
    let log = EventLog::of(&iad);
    let hkg = world.start("hkg-0", "hkg").await;
    let lhr = world.start("lhr-0", "lhr").await;
    sleep(secs(5)).await;
    assert_eq!(log.nodes(), ["up hkg-0", "up lhr-0"]);
    log.clear();
    world.net.crash("hkg-0");
    sleep(secs(60)).await;
    lhr.shutdown().await;
    sleep(secs(60)).await;
    assert_eq!(log.nodes(), ["down hkg-0", "left lhr-0"]);
    assert!(iad.nodes_in("hkg").is_empty() && iad.nodes_in("lhr").is_empty());
    drop(hkg);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_is_seen_as_a_leave_within_a_message() {
    let mut world = World::new();
    let iad = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let lhr = world.start("lhr-0", "lhr").await;
    sleep(secs(3)).await;
    let logs = [EventLog::of(&hkg), EventLog::of(&lhr)];
    let start = Instant::now();
    iad.shutdown().await;
    assert!(start.elapsed() <= millis(1_100), "{:?}", start.elapsed());
    sleep(millis(110)).await;
    for log in logs {
        assert_eq!(log.nodes(), ["left iad-0"]);
    }
    assert_eq!(peer(&hkg, "iad-0").state, PeerState::Left);
    assert!(hkg.nodes_in("iad").is_empty());
}

#[tokio::test(start_paused = true)]
async fn clusters_that_share_addresses_never_mix() {
    let net = SimNet::builder().seed(3).build();
    let mut world = World::on(net);
    let mut nodes = Vec::new();
    for (at, cluster) in ["blue", "green", "blue", "green"].into_iter().enumerate() {
        let name = format!("iad-{at}");
        let (_, builder) = world.builder(&name, "iad");
        let seeds: Vec<_> = (0..4).map(|at| format!("iad-{at}:3590")).collect();
        let builder = builder.cluster(cluster).seeds(seeds).serve(world.prober(&name));
        nodes.push(builder.start().await.unwrap());
    }
    sleep(secs(120)).await;
    assert_eq!(names(&nodes[0], "iad"), ["iad-0", "iad-2"]);
    assert_eq!(names(&nodes[1], "iad"), ["iad-1", "iad-3"]);
    let others = nodes[0].peers().into_iter().filter(|peer| {
        peer.support == Support::Unsupported(NoSupport::OtherCluster("green".into()))
    });
    assert_eq!(others.count(), 2);
    // One that starts on an address that was the other cluster's.
    drop(nodes.remove(3));
    let env = world.net.restart("iad-3");
    let builder = world.builder_on(&env, "iad-3", "iad").cluster("blue");
    let _moved = builder.start().await.unwrap();
    sleep(secs(60)).await;
    assert_eq!(names(&nodes[0], "iad"), ["iad-0", "iad-2", "iad-3"]);
    assert_eq!(names(&nodes[1], "iad"), ["iad-1"]);
}

#[tokio::test(start_paused = true)]
async fn ready_waits_for_all_seeds_and_no_longer_than_five_seconds() {
    let mut world = World::new();
    let _iad = world.start("iad-0", "iad").await;
    let dead = world.net.add_host("iad-8", "iad");
    world.net.crash("iad-8");
    let closed = world.net.add_host("iad-9", "iad");
    let env = world.net.add_host("hkg-0", "hkg");
    let start = Instant::now();
    let builder = world.builder_on(&env, "hkg-0", "hkg").seeds(["iad-0:3590"]);
    let hkg = builder.start().await.unwrap();
    assert!(hkg.peers().iter().all(|peer| peer.state != PeerState::Linked));
    hkg.ready().await;
    assert!((millis(202)..secs(1)).contains(&start.elapsed()), "{:?}", start.elapsed());
    for seed in [dead.addr(3590), closed.addr(3590)] {
        let env = world.net.add_host(format!("lhr-{}", seed.ip()), "lhr");
        let start = Instant::now();
        let builder = world.builder_on(&env, "lhr", "lhr").seeds([seed, hkg.addr()]);
        let node = builder.start().await.unwrap();
        node.ready().await;
        assert!((secs(5)..millis(5_500)).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert_eq!(names(&node, "hkg"), ["hkg-0"]);
    }
    // Without seeds, and with a name that does not resolve.
    let env = world.net.add_host("sin-0", "sin");
    let start = Instant::now();
    let builder = world.builder_on(&env, "sin-0", "sin").seeds([] as [&str; 0]);
    builder.start().await.unwrap().ready().await;
    assert_eq!(start.elapsed(), millis(0));
    let env = world.net.add_host("sin-1", "sin");
    let builder = world.builder_on(&env, "sin-1", "sin").seeds(["nowhere.internal"]);
    builder.start().await.unwrap().ready().await;
    assert!((secs(5)..secs(6)).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn whoever_is_ready_knows_everyone_and_calls_made_before_wait() {
    let mut world = World::new();
    let mut nodes = Vec::new();
    for name in ["iad-0", "lhr-0", "hkg-0", "fra-0"] {
        nodes.push(world.start(name, &name[..3]).await);
    }
    let env = world.net.add_host("sin-0", "sin");
    let sin = world.builder_on(&env, "sin-0", "sin").start().await.unwrap();
    // fra is no seed: it is learned of from those that are.
    let (_, by) = sin.client::<ProbeClient>().on_region("fra").shout("a".into()).await.unwrap();
    assert_eq!(by, "fra-0");
    let id = nodes[3].id().clone();
    let env = world.net.add_host("sin-1", "sin");
    let sin = world.builder_on(&env, "sin-1", "sin").start().await.unwrap();
    let early = tokio::spawn(sin.client::<ProbeClient>().on_node(&id).shout("a".into()));
    sin.ready().await;
    for region in ["iad", "lhr", "hkg", "fra"] {
        assert_eq!(sin.nodes_in(region).len(), 1, "{region}");
    }
    early.await.unwrap().unwrap();
}

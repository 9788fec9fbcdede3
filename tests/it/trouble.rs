//! Networks that are cut, lossy and slow, nodes that stand still, clocks that are wrong.

use flyrpc::{Node, PeerState, RpcError};
use tokio::time::Instant;

use crate::support::{EventLog, ProbeClient, World, millis, names, peer, secs, sleep};

#[tokio::test(start_paused = true)]
async fn a_quiet_node_is_avoided_after_two_heartbeats_and_cut_off_after_five() {
    let mut world = World::new();
    let _first = world.start("iad-0", "iad").await;
    let _second = world.start("iad-1", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    sleep(secs(3)).await;
    let log = EventLog::of(&hkg);
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(millis(500));
    world.net.freeze("iad-0");
    sleep(millis(2_200)).await;
    assert_eq!(peer(&hkg, "iad-0").state, PeerState::Quiet);
    for _ in 0..50 {
        assert_eq!(probe.shout("a".into()).await.unwrap().1, "iad-1");
    }
    assert_eq!(log.nodes(), ["down iad-0"]);
    assert_eq!(peer(&hkg, "iad-0").state, PeerState::Lost);
    world.net.resume("iad-0");
    sleep(secs(20)).await;
    assert_eq!(log.nodes(), ["down iad-0", "up iad-0"]);
    assert_eq!(names(&hkg, "iad"), ["iad-0", "iad-1"]);
}

#[tokio::test(start_paused = true)]
async fn the_link_to_a_frozen_node_breaks_between_five_and_six_heartbeats() {
    let mut world = World::new();
    let _iad = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(60));
    for offset in [0, 300, 700] {
        sleep(secs(30)).await;
        probe.shout("a".into()).await.unwrap();
        sleep(millis(offset)).await;
        world.net.freeze("iad-0");
        let start = Instant::now();
        let error = probe.slow(30_000).await.unwrap_err();
        assert!(matches!(error, RpcError::Disconnected { sent: true, .. }), "{error:?}");
        assert!((secs(5)..millis(6_300)).contains(&start.elapsed()), "{:?}", start.elapsed());
        world.net.resume("iad-0");
    }
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_node_that_was_frozen_end_and_it_comes_back_by_itself() {
    let mut world = World::new();
    let iad = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    sleep(secs(3)).await;
    let probe = iad.client::<ProbeClient>().on_region("hkg").timeout(secs(30));
    let calls: Vec<_> = (0..10).map(|_| tokio::spawn(probe.slow(10_000))).collect();
    sleep(secs(1)).await;
    world.net.freeze("iad-0");
    sleep(secs(20)).await;
    world.net.resume("iad-0");
    let thawed = Instant::now();
    for call in calls {
        let outcome = call.await.unwrap();
        assert!(matches!(outcome, Err(RpcError::Disconnected { sent: true, .. })), "{outcome:?}");
    }
    assert!(thawed.elapsed() < secs(1), "{:?}", thawed.elapsed());
    sleep(secs(15)).await;
    probe.shout("a".into()).await.unwrap();
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    probe.shout("a".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_short_freeze_breaks_nothing() {
    let mut world = World::new();
    let iad = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    sleep(secs(3)).await;
    let logs = [EventLog::of(&iad), EventLog::of(&hkg)];
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(10));
    for freeze in [500, 1_000, 2_000, 3_000, 4_000] {
        let calls: Vec<_> = (0..10).map(|_| tokio::spawn(probe.slow(100))).collect();
        sleep(millis(50)).await;
        world.net.freeze("iad-0");
        sleep(millis(freeze)).await;
        world.net.resume("iad-0");
        for call in calls {
            call.await.unwrap().unwrap();
        }
        sleep(secs(5)).await;
    }
    assert!(
        logs.iter().all(|log| log.nodes().is_empty()),
        "{:?} {:?}",
        logs[0].all(),
        logs[1].all()
    );
}

#[tokio::test(start_paused = true)]
async fn wrong_clocks_change_no_deadline() {
    for by in [1, 60, 3_600, 36_000] {
        for ahead in [true, false] {
            let mut world = World::new();
            // Far enough from the beginning of time to be set back.
            let _iad = world.start("iad-0", "iad").await;
            let env = world.net.add_host("hkg-0", "hkg");
            if ahead {
                world.net.skew_ahead("hkg-0", secs(by));
            } else {
                world.net.skew_behind("hkg-0", secs(by));
            }
            let hkg = world.builder_on(&env, "hkg-0", "hkg").serve(world.prober("hkg-0"));
            let hkg = hkg.start().await.unwrap();
            hkg.ready().await;
            let probe = hkg.client::<ProbeClient>().on_region("iad");
            let seen = probe.timeout(secs(1)).context().await.unwrap();
            assert!((millis(790)..=millis(899)).contains(&seen.remaining), "{seen:?}");
            let start = Instant::now();
            probe.timeout(secs(1)).slow(3_000).await.unwrap_err();
            assert_eq!(start.elapsed(), secs(1));
            let back = _iad.client::<ProbeClient>().on_region("hkg").timeout(secs(1));
            let seen = back.context().await.unwrap();
            assert!((millis(790)..=millis(899)).contains(&seen.remaining), "{seen:?}");
            sleep(secs(120)).await;
            assert_eq!(names(&hkg, "iad"), ["iad-0"]);
            assert_eq!((world.counts.begun(), world.counts.ended()), (1, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_leaps_ahead_holds_requests_until_it_is_known_again() {
    let mut world = World::new();
    let iad = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    sleep(secs(3)).await;
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(2));
    // The caller's clock: its stamps come from the future, for this link.
    world.net.skew_ahead("hkg-0", secs(100));
    let start = Instant::now();
    let seen = probe.context().await.unwrap();
    assert_eq!(start.elapsed(), millis(404));
    assert!(seen.remaining <= millis(1_700), "{seen:?}");
    // The server's clock: its pings seem to be old.
    world.net.skew_ahead("iad-0", secs(200));
    let start = Instant::now();
    probe.context().await.unwrap();
    assert_eq!(start.elapsed(), millis(404));
    sleep(secs(60)).await;
    assert_eq!(names(&hkg, "iad"), ["iad-0"]);
    drop(iad);
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_while_its_machine_was_suspended_does_not_start() {
    let mut world = World::new();
    let node = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let probe: ProbeClient = hkg.client();
    let iad = probe.on_region("iad");
    sleep(secs(5)).await;

    // A suspended machine's clock stands still, so that for it the call has just arrived. That it
    // was given up long ago is said by what waits behind it only.
    let suspended = (world.net.frozen("iad-0"), world.net.drifting("iad-0", -1_000_000));
    let (detached, ordinary) = tokio::join!(
        iad.timeout(millis(300)).slow_and_detached(1),
        iad.timeout(millis(300)).slow(1),
    );
    assert!(detached.is_err() && ordinary.is_err(), "{detached:?} {ordinary:?}");
    sleep(secs(2)).await;
    drop(suspended);
    sleep(secs(3)).await;
    assert_eq!(world.counts.begun(), 0);

    // What is called from then on runs.
    iad.slow(1).await.unwrap();
    assert_eq!(world.counts.begun(), 1);
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn one_way_partitions_end_calls_and_heal() {
    for (from, to) in [("iad", "hkg"), ("hkg", "iad")] {
        let mut world = World::new();
        let _iad = world.start("iad-0", "iad").await;
        let hkg = world.start("hkg-0", "hkg").await;
        sleep(secs(3)).await;
        let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(20));
        let cut = world.net.partition_one_way(from, to);
        let start = Instant::now();
        let error = probe.slow(1).await.unwrap_err();
        assert!(matches!(error, RpcError::Disconnected { .. }), "{error:?}");
        assert!(start.elapsed() < secs(7), "{:?}", start.elapsed());
        let start = Instant::now();
        let error = probe.timeout(secs(2)).slow(1).await.unwrap_err();
        assert!(!error.may_have_executed(), "{error:?}");
        assert!(start.elapsed() <= secs(2));
        sleep(secs(60)).await;
        drop(cut);
        sleep(secs(15)).await;
        probe.shout("a".into()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn lost_datagrams_break_no_link_and_lose_no_call() {
    for share in [0.02, 0.1, 1.0] {
        let mut world = World::new();
        let _iad = world.start("iad-0", "iad").await;
        let hkg = world.start("hkg-0", "hkg").await;
        sleep(secs(3)).await;
        let log = EventLog::of(&hkg);
        let _lossy = world.net.lose("iad", "hkg", share);
        let probe = hkg.client::<ProbeClient>().on_region("iad");
        for _ in 0..120 {
            probe.shout("a".into()).await.unwrap();
            sleep(secs(1)).await;
        }
        assert!(log.nodes().is_empty(), "{share}: {:?}", log.nodes());
    }
}

async fn five_each(world: &mut World) -> Vec<Node> {
    let mut nodes = Vec::new();
    for at in 0..5 {
        nodes.push(world.start(&format!("iad-{at}"), "iad").await);
        nodes.push(world.start(&format!("hkg-{at}"), "hkg").await);
    }
    nodes
}

#[tokio::test(start_paused = true)]
async fn a_partition_between_two_times_five_nodes_heals() {
    for length in [3, 30, 200] {
        let mut world = World::new();
        let nodes = five_each(&mut world).await;
        sleep(secs(10)).await;
        let cut = world.net.partition("iad", "hkg");
        sleep(secs(length)).await;
        for node in &nodes {
            let (here, there) =
                if *node.region() == *"iad" { ("iad", "hkg") } else { ("hkg", "iad") };
            assert_eq!(node.nodes_in(here).len(), 5);
            let expected = if length > 10 { 0 } else { 5 };
            assert_eq!(node.nodes_in(there).len(), expected, "{node:?}");
        }
        drop(cut);
        sleep(secs(40)).await;
        for node in &nodes {
            assert_eq!(
                (node.nodes_in("iad").len(), node.nodes_in("hkg").len()),
                (5, 5),
                "{length} {node:?}"
            );
            let probe: ProbeClient = node.client();
            probe.on_region("iad").shout("a".into()).await.unwrap();
            probe.on_region("hkg").shout("a".into()).await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_isolated_node_finds_its_seeds_again_whichever_it_is() {
    for isolated in [0, 1, 4] {
        let mut world = World::new();
        let mut nodes = Vec::new();
        for at in 0..5 {
            nodes.push(world.start(&format!("iad-{at}"), "iad").await);
        }
        sleep(secs(5)).await;
        let host = format!("iad-{isolated}");
        for at in (0..5).filter(|at| *at != isolated) {
            world.net.partition(&host, format!("iad-{at}")).keep();
        }
        sleep(secs(300)).await;
        assert_eq!(names(&nodes[isolated], "iad"), [host]);
        world.net.heal_all();
        sleep(secs(40)).await;
        for node in &nodes {
            assert_eq!(node.nodes_in("iad").len(), 5, "{isolated}: {node:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn small_calls_pass_large_bodies() {
    let mut world = World::new();
    let _iad = world.start("iad-0", "iad").await;
    let hkg = world.start("hkg-0", "hkg").await;
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(600));
    let large: Vec<_> = (0..3).map(|_| tokio::spawn(probe.echo(vec![1; 2 << 20]))).collect();
    let mut slowest = millis(0);
    while !large.iter().all(|call| call.is_finished()) {
        let start = Instant::now();
        probe.shout("a".into()).await.unwrap();
        slowest = slowest.max(start.elapsed());
        sleep(millis(20)).await;
    }
    // The simulated stream moves at most its buffer in the time of one way, each way.
    assert!(slowest <= millis(202 + 3 * 101), "{slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_run() {
    async fn run(seed: u64) -> Vec<String> {
        let mut world = World::seeded(seed);
        let start = Instant::now();
        let first = world.start("iad-0", "iad").await;
        let log = EventLog::of(&first);
        let mut nodes = vec![first];
        for name in ["hkg-0", "iad-1", "lhr-0", "iad-2"] {
            nodes.push(world.start(name, &name[..3]).await);
        }
        let _lossy = world.net.lose("iad", "hkg", 0.3);
        let mut seen = Vec::new();
        for round in 0..60 {
            match round {
                20 => world.net.crash("iad-2"),
                30 => nodes.push(world.restart("iad-2", "iad").await),
                40 => world.net.freeze("lhr-0"),
                50 => world.net.resume("lhr-0"),
                _ => {}
            }
            for node in &nodes[..3] {
                let outcome = node.client::<ProbeClient>().on_region("iad").shout("a".into()).await;
                seen.push(format!("{:?} {outcome:?}", start.elapsed()));
            }
            sleep(millis(700)).await;
        }
        seen.extend(log.all());
        seen
    }
    for seed in [1, 2] {
        assert_eq!(run(seed).await, run(seed).await);
    }
    assert_ne!(run(1).await, run(2).await);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_nodes_know_each_other() {
    let mut world = World::new();
    let mut nodes = Vec::new();
    for at in 0..100 {
        let region = ["iad", "hkg", "lhr", "syd"][at % 4];
        let (_, builder) = world.builder(&format!("{region}-{at}"), region);
        nodes.push(builder.serve(world.prober("any")).start().await.unwrap());
    }
    sleep(secs(5)).await;
    for node in &nodes {
        let known: usize =
            ["iad", "hkg", "lhr", "syd"].iter().map(|r| node.nodes_in(*r).len()).sum();
        assert_eq!(known, 100, "{node:?}");
    }
    let probe: ProbeClient = nodes[99].client();
    for region in ["iad", "hkg", "lhr", "syd"] {
        probe.on_region(region).shout("a".into()).await.unwrap();
    }
}

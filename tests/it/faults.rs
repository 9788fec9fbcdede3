//! Faults: partitions, loss, frozen nodes, and wrong clocks.

use flyrpc::{PeerState, RpcError};
use tokio::time::Instant;

use crate::support::{
    Counts, EventLog, ProbeClient, iad_and_hkg, millis, node_names, node_on, peer_named,
    probe_cluster, prober, secs, sleep,
};

#[tokio::test(start_paused = true)]
async fn a_frozen_node_is_avoided_after_two_heartbeats_and_its_link_is_closed_after_five() {
    let cluster = probe_cluster(&Counts::default()).region("iad", 2).region("hkg", 1).start().await;
    let hkg = cluster.node("hkg-0");
    sleep(secs(3)).await;
    let log = EventLog::of(&hkg);
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(millis(500));
    cluster.freeze("iad-0");
    sleep(millis(2_200)).await;
    assert_eq!(peer_named(&hkg, "iad-0").state, PeerState::Quiet);
    for _ in 0..50 {
        assert_eq!(probe.shout("a".into()).await.unwrap().1, "iad-1");
    }
    assert_eq!(log.nodes(), ["down iad-0"]);
    assert_eq!(peer_named(&hkg, "iad-0").state, PeerState::Lost);
    cluster.resume("iad-0");
    sleep(secs(20)).await;
    assert_eq!(log.nodes(), ["down iad-0", "up iad-0"]);
    assert_eq!(node_names(&hkg, "iad"), ["iad-0", "iad-1"]);
}

#[tokio::test(start_paused = true)]
async fn the_link_to_a_frozen_node_breaks_between_five_and_six_heartbeats() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let hkg = cluster.node("hkg-0");
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(60));
    for offset in [0, 300, 700] {
        sleep(secs(30)).await;
        probe.shout("a".into()).await.unwrap();
        sleep(millis(offset)).await;
        cluster.freeze("iad-0");
        let start = Instant::now();
        let error = probe.slow(30_000).await.unwrap_err();
        assert!(matches!(error, RpcError::Disconnected { sent: true, .. }), "{error:?}");
        assert!((secs(5)..millis(6_300)).contains(&start.elapsed()), "{:?}", start.elapsed());
        cluster.resume("iad-0");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_frozen_fails_its_calls_and_rejoins_by_itself() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let iad = cluster.node("iad-0");
    let hkg = cluster.node("hkg-0");
    sleep(secs(3)).await;
    let probe = iad.client::<ProbeClient>().on_region("hkg").timeout(secs(30));
    let calls: Vec<_> = (0..10).map(|_| tokio::spawn(probe.slow(10_000))).collect();
    sleep(secs(1)).await;
    cluster.freeze("iad-0");
    sleep(secs(20)).await;
    cluster.resume("iad-0");
    let resumed = Instant::now();
    for call in calls {
        let outcome = call.await.unwrap();
        assert!(matches!(outcome, Err(RpcError::Disconnected { sent: true, .. })), "{outcome:?}");
    }
    assert!(resumed.elapsed() < secs(1), "{:?}", resumed.elapsed());
    sleep(secs(15)).await;
    probe.shout("a".into()).await.unwrap();
    let probe = hkg.client::<ProbeClient>().on_region("iad");
    probe.shout("a".into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_short_freeze_breaks_nothing() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let iad = cluster.node("iad-0");
    let hkg = cluster.node("hkg-0");
    sleep(secs(3)).await;
    let logs = [EventLog::of(&iad), EventLog::of(&hkg)];
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(10));
    for freeze in [500, 1_000, 2_000, 3_000, 4_000] {
        let calls: Vec<_> = (0..10).map(|_| tokio::spawn(probe.slow(100))).collect();
        sleep(millis(50)).await;
        cluster.freeze("iad-0");
        sleep(millis(freeze)).await;
        cluster.resume("iad-0");
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
            let counts = Counts::default();
            let cluster = probe_cluster(&counts).region("iad", 1).start().await;
            let iad = cluster.node("iad-0");
            // Not a node of the cluster, because its clock must be wrong before it starts.
            let env = cluster.add_host("hkg-0", "hkg");
            if ahead {
                cluster.skew_ahead("hkg-0", secs(by));
            } else {
                cluster.skew_behind("hkg-0", secs(by));
            }
            let builder = node_on(&env).seeds(["iad-0:3590"]).serve(prober("hkg-0", &counts));
            let hkg = builder.start().await.unwrap();
            hkg.ready().await;
            let probe = hkg.client::<ProbeClient>().on_region("iad");
            let seen = probe.timeout(secs(1)).context().await.unwrap();
            assert!((millis(790)..=millis(899)).contains(&seen.remaining), "{seen:?}");
            let start = Instant::now();
            probe.timeout(secs(1)).slow(3_000).await.unwrap_err();
            assert_eq!(start.elapsed(), secs(1));
            let back = iad.client::<ProbeClient>().on_region("hkg").timeout(secs(1));
            let seen = back.context().await.unwrap();
            assert!((millis(790)..=millis(899)).contains(&seen.remaining), "{seen:?}");
            sleep(secs(120)).await;
            assert_eq!(node_names(&hkg, "iad"), ["iad-0"]);
            assert_eq!((counts.started(), counts.finished()), (1, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_jump_holds_requests_until_the_clock_is_measured_again() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let iad = cluster.node("iad-0");
    let hkg = cluster.node("hkg-0");
    sleep(secs(3)).await;
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(2));
    // The caller's clock jumped ahead, so its timestamps are in the future for this link.
    cluster.skew_ahead("hkg-0", secs(100));
    let start = Instant::now();
    let seen = probe.context().await.unwrap();
    assert_eq!(start.elapsed(), millis(404));
    assert!(seen.remaining <= millis(1_700), "{seen:?}");
    // The serving node's clock jumped ahead, so its pings seem to be old.
    cluster.skew_ahead("iad-0", secs(200));
    let start = Instant::now();
    probe.context().await.unwrap();
    assert_eq!(start.elapsed(), millis(404));
    sleep(secs(60)).await;
    assert_eq!(node_names(&hkg, "iad"), ["iad-0"]);
    drop(iad);
}

#[tokio::test(start_paused = true)]
async fn requests_cancelled_while_their_machine_was_suspended_do_not_start() {
    let counts = Counts::default();
    let cluster = iad_and_hkg(&counts).await;
    let node = cluster.node("iad-0");
    let hkg = cluster.node("hkg-0");
    let probe: ProbeClient = hkg.client();
    let iad = probe.on_region("iad");
    sleep(secs(5)).await;

    // A suspended machine's clock stops, so the requests seem to have just arrived. Only the
    // cancellations, which are buffered behind the requests, show that they are old.
    let suspended = (cluster.frozen("iad-0"), cluster.drifting("iad-0", -1_000_000));
    let (detached, ordinary) = tokio::join!(
        iad.timeout(millis(300)).slow_and_detached(1),
        iad.timeout(millis(300)).slow(1),
    );
    assert!(detached.is_err() && ordinary.is_err(), "{detached:?} {ordinary:?}");
    sleep(secs(2)).await;
    drop(suspended);
    sleep(secs(3)).await;
    assert_eq!(counts.started(), 0);

    // Later calls run.
    iad.slow(1).await.unwrap();
    assert_eq!(counts.started(), 1);
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn one_way_partitions_fail_calls_and_heal() {
    for (from, to) in [("iad", "hkg"), ("hkg", "iad")] {
        let cluster = iad_and_hkg(&Counts::default()).await;
        let hkg = cluster.node("hkg-0");
        sleep(secs(3)).await;
        let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(20));
        let cut = cluster.partition_one_way(from, to);
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
async fn lost_datagrams_close_no_link_and_fail_no_call() {
    for share in [0.02, 0.1, 1.0] {
        let cluster = iad_and_hkg(&Counts::default()).await;
        let hkg = cluster.node("hkg-0");
        sleep(secs(3)).await;
        let log = EventLog::of(&hkg);
        let _lossy = cluster.lose("iad", "hkg", share);
        let probe = hkg.client::<ProbeClient>().on_region("iad");
        for _ in 0..120 {
            probe.shout("a".into()).await.unwrap();
            sleep(secs(1)).await;
        }
        assert!(log.nodes().is_empty(), "{share}: {:?}", log.nodes());
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_between_two_regions_of_five_nodes_heals() {
    for length in [3, 30, 200] {
        let cluster = probe_cluster(&Counts::default());
        let cluster = cluster.region("iad", 5).region("hkg", 5).start().await;
        let nodes = cluster.nodes();
        sleep(secs(10)).await;
        let cut = cluster.partition("iad", "hkg");
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
async fn an_isolated_node_finds_its_seeds_again() {
    for isolated in [0, 1, 4] {
        let cluster = probe_cluster(&Counts::default()).region("iad", 5).start().await;
        let nodes = cluster.nodes();
        sleep(secs(5)).await;
        let host = format!("iad-{isolated}");
        for at in (0..5).filter(|at| *at != isolated) {
            cluster.partition(&host, format!("iad-{at}")).keep();
        }
        sleep(secs(300)).await;
        assert_eq!(node_names(&nodes[isolated], "iad"), [host]);
        cluster.heal_all();
        sleep(secs(40)).await;
        for node in &nodes {
            assert_eq!(node.nodes_in("iad").len(), 5, "{isolated}: {node:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn small_calls_are_not_delayed_by_large_bodies() {
    let cluster = iad_and_hkg(&Counts::default()).await;
    let hkg = cluster.node("hkg-0");
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(600));
    let large: Vec<_> = (0..3).map(|_| tokio::spawn(probe.echo(vec![1; 2 << 20]))).collect();
    let mut slowest = millis(0);
    while !large.iter().all(|call| call.is_finished()) {
        let start = Instant::now();
        probe.shout("a".into()).await.unwrap();
        slowest = slowest.max(start.elapsed());
        sleep(millis(20)).await;
    }
    // The simulated stream carries at most its buffer per delay of each direction.
    assert!(slowest <= millis(202 + 3 * 101), "{slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_run() {
    async fn run(seed: u64) -> Vec<String> {
        let start = Instant::now();
        let cluster = probe_cluster(&Counts::default()).seed(seed);
        let cluster = cluster.region("iad", 3).region("hkg", 1).region("lhr", 1).start().await;
        let log = EventLog::of(&cluster.node("iad-0"));
        let _lossy = cluster.lose("iad", "hkg", 0.3);
        let mut seen = Vec::new();
        for round in 0..60 {
            match round {
                20 => cluster.crash_machine("iad-2"),
                30 => cluster.restart("iad-2").await,
                40 => cluster.freeze("lhr-0"),
                50 => cluster.resume("lhr-0"),
                _ => {}
            }
            for name in ["iad-0", "hkg-0", "iad-1"] {
                let node = cluster.node(name);
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
async fn sixty_nodes_know_each_other() {
    let regions = ["iad", "hkg", "lhr", "syd"];
    let cluster = probe_cluster(&Counts::default());
    let cluster = regions.iter().fold(cluster, |cluster, region| cluster.region(*region, 15));
    let cluster = cluster.start().await;
    let nodes = cluster.nodes();
    sleep(secs(5)).await;
    for node in &nodes {
        let known: usize = regions.iter().map(|region| node.nodes_in(*region).len()).sum();
        assert_eq!(known, 60, "{node:?}");
    }
    let probe: ProbeClient = nodes[59].client();
    for region in regions {
        probe.on_region(region).shout("a".into()).await.unwrap();
    }
}

//! Calls that wait on a node that has gone quiet because it is frozen or cut off.

use flyrpc::RpcError;
use flyrpc_testkit::{CallOutcome, SimCluster};
use tokio::time::Instant;

use crate::support::{Counts, ProbeClient, millis, node_on, probe_cluster, prober, secs, sleep};

/// Starts hkg-0 and this many nodes in iad, and waits until they have linked.
async fn hkg_and(iad: usize, counts: &Counts) -> SimCluster {
    let cluster = probe_cluster(counts).region("iad", iad).region("hkg", 1).start().await;
    sleep(secs(3)).await;
    cluster
}

/// Makes iad-0 quiet in one of two ways.
fn silence(cluster: &SimCluster, freeze: bool) {
    if freeze {
        cluster.freeze("iad-0");
    } else {
        cluster.partition("iad-0", "hkg-0").keep();
    }
}

#[tokio::test(start_paused = true)]
async fn idempotent_calls_move_on_when_a_node_goes_quiet() {
    for (nodes, freeze) in [(2, true), (2, false), (3, true), (3, false)] {
        let cluster = hkg_and(nodes, &Counts::default()).await;
        silence(&cluster, freeze);
        let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad");
        let start = Instant::now();
        let calls: Vec<_> = (0..40).map(|_| tokio::spawn(probe.slow_but_repeatable(1))).collect();
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap(), 1, "{nodes} nodes, frozen: {freeze}");
        }
        assert!(start.elapsed() < secs(5) / 2, "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_calls_of_a_new_node_do_not_wait_for_a_frozen_one() {
    for seed in 0..10 {
        let counts = Counts::default();
        let cluster = probe_cluster(&counts).seed(seed).region("iad", 2).region("hkg", 1);
        let cluster = cluster.start().await;
        sleep(secs(3)).await;
        cluster.freeze("iad-0");
        let env = cluster.net().add_host("fra-0", "fra");
        let fra = node_on(&env).seeds(["hkg-0:3590"]).start().await.unwrap();
        let probe = fra.client::<ProbeClient>().on_region("iad");
        let start = Instant::now();
        let calls: Vec<_> = (0..10).map(|_| tokio::spawn(probe.slow(1))).collect();
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap(), 1, "seed {seed}");
        }
        assert!(start.elapsed() < secs(1), "seed {seed}: {:?}", start.elapsed());
        assert_eq!(counts.started(), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn idempotent_calls_one_after_the_other_avoid_a_quiet_node() {
    let cluster = hkg_and(2, &Counts::default()).await;
    silence(&cluster, true);
    let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad");
    let mut slow = 0;
    for _ in 0..40 {
        let start = Instant::now();
        probe.slow_but_repeatable(1).await.unwrap();
        assert!(start.elapsed() < secs(5) / 2, "{:?}", start.elapsed());
        slow += u32::from(start.elapsed() > secs(1));
    }
    assert!(slow <= 1, "{slow}");
}

#[tokio::test(start_paused = true)]
async fn requests_that_were_not_sent_move_on_when_their_node_goes_quiet() {
    let counts = Counts::default();
    let cluster = hkg_and(2, &counts).await;
    let probe = cluster.node("hkg-0").client::<ProbeClient>();
    let iad = cluster.node("iad-0").id().clone();
    silence(&cluster, true);
    let start = Instant::now();
    // The node reads nothing of this, so no later request reaches it.
    let bulk = tokio::spawn(probe.on_node(&iad).timeout(secs(4)).echo(vec![1; 8_000_000]));
    sleep(millis(100)).await;
    let long = tokio::spawn(probe.on_region("iad").echo(vec![1; 200_000]));
    let calls: Vec<_> =
        (0..40).map(|_| tokio::spawn(probe.on_region("iad").timeout(secs(4)).slow(1))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 1);
    }
    assert_eq!(long.await.unwrap().unwrap().len(), 200_000);
    assert!(start.elapsed() < secs(5) / 2, "{:?}", start.elapsed());
    assert_eq!(counts.started(), 40);
    // The call that may go nowhere else stays.
    let error = bulk.await.unwrap().unwrap_err();
    assert!(matches!(error, RpcError::Timeout { .. }), "{error:?}");
    assert!(!error.may_have_executed());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_sent_returns_to_the_only_node_which_recovers() {
    let counts = Counts::default();
    let cluster = hkg_and(1, &counts).await;
    let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad").timeout(secs(30));
    silence(&cluster, true);
    let bulk = tokio::spawn(probe.echo(vec![1; 8_000_000]));
    sleep(millis(100)).await;
    let calls: Vec<_> = (0..10).map(|_| tokio::spawn(probe.slow(1))).collect();
    sleep(secs(3)).await;
    cluster.resume("iad-0");
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 1);
    }
    assert_eq!(bulk.await.unwrap().unwrap().len(), 8_000_000);
    assert_eq!(counts.started(), 10);
}

#[tokio::test(start_paused = true)]
async fn the_first_reply_wins_and_the_other_attempt_is_cancelled() {
    let counts = Counts::default();
    let cluster = hkg_and(2, &counts).await;
    let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad").timeout(secs(30));
    let calls: Vec<_> = (0..20).map(|_| tokio::spawn(probe.slow_but_repeatable(6_000))).collect();
    sleep(secs(1)).await;
    assert_eq!(counts.started(), 20);
    // Long enough for the node to be quiet, and short enough to keep the link.
    cluster.freeze("iad-0");
    sleep(secs(4)).await;
    cluster.resume("iad-0");
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 6_000);
    }
    sleep(secs(10)).await;
    let trace = cluster.trace();
    let attempts: Vec<_> = trace.calls().collect();
    let of = |wanted: fn(&CallOutcome) -> bool| {
        let ended = attempts.iter().filter_map(|call| call.outcome());
        ended.filter(|outcome| wanted(outcome)).count()
    };
    let replied = of(|outcome| matches!(outcome, CallOutcome::Replied));
    let cancelled = of(|outcome| matches!(outcome, CallOutcome::Cancelled));
    assert_eq!((replied, replied + cancelled), (20, attempts.len()));
    assert!((1..20).contains(&cancelled), "{cancelled}");
    assert_eq!(counts.started() as usize, attempts.len());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_appears_takes_the_calls_that_wait_on_a_quiet_one() {
    let counts = Counts::default();
    let cluster = hkg_and(1, &counts).await;
    silence(&cluster, true);
    let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad");
    let start = Instant::now();
    let call = tokio::spawn(probe.slow_but_repeatable(1));
    sleep(secs(3)).await;
    // Started outside of the cluster, because the cluster would wait for its link to the frozen node.
    let builder = node_on(&cluster.add_host("iad-1", "iad")).seeds(["hkg-0:3590"]);
    let _iad = builder.serve(prober("iad-1", &counts)).start().await.unwrap();
    assert_eq!(call.await.unwrap().unwrap(), 1);
    assert!(start.elapsed() < secs(4), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_on_a_quiet_node_ends_when_its_own_node_shuts_down() {
    let cluster = hkg_and(1, &Counts::default()).await;
    silence(&cluster, true);
    let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad").timeout(secs(30));
    let call = tokio::spawn(probe.slow_but_repeatable(1));
    // Long enough for the node to be quiet, and short enough to keep the link.
    sleep(secs(3)).await;
    let start = Instant::now();
    cluster.shutdown("hkg-0").await;
    let error = call.await.unwrap().unwrap_err();
    assert!(error.may_have_executed(), "{error:?}");
    assert!(start.elapsed() < secs(10), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_run_once_only_stays_with_a_quiet_node() {
    let counts = Counts::default();
    let cluster = hkg_and(2, &counts).await;
    silence(&cluster, true);
    let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad");
    let calls: Vec<_> = (0..40).map(|_| tokio::spawn(probe.slow(1))).collect();
    let mut failed = 0;
    for call in calls {
        if let Err(error) = call.await.unwrap() {
            assert!(error.may_have_executed(), "{error:?}");
            failed += 1;
        }
    }
    assert!((10..30).contains(&failed), "{failed}");
    assert_eq!(counts.started(), 40 - failed);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_space_moves_on_when_the_node_goes_quiet() {
    let counts = Counts::default();
    let cluster = hkg_and(1, &counts).await;
    let hkg = cluster.node("hkg-0");
    let probe = hkg.client::<ProbeClient>().on_region("iad").timeout(secs(60));
    cluster.freeze("iad-0");
    // Fills the sockets and then the outbox, so that later calls wait for space.
    let sizes = [[60_000; 40].as_slice(), [10_000; 200].as_slice()].concat();
    let stuck: Vec<_> =
        sizes.into_iter().map(|size| tokio::spawn(probe.echo(vec![0; size]))).collect();
    sleep(millis(300)).await;
    let start = Instant::now();
    let waiting: Vec<_> = (0..20).map(|_| tokio::spawn(probe.shout("a".into()))).collect();
    // Started outside of the cluster, because the cluster would wait for its link to the frozen node.
    let builder = node_on(&cluster.add_host("iad-1", "iad")).seeds(["hkg-0:3590"]);
    let _iad = builder.serve(prober("iad-1", &counts)).start().await.unwrap();
    for call in waiting {
        assert_eq!(call.await.unwrap().unwrap().1, "iad-1");
    }
    assert!(start.elapsed() < secs(3), "{:?}", start.elapsed());
    stuck.iter().for_each(|call| call.abort());
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_nodes_are_all_quiet_may_have_executed() {
    for (nodes, sent) in [(1, true), (2, true), (3, true)] {
        let cluster = hkg_and(nodes, &Counts::default()).await;
        for node in 0..nodes {
            cluster.freeze(format!("iad-{node}"));
        }
        let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad");
        let start = Instant::now();
        let error = probe.slow_but_repeatable(1).await.unwrap_err();
        let RpcError::Timeout { sent: is, .. } = error else { panic!("{error:?}") };
        assert_eq!((is, start.elapsed()), (sent, secs(5)), "{nodes} nodes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_starts_at_most_three_attempts_while_node_after_node_goes_quiet() {
    let counts = Counts::default();
    let cluster = hkg_and(6, &counts).await;
    (0..6).for_each(|node| cluster.freeze(format!("iad-{node}")));
    let probe = cluster.node("hkg-0").client::<ProbeClient>().on_region("iad").timeout(secs(60));
    probe.slow_but_repeatable(1).await.unwrap_err();
    assert!(cluster.trace().calls().count() <= 3);
}

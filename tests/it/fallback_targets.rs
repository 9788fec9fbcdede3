//! Calls with further targets: `or_region`, `or_nearest` and `or_primary`.

use std::time::Duration;

use flyrpc::{NodeId, RpcError, Target};
use flyrpc_testkit::SimCluster;
use tokio::{task::JoinHandle, time::Instant};

use crate::support::{Counts, ProbeClient, millis, probe_cluster, probe_release, secs, sleep};

/// Starts two nodes each in hkg, nrt and iad, the primary region.
async fn three_regions(counts: &Counts) -> SimCluster {
    let cluster = probe_cluster(counts).region("iad", 2).region("hkg", 2).region("nrt", 2);
    let cluster = cluster.start().await;
    sleep(secs(3)).await;
    cluster
}

fn from_iad(cluster: &SimCluster) -> ProbeClient {
    cluster.node("iad-0").client()
}

/// The region of the node that serves a call.
async fn region_of(probe: &ProbeClient) -> String {
    probe.shout("a".into()).await.unwrap().1[..3].to_owned()
}

fn cut_off(cluster: &SimCluster, region: &str) {
    for other in ["iad", "hkg", "nrt"].into_iter().filter(|other| *other != region) {
        cluster.partition(region, other).keep();
    }
}

#[tokio::test(start_paused = true)]
async fn further_targets_are_tried_in_order_only_if_those_before_have_no_node() {
    let cluster = three_regions(&Counts::default()).await;
    let probe = from_iad(&cluster);
    assert_eq!(region_of(&probe.on_region("hkg").or_region("nrt")).await, "hkg");
    assert_eq!(region_of(&probe.on_region("syd").or_region("nrt").or_region("hkg")).await, "nrt");
    assert_eq!(region_of(&probe.on_region("syd").or_region("lhr").or_region("hkg")).await, "hkg");
    assert_eq!(region_of(&probe.on_region("syd").or_nearest()).await, "iad");
    let hkg: ProbeClient = cluster.node("hkg-0").client();
    assert_eq!(region_of(&hkg.on_region("syd").or_primary()).await, "iad");
}

#[tokio::test(start_paused = true)]
async fn a_target_without_a_usable_node_costs_no_time() {
    let cluster = three_regions(&Counts::default()).await;
    let probe = from_iad(&cluster).on_region("hkg").or_region("nrt");
    cut_off(&cluster, "hkg");
    // Two heartbeats without a sign of life.
    sleep(secs(3)).await;
    let start = Instant::now();
    assert_eq!(region_of(&probe).await, "nrt");
    assert_eq!(start.elapsed(), millis(166));
    // Also once the links are lost.
    sleep(secs(10)).await;
    let start = Instant::now();
    assert_eq!(region_of(&probe).await, "nrt");
    assert_eq!(start.elapsed(), millis(166));
}

#[tokio::test(start_paused = true)]
async fn nodes_that_are_quiet_take_calls_if_no_target_has_another_node() {
    let cluster = three_regions(&Counts::default()).await;
    let probe = from_iad(&cluster).on_region("hkg").or_region("nrt").timeout(secs(20));
    for name in ["hkg-0", "hkg-1", "nrt-0", "nrt-1"] {
        cluster.freeze(name);
    }
    sleep(millis(2_500)).await;
    let call = tokio::spawn(probe.shout("a".into()));
    sleep(millis(500)).await;
    for name in ["hkg-0", "hkg-1", "nrt-0", "nrt-1"] {
        cluster.resume(name);
    }
    assert_eq!(call.await.unwrap().unwrap().1[..3], *"hkg");
}

#[tokio::test(start_paused = true)]
async fn this_node_runs_a_call_in_process_if_a_further_target_includes_it() {
    let cluster = three_regions(&Counts::default()).await;
    let probe = from_iad(&cluster);
    for fallback in [probe.on_region("syd").or_region("iad"), probe.on_region("syd").or_primary()] {
        let start = Instant::now();
        let context = fallback.context().await.unwrap();
        assert!(context.local, "{context:?}");
        assert_eq!((context.caller.as_str(), start.elapsed()), ("iad-0", Duration::ZERO));
        assert_eq!(context.attempt, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_lead_to_the_next_target_and_its_nodes_are_not_tried_twice() {
    let cluster = three_regions(&Counts::default()).await;
    let probe = from_iad(&cluster).on_region("hkg").or_region("nrt").or_nearest();
    cluster.node("hkg-0").hold();
    cluster.node("hkg-1").hold();
    sleep(secs(1)).await;
    assert_eq!(region_of(&probe).await, "nrt");
    cluster.node("nrt-0").hold();
    cluster.node("nrt-1").hold();
    sleep(secs(1)).await;
    assert_eq!(region_of(&probe).await, "iad");
}

/// Starts iad-0 and nodes in other regions, which serve one call at a time and are busy with the calls that this returns.
async fn busy(regions: &[(&str, usize)]) -> (SimCluster, Vec<JoinHandle<Result<u64, RpcError>>>) {
    busy_except("", regions).await
}

/// The same, but the nodes in region `idle` serve more calls.
async fn busy_except(
    idle: &'static str,
    regions: &[(&str, usize)],
) -> (SimCluster, Vec<JoinHandle<Result<u64, RpcError>>>) {
    let release = probe_release(&Counts::default()).configure(move |at, builder| {
        let full = !["iad", idle].contains(&at.region().as_str());
        if full { builder.max_in_flight(1) } else { builder }
    });
    let cluster = SimCluster::builder().release(release).region("iad", 1);
    let others = regions.iter().filter(|(_, nodes)| *nodes > 0);
    let cluster = others.fold(cluster, |cluster, (region, nodes)| cluster.region(*region, *nodes));
    let cluster = cluster.start().await;
    sleep(secs(3)).await;
    let probe = from_iad(&cluster).timeout(secs(60));
    let nodes = cluster.nodes().into_iter().filter(|node| node.region().as_str() != "iad");
    let calls = nodes.map(|node| tokio::spawn(probe.on_node(node.id()).slow(50_000))).collect();
    sleep(secs(1)).await;
    (cluster, calls)
}

#[tokio::test(start_paused = true)]
async fn at_most_three_attempts_are_made_for_each_target_and_six_for_a_call() {
    let (cluster, _calls) = busy(&[("hkg", 4), ("nrt", 4), ("syd", 4)]).await;
    let start = cluster.elapsed();
    let probe = from_iad(&cluster).on_region("hkg").or_region("nrt").or_region("syd");
    let error = probe.slow(1).await.unwrap_err();
    let RpcError::Refused { node, .. } = &error else { panic!("{error:?}") };
    assert_eq!(node.region().as_str(), "hkg", "the first failure is reported");
    let trace = cluster.trace().between(start..);
    let attempts = |region: &str| trace.calls().to_region(region).count();
    assert_eq!((attempts("hkg"), attempts("nrt"), attempts("syd")), (3, 3, 0));
    let targets: Vec<_> = trace.calls().map(|call| call.target().clone()).collect();
    let expected = ["hkg", "hkg", "hkg", "nrt", "nrt", "nrt"].map(|it| Target::Region(it.into()));
    assert_eq!(targets, expected);
}

#[tokio::test(start_paused = true)]
async fn any_number_of_calls_to_an_overloaded_region_is_made_on_the_next_target() {
    let (cluster, _calls) = busy_except("nrt", &[("hkg", 2), ("nrt", 1)]).await;
    let probe = from_iad(&cluster).on_region("hkg").or_region("nrt");
    // Twice, because the budget for retries allows more in the second period.
    for _ in 0..2 {
        // More calls than the budget for retries of nrt allows.
        let calls = (0..250).map(|_| tokio::spawn(probe.shout("a".into())));
        for call in futures_util::future::join_all(calls).await {
            assert_eq!(call.unwrap().unwrap().1, "nrt-0");
        }
        sleep(secs(10)).await;
    }
    let stats = cluster.node("iad-0").stats();
    let nrt = stats.regions.iter().find(|stats| stats.region.as_str() == "nrt").unwrap();
    assert!((nrt.calls, nrt.retries) >= (500, 0), "{nrt:?}");
    assert_eq!(nrt.retries, 0, "{nrt:?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_with_many_busy_nodes_has_three_attempts_wherever_it_is_in_the_list() {
    for (hkg, first) in [(0, 0), (1, 1), (2, 2)] {
        let (cluster, _calls) = busy(&[("hkg", hkg), ("nrt", 4)]).await;
        let start = cluster.elapsed();
        let probe = from_iad(&cluster).on_region("hkg").or_region("nrt");
        let error = probe.slow(1).await.unwrap_err();
        assert!(!error.may_have_executed(), "{error:?}");
        let trace = cluster.trace().between(start..);
        let attempts = |region: &str| trace.calls().to_region(region).count();
        assert_eq!((attempts("hkg"), attempts("nrt")), (first, 3), "{trace}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_refused_does_not_wait_on_a_quiet_node() {
    let (cluster, _calls) = busy(&[("hkg", 1), ("nrt", 2)]).await;
    cluster.freeze("hkg-0");
    sleep(secs(4)).await;
    let probe = from_iad(&cluster).on_region("hkg").or_region("nrt");
    let start = Instant::now();
    let error = probe.slow(1).await.unwrap_err();
    assert!(!error.may_have_executed(), "{error:?}");
    assert!(start.elapsed() < secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn all_targets_share_one_deadline() {
    let (cluster, _calls) = busy_except("nrt", &[("hkg", 1), ("nrt", 1)]).await;
    let probe = from_iad(&cluster).on_region("hkg").or_region("nrt").timeout(secs(1));
    let start = Instant::now();
    let error = probe.slow(5_000).await.unwrap_err();
    let RpcError::Timeout { after, node: Some(node), .. } = &error else { panic!("{error:?}") };
    assert_eq!((*after, node.region().as_str()), (secs(1), "nrt"));
    assert!(start.elapsed() >= secs(1) && start.elapsed() < millis(1_010), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn the_error_is_that_of_the_first_target() {
    let cluster = three_regions(&Counts::default()).await;
    let probe = from_iad(&cluster);
    let error = probe.on_region("syd").or_region("lhr").shout("a".into()).await.unwrap_err();
    let RpcError::NoNode { target: Target::Region(region), .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(region.as_str(), "syd");
    assert!(!error.may_have_executed());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_have_executed_is_not_made_on_another_target() {
    let counts = Counts::default();
    let cluster = three_regions(&counts).await;
    let probe = from_iad(&cluster).on_region("hkg").or_region("nrt").timeout(secs(30));
    let call = tokio::spawn(probe.slow(1_000));
    let repeatable = tokio::spawn(probe.slow_but_repeatable(1_000));
    sleep(millis(500)).await;
    assert_eq!(counts.started(), 2);
    cut_off(&cluster, "hkg");
    let error = call.await.unwrap().unwrap_err();
    assert!(matches!(error, RpcError::Disconnected { .. }), "{error:?}");
    assert!(error.may_have_executed());
    assert_eq!(repeatable.await.unwrap().unwrap(), 1_000);
    assert_eq!(counts.started(), 3);
}

#[tokio::test(start_paused = true)]
async fn methods_of_the_primary_ignore_further_targets() {
    let cluster = three_regions(&Counts::default()).await;
    let hkg: ProbeClient = cluster.node("hkg-0").client();
    assert!(hkg.or_region("nrt").write(1).await.unwrap().contains("iad"));
    for name in ["iad-0", "iad-1"] {
        cluster.crash(name);
    }
    sleep(secs(20)).await;
    for probe in [hkg.or_region("nrt"), hkg.or_nearest(), hkg.on_primary().or_region("hkg")] {
        let error = probe.write(1).await.unwrap_err();
        assert!(matches!(&error, RpcError::NoNode { target: Target::Primary(_), .. }), "{error:?}");
    }
    // On a client with the primary as a target, methods that run anywhere have further targets.
    assert_eq!(region_of(&hkg.on_primary().or_region("nrt")).await, "nrt");
}

#[tokio::test(start_paused = true)]
async fn a_boot_of_a_node_can_be_followed_by_a_region() {
    let cluster = three_regions(&Counts::default()).await;
    let probe = from_iad(&cluster);
    let id = cluster.node("hkg-1").id().clone();
    let fallback = probe.on_node(&id).or_region("hkg");
    assert_eq!(fallback.shout("a".into()).await.unwrap().1, "hkg-1");
    let gone = NodeId::new("hkg-1", id.boot() ^ 1);
    assert_eq!(region_of(&probe.on_node(&gone).or_region("nrt")).await, "nrt");
}

#[tokio::test(start_paused = true)]
async fn another_selector_restarts_the_list() {
    let cluster = three_regions(&Counts::default()).await;
    let probe = from_iad(&cluster).on_region("syd").or_region("nrt");
    let error = probe.on_region("lhr").shout("a".into()).await.unwrap_err();
    assert!(matches!(error, RpcError::NoNode { .. }), "{error:?}");
    assert_eq!(region_of(&probe.nearest()).await, "iad");
    // Without a selector, the first target is the nearest node.
    assert_eq!(region_of(&from_iad(&cluster).or_region("hkg")).await, "iad");
}

#[tokio::test(start_paused = true)]
async fn waiting_begins_after_the_last_target_and_all_targets_are_then_tried_again() {
    for region in ["lhr", "syd"] {
        let counts = Counts::default();
        let cluster = three_regions(&counts).await;
        let probe = from_iad(&cluster).on_region("syd").or_region("lhr").wait(secs(60));
        let call = tokio::spawn(probe.timeout(secs(60)).shout("a".into()));
        sleep(secs(2)).await;
        assert!(!call.is_finished());
        cluster.add_node_with(region, probe_release(&counts)).await;
        assert_eq!(call.await.unwrap().unwrap().1[..3], *region);
    }
}

/// R5 of the routing design: a region is lost under `or_nearest`, and heals.
#[tokio::test(start_paused = true)]
async fn no_repeatable_call_fails_while_a_region_is_lost_and_calls_return_soon_after() {
    let counts = Counts::default();
    let cluster = three_regions(&counts).await;
    let probe = from_iad(&cluster).on_region("hkg").or_nearest();
    let (mut once, mut repeatable) = (Vec::new(), Vec::new());
    let mut healed = None;
    for tick in 0..5_000_u64 {
        match tick {
            500 => cut_off(&cluster, "hkg"),
            3_000 => {
                cluster.heal_all();
                healed = Some(cluster.elapsed());
            }
            _ => {}
        }
        once.push(tokio::spawn(probe.slow(1)));
        repeatable.push(tokio::spawn(probe.slow_but_repeatable(1)));
        sleep(millis(5)).await;
    }
    let mut undecided = 0;
    for call in once {
        if let Err(error) = call.await.unwrap() {
            assert!(error.may_have_executed(), "{error:?}");
            undecided += 1;
        }
    }
    for call in repeatable {
        assert_eq!(call.await.unwrap().unwrap(), 1);
    }
    // Those in flight when the region was cut off, until it was quiet.
    assert!((1..=600).contains(&undecided), "{undecided}");
    let home = cluster.trace().between(healed.unwrap() + secs(5)..);
    let elsewhere = home.calls().from_node("iad-0").filter(|call| call.is_local()).count();
    assert_eq!(elsewhere, 0);
    for method in ["slow", "slow_but_repeatable"] {
        let calls = home.calls().filter(|call| call.method() == method).count();
        assert!(calls > 0, "{method}");
    }
}

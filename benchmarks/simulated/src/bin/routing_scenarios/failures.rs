//! Scenarios in which regions fail or are overloaded: R5 to R8.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use flyrpc::{Nodes as Selection, RpcError};
use flyrpc_testkit::SimCluster;
use tokio::time::{Instant, sleep};

use crate::{
    figure::{Bound, Figure, Figures},
    load::{self, Attempts, Call, between, observed_cluster, percentile, secs},
    policy::{Chooser, Policy},
    service::{Behavior, Nodes, Random, WorkClient},
};

fn failed(calls: &[Call]) -> f64 {
    calls.iter().filter(|call| call.error.is_some()).count() as f64
}

/// R5: a region is lost under `or_nearest()`, and heals.
pub(crate) async fn lost_region(seed: u64) -> Vec<Figure> {
    const LOST_AT: Duration = secs(5);
    const HEALED_AT: Duration = secs(25);
    let nodes = Nodes::default();
    let (cluster, attempts) = observed_cluster(&nodes, 3, seed, |builder| builder).await;
    let work = cluster.node("iad-0").client::<WorkClient>().on_region("hkg").or_nearest();
    let started = nodes.started();
    let start = Instant::now();
    let mut phase = 0;
    let turn = AtomicU64::new(0);
    let call = || {
        let (work, id) = (work.clone(), turn.fetch_add(1, Ordering::Relaxed));
        async move {
            match id % 2 {
                0 => work.counted(id).await,
                _ => work.repeatable().await,
            }
        }
    };
    let calls = load::open(
        &[(200, secs(45))],
        |now| {
            if now >= LOST_AT && phase == 0 {
                phase = 1;
                cluster.partition("iad", "hkg").keep();
            } else if now >= HEALED_AT && phase == 1 {
                phase = 2;
                cluster.heal_all();
            }
        },
        call,
    )
    .await;
    let mut figures = Figures::of("R5", "flyrpc");
    let is_decided = |call: &&Call| call.error.as_ref().is_some_and(|it| !it.may_have_executed());
    let decided = calls.iter().filter(is_decided).count();
    figures.add("failed-unexecuted", decided as f64, "calls", Bound::AtMost(0.0));
    let lost = calls.iter().filter_map(|call| call.error.as_ref());
    let repeatable = lost.clone().filter(|error| error.to_string().contains("repeatable")).count();
    figures.add("failed-idempotent", repeatable as f64, "calls", Bound::AtMost(0.0));
    figures.add("failed-undecided", failed(&calls), "calls", Bound::None);
    let counted_twice = nodes.counted_twice() as f64;
    figures.add("others-executed-twice", counted_twice, "calls", Bound::AtMost(0.0));
    // The others execute at most once, so only idempotent ones exceed the number of calls.
    let twice = (nodes.started() - started).saturating_sub(calls.len() as u64) as f64;
    figures.add("executed-more-than-once", twice, "idempotent calls", Bound::None);
    let last = attempts.last(|node| !node.starts_with("hkg"));
    let home = last.map_or(Duration::ZERO, |at| at.saturating_duration_since(start + HEALED_AT));
    let home = home.as_secs_f64();
    figures.add("home-again", home, "s", Bound::AtMost(5.0));
    figures.all
}

/// R6: twice the capacity of a region for 30 s, then 0.8 times the capacity.
pub(crate) async fn overload(policy: Policy, seed: u64) -> Vec<Figure> {
    const OVERLOAD: Duration = secs(30);
    // Three nodes with ten calls of 50 ms each.
    const CAPACITY: u32 = 3 * 10 * 20;
    let nodes = Nodes::default();
    for at in 0..3 {
        nodes.set(&format!("hkg-{at}"), Behavior::Takes(Duration::from_millis(50)));
    }
    let (cluster, attempts) = observed_cluster(&nodes, 3, seed, |builder| builder).await;
    let chooser = Chooser::new(policy, &cluster, seed);
    let start = Instant::now();
    let phases = [(2 * CAPACITY, OVERLOAD), (CAPACITY * 4 / 5, secs(20))];
    let calls = load::open(&phases, |_| {}, || chooser.client().limited()).await;
    let is_flyrpc = policy == Policy::Flyrpc;
    let bound = |bound| if is_flyrpc { bound } else { Bound::None };
    let mut figures = Figures::of("R6", policy.name());
    let served = |from: u64| {
        let within = secs(from)..secs(from + 1);
        let ok = calls.iter().filter(|it| it.error.is_none() && within.contains(&it.ended()));
        100.0 * ok.count() as f64 / f64::from(CAPACITY)
    };
    let least = (1..30).map(served).fold(f64::INFINITY, f64::min);
    figures.add("least-goodput", least, "% of the capacity", bound(Bound::AtLeast(90.0)));
    let after = (32..50).map(served).fold(f64::INFINITY, f64::min);
    figures.add("goodput-after", after, "% of the capacity", bound(Bound::AtLeast(79.0)));
    // The largest excess of attempts over the budget, over all periods of ten seconds.
    let made = |from: u64| between(&calls, secs(from), secs(from + 10)).len() as f64;
    let excess = (0..40).map(|from| {
        let attempts = attempts.count(start + secs(from), start + secs(from + 10)) as f64;
        attempts - made(from) - 100.0 - 0.2 * made(from)
    });
    let excess = excess.fold(f64::NEG_INFINITY, f64::max).max(0.0);
    // The budget counts in steps of a second.
    let allowance = f64::from(2 * CAPACITY) * 0.2;
    figures.add("retries-above-budget", excess, "attempts", bound(Bound::AtMost(allowance)));
    let normal = between(&calls, OVERLOAD + secs(2), secs(50));
    let p99 = percentile(&normal, 0.99).as_secs_f64() * 1e3;
    figures.add("p99-2s-after", p99, "ms", bound(Bound::AtMost(80.0)));
    let refused = normal.iter().filter(|call| call.error.is_some()).count();
    figures.add("failed-2s-after", refused as f64, "calls", Bound::None);
    figures.all
}

/// R7: a chain of three regions. Each node refuses all calls for a fifth of the time.
pub(crate) async fn chain(seed: u64) -> Vec<Figure> {
    const REGIONS: [&str; 3] = ["hkg", "nrt", "syd"];
    let attempts = Attempts::default();
    let observer = attempts.clone();
    let nodes = Nodes::default();
    let release = nodes.release().configure(move |_, builder| builder.observer(observer.clone()));
    let cluster = SimCluster::builder().announce(false).seed(seed).release(release);
    let mut cluster = cluster.region("iad", 1);
    for region in REGIONS {
        cluster = cluster.region(region, 3);
    }
    for (from, to) in [("iad", "hkg"), ("hkg", "nrt"), ("nrt", "syd")] {
        cluster = cluster.rtt(from, to, Duration::from_millis(2));
    }
    let cluster = cluster.start().await;
    sleep(secs(3)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let blockers = cluster.names().into_iter().filter(|name| name != "iad-0").enumerate();
    let blockers: Vec<_> = blockers
        .map(|(at, name)| {
            tokio::spawn(refuse_a_fifth(cluster.clone(), name, seed + at as u64, Arc::clone(&stop)))
        })
        .collect();
    let further: Vec<String> = REGIONS[1..].iter().map(ToString::to_string).collect();
    let work = cluster.node("iad-0").client::<WorkClient>().on_region(REGIONS[0]);
    let start = Instant::now();
    let calls = load::open(
        &[(1_000, secs(60))],
        |_| {},
        || {
            let call = work.chained(0, further.clone());
            async move { call.await.map(drop) }
        },
    )
    .await;
    stop.store(true, Ordering::Relaxed);
    for blocker in blockers {
        let _ = blocker.await;
    }
    let end = start + secs(70);
    let all = attempts.count(start, end) as f64;
    // Without the calls of the nodes that block themselves.
    let blocked = nodes.blocks() as f64 / 3.0;
    let attempts_in = |region: &str| {
        let shares = (0..3).map(|at| attempts.share(&format!("{region}-{at}"), start, end));
        (shares.sum::<f64>() * all - blocked) / calls.len() as f64
    };
    let mut figures = Figures::of("R7", "flyrpc");
    let tiers = ["attempts-at-the-first-tier", "attempts-at-the-second-tier"];
    for (tier, region) in tiers.into_iter().zip(REGIONS) {
        figures.add(tier, attempts_in(region), "for each call", Bound::None);
    }
    let last = attempts_in(REGIONS[2]);
    figures.add("calls-at-the-last-tier", last, "for each call", Bound::AtMost(1.8));
    figures.add("failed", failed(&calls), "calls", Bound::None);
    figures.all
}

/// Fills the limit of a node's methods for 20 ms of every 100 ms, at a random time within them.
async fn refuse_a_fifth(cluster: SimCluster, name: String, seed: u64, stop: Arc<AtomicBool>) {
    let node = cluster.node(&name);
    let work = node.client::<WorkClient>().on_node(node.id());
    drop(node);
    let mut random = Random::new(seed);
    while !stop.load(Ordering::Relaxed) {
        let before = (random.share() * 80.0) as u64;
        sleep(Duration::from_millis(before)).await;
        let calls = (0..64).map(|_| work.chained(20, Vec::new()));
        futures_util::future::join_all(calls).await;
        sleep(Duration::from_millis(80 - before)).await;
    }
}

/// R8: a call to each of 100 nodes. Three machines are lost at the instant of the call, and two are frozen.
pub(crate) async fn each(seed: u64) -> Vec<Figure> {
    let nodes = Nodes::default();
    let cluster = nodes.cluster(100, seed, |builder| builder).await;
    let round_trip = Duration::from_millis(2);
    let work: WorkClient = cluster.node("iad-0").client();
    for name in ["hkg-3", "hkg-4"] {
        cluster.freeze(name);
    }
    for name in ["hkg-0", "hkg-1", "hkg-2"] {
        // So that no reset tells the others.
        cluster.partition(name, "iad").keep();
        cluster.crash_machine(name);
    }
    let start = Instant::now();
    let mut replies = work.timeout(secs(5)).each(Selection::in_region("hkg"), |work| work.once());
    let (mut in_time, mut errors, mut seen) = (0, Vec::<RpcError>::new(), BTreeSet::new());
    while let Some((node, reply)) = replies.next().await {
        assert!(seen.insert(node.id().clone()), "one reply of each node");
        match reply {
            Ok(()) => in_time += u32::from(start.elapsed() <= 2 * round_trip),
            Err(error) => errors.push(error),
        }
    }
    let failed: BTreeSet<_> =
        errors.iter().filter_map(|error| Some(error.node()?.name())).collect();
    let lost: BTreeSet<_> = ["hkg-0", "hkg-1", "hkg-2", "hkg-3", "hkg-4"].into();
    assert_eq!(failed, lost, "the errors name the nodes that are lost or frozen");
    let mut figures = Figures::of("R8", "flyrpc");
    let two = Bound::AtLeast(95.0);
    figures.add("replies-within-two-round-trips", f64::from(in_time), "replies", two);
    figures.add("errors", errors.len() as f64, "nodes", Bound::AtLeast(5.0));
    figures.add("other-errors", errors.len() as f64 - 5.0, "nodes", Bound::AtMost(0.0));
    figures.add("took", start.elapsed().as_secs_f64(), "s", Bound::AtMost(5.01));
    // A stream that is dropped leaves no handler running.
    for at in 5..100 {
        nodes.set(&format!("hkg-{at}"), Behavior::Takes(secs(60)));
    }
    let mut replies = work.timeout(secs(60)).each(Selection::in_region("hkg"), |work| work.once());
    let first = tokio::time::timeout(Duration::from_millis(500), replies.next()).await;
    assert!(first.is_err(), "the handlers run for a minute");
    let running = nodes.running() as f64;
    figures.add("handlers-before-the-drop", running, "handlers", Bound::AtLeast(59.0));
    drop(replies);
    sleep(secs(1)).await;
    let left = nodes.running() as f64;
    figures.add("handlers-after-the-drop", left, "handlers", Bound::AtMost(0.0));
    figures.all
}

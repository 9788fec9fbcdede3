//! Scenarios in which nodes differ: R1 to R4.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    figure::{Bound, Figure, Figures},
    load::{self, Call, between, observed_cluster, percentile, secs},
    policy::{Chooser, Policy},
    service::{Behavior, Nodes, WorkClient},
};

/// The ten endpoints of tower's load-balancing example: the longest time that each takes, in milliseconds.
const TOWER: [u64; 10] = [1, 5, 10, 10, 10, 100, 100, 100, 500, 1_000];

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// R1: a region of ten nodes that take up to 1, 5, 10, 10, 10, 100, 100, 100, 500 and 1,000 ms, 100,000 calls, 500 of them
/// at once. Returns the calls too, for the plot.
pub(crate) async fn endpoints(policy: Policy, seed: u64) -> (Vec<Figure>, Vec<Duration>) {
    let nodes = Nodes::default();
    for (at, most) in TOWER.iter().enumerate() {
        nodes.set(&format!("hkg-{at}"), Behavior::TakesUpTo(Duration::from_millis(*most)));
    }
    let cluster = nodes.cluster(TOWER.len(), seed, |builder| builder).await;
    let chooser = std::sync::Arc::new(Chooser::new(policy, &cluster, seed));
    let calls = load::closed(100_000, 500, move || chooser.client().once()).await;
    let all: Vec<_> = calls.iter().collect();
    let mut figures = Figures::of("R1", policy.name());
    let bound = match policy {
        Policy::Flyrpc => Bound::AtMost(120.0),
        Policy::Random | Policy::RoundRobin => Bound::AtLeast(800.0),
    };
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        figures.add(name, millis(percentile(&all, share)), "ms", Bound::None);
    }
    figures.add("p999", millis(percentile(&all, 0.999)), "ms", bound);
    let failed = calls.iter().filter(|call| call.error.is_some()).count();
    figures.add("failed", failed as f64, "calls", Bound::AtMost(0.0));
    (figures.all, calls.iter().map(|call| call.took).collect())
}

/// R2: one of three nodes becomes ten times slower.
pub(crate) async fn slow_node(policy: Policy, seed: u64) -> Vec<Figure> {
    const SLOW_AT: Duration = secs(5);
    let nodes = Nodes::default();
    for at in 0..3 {
        nodes.set(&format!("hkg-{at}"), Behavior::Takes(Duration::from_millis(5)));
    }
    let (cluster, attempts) = observed_cluster(&nodes, 3, seed, |builder| builder).await;
    let chooser = Chooser::new(policy, &cluster, seed);
    let start = Instant::now();
    let mut is_slow = false;
    let calls = load::open(
        &[(300, secs(35))],
        |now| {
            if now >= SLOW_AT && !is_slow {
                is_slow = true;
                nodes.set("hkg-0", Behavior::Takes(Duration::from_millis(50)));
            }
        },
        || chooser.client().once(),
    )
    .await;
    let (before, after) =
        (between(&calls, Duration::ZERO, SLOW_AT), between(&calls, SLOW_AT, secs(35)));
    let is_flyrpc = policy == Policy::Flyrpc;
    let bound = |most| if is_flyrpc { Bound::AtMost(most) } else { Bound::None };
    let mut figures = Figures::of("R2", policy.name());
    let share = attempts.share("hkg-0", start + SLOW_AT + secs(2), start + secs(35));
    figures.add("share-of-slow-node", 100.0 * share, "%", bound(1.0));
    let ratio = millis(percentile(&after, 0.99)) / millis(percentile(&before, 0.99));
    figures.add("p99-beside-before", ratio, "times", bound(1.5));
    figures.all
}

/// How a node fails at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlackHole {
    Panics,
    Refuses,
}

/// R3: one of three nodes fails every call at once, and is healed after `healed`.
pub(crate) async fn black_hole(
    policy: Policy,
    how: BlackHole,
    healed: Duration,
    back_within: Duration,
    seed: u64,
) -> Vec<Figure> {
    const BROKEN_AT: Duration = secs(5);
    let nodes = Nodes::default();
    for at in 0..3 {
        nodes.set(&format!("hkg-{at}"), Behavior::Takes(Duration::from_millis(5)));
    }
    let (cluster, attempts) = observed_cluster(&nodes, 3, seed, move |builder| {
        if how == BlackHole::Refuses { builder.max_in_flight(40) } else { builder }
    })
    .await;
    let broken = cluster.node("hkg-0").id().clone();
    let (blocker, chooser) =
        (cluster.node("iad-0").client::<WorkClient>(), Chooser::new(policy, &cluster, seed));
    let mut blocked = Vec::new();
    let (healed_at, end) = (BROKEN_AT + healed, BROKEN_AT + healed + back_within + secs(10));
    let (mut is_broken, mut is_healed) = (false, false);
    let start = Instant::now();
    let calls = load::open(
        &[(200, end)],
        |now| {
            if now >= BROKEN_AT && !is_broken {
                is_broken = true;
                match how {
                    BlackHole::Panics => nodes.set("hkg-0", Behavior::Panics),
                    BlackHole::Refuses => blocked.extend((0..60).map(|_| {
                        let blocker = blocker.on_node(&broken).timeout(secs(3_600));
                        tokio::spawn(blocker.block())
                    })),
                }
            }
            if now >= healed_at && !is_healed {
                is_healed = true;
                nodes.set("hkg-0", Behavior::Takes(Duration::from_millis(5)));
                blocked.iter().for_each(tokio::task::JoinHandle::abort);
            }
        },
        || chooser.client().repeatable(),
    )
    .await;
    let name = match how {
        BlackHole::Panics => "panics",
        BlackHole::Refuses => "refuses",
    };
    let what = |figure: &str| format!("{name}-{}s-{figure}", healed.as_secs());
    let share = |from, to| 100.0 * attempts.share("hkg-0", start + from, start + to);
    let bound = |bound| if policy == Policy::Flyrpc { bound } else { Bound::None };
    let mut figures = Figures::of("R3", policy.name());
    let after_1 = share(BROKEN_AT + secs(1), BROKEN_AT + secs(5));
    figures.add(what("share-after-1s"), after_1, "%", bound(Bound::AtMost(5.0)));
    let after_5 = share(BROKEN_AT + secs(5), healed_at);
    figures.add(what("share-after-5s"), after_5, "%", bound(Bound::AtMost(1.0)));
    let back = share(healed_at + back_within, end);
    figures.add(what("share-once-healed"), back, "%", bound(Bound::AtLeast(25.0)));
    let failed = calls.iter().filter(|call| call.error.is_some()).count();
    figures.add(what("failed"), failed as f64, "calls", Bound::None);
    figures.all
}

/// R4: one of two nodes is frozen under 200 calls per second of 1 ms.
pub(crate) async fn frozen_node(policy: Policy, seed: u64) -> Vec<Figure> {
    const FROZEN_AT: Duration = secs(5);
    let nodes = Nodes::default();
    for at in 0..2 {
        nodes.set(&format!("hkg-{at}"), Behavior::Takes(Duration::from_millis(1)));
    }
    let cluster = nodes.cluster(2, seed, |builder| builder).await;
    let chooser = Chooser::new(policy, &cluster, seed);
    let mut is_frozen = false;
    let calls = load::open(
        &[(200, secs(20))],
        |now| {
            if now >= FROZEN_AT && !is_frozen {
                is_frozen = true;
                cluster.freeze("hkg-0");
            }
        },
        || chooser.client().repeatable(),
    )
    .await;
    let bound = if policy == Policy::Flyrpc { Bound::AtMost(0.0) } else { Bound::None };
    let mut figures = Figures::of("R4", policy.name());
    let failed = calls.iter().filter(|call| call.error.is_some()).count();
    figures.add("failed", failed as f64, "calls", bound);
    // A node is quiet after two heartbeats of a second, and its silence is noticed at the next one.
    let quiet_at = FROZEN_AT + secs(3);
    let waits = |call: &&&Call| call.took > Duration::from_millis(100);
    let waiting = between(&calls, quiet_at, secs(20)).iter().filter(waits).count();
    let bound = if policy == Policy::Flyrpc { Bound::AtMost(5.0) } else { Bound::None };
    figures.add("waiting-once-quiet", waiting as f64, "calls", bound);
    let before = between(&calls, FROZEN_AT, quiet_at).iter().filter(waits).count();
    figures.add("waiting-before", before as f64, "calls", Bound::None);
    figures.all
}

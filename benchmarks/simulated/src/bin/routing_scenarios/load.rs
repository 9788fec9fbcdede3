//! Makes calls, and records what happened to them.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use flyrpc::{NodeBuilder, Observed, Observer, RpcError};
use flyrpc_testkit::SimCluster;
use tokio::{task::JoinSet, time::Instant};

use crate::service::{Nodes, lock};

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    /// When it started, counted from the start of the load.
    pub(crate) started: Duration,
    pub(crate) took: Duration,
    pub(crate) error: Option<RpcError>,
}

impl Call {
    pub(crate) fn ended(&self) -> Duration {
        self.started + self.took
    }
}

/// Makes `total` calls, `at_once` of them at the same time.
pub(crate) async fn closed<F>(
    total: usize,
    at_once: usize,
    call: impl Fn() -> F + Clone + Send + 'static,
) -> Vec<Call>
where
    F: Future<Output = Result<(), RpcError>> + Send + 'static,
{
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..at_once {
        let (call, calls) = (call.clone(), total / at_once + usize::from(caller < total % at_once));
        callers.spawn(async move {
            let mut done = Vec::with_capacity(calls);
            for _ in 0..calls {
                done.push(record(start, call()).await);
            }
            done
        });
    }
    callers.join_all().await.into_iter().flatten().collect()
}

/// Makes `per_second` calls a second for the duration of each phase, evenly spaced. Does not wait for one call before
/// the next. `at` is called before each call, with the time since the start.
pub(crate) async fn open<F>(
    phases: &[(u32, Duration)],
    mut at: impl FnMut(Duration),
    call: impl Fn() -> F,
) -> Vec<Call>
where
    F: Future<Output = Result<(), RpcError>> + Send + 'static,
{
    let start = Instant::now();
    let mut calls = JoinSet::new();
    let mut phase_start = Duration::ZERO;
    for &(per_second, duration) in phases {
        let count = (duration.as_secs_f64() * f64::from(per_second)) as u32;
        for number in 0..count {
            let since_start = phase_start + duration.mul_f64(f64::from(number) / f64::from(count));
            tokio::time::sleep_until(start + since_start).await;
            at(since_start);
            calls.spawn(record(start, call()));
        }
        phase_start += duration;
    }
    calls.join_all().await
}

async fn record(start: Instant, call: impl Future<Output = Result<(), RpcError>>) -> Call {
    let started = Instant::now();
    let error = call.await.err();
    Call { started: started - start, took: started.elapsed(), error }
}

/// The shortest time within which this share of calls ended.
pub(crate) fn percentile(calls: &[&Call], share: f64) -> Duration {
    let mut times: Vec<_> = calls.iter().map(|call| call.took).collect();
    times.sort_unstable();
    let rank = (times.len() as f64 * share).ceil() as usize;
    times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The calls that started in this period.
pub(crate) fn between(calls: &[Call], from: Duration, to: Duration) -> Vec<&Call> {
    calls.iter().filter(|call| (from..to).contains(&call.started)).collect()
}

/// The attempts of a node, as its observer sees them: when each started, and the name of its node.
#[derive(Clone, Default)]
pub(crate) struct Attempts(Arc<Mutex<Vec<(Instant, String)>>>);

impl Observer for Attempts {
    fn observe(&self, observed: &Observed<'_>) {
        if let Observed::Started(attempt) = observed
            && let Some(node) = attempt.node
        {
            lock(&self.0).push((Instant::now(), node.name().to_owned()));
        }
    }
}

/// Starts a [cluster](Nodes::cluster), and records the attempts of its client.
pub(crate) async fn observed_cluster(
    nodes: &Nodes,
    count: usize,
    seed: u64,
    configure: impl Fn(NodeBuilder) -> NodeBuilder + Send + Sync + 'static,
) -> (SimCluster, Attempts) {
    let attempts = Attempts::default();
    let observer = attempts.clone();
    let configure = move |builder| configure(builder).observer(observer.clone());
    (nodes.cluster(count, seed, configure).await, attempts)
}

impl Attempts {
    /// The number of attempts in this period.
    pub(crate) fn count(&self, from: Instant, to: Instant) -> usize {
        lock(&self.0).iter().filter(|(at, _)| (from..to).contains(at)).count()
    }

    /// When the last attempt started on a node with such a name.
    pub(crate) fn last(&self, is_such: impl Fn(&str) -> bool) -> Option<Instant> {
        let attempts = lock(&self.0);
        attempts.iter().rev().find(|(_, node)| is_such(node)).map(|(at, _)| *at)
    }

    /// The share of the attempts in this period that went to `node`.
    pub(crate) fn share(&self, node: &str, from: Instant, to: Instant) -> f64 {
        let attempts = lock(&self.0);
        let within = attempts.iter().filter(|(at, _)| (from..to).contains(at));
        let (all, of_node) = within
            .fold((0, 0), |(all, of_node), (_, to)| (all + 1, of_node + u32::from(to == node)));
        f64::from(of_node) / f64::from(all.max(1))
    }
}

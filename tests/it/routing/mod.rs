//! Which of several nodes is picked for a call.

mod failing_nodes;
mod load;
mod regions;
mod slow_nodes;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use flyrpc::{Node, fly_rpc};
use flyrpc_testkit::{Release, SimCluster, SimClusterBuilder};
use tokio::{task::JoinSet, time::Instant};

use crate::support::{millis, sleep};

/// A service whose nodes behave as the test decides.
#[fly_rpc]
trait Work {
    /// Behaves as the node does, and returns its name. `random` decides how long that takes.
    #[rpc(timeout = "60s")]
    async fn work(&self, random: u64) -> String;
    /// Takes `millis` milliseconds on any node.
    #[rpc(timeout = "3600s")]
    async fn slow(&self, millis: u64, body: Vec<u8>) -> String;
    /// Returns an error of the method's own error type.
    async fn fail(&self) -> Result<String, String>;
}

/// What a node does with a call of `work`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Behavior {
    /// Takes a time that is distributed evenly up to this.
    Takes(Duration),
    Panics,
    NeverAnswers,
}

/// The behavior of the nodes, which is [`Behavior::Takes`] 5 ms by default, and the number of their calls.
#[derive(Debug, Clone, Default)]
struct Nodes(Arc<Mutex<BTreeMap<String, NodeCalls>>>);

/// The behavior of a node, unless it is the default, and the number of its calls.
type NodeCalls = (Option<Behavior>, u64);

impl Nodes {
    fn set(&self, name: &str, behavior: Behavior) {
        self.0.lock().unwrap().entry(name.to_owned()).or_default().0 = Some(behavior);
    }

    /// Returns the number of calls of a node since `take_share` was called.
    fn calls(&self, name: &str) -> u64 {
        self.0.lock().unwrap().get(name).map_or(0, |(_, calls)| *calls)
    }

    /// Returns the share of a node in the calls since this was last called.
    fn take_share(&self, name: &str) -> f64 {
        let mut nodes = self.0.lock().unwrap();
        let all: u64 = nodes.values().map(|(_, calls)| calls).sum();
        let share = nodes.get(name).map_or(0, |(_, calls)| *calls) as f64 / all.max(1) as f64;
        nodes.values_mut().for_each(|(_, calls)| *calls = 0);
        share
    }

    fn on_call(&self, name: &str) -> Behavior {
        let mut nodes = self.0.lock().unwrap();
        let (behavior, calls) = nodes.entry(name.to_owned()).or_default();
        *calls += 1;
        behavior.unwrap_or(Behavior::Takes(millis(5)))
    }

    fn release(&self) -> Release {
        let nodes = self.clone();
        let worker = move |name: &str| Worker { name: name.to_owned(), nodes: nodes.clone() };
        Release::new().serve(move |node| ServeWork::new(worker(node.name())))
    }

    fn cluster(&self) -> SimClusterBuilder {
        SimCluster::builder().release(self.release())
    }
}

struct Worker {
    name: String,
    nodes: Nodes,
}

impl Work for Worker {
    async fn work(&self, random: u64) -> String {
        match self.nodes.on_call(&self.name) {
            Behavior::Takes(up_to) => sleep(up_to.mul_f64(random as f64 / u64::MAX as f64)).await,
            Behavior::NeverAnswers => std::future::pending().await,
            Behavior::Panics => panic!("as the test decides"),
        }
        self.name.clone()
    }

    async fn slow(&self, millis: u64, _body: Vec<u8>) -> String {
        sleep(Duration::from_millis(millis)).await;
        self.name.clone()
    }

    async fn fail(&self) -> Result<String, String> {
        Err(self.name.clone())
    }
}

/// Starts this many nodes in iad, and a caller there that serves nothing.
async fn iad_and_caller(nodes: &Nodes, count: usize) -> (SimCluster, Node) {
    let cluster = nodes.cluster().region("iad", count).start().await;
    let caller = cluster.node(cluster.add_node_with("iad", Release::new()).await);
    // The first calls must not find nodes that are not linked yet.
    sleep(millis(3_000)).await;
    (cluster, caller)
}

/// Returns the bits of a number that seems random (SplitMix64).
fn random(turn: u64) -> u64 {
    let mut z = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Makes a call of `work` each `period` for `time`. Returns how long the successful ones took, in order.
async fn call_periodically(client: &WorkClient, period: Duration, time: Duration) -> Vec<Duration> {
    let (start, mut calls, mut turn) = (Instant::now(), JoinSet::new(), 0);
    while start.elapsed() < time {
        turn += 1;
        calls.spawn(timed(client.work(random(turn))));
        sleep(period).await;
    }
    sorted(calls.join_all().await)
}

/// Makes `count` calls of `call`, `concurrent` at once. Returns how long the successful ones took, in order.
async fn call_at_once<F>(
    concurrent: u64,
    count: u64,
    call: impl Fn(u64) -> F + Clone + Send + 'static,
) -> Vec<Duration>
where
    F: Future<Output = Result<String, flyrpc::RpcError>> + Send,
{
    let mut callers = JoinSet::new();
    for caller in 0..concurrent {
        let call = call.clone();
        callers.spawn(async move {
            let mut took = Vec::new();
            for turn in 0..count / concurrent {
                took.extend(timed(call(caller + turn * concurrent)).await);
            }
            took
        });
    }
    sorted(callers.join_all().await.into_iter().flatten().map(Some).collect())
}

async fn timed(call: impl Future<Output = Result<String, flyrpc::RpcError>>) -> Option<Duration> {
    let start = Instant::now();
    call.await.ok().map(|_| start.elapsed())
}

fn sorted(times: Vec<Option<Duration>>) -> Vec<Duration> {
    let mut times: Vec<_> = times.into_iter().flatten().collect();
    times.sort_unstable();
    times
}

/// Returns a quantile of sorted times.
fn quantile(times: &[Duration], quantile: f64) -> Duration {
    times[((times.len() - 1) as f64 * quantile) as usize]
}

//! Rolling deploys in virtual time: nodes are replaced one by one while others call continuously.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use flyrpc::{Node, RpcError};
use flyrpc_testkit::{Release, SimCluster, SimClusterBuilder};
use tokio::{task::JoinHandle, time::Instant};

use crate::support::{millis, secs};

mod first {
    use flyrpc::fly_rpc;

    #[fly_rpc]
    pub(super) trait Work {
        async fn once(&self, millis: u64, bytes: Vec<u8>) -> (u32, Vec<u8>);
        #[rpc(idempotent)]
        async fn again(&self, millis: u64, bytes: Vec<u8>) -> (u32, Vec<u8>);
        #[rpc(primary)]
        async fn write(&self, millis: u64) -> u32;
        async fn retired(&self);
    }
}

mod second {
    use flyrpc::fly_rpc;

    #[fly_rpc]
    pub(super) trait Work {
        async fn added(&self);
        #[rpc(primary)]
        async fn write(&self, note: Option<String>, millis: u64) -> u32;
        #[rpc(idempotent)]
        async fn again(&self, bytes: Vec<u8>, millis: u64) -> (u32, Vec<u8>);
        async fn once(&self, bytes: Vec<u8>, millis: u64) -> (u32, Vec<u8>);
    }
}

struct Worker;

impl first::Work for Worker {
    async fn once(&self, millis: u64, bytes: Vec<u8>) -> (u32, Vec<u8>) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        (1, bytes)
    }

    async fn again(&self, millis: u64, bytes: Vec<u8>) -> (u32, Vec<u8>) {
        first::Work::once(self, millis, bytes).await
    }

    async fn write(&self, millis: u64) -> u32 {
        first::Work::once(self, millis, Vec::new()).await.0
    }

    async fn retired(&self) {}
}

impl second::Work for Worker {
    async fn added(&self) {}

    async fn write(&self, _note: Option<String>, millis: u64) -> u32 {
        second::Work::once(self, Vec::new(), millis).await.0
    }

    async fn again(&self, bytes: Vec<u8>, millis: u64) -> (u32, Vec<u8>) {
        second::Work::once(self, bytes, millis).await
    }

    async fn once(&self, bytes: Vec<u8>, millis: u64) -> (u32, Vec<u8>) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        (2, bytes)
    }
}

fn old() -> Release {
    Release::new().serve(|_| first::ServeWork::new(Worker))
}

fn new() -> Release {
    Release::new().serve(|_| second::ServeWork::new(Worker))
}

const REGIONS: [&str; 3] = ["iad", "fra", "hkg"];

/// The outcomes of all calls.
#[derive(Default)]
struct Outcomes {
    /// The number of successful calls, by the version that served them.
    succeeded: BTreeMap<u32, usize>,
    failed: Vec<String>,
}

/// Callers that make one call after another until they are stopped.
#[derive(Clone, Default)]
struct Load {
    over: Arc<AtomicBool>,
    outcomes: Arc<Mutex<Outcomes>>,
}

impl Load {
    /// Spawns a caller that repeats `call`, each time with a different number.
    fn caller<F>(&self, what: String, call: impl Fn(u64) -> F + Send + 'static) -> JoinHandle<()>
    where
        F: Future<Output = Result<u32, RpcError>> + Send,
    {
        let load = self.clone();
        tokio::spawn(async move {
            let mut number = what.bytes().fold(7, |sum, byte| mix(sum ^ u64::from(byte)));
            while !load.over.load(Ordering::SeqCst) {
                number = mix(number);
                let started = Instant::now();
                let outcome = call(number).await;
                let mut outcomes = load.outcomes.lock().unwrap();
                match outcome {
                    Ok(version) => *outcomes.succeeded.entry(version).or_default() += 1,
                    Err(error) => {
                        let text =
                            format!("{what}, started {:?} ago: {error:?}", started.elapsed());
                        outcomes.failed.push(text);
                    }
                }
            }
        })
    }

    /// Spawns callers of both versions at `node`, to every region and to the primary.
    fn from(&self, node: &Node) -> Vec<JoinHandle<()>> {
        let mut callers = Vec::new();
        for region in REGIONS {
            callers.extend(self.between(node, region));
        }
        let old = node.client::<first::WorkClient>().timeout(secs(30));
        let new = node.client::<second::WorkClient>().timeout(secs(30)).on_primary();
        let what = format!("{} to the primary", node.id().name());
        callers.push(self.caller(what.clone(), move |number| old.write(number % 100)));
        callers.push(self.caller(what, move |number| new.write(None, number % 3_000)));
        callers
    }

    /// Spawns callers of both versions at `node`, to one region.
    fn between(&self, node: &Node, region: &str) -> Vec<JoinHandle<()>> {
        let old = node.client::<first::WorkClient>().on_region(region).timeout(secs(30));
        let new = node.client::<second::WorkClient>().on_region(region).timeout(secs(30));
        let what = |what: &str| format!("{} to {region}: {what}", node.id().name());
        let short = {
            let old = old.clone();
            self.caller(what("once, short"), move |number| {
                let reply = old.once(number % 100, vec![1; (number % 100) as usize]);
                async move { reply.await.map(|(version, _)| version) }
            })
        };
        let once = self.caller(what("once"), move |number| {
            let (reply, size) = (old.once(number % 3_000, vec![1; bytes(number)]), bytes(number));
            async move {
                let (version, echo) = reply.await?;
                assert_eq!(echo.len(), size);
                Ok(version)
            }
        });
        let again = self.caller(what("again"), move |number| {
            let reply = new.again(vec![1; bytes(number)], number % 3_000);
            async move { reply.await.map(|(version, _)| version) }
        });
        vec![short, once, again]
    }

    async fn stop(self, callers: Vec<JoinHandle<()>>) -> Outcomes {
        self.over.store(true, Ordering::SeqCst);
        for caller in callers {
            caller.await.unwrap();
        }
        std::mem::take(&mut *self.outcomes.lock().unwrap())
    }
}

/// The size of a call in bytes: small, or large enough for chunks.
fn bytes(number: u64) -> usize {
    match number % 8 {
        0 => 100_000,
        1 => 20_000,
        _ => 10,
    }
}

fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    number ^ (number >> 29)
}

/// A cluster with two nodes in each region.
fn cluster(seed: u64) -> SimClusterBuilder {
    let builder = SimCluster::builder().seed(seed).jitter(millis(20)).primary("iad");
    let builder = REGIONS.iter().fold(builder, |builder, region| builder.region(*region, 2));
    builder.serve(|_| first::ServeWork::new(Worker))
}

/// Adds to each region a node that serves nothing and only makes calls.
async fn add_callers(cluster: &SimCluster) -> Vec<Node> {
    let mut callers = Vec::new();
    for region in REGIONS {
        let name = cluster.add_node_with(region, Release::new()).await;
        callers.push(cluster.node(name));
    }
    callers
}

/// Replaces all nodes except the last `callers`, which were added last.
async fn roll(cluster: &SimCluster, release: Release, callers: usize) {
    let mut rollout = cluster.roll(release);
    while rollout.left().len() > callers {
        rollout.step().await;
    }
}

#[track_caller]
fn assert_all_succeeded(outcomes: &Outcomes) {
    let Outcomes { succeeded, failed } = outcomes;
    let shown: Vec<_> = failed.iter().take(5).collect();
    assert!(
        failed.is_empty(),
        "{} calls failed, successful calls by version: {succeeded:?}, failures: {shown:#?}",
        failed.len()
    );
    assert!([1, 2].iter().all(|version| succeeded.contains_key(version)), "{succeeded:?}");
}

async fn no_call_fails_with(seed: u64) {
    let cluster = cluster(seed).start().await;
    let nodes = add_callers(&cluster).await;
    let load = Load::default();
    let callers: Vec<_> = nodes.iter().flat_map(|node| load.from(node)).collect();
    for release in [new(), old()] {
        roll(&cluster, release, nodes.len()).await;
    }
    assert_all_succeeded(&load.stop(callers).await);
}

#[tokio::test(start_paused = true)]
async fn no_call_fails_while_all_nodes_are_replaced_one_by_one_and_back() {
    for seed in 0..3 {
        no_call_fails_with(seed).await;
    }
}

/// The deploy does not wait until this caller is linked to the new nodes.
#[tokio::test(start_paused = true)]
async fn no_call_of_a_node_outside_the_cluster_fails() {
    for seed in 0..3 {
        let cluster = cluster(seed).start().await;
        let env = cluster.add_host("outside", "fra");
        let seeds = [cluster.node("iad-0").addr(), cluster.node("hkg-1").addr()];
        // Not a node of the `SimCluster`, which would also replace it and wait for its links.
        let node = Node::builder().env(env.clone()).name("outside").region("fra");
        let node = node.primary_region("iad").listen(env.addr(3590)).seeds(seeds);
        let node = node.start().await.unwrap();
        node.ready().await;
        let load = Load::default();
        let callers = load.from(&node);
        roll(&cluster, new(), 0).await;
        assert_all_succeeded(&load.stop(callers).await);
    }
}

/// The handler returns at once, but its reply takes seconds to transmit.
#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_a_reply_that_takes_long_to_transmit() {
    let cluster = SimCluster::builder().region("iad", 2).region("hkg", 1).bandwidth(200_000);
    let cluster = cluster.serve(|_| first::ServeWork::new(Worker)).start().await;
    let on_iad_0 = cluster.node("iad-0").id().clone();
    let work = cluster.node("hkg-0").client::<first::WorkClient>().timeout(secs(30));
    let call = tokio::spawn(work.on_node(&on_iad_0).once(0, vec![1; 500_000]));
    // By now the request has arrived and its handler has run.
    tokio::time::sleep(millis(2_700)).await;
    let start = Instant::now();
    cluster.shutdown("iad-0").await;
    assert!(start.elapsed() < secs(4), "{:?}", start.elapsed());
    assert_eq!(call.await.unwrap().unwrap().1.len(), 500_000);
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_succeed_while_the_only_node_of_a_region_is_replaced() {
    for seed in 0..3 {
        let cluster = SimCluster::builder().seed(seed).region("iad", 1).region("hkg", 1);
        let cluster = cluster.serve(|_| first::ServeWork::new(Worker)).start().await;
        let caller = cluster.node(cluster.add_node_with("hkg", Release::new()).await);
        let work = caller.client::<first::WorkClient>().timeout(secs(30));
        let (waiting_load, other_load) = (Load::default(), Load::default());
        let waiting = [0, 1, 2].map(|at| {
            let work = work.on_region("iad").wait(secs(20));
            waiting_load.caller(format!("waiting {at}"), move |number| {
                let reply = work.once(number % 500, vec![1; bytes(number)]);
                async move { reply.await.map(|(version, _)| version) }
            })
        });
        let work = work.on_region("iad");
        let not_waiting = other_load.caller("not waiting".into(), move |number| {
            let reply = work.once(number % 10, Vec::new());
            async move {
                match reply.await {
                    Ok((version, _)) => Ok(version),
                    Err(RpcError::NoNode { .. } | RpcError::Refused { .. }) => {
                        tokio::time::sleep(millis(10)).await;
                        Ok(0)
                    }
                    Err(error) => Err(error),
                }
            }
        });
        for release in [new(), old()] {
            cluster.replace("iad-0", release).await;
            tokio::time::sleep(secs(3)).await;
        }
        assert_all_succeeded(&waiting_load.stop(waiting.into()).await);
        let outcomes = other_load.stop(vec![not_waiting]).await;
        assert!(outcomes.failed.is_empty(), "{:?}", outcomes.failed);
        assert!(
            outcomes.succeeded[&0] > 0,
            "no call failed while the node was replaced: {:?}",
            outcomes.succeeded
        );
    }
}

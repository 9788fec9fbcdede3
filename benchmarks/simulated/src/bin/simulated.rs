//! Measures how much real time a simulated test takes: the figures of the testkit's guide.

use std::{
    env,
    error::Error,
    time::{Duration, Instant},
};

use flyrpc::{RpcError, fly_rpc};
use flyrpc_testkit::SimCluster;
use rustix::time::{ClockId, clock_gettime};
use tokio::{runtime, task::JoinSet};

/// The regions of the nodes, for which measured round trips are available.
const REGIONS: [&str; 10] = ["iad", "sjc", "lhr", "fra", "gru", "jnb", "sin", "hkg", "nrt", "syd"];

const CALLS: usize = 10_000;

/// Number of concurrent calls. Sequential calls would take ten thousand round trips of virtual time, and
/// the heartbeats of idle links in that time cost real time.
const AT_A_TIME: usize = 100;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, text: String) -> String;
}

struct Shout;

impl Strings for Shout {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }
}

/// The arguments are the sizes of the clusters to measure; 3, 30 and 300 nodes by default.
fn main() -> Result<(), Box<dyn Error>> {
    let counts =
        env::args().skip(1).map(|count| count.parse()).collect::<Result<Vec<usize>, _>>()?;
    if counts.iter().any(|nodes| *nodes < 2) {
        return Err("a cluster of fewer than 2 nodes has no remote calls to measure".into());
    }
    if cfg!(debug_assertions) {
        println!("This is a debug build, which is slower than a build with --release.");
    }
    println!("Times are real time, CPU time and virtual time.");
    println!("{:>5}  {:>6}  {:>27}  {:>27}", "nodes", "links", "start", "10,000 calls");
    for nodes in if counts.is_empty() { vec![3, 30, 300] } else { counts } {
        let runtime =
            runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
        let [start, calls] = runtime.block_on(run(nodes))?;
        println!("{nodes:>5}  {:>6}  {start:>27}  {calls:>27}", nodes * (nodes - 1) / 2);
    }
    Ok(())
}

/// Starts `nodes` nodes, makes calls from all to all, and returns the times that both steps took.
async fn run(nodes: usize) -> Result<[String; 2], RpcError> {
    let clock = Clock::start();
    let mut builder = SimCluster::builder().announce(false).serve(|_node| ServeStrings::new(Shout));
    for node in 0..nodes {
        builder = builder.region(REGIONS[node % REGIONS.len()], 1);
    }
    let cluster = builder.start().await;
    let started = clock.read();

    let clock = Clock::start();
    let clients: Vec<StringsClient> = cluster.nodes().iter().map(|node| node.client()).collect();
    let ids: Vec<_> = cluster.nodes().iter().map(|node| node.id().clone()).collect();
    let mut in_flight = JoinSet::new();
    for call in 0..CALLS {
        if in_flight.len() == AT_A_TIME
            && let Some(done) = in_flight.join_next().await
        {
            done.expect("a call does not panic")?;
        }
        // Every node calls in turn, and each of its calls goes to the next of the other nodes.
        let (from, further) = (call % nodes, 1 + call / nodes % (nodes - 1));
        let to = &ids[(from + further) % nodes];
        in_flight.spawn(clients[from].on_node(to).upcase("fly".to_owned()));
    }
    for done in in_flight.join_all().await {
        done?;
    }
    Ok([started, clock.read()])
}

/// Reads real time, CPU time and virtual time. Everything runs in one thread that never blocks, so real
/// time and CPU time differ only by the time in which other programs used the core.
struct Clock {
    real: Instant,
    processor: Duration,
    simulated: tokio::time::Instant,
}

impl Clock {
    fn start() -> Self {
        Clock {
            real: Instant::now(),
            processor: processor(),
            simulated: tokio::time::Instant::now(),
        }
    }

    fn read(&self) -> String {
        let (real, simulated) = (self.real.elapsed(), self.simulated.elapsed());
        let processor = processor().saturating_sub(self.processor);
        format!("{real:.2?}, {processor:.2?}, {simulated:.2?}")
    }
}

/// Returns the CPU time of this process.
fn processor() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().expect("CPU time is not negative")
}

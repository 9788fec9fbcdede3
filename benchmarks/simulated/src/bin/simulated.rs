//! Measures what a simulated test costs in real time: the figures of the testkit's guide.

use std::{
    env,
    error::Error,
    time::{Duration, Instant},
};

use flyrpc::{RpcError, fly_rpc};
use flyrpc_testkit::SimCluster;
use rustix::time::{ClockId, clock_gettime};
use tokio::{runtime, task::JoinSet};

/// The regions that nodes are spread over: those whose round trips were measured.
const REGIONS: [&str; 10] = ["iad", "sjc", "lhr", "fra", "gru", "jnb", "sin", "hkg", "nrt", "syd"];

const CALLS: usize = 10_000;

/// Calls that are under way at a time. One after another they would take ten thousand round trips of
/// virtual time, in which idle links have their heartbeats, and those cost real time.
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

/// Takes numbers of nodes as arguments; 3, 30 and 300 unless there are some.
fn main() -> Result<(), Box<dyn Error>> {
    let counts =
        env::args().skip(1).map(|count| count.parse()).collect::<Result<Vec<usize>, _>>()?;
    if cfg!(debug_assertions) {
        println!("This is a debug build, and slower than one made with --release.");
    }
    println!("Each time: real, of the processor, virtual.");
    println!("{:>5}  {:>6}  {:>27}  {:>27}", "nodes", "links", "start", "10,000 calls");
    for nodes in if counts.is_empty() { vec![3, 30, 300] } else { counts } {
        let runtime =
            runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
        let [start, calls] = runtime.block_on(run(nodes))?;
        println!("{nodes:>5}  {:>6}  {start:>27}  {calls:>27}", nodes * (nodes - 1) / 2);
    }
    Ok(())
}

/// Starts so many nodes and calls from all to all, and tells how long either took.
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
    let mut under_way = JoinSet::new();
    for call in 0..CALLS {
        if under_way.len() == AT_A_TIME
            && let Some(done) = under_way.join_next().await
        {
            done.expect("a call does not panic")?;
        }
        // From each to another each time.
        let (from, further) = (call % nodes, 1 + call / nodes % (nodes - 1));
        let to = &ids[(from + further) % nodes];
        under_way.spawn(clients[from].on_node(to).upcase("fly".to_owned()));
    }
    for done in under_way.join_all().await {
        done?;
    }
    Ok([started, clock.read()])
}

/// Reads real, processor and virtual time. All runs in one thread that never waits, so the first two
/// differ by what other programs took of the machine.
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

/// How long this process has had a processor.
fn processor() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().expect("it is not negative")
}

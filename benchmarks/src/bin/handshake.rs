//! The processor time of the handshake of a link, at both ends together: a TCP connection, the seal and the two hellos.
//! A visitor connects again and again to a node in the same process. The open and the sealed handshake take turns. Also how
//! long a sealed node takes to start. Fails if a median exceeds its goal.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use flyrpc::{
    Keyring, Node,
    operations::{VisitOptions, Visitor},
};
use rustix::time::{ClockId, clock_gettime};

const SECRET: &str = "73656372657420666f72207468652068616e647368616b652062656e63686d61";

/// Upper bound on the median of the sealed handshakes, in microseconds.
const GOAL: f64 = 250.0;

/// Upper bound on the median time in which a sealed node starts, in microseconds.
const START_GOAL: f64 = 50_000.0;

const TURNS: usize = 21;
const HANDSHAKES: u32 = 200;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let keyring: Keyring = SECRET.parse()?;
    let open = Node::builder().name("open").region("iad").start().await?;
    let sealed = Node::builder().name("sealed").region("iad").secret(keyring.clone());
    let sealed = sealed.start().await?;
    let sides = [
        ("open", open.addr(), VisitOptions::new().cluster("local")),
        ("sealed", sealed.addr(), VisitOptions::new().cluster("local").secret(keyring)),
    ];
    let mut starts = Vec::new();
    for _ in 0..TURNS {
        let start = Instant::now();
        let node = Node::builder().name("start").region("iad").secret(SECRET.parse()?);
        let node = node.start().await?;
        starts.push(start.elapsed().as_secs_f64() * 1e6);
        node.shutdown().await;
    }
    let median = show("start-sealed", starts);
    ensure!(median <= START_GOAL, "start-sealed exceeds {START_GOAL} us");
    let mut costs: [Vec<f64>; 2] = Default::default();
    for _ in 0..TURNS {
        for ((_, addr, options), costs) in sides.iter().zip(&mut costs) {
            costs.push(turn(*addr, options).await?);
        }
    }
    for ((name, ..), costs) in sides.into_iter().zip(costs) {
        let median = show(&format!("handshake-cpu-{name}"), costs);
        ensure!(name == "open" || median <= GOAL, "handshake-cpu-sealed exceeds {GOAL} us");
    }
    Ok(())
}

/// Prints the median and the spread of values in microseconds. Returns the median.
fn show(name: &str, mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let [least, median, most] = [0, TURNS / 2, TURNS - 1].map(|at| values[at]);
    println!("figure {name} {median:.1} us ({least:.1} to {most:.1})");
    median
}

/// Returns the processor time of one handshake, in microseconds.
async fn turn(addr: SocketAddr, options: &VisitOptions) -> Result<f64> {
    let before = cpu_time();
    for _ in 0..HANDSHAKES {
        drop(Visitor::connect(addr, options.clone()).await?);
        // So that the node notices the end of this connection, which counts towards its limit of visitors.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }
    Ok((cpu_time() - before).as_secs_f64() * 1e6 / f64::from(HANDSHAKES))
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

//! Operations on a routing table. The nodes in it do not exist.

use std::{
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use ::flyrpc::unstable::Routing;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// An operation on a table. The serialized names must not change, because other builds of this program
/// use them.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum TableOp {
    /// Build a table.
    Build,
    /// Publish a change.
    Change,
    /// Pick a node.
    Pick,
    /// Pick the nearest node.
    PickNearest,
    /// Pick a node while another thread publishes a change every millisecond.
    #[serde(rename = "PickWhileItChanges")]
    PickDuringChanges,
}

/// The time between two changes.
const CHANGE_PERIOD: Duration = Duration::from_millis(1);

/// Repeats an operation `times` times on a table of `nodes` nodes, and returns the time that it took.
pub(super) fn repeat(op: TableOp, nodes: u16, times: u64) -> Result<Duration> {
    let table = Routing::new(nodes);
    let pick = match op {
        TableOp::PickNearest => Routing::pick_nearest,
        _ => Routing::pick,
    };
    let picks = || {
        let start = Instant::now();
        let picked = (0..times).filter(|&random| pick(black_box(&table), random)).count();
        ensure!(picked as u64 == times, "{picked} of {times} picks returned a node");
        Ok(start.elapsed())
    };
    let start = Instant::now();
    match op {
        TableOp::Build => (0..times).for_each(|_| drop(black_box(Routing::new(nodes)))),
        TableOp::Change => (0..times).for_each(|turn| table.change(turn as usize)),
        TableOp::Pick | TableOp::PickNearest => return picks(),
        TableOp::PickDuringChanges => {
            let done = AtomicBool::new(false);
            return thread::scope(|scope| {
                scope.spawn(|| {
                    for turn in 0.. {
                        if done.load(Ordering::Relaxed) {
                            return;
                        }
                        table.change(turn);
                        thread::sleep(CHANGE_PERIOD);
                    }
                });
                let took = picks();
                done.store(true, Ordering::Relaxed);
                took
            });
        }
    }
    Ok(start.elapsed())
}

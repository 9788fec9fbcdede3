//! Picks of a node from a table, without the nodes.

use std::{
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use ::flyrpc::unstable::Routing;
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// What is done with a table.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Doing {
    /// It is built.
    Build,
    /// Changes are published, one after the other.
    Change,
    /// Nodes are picked.
    Pick,
    /// Nodes are picked while another thread publishes a change every millisecond.
    PickWhileItChanges,
}

/// How long there is between two changes.
const BETWEEN_CHANGES: Duration = Duration::from_millis(1);

/// Does something `times` times with a table of so many nodes, and returns what that took.
pub(super) fn repeat(doing: Doing, nodes: u16, times: u64) -> Result<Duration> {
    let table = Routing::new(nodes);
    let picks = || {
        let start = Instant::now();
        let picked = (0..times).filter(|&random| black_box(&table).pick(random)).count();
        ensure!(picked as u64 == times, "{picked} of {times} picks gave a node");
        Ok(start.elapsed())
    };
    let start = Instant::now();
    match doing {
        Doing::Build => (0..times).for_each(|_| drop(black_box(Routing::new(nodes)))),
        Doing::Change => (0..times).for_each(|turn| table.change(turn as usize)),
        Doing::Pick => return picks(),
        Doing::PickWhileItChanges => {
            let over = AtomicBool::new(false);
            return thread::scope(|scope| {
                scope.spawn(|| {
                    for turn in 0.. {
                        if over.load(Ordering::Relaxed) {
                            return;
                        }
                        table.change(turn);
                        thread::sleep(BETWEEN_CHANGES);
                    }
                });
                let took = picks();
                over.store(true, Ordering::Relaxed);
                took
            });
        }
    }
    Ok(start.elapsed())
}

//! What happened in a run, as the test saw it: every call with its outcome, every execution of a
//! handler, every fault with its times. It lies outside the simulation: no fault reaches it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use flyrpc::{NodeId, RpcError};
use tokio::time::Instant;

use super::plan::CallSpec;

/// All times are since the beginning of the run.
#[derive(Debug)]
pub(super) struct Ledger {
    start: Instant,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
pub(super) struct Book {
    /// By their ids.
    pub(super) calls: Vec<CallRecord>,
    pub(super) executions: Vec<Execution>,
    pub(super) troubles: Vec<Trouble>,
    /// The boots of each node, in their order.
    pub(super) boots: BTreeMap<String, Vec<Boot>>,
    /// The last boot of each node that a call was aimed at.
    pub(super) aimed: BTreeMap<String, NodeId>,
    /// What was found wrong on the spot.
    pub(super) violations: Vec<String>,
}

#[derive(Debug)]
pub(super) struct CallRecord {
    pub(super) id: u64,
    pub(super) spec: CallSpec,
    /// The node that called.
    pub(super) from: String,
    /// Whether the caller's task is out of the reach of faults.
    pub(super) outside: bool,
    /// The call in whose handler it was made.
    pub(super) parent: Option<u64>,
    pub(super) began: Duration,
    /// How much time it had, by its caller's clock.
    pub(super) allowed: Duration,
    /// None while it goes on.
    pub(super) ended: Option<(Duration, Outcome)>,
}

#[derive(Debug)]
pub(super) enum Outcome {
    /// The reply came from this node, and whether it was the right one.
    Reply {
        node: String,
        right: bool,
    },
    Error(RpcError),
    /// The caller gave the call up, as planned.
    Cancelled,
    /// The caller was ended itself: its node crashed, or the call around it was over.
    Dropped,
}

#[derive(Debug)]
pub(super) struct Execution {
    pub(super) call: u64,
    pub(super) node: String,
    pub(super) local: bool,
    pub(super) began: Duration,
    /// When it ended or was stopped.
    pub(super) ended: Option<Duration>,
    /// Whether it came to its end, by a value or a panic.
    pub(super) completed: bool,
}

#[derive(Debug)]
pub(super) struct Boot {
    pub(super) began: Duration,
    pub(super) old: bool,
}

/// A fault as it happened.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) kind: TroubleKind,
    pub(super) from: Duration,
    /// None while it goes on.
    pub(super) to: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TroubleKind {
    /// Nothing passes between two places, one way at least, or so little that links may break.
    Cut(String, String),
    /// What passes takes longer.
    Slow(String, String),
    /// Datagrams alone are lost.
    Lossy(String, String),
    Down(String),
    Stopping(String),
    Frozen(String),
    /// Its clock stands still.
    Still(String),
    /// Its clock jumps ahead by this much; lasts no time.
    Skew(String, Duration),
    /// Parts per million.
    Drift(String, i64),
}

impl Ledger {
    pub(super) fn new() -> Self {
        Ledger { start: Instant::now(), book: Mutex::default() }
    }

    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a node starts.
    pub(super) fn boots(&self, node: &str, old: bool) {
        let boot = Boot { began: self.now(), old };
        self.book().boots.entry(node.to_owned()).or_default().push(boot);
    }

    /// Notes that a fault begins; dropping the guard, that it ends.
    pub(super) fn trouble(&self, kind: TroubleKind) -> TroubleGuard<'_> {
        let mut book = self.book();
        book.troubles.push(Trouble { kind, from: self.now(), to: None });
        TroubleGuard { ledger: self, at: book.troubles.len() - 1 }
    }
}

/// Notes the end of a fault when dropped.
#[must_use = "the fault counts as over when this is dropped"]
pub(super) struct TroubleGuard<'a> {
    ledger: &'a Ledger,
    at: usize,
}

impl Drop for TroubleGuard<'_> {
    fn drop(&mut self) {
        self.ledger.book().troubles[self.at].to = Some(self.ledger.now());
    }
}

impl CallRecord {
    /// When it ended, or else the end of time.
    pub(super) fn end(&self) -> Duration {
        self.ended.as_ref().map_or(Duration::MAX, |(at, _)| *at)
    }

    pub(super) fn outcome(&self) -> Option<&Outcome> {
        self.ended.as_ref().map(|(_, outcome)| outcome)
    }
}

impl Trouble {
    /// Whether it went on at some time between `from` and `to`.
    pub(super) fn overlaps(&self, from: Duration, to: Duration) -> bool {
        self.from <= to && self.to.is_none_or(|end| from <= end)
    }
}

impl Book {
    pub(super) fn call(&self, id: u64) -> &CallRecord {
        &self.calls[id as usize]
    }

    pub(super) fn executions_of(&self, id: u64) -> impl Iterator<Item = &Execution> {
        self.executions.iter().filter(move |execution| execution.call == id)
    }

    /// Whether a node ran the old release at some time between `from` and `to`.
    pub(super) fn was_old(&self, node: &str, from: Duration, to: Duration) -> bool {
        let boots = self.boots.get(node).map(Vec::as_slice).unwrap_or_default();
        boots.iter().enumerate().any(|(at, boot)| {
            let until = boots.get(at + 1).map_or(Duration::MAX, |next| next.began);
            boot.old && boot.began <= to && from <= until
        })
    }

    /// When a node that is frozen at `at` goes on; `at` if it is not.
    pub(super) fn thawed(&self, node: &str, at: Duration) -> Duration {
        let mut at = at;
        let frozen = TroubleKind::Frozen(node.to_owned());
        while let Some(freeze) = self.troubles.iter().find(|trouble| {
            trouble.kind == frozen && trouble.from <= at && trouble.to.is_none_or(|to| at < to)
        }) {
            at = freeze.to.unwrap_or(Duration::MAX);
        }
        at
    }
}

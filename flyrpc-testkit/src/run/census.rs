//! Finds tasks that outlive the crash of the node that spawned them with `tokio::spawn`.
//!
//! Tokio does not say which task spawned another, or which tasks are left. It does say how many tasks there are, and when
//! a runtime is dropped, it drops the tasks whose ids are equal modulo the number of its task lists in the order of their
//! spawns. A run therefore counts the tasks that the polls of a host spawn, except for those that the testkit spawns
//! itself. If a host crashes that has spawned any, the run is repeated with the same seed. In this second run, each poll
//! of that host is enclosed by idle tasks, the *markers*, at least one in each list. The second run ends as soon as the
//! crash has taken effect. While its runtime is dropped, the tasks that are left between two markers are counted.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use super::owner::Owner;

/// What a run knows about tasks that user code spawned.
#[derive(Default)]
pub(super) struct Census {
    /// The tasks that the testkit has spawned.
    spawned: Cell<usize>,
    /// Whether a poll of a host is in progress.
    is_inside: Cell<bool>,
    /// The number of other tasks that each boot has spawned.
    foreign: RefCell<BTreeMap<Owner, usize>>,
    /// The boots that crashed after they had spawned such tasks.
    suspects: RefCell<Vec<Suspect>>,
    /// Set in a second run.
    markers: Option<Markers>,
}

/// A boot that spawned tasks with `tokio::spawn` and has crashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) owner: Owner,
    pub(super) host: String,
}

struct Markers {
    suspect: Suspect,
    last_pair: Cell<u64>,
    crash: Cell<Crash>,
    dropped: RefCell<Dropped>,
}

/// The crash that a second run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crash {
    Expected,
    Happened,
    /// No task has been runnable since the crash, so that it has taken effect.
    TookEffect,
}

/// What was dropped while the runtime is dropped.
#[derive(Default)]
struct Dropped {
    is_counting: bool,
    /// The pair of markers whose first marker was dropped last, and the number of tasks that were left then.
    open: Option<(u64, usize)>,
    /// Tasks of the testkit since then.
    own: usize,
    survivors: usize,
}

impl Census {
    /// Returns the census of a second run, which looks for tasks of `suspect`.
    pub(super) fn of(suspect: Suspect) -> Self {
        let markers = Markers {
            suspect,
            last_pair: Cell::new(0),
            crash: Cell::new(Crash::Expected),
            dropped: RefCell::default(),
        };
        Census { markers: Some(markers), ..Census::default() }
    }

    pub(super) fn suspects(&self) -> Vec<Suspect> {
        self.suspects.borrow().clone()
    }

    /// Whether this is a second run, and the crash has happened that it waits for.
    pub(super) fn has_crashed(&self) -> bool {
        self.markers.as_ref().is_some_and(|markers| markers.crash.get() != Crash::Expected)
    }

    /// Whether that crash has taken effect, so that the tasks can be counted.
    pub(super) fn is_due(&self) -> bool {
        self.markers.as_ref().is_some_and(|markers| markers.crash.get() == Crash::TookEffect)
    }

    /// States that no task is runnable.
    pub(super) fn on_idle(&self) {
        if let Some(markers) = self.markers.as_ref().filter(|_| self.has_crashed()) {
            markers.crash.set(Crash::TookEffect);
        }
    }

    /// Starts to count tasks as they are dropped.
    pub(super) fn start_counting(&self) {
        if let Some(markers) = &self.markers {
            markers.dropped.borrow_mut().is_counting = true;
        }
    }

    pub(super) fn survivors(&self) -> usize {
        self.markers.as_ref().map_or(0, |markers| markers.dropped.borrow().survivors)
    }

    /// Counts a task of the testkit. Returns the number of them so far.
    pub(super) fn add_spawned(&self, tasks: usize) -> usize {
        self.spawned.set(self.spawned.get() + tasks);
        self.spawned.get()
    }

    /// States whether a poll of a host is in progress. Returns whether one was.
    pub(super) fn set_inside(&self, is_inside: bool) -> bool {
        self.is_inside.replace(is_inside)
    }

    pub(super) fn is_inside(&self) -> bool {
        self.is_inside.get()
    }

    /// Counts tasks that user code of `owner` has spawned.
    pub(super) fn add_foreign(&self, owner: Owner, tasks: usize) {
        *self.foreign.borrow_mut().entry(owner).or_default() += tasks;
    }

    /// Returns the number of a new pair of markers, if polls of `owner` need them.
    pub(super) fn number_pair(&self, owner: Owner) -> Option<u64> {
        let markers = self.markers.as_ref().filter(|markers| markers.suspect.owner == owner)?;
        markers.last_pair.set(markers.last_pair.get() + 1);
        Some(markers.last_pair.get())
    }

    /// Records that a boot of the host called `host` has crashed.
    pub(super) fn on_crash(&self, owner: Owner, host: impl FnOnce() -> String) {
        if let Some(markers) = &self.markers {
            if markers.suspect.owner == owner {
                markers.crash.set(Crash::Happened);
            }
        } else if self.foreign.borrow_mut().remove(&owner).is_some() {
            self.suspects.borrow_mut().push(Suspect { owner, host: host() });
        }
    }

    /// Called when a task of the testkit is dropped.
    pub(super) fn on_own_drop(&self) {
        if let Some(markers) = &self.markers {
            markers.dropped.borrow_mut().own += 1;
        }
    }

    /// Called when a marker is dropped, and `left` tasks are left.
    pub(super) fn on_marker_drop(&self, pair: u64, end: End, left: usize) {
        let Some(markers) = &self.markers else { return };
        let mut dropped = markers.dropped.borrow_mut();
        if !dropped.is_counting {
            return;
        }
        match end {
            End::First => {
                dropped.open = Some((pair, left));
                dropped.own = 0;
            }
            End::Last => {
                let open = dropped.open.take().filter(|(opened, _)| *opened == pair);
                if let Some((_, before)) = open {
                    // This marker is no longer among those that are left.
                    let between = before.saturating_sub(left + 1);
                    dropped.survivors += between.saturating_sub(dropped.own);
                }
            }
        }
    }
}

/// Whether a marker precedes or follows the tasks of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    First,
    Last,
}

//! Checks invariants whenever something happens.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
};

use super::{
    invariants::Check,
    sim_cluster::{Shared, SimCluster},
};
use crate::{
    panic_text::panic_text,
    run::{self, Run},
};

impl SimCluster {
    /// Declares an invariant. It is checked now, after events of the trace from now on (calls, executions, changes of
    /// membership and links, faults, and notes), and when the last handle of the cluster is dropped. An `Err` or a panic of
    /// `check` fails the test and names the invariant.
    ///
    /// `check` runs in a task of the testkit, once for all events that occur until that task runs, which is at the same
    /// virtual time. It cannot wait, and must not inject faults. In a [`Simulation`](crate::Simulation), a violation ends the
    /// run at once. In any other test, the test fails when it drops the last handle of the cluster.
    ///
    /// ```
    /// # use flyrpc_testkit::SimCluster;
    /// # fn check(cluster: &SimCluster) {
    /// cluster.always("at most one write runs at a time", |cluster| {
    ///     match cluster.trace().calls().method("write").under_way().count() {
    ///         0 | 1 => Ok(()),
    ///         running => Err(format!("{running} writes run")),
    ///     }
    /// });
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If the invariant does not hold now, and outside a tokio runtime.
    #[track_caller]
    pub fn always<E: fmt::Display>(
        &self,
        name: impl Into<String>,
        check: impl Fn(&SimCluster) -> Result<(), E> + Send + Sync + 'static,
    ) {
        let name = name.into();
        let check: Check<SimCluster> =
            Arc::new(move |cluster| check(cluster).map_err(|why| why.to_string()));
        if let Err(why) = check(self) {
            panic!("{}", violated(&name, &why));
        }
        let mut state = self.shared.invariants.lock();
        state.checks.push((name, check));
        let is_first = state.checks.len() == 1;
        drop(state);
        if is_first {
            run::spawn(Box::pin(check_changes(Arc::downgrade(&self.shared))));
        }
    }

    /// Checks all invariants. Returns a description of the first that does not hold.
    pub(super) fn first_violation(&self) -> Option<String> {
        let checks = self.shared.invariants.lock().checks.clone();
        for (name, check) in checks {
            let why = match catch_unwind(AssertUnwindSafe(|| check(self))) {
                Ok(Ok(())) => continue,
                Ok(Err(why)) => why,
                Err(panic) => panic_text(&*panic).to_owned(),
            };
            return Some(format!("{} at {:?}", violated(&name, &why), self.elapsed()));
        }
        None
    }
}

fn violated(name: &str, why: &str) -> String {
    format!("the invariant \"{name}\" does not hold: {why}")
}

/// Checks the invariants after each change of the log, until one does not hold or the cluster is gone.
async fn check_changes(cluster: Weak<Shared>) {
    loop {
        let Some(shared) = cluster.upgrade() else { return };
        let log = shared.log.clone();
        let violation = SimCluster { shared: Arc::clone(&shared) }.first_violation();
        if let Some(violation) = violation {
            match Run::current() {
                Some(run) => run.fail(|| violation),
                None => shared.invariants.lock().violation = Some(violation),
            }
            return;
        }
        drop(shared);
        log.changed().await;
    }
}

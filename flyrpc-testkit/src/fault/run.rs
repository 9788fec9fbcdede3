//! Runs a [`Schedule`].

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, sleep_until},
};

use super::{
    kind::Fault,
    planned::{PlannedFault, Schedule},
};
use crate::cluster::SimCluster;

impl SimCluster {
    /// Injects the faults of a schedule at their times, ends each, and returns when all have ended. Nodes that a fault
    /// stopped are running again then. Links may still be missing: [`settled`](Self::settled) waits for them. Times count
    /// from the first poll of the future, on the clock of the [trace](Self::trace).
    ///
    /// A fault that would stop a node is skipped if the node is down, or if an earlier fault of the schedule has stopped
    /// it and has not finished restarting it. The trace has a note for each skipped fault.
    ///
    /// Await it concurrently with the load of the test. Dropping the future ends the faults as dropping an
    /// [`ActiveFault`](crate::ActiveFault) does, and injects no others.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide/preamble.rs"));
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), RpcError> {
    /// use flyrpc_testkit::{Fault, Schedule};
    ///
    /// let cluster = cluster().await;
    /// let strings: StringsClient = cluster.node("hkg-0").client();
    /// let schedule = Schedule::new()
    ///     .with(secs(1), secs(20), Fault::Crash { node: "iad-0".into() })
    ///     .with(secs(30), secs(20), Fault::Partition { a: "iad-1".into(), b: "hkg".into() });
    /// let load = async {
    ///     sleep(secs(10)).await;
    ///     strings.on_primary().upcase("fly".into()).await // iad-1 serves it
    /// };
    /// let ((), reply) = tokio::join!(cluster.run_schedule(&schedule), load);
    /// assert_eq!(reply?, "FLY");
    /// cluster.settled().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If a fault names a node or scope that does not exist, or has invalid values, when the fault starts. If a node
    /// cannot start again.
    pub async fn run_schedule(&self, schedule: &Schedule) {
        let start = Instant::now();
        let stopped = schedule.faults().iter().filter_map(|planned| planned.fault.stops());
        let locks = stopped.map(|node| (node, Mutex::new(()))).collect();
        let run = Run { cluster: self, start, locks };
        join_all(schedule.faults().iter().map(|planned| run.fault(planned))).await;
    }
}

struct Run<'a> {
    cluster: &'a SimCluster,
    start: Instant,
    /// Locked while a fault stops and restarts the node.
    locks: BTreeMap<&'a str, Mutex<()>>,
}

impl Run<'_> {
    async fn fault(&self, PlannedFault { at, lasts, fault }: &PlannedFault) {
        sleep_until(self.start + *at).await;
        let Some(node) = fault.stops() else { return self.sustain(fault, *lasts).await };
        match self.locks[node].try_lock() {
            Ok(_lock) if !self.is_down(node) => self.sustain(fault, *lasts).await,
            _ => self.cluster.note(format!("skip {fault}: {node} is down")),
        }
    }

    async fn sustain(&self, fault: &Fault, lasts: Duration) {
        let mut active = self.cluster.inject(fault);
        active.in_effect().await;
        sleep(lasts).await;
        active.end().await;
    }

    fn is_down(&self, node: &str) -> bool {
        self.cluster.names().iter().any(|name| name == node) && !self.cluster.is_up(node)
    }
}

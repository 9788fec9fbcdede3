//! Injects a [`Fault`], and ends it.

use std::panic;

use tokio::task::JoinHandle;

use super::kind::Fault;
use crate::{cluster::SimCluster, net::FaultGuard};

/// A fault that was injected with [`SimCluster::inject`].
///
/// [`end`](Self::end) ends it and waits until its node has restarted, if it stopped one. Dropping it ends the fault too,
/// except that a node or machine that the fault stopped stays down.
#[derive(Debug)]
#[must_use = "most faults end when this is dropped; `keep` makes them last"]
pub struct ActiveFault {
    cluster: SimCluster,
    fault: Fault,
    effect: Effect,
}

#[derive(Debug)]
enum Effect {
    Guarded(FaultGuard),
    Stopped,
    /// The task that shuts the node down, until it has ended.
    ShuttingDown(Option<JoinHandle<()>>),
}

impl SimCluster {
    /// Injects a fault that is described by a value. Its effect is that of the method with the same name.
    ///
    /// A [shutdown](Fault::Shutdown) starts immediately and continues in the background.
    /// [`ActiveFault::in_effect`] waits until the node has stopped. All other faults are in effect when this returns.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide/preamble.rs"));
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), RpcError> {
    /// use flyrpc_testkit::Fault;
    ///
    /// let cluster = cluster().await;
    /// let strings: StringsClient = cluster.node("hkg-0").client();
    /// for fault in [
    ///     Fault::Partition { a: "iad-0".into(), b: "hkg".into() },
    ///     Fault::Crash { node: "iad-0".into() },
    ///     Fault::Freeze { node: "iad-0".into() },
    /// ] {
    ///     let active = cluster.inject(&fault);
    ///     sleep(secs(10)).await;
    ///     strings.on_primary().upcase("fly".into()).await?; // iad-1 serves it
    ///     active.end().await;
    ///     cluster.settled().await;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Under the same conditions as the method with the same name. If the fault shuts down a node, also outside a tokio
    /// runtime.
    #[track_caller]
    pub fn inject(&self, fault: &Fault) -> ActiveFault {
        let effect = match fault {
            Fault::Partition { a, b } => Effect::Guarded(self.partition(a, b)),
            Fault::PartitionOneWay { from, to } => {
                Effect::Guarded(self.partition_one_way(from, to))
            }
            Fault::Hold { a, b } => Effect::Guarded(self.hold(a, b)),
            Fault::Slow { a, b, by } => Effect::Guarded(self.slow(a, b, *by)),
            Fault::Jitter { a, b, up_to } => Effect::Guarded(self.jitter(a, b, *up_to)),
            Fault::Lose { a, b, share } => Effect::Guarded(self.lose(a, b, *share)),
            Fault::FilterTcp { a, b } => Effect::Guarded(self.filter_tcp(a, b)),
            Fault::Throttle { a, b, bytes_per_second } => {
                Effect::Guarded(self.throttle(a, b, *bytes_per_second))
            }
            Fault::Crash { node } => {
                self.crash(node);
                Effect::Stopped
            }
            Fault::CrashMachine { node } => {
                self.crash_machine(node);
                Effect::Stopped
            }
            Fault::Shutdown { node } => Effect::ShuttingDown(Some(self.start_shutdown(node))),
            Fault::Freeze { node } => Effect::Guarded(self.frozen(node)),
            Fault::SkewAhead { node, by } => Effect::Guarded(self.skewed_ahead(node, *by)),
            Fault::SkewBehind { node, by } => Effect::Guarded(self.skewed_behind(node, *by)),
            Fault::Drift { node, parts_per_million } => {
                Effect::Guarded(self.drifting(node, *parts_per_million))
            }
        };
        ActiveFault { cluster: self.clone(), fault: fault.clone(), effect }
    }

    #[track_caller]
    fn start_shutdown(&self, node: &str) -> JoinHandle<()> {
        assert!(self.is_up(node), "node `{node}` is down: `restart` it before you shut it down");
        let (cluster, node) = (self.clone(), node.to_owned());
        tokio::spawn(async move { cluster.shutdown(node).await })
    }
}

impl ActiveFault {
    /// Returns the fault.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// Waits until the fault is in effect. Only a shutdown takes time. Dropping the future has no effect.
    ///
    /// # Panics
    ///
    /// If the shutdown panics.
    pub async fn in_effect(&mut self) {
        let Effect::ShuttingDown(task) = &mut self.effect else { return };
        let Some(running) = task else { return };
        let ended = running.await;
        *task = None;
        // The task is never aborted, so it can only fail by a panic, unless the runtime shuts down.
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            panic::resume_unwind(panic);
        }
    }

    /// Ends the fault. If it stopped a node, waits until that has stopped, restarts the node unless something else has
    /// restarted it, and waits until it is [ready](flyrpc::Node::ready), as [`SimCluster::restart`] does.
    ///
    /// Dropping the future leaves such a node down or starting.
    ///
    /// # Panics
    ///
    /// If the node cannot start, or its shutdown panics.
    pub async fn end(mut self) {
        self.in_effect().await;
        let ActiveFault { cluster, fault, effect } = self;
        if let Effect::Guarded(guard) = effect {
            guard.end();
        }
        if let Some(node) = fault.stops() {
            if cluster.names().iter().all(|name| name != node) {
                let _env = cluster.restart_machine(node);
            } else if !cluster.is_up(node) {
                cluster.restart(node).await;
            }
        }
    }

    /// Makes the fault last until a call of the [cluster](SimCluster) ends it, such as [`heal_all`](SimCluster::heal_all),
    /// [`resume`](SimCluster::resume) or [`restart`](SimCluster::restart).
    pub fn keep(self) {
        if let Effect::Guarded(guard) = self.effect {
            guard.keep();
        }
    }
}

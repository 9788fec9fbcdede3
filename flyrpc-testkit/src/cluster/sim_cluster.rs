//! The cluster: its machines, their programs, and its trace.

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use flyrpc::{Keyring, Node, Region};
use tokio::time::Instant;

use super::{
    call_site::CallSite,
    invariants::Invariants,
    release::{PORT, Release},
    settle::{self, MissingLinks, settle},
};
#[cfg(feature = "logs")]
use crate::logs;
use crate::{
    net::{SimEnv, SimNet},
    run::Run,
    seed::TestName,
    trace::{Trace, TraceLog},
};

/// Upper bound on the number of names that a message lists.
const MAX_LISTED: usize = 20;

/// A cluster of nodes in several regions, in one process: the production code on a simulated
/// network. Clones are handles to the same cluster.
///
/// Nodes are named `<region>-<index>`. [`node`](Self::node) returns the same [`Node`](flyrpc::Node)
/// type that a program uses in production.
///
/// ```
/// use std::time::Duration;
/// use flyrpc::{RpcError, fly_rpc};
/// use flyrpc_testkit::SimCluster;
/// use tokio::time::Instant;
///
/// #[fly_rpc]
/// pub trait Strings {
///     /// Upper-cases `text`.
///     async fn upcase(&self, text: String) -> String;
/// }
///
/// struct Shout;
///
/// impl Strings for Shout {
///     async fn upcase(&self, text: String) -> String {
///         text.to_uppercase()
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), RpcError> {
/// let cluster = SimCluster::builder()
///     .region("iad", 2)
///     .region("hkg", 1)
///     .primary("iad")
///     .rtt("iad", "hkg", Duration::from_millis(202))
///     .serve(|_node| ServeStrings::new(Shout))
///     .start()
///     .await;
///
/// let strings: StringsClient = cluster.node("hkg-0").client();
/// let start = Instant::now();
/// assert_eq!(strings.on_primary().upcase("fly".into()).await?, "FLY");
/// assert_eq!(start.elapsed(), Duration::from_millis(202));
///
/// let _cut = cluster.partition("iad", "hkg"); // heals when dropped
/// let call = strings.on_primary().timeout(Duration::from_secs(1)).upcase("fly".into());
/// assert!(matches!(call.await, Err(RpcError::Timeout { .. })));
/// # Ok(())
/// # }
/// ```
///
/// The cluster's methods inject faults:
///
/// - Network faults between two scopes ([`partition`](Self::partition), [`slow`](Self::slow),
///   [`lose`](Self::lose)). A scope is the name of a region or a node.
/// - Node faults ([`crash`](Self::crash), [`shutdown`](Self::shutdown)). A node is a process.
/// - Machine faults ([`crash_machine`](Self::crash_machine), [`frozen`](Self::frozen),
///   [`skew_ahead`](Self::skew_ahead)). A machine is the host of a node, including its kernel and
///   clock.
///
/// If the cluster is dropped while its thread panics, as when a test fails, it prints the path of its
/// [trace](Self::trace), and the command that reproduces the failure with the same seed.
#[derive(Clone)]
pub struct SimCluster {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) net: SimNet,
    pub(super) seed: u64,
    pub(super) primary: Region,
    pub(super) secret: Option<Keyring>,
    pub(super) force_wire: bool,
    pub(super) log: TraceLog,
    pub(super) invariants: Invariants<SimCluster>,
    /// In the order in which they were added.
    members: Mutex<Vec<Member>>,
    /// Whether a failure has been reported.
    reported: AtomicBool,
}

pub(super) struct Member {
    pub(super) name: String,
    pub(super) env: SimEnv,
    pub(super) release: Release,
    pub(super) state: NodeState,
}

pub(super) enum NodeState {
    Running(Node),
    /// The machine is up, and runs a program other than flyrpc, or none.
    Other,
    /// The reason completes "node `iad-0` …".
    Down(&'static str),
}

impl NodeState {
    pub(super) fn node(&self) -> Option<&Node> {
        match self {
            NodeState::Running(node) => Some(node),
            NodeState::Other | NodeState::Down(_) => None,
        }
    }
}

impl SimCluster {
    /// Creates a cluster without nodes. Its trace begins now.
    pub(super) fn new(
        net: SimNet,
        seed: u64,
        primary: Region,
        secret: Option<Keyring>,
        force_wire: bool,
    ) -> Self {
        let start = Instant::now();
        #[cfg(feature = "logs")]
        logs::set_start(start);
        let log = TraceLog::new(seed, start);
        if let Some(run) = Run::current() {
            run.add_log(log.clone());
        }
        net.on_fault({
            let log = log.clone();
            move |event| {
                if let Some(host) = event.stopped_host() {
                    log.crashed(host);
                }
                log.fault(event.to_string());
            }
        });
        let shared = Shared {
            net,
            seed,
            primary,
            secret,
            force_wire,
            log,
            invariants: Invariants::new(),
            members: Mutex::default(),
            reported: AtomicBool::new(false),
        };
        SimCluster { shared: Arc::new(shared) }
    }

    /// Returns a running node.
    ///
    /// # Panics
    ///
    /// If there is no such node, if it is down, or if its machine does not run flyrpc.
    #[track_caller]
    pub fn node(&self, name: impl AsRef<str>) -> Node {
        let name = name.as_ref();
        let node = self.with_member(name, |member| match &member.state {
            NodeState::Running(node) => Ok(node.clone()),
            NodeState::Other => Err("does not run flyrpc".to_owned()),
            NodeState::Down(reason) => Err(format!("{reason}: `restart` it first")),
        });
        match node {
            Ok(node) => node,
            Err(reason) => panic!("node `{name}` {reason}"),
        }
    }

    /// Returns all running nodes, in the order in which they were added.
    pub fn nodes(&self) -> Vec<Node> {
        let members = self.members();
        members.iter().filter_map(|member| member.state.node().cloned()).collect()
    }

    /// Returns the names of all nodes, including nodes that are down, in the order in which they were
    /// added.
    pub fn names(&self) -> Vec<String> {
        self.members().iter().map(|member| member.name.clone()).collect()
    }

    /// Returns the primary region.
    pub fn primary_region(&self) -> &Region {
        &self.shared.primary
    }

    /// Returns the seed, from which all randomness of the cluster derives.
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// Returns the time since the cluster was created, on the clock of its [trace](Self::trace).
    pub fn elapsed(&self) -> Duration {
        self.shared.log.elapsed()
    }

    /// Returns all events recorded so far: calls, executions of handlers, membership and link events, and
    /// faults. Times are counted from the cluster's start.
    pub fn trace(&self) -> Trace {
        self.shared.log.snapshot()
    }

    /// Adds a note from the test to the trace.
    pub fn note(&self, text: impl Into<String>) {
        self.shared.log.note(text);
    }

    /// Waits until every running node is linked to every other, as after
    /// [`start`](crate::SimClusterBuilder::start).
    ///
    /// # Panics
    ///
    /// If links are still missing after 60 s of the cluster's time. The message lists them.
    #[track_caller]
    pub fn settled(&self) -> impl Future<Output = ()> + Send {
        self.settled_at(CallSite::here())
    }

    pub(super) async fn settled_at(&self, site: CallSite) {
        if let Err(missing) = settle(|| self.nodes()).await {
            site.panic(format_args!(
                "links between nodes are still missing after {:?}:\n{}\
                 resume frozen nodes and heal partitions before waiting",
                settle::TIMEOUT,
                MissingLinks(&missing)
            ));
        }
    }

    /// Returns whether the node is up: its machine has not crashed, and its program has neither
    /// crashed nor been shut down.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[track_caller]
    pub fn is_up(&self, name: impl AsRef<str>) -> bool {
        self.with_member(name.as_ref(), |member| !matches!(member.state, NodeState::Down(_)))
    }

    pub(super) fn set_release(&self, name: &str, release: Release) {
        // Drops the earlier release outside the lock.
        let _earlier =
            self.with_member(name, |member| std::mem::replace(&mut member.release, release));
    }

    pub(super) fn set_state(&self, name: &str, state: NodeState) {
        // Drops the earlier state outside the lock: dropping the last handle of a node stops it.
        let _earlier = self.with_member(name, |member| std::mem::replace(&mut member.state, state));
    }

    pub(super) fn next_name(&self, region: &Region) -> String {
        let index = self.members().iter().filter(|member| member.env.region() == *region).count();
        format!("{region}-{index}")
    }

    pub(super) fn add(&self, name: String, region: &Region, release: Release) {
        let env = self.shared.net.add_host(name.as_str(), region.clone());
        let state = NodeState::Down("has not started yet");
        self.members().push(Member { name, env, release, state });
    }

    pub(super) fn addrs(&self, include: impl Fn(&Member) -> bool) -> Vec<SocketAddr> {
        let members = self.members();
        members
            .iter()
            .filter(|member| include(member))
            .map(|member| member.env.addr(PORT))
            .collect()
    }

    /// # Panics
    ///
    /// If there is no such node.
    #[track_caller]
    pub(super) fn with_member<R>(&self, name: &str, act: impl FnOnce(&mut Member) -> R) -> R {
        match self.try_with_member(name, act) {
            Some(result) => result,
            None => panic!("there is no node `{name}`: {}", self.list_names()),
        }
    }

    pub(super) fn try_with_member<R>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Member) -> R,
    ) -> Option<R> {
        let mut members = self.members();
        members.iter_mut().find(|member| member.name == name).map(act)
    }

    pub(super) fn list_names(&self) -> String {
        let names = self.names();
        let shown = names.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join(", ");
        match names.len().saturating_sub(MAX_LISTED) {
            0 => format!("the nodes are {shown}"),
            more => format!("the nodes are {shown} and {more} more"),
        }
    }

    pub(super) fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        self.shared.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints the command that reproduces a failure and the path of the trace. Does nothing after the
    /// first call.
    fn report(&self) {
        if self.shared.reported.swap(true, Ordering::Relaxed) {
            return;
        }
        let (seed, test) = (self.shared.seed, TestName::current());
        eprintln!("flyrpc-testkit: test failed with seed {seed}; to reproduce:");
        eprintln!("    {}", test.repeat_command(seed));
        eprintln!("{}", test.write_trace(seed, &self.trace()));
    }
}

impl Drop for SimCluster {
    fn drop(&mut self) {
        let is_last = Arc::strong_count(&self.shared) == 1;
        let last_violation = || is_last.then(|| self.first_violation()).flatten();
        // The run of a `Simulation` reports its failures itself.
        if let Some(run) = Run::current() {
            if let Some(violation) = last_violation().filter(|_| !thread::panicking()) {
                run.fail(|| violation);
            }
            return;
        }
        if thread::panicking() {
            self.report();
            return;
        }
        let violation = self.shared.invariants.violation().or_else(last_violation);
        if let Some(violation) = violation.filter(|_| is_last) {
            self.report();
            panic!("{violation}");
        }
    }
}

impl fmt::Debug for SimCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimCluster")
            .field("seed", &self.shared.seed)
            .field("primary", &self.shared.primary)
            .field("nodes", &self.names())
            .finish_non_exhaustive()
    }
}

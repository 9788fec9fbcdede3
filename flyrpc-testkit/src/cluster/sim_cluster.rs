//! The cluster: its machines, what runs on them, and its trace.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use flyrpc::{Node, Region};
use tokio::time::Instant;

use super::{
    release::{PORT, Release},
    settle::{self, MissingLinks, settle},
};
use crate::{
    net::{SimEnv, SimNet},
    seed,
    trace::{Trace, TraceLog},
};

/// How many names a message lists.
const MAX_LISTED: usize = 20;

/// A cluster of nodes in several regions, in one process: the production code on a simulated
/// network. Clones are handles to the same cluster.
///
/// Nodes are called `<region>-<index>`. What [`node`](Self::node) returns is the same
/// [`Node`](flyrpc::Node) as in production.
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
/// Faults are injected by its methods: of the network between places, which are the names of regions
/// and of nodes ([`partition`](Self::partition), [`slow`](Self::slow), [`lose`](Self::lose)), of nodes
/// ([`crash`](Self::crash), [`shutdown`](Self::shutdown)), and of machines
/// ([`crash_machine`](Self::crash_machine), [`frozen`](Self::frozen),
/// [`skew_ahead`](Self::skew_ahead)). A node is the process, a machine is its host, kernel and clock
/// included.
///
/// When the cluster is dropped while its thread panics, which is how tests fail, it prints the path
/// of its [trace](Self::trace), and the command that repeats the test with its seed.
#[derive(Clone)]
pub struct SimCluster {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) net: SimNet,
    pub(super) seed: u64,
    pub(super) primary: Region,
    pub(super) force_wire: bool,
    pub(super) log: TraceLog,
    /// In the order in which they were added.
    members: Mutex<Vec<Member>>,
    /// Whether a failure was reported.
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
    /// The machine is up, and runs another program or none.
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
    /// A cluster without nodes. Its trace begins now.
    pub(super) fn new(net: SimNet, seed: u64, primary: Region, force_wire: bool) -> Self {
        let log = TraceLog::new(seed, Instant::now());
        net.on_fault({
            let log = log.clone();
            move |event| log.fault(event.to_string())
        });
        let shared = Shared {
            net,
            seed,
            primary,
            force_wire,
            log,
            members: Mutex::default(),
            reported: AtomicBool::new(false),
        };
        SimCluster { shared: Arc::new(shared) }
    }

    /// A running node.
    ///
    /// # Panics
    ///
    /// If there is no such node, it is down, or its machine does not run flyrpc.
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

    /// All running nodes, in the order in which they were added.
    pub fn nodes(&self) -> Vec<Node> {
        let members = self.members();
        members.iter().filter_map(|member| member.state.node().cloned()).collect()
    }

    /// The names of all nodes, whether they run or not, in the order in which they were added.
    pub fn names(&self) -> Vec<String> {
        self.members().iter().map(|member| member.name.clone()).collect()
    }

    /// The primary region.
    pub fn primary_region(&self) -> &Region {
        &self.shared.primary
    }

    /// The source of all randomness.
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// How long the cluster has run, in the time of its [trace](Self::trace).
    pub fn elapsed(&self) -> Duration {
        self.shared.log.elapsed()
    }

    /// All events so far: every call, membership and link event, and fault, in the cluster's time.
    pub fn trace(&self) -> Trace {
        self.shared.log.snapshot()
    }

    /// Adds a remark to the trace.
    pub fn note(&self, text: impl Into<String>) {
        self.shared.log.note(text);
    }

    /// Waits until every running node is linked to every other, as after
    /// [`start`](crate::SimClusterBuilder::start).
    ///
    /// # Panics
    ///
    /// If that takes longer than 60 s of the cluster's time; the message lists the missing links.
    pub async fn settled(&self) {
        if let Err(missing) = settle(|| self.nodes()).await {
            panic!(
                "the nodes do not all know each other after {:?}:\n{}\
                 a node that is frozen or cut off must be resumed or healed first",
                settle::TIMEOUT,
                MissingLinks(&missing)
            );
        }
    }

    /// Whether the node's machine is up, and its program was not shut down.
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
        // Drops the earlier state outside the lock: with the last handle of a node, it stops.
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
            None => panic!("no node is called `{name}`: {}", self.list_names()),
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
            0 => format!("there are {shown}"),
            more => format!("there are {shown} and {more} more"),
        }
    }

    pub(super) fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        self.shared.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints, once, how to investigate a failure.
    fn report(&self) {
        if self.shared.reported.swap(true, Ordering::Relaxed) {
            return;
        }
        let seed = self.shared.seed;
        eprintln!("flyrpc-testkit: failed with seed {seed}; to repeat it:");
        eprintln!("    {}", seed::repeat_command(seed));
        let file = seed::trace_path(seed);
        match self.trace().write_to(&file) {
            Ok(()) => eprintln!("the trace is in {}", file.display()),
            Err(error) => eprintln!("the trace cannot be written to {}: {error}", file.display()),
        }
    }
}

impl Drop for SimCluster {
    fn drop(&mut self) {
        if thread::panicking() {
            self.report();
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

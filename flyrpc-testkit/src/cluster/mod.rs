//! Clusters of real nodes on a simulated network.

mod builder;
mod lifecycle;
mod release;
mod rollout;
mod settle;

use std::{
    fmt,
    net::SocketAddr,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use flyrpc::{Node, Region};
use tokio::time::Instant;

pub use self::{
    builder::SimClusterBuilder,
    release::{Release, SimNode},
    rollout::Rollout,
};
use self::{
    release::PORT,
    settle::{Gaps, settle},
};
use crate::{SimEnv, SimNet, Trace, seed, trace::TraceLog};

/// How many names a message lists.
const SHOWN: usize = 20;

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
/// It dereferences to its [`SimNet`], which has the faults of the network and of machines:
/// partitions, loss, latency, frozen hosts, clocks that are wrong. Names of regions and of nodes are
/// places there.
///
/// When the cluster is dropped while its thread panics, which is how tests fail, it says where it
/// left its [trace](Self::trace), and which command repeats the test with its seed.
#[derive(Clone)]
pub struct SimCluster {
    shared: Arc<Shared>,
}

struct Shared {
    net: SimNet,
    seed: u64,
    primary: Region,
    force_wire: bool,
    log: TraceLog,
    /// In the order in which they were added.
    members: Mutex<Vec<Member>>,
    /// Whether a failure was told of.
    reported: AtomicBool,
}

struct Member {
    name: String,
    env: SimEnv,
    release: Release,
    state: State,
}

enum State {
    Running(Node),
    /// Something that is not flyrpc runs, or nothing at all, on a machine that is up.
    Other,
    /// It is down, and this is why.
    Down(&'static str),
}

impl SimCluster {
    /// Starts to describe a cluster.
    pub fn builder() -> SimClusterBuilder {
        SimClusterBuilder::new()
    }

    async fn start(builder: SimClusterBuilder, seed: u64) -> Self {
        let SimClusterBuilder { net, regions, primary, release, mut others, .. } = builder;
        let Some((first, _)) = regions.first() else {
            panic!("a cluster without nodes: add some with `.region(\"iad\", 2)`")
        };
        let primary = primary.unwrap_or_else(|| first.clone());
        assert!(
            regions.iter().any(|(region, _)| *region == primary),
            "the primary region `{primary}` has no nodes: add some with `.region(\"{primary}\", 1)`"
        );
        if builder.announce {
            eprintln!("flyrpc-testkit: seed {seed}; `{}` repeats this run", seed::command(seed));
        }
        let net = net.seed(seed).build();
        let log = TraceLog::new(seed, Instant::now());
        net.on_fault({
            let log = log.clone();
            move |fault| log.fault(fault.to_string())
        });
        let cluster = SimCluster {
            shared: Arc::new(Shared {
                log,
                net,
                seed,
                primary,
                force_wire: builder.force_wire,
                members: Mutex::default(),
                reported: AtomicBool::new(false),
            }),
        };
        for (region, count) in &regions {
            for _ in 0..*count {
                let name = cluster.next_name(region);
                let release = others.remove(&name).unwrap_or_else(|| release.clone());
                cluster.add(name, region, release);
            }
        }
        if let Some((name, _)) = others.first_key_value() {
            panic!("no node is called `{name}`: {}", cluster.there_are());
        }
        let mut seeds = cluster.addrs(|member| !member.release.is_flyrpc());
        for name in cluster.names() {
            let addr = cluster.launch(&name, seeds.clone()).await;
            seeds.push(addr);
        }
        cluster.settled().await;
        cluster
    }

    /// A running node.
    ///
    /// # Panics
    ///
    /// If there is no such node, it is down, or something else than flyrpc runs there.
    pub fn node(&self, name: impl AsRef<str>) -> Node {
        let name = name.as_ref();
        self.with(name, |member| match &member.state {
            State::Running(node) => Ok(node.clone()),
            State::Other => Err("does not run flyrpc".to_owned()),
            State::Down(why) => Err(format!("{why}: `restart` it first")),
        })
        .unwrap_or_else(|why| panic!("node `{name}` {why}"))
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

    /// Where all randomness comes from.
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// How long the cluster has run, in its own time: that of its [trace](Self::trace).
    pub fn elapsed(&self) -> Duration {
        self.shared.log.elapsed()
    }

    /// What happened so far: every call, membership and link event, and fault, in the cluster's
    /// time.
    pub fn trace(&self) -> Trace {
        self.shared.log.snapshot()
    }

    /// Adds a remark to the trace.
    pub fn note(&self, text: impl Into<String>) {
        self.shared.log.note(text);
    }

    /// Waits until every running node is linked to every other, as after
    /// [`start`](SimClusterBuilder::start).
    ///
    /// # Panics
    ///
    /// If that is not so within 60 s of the cluster's time; the message says who does not know whom.
    pub async fn settled(&self) {
        if let Err(gaps) = settle(|| self.nodes()).await {
            panic!(
                "the nodes do not all know each other after {:?}:\n{}\
                 a node that is frozen or cut off must be resumed or healed first",
                settle::LIMIT,
                Gaps(&gaps)
            );
        }
    }

    /// Whether the node's machine and its program run.
    ///
    /// # Panics
    ///
    /// If there is no such node.
    pub fn is_up(&self, name: impl AsRef<str>) -> bool {
        self.with(name.as_ref(), |member| !matches!(member.state, State::Down(_)))
    }

    fn set_release(&self, name: &str, release: Release) {
        // What is replaced is dropped outside the lock.
        let _before = self.with(name, |member| std::mem::replace(&mut member.release, release));
    }

    fn set_state(&self, name: &str, state: State) {
        // What is replaced is dropped outside the lock.
        let _before = self.with(name, |member| std::mem::replace(&mut member.state, state));
    }

    fn next_name(&self, region: &Region) -> String {
        let index = self.members().iter().filter(|member| member.env.region() == *region).count();
        format!("{region}-{index}")
    }

    fn add(&self, name: String, region: &Region, release: Release) {
        let env = self.shared.net.add_host(name.as_str(), region.clone());
        let state = State::Down("has not started yet");
        self.members().push(Member { name, env, release, state });
    }

    fn addrs(&self, of: impl Fn(&Member) -> bool) -> Vec<SocketAddr> {
        let members = self.members();
        members.iter().filter(|member| of(member)).map(|member| member.env.addr(PORT)).collect()
    }

    /// # Panics
    ///
    /// If there is no such node.
    fn with<R>(&self, name: &str, act: impl FnOnce(&mut Member) -> R) -> R {
        let mut members = self.members();
        match members.iter_mut().find(|member| member.name == name) {
            Some(member) => act(member),
            None => {
                drop(members);
                panic!("no node is called `{name}`: {}", self.there_are())
            }
        }
    }

    fn there_are(&self) -> String {
        let names = self.names();
        let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        match names.len().saturating_sub(SHOWN) {
            0 => format!("there are {shown}"),
            more => format!("there are {shown} and {more} more"),
        }
    }

    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        self.shared.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells, once, how to look into a failure.
    fn report(&self) {
        if self.shared.reported.swap(true, Ordering::Relaxed) {
            return;
        }
        let seed = self.shared.seed;
        eprintln!("flyrpc-testkit: failed with seed {seed}; to repeat it:");
        eprintln!("    {}", seed::command(seed));
        let file = seed::trace_file(seed);
        match self.trace().write_to(&file) {
            Ok(()) => eprintln!("the trace is in {}", file.display()),
            Err(error) => eprintln!("the trace cannot be written to {}: {error}", file.display()),
        }
    }
}

impl Deref for SimCluster {
    type Target = SimNet;

    fn deref(&self) -> &SimNet {
        &self.shared.net
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

impl State {
    fn node(&self) -> Option<&Node> {
        match self {
            State::Running(node) => Some(node),
            State::Other | State::Down(_) => None,
        }
    }
}

//! The settings of a node, and its start.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use rand::{Rng, SeedableRng, rngs::Xoshiro256PlusPlus};
use tokio::sync::mpsc;

use super::node::Node;
use super::{
    cluster::{self, Answers, ClusterParams, ServeInternal, Sockets},
    server::{INLINE_AFTER, Limits, Server},
    shared::{Handle, NodeShared, SharedConfig},
};
use crate::{
    config::{Config, parse_seeds},
    env::{Env, TokioEnv},
    error::StartError,
    proto::{
        discovery::Discovery,
        membership::{Membership, Settings},
        wire::hello::State,
    },
    service::Service,
    telemetry::Observer,
    types::{NodeId, NodeInfo, Region},
};

/// Settings of a node that is to be started. Made by [`Node::builder`] and [`Node::from_env`].
///
/// Each method replaces what was set before, except [`serve`](NodeBuilder::serve), which adds. Values
/// are checked by [`start`](NodeBuilder::start), whose error names the setting, its value, and what
/// was expected.
#[must_use = "nothing runs before `start`"]
pub struct NodeBuilder {
    config: Config,
    /// The first of the given seeds that was no seed.
    seed_error: Option<StartError>,
    services: Vec<Arc<dyn Service>>,
    env: Arc<dyn Env>,
    rng_seed: Option<u64>,
    encode_local_calls: bool,
    observer: Option<Arc<dyn Observer>>,
    /// See [`Limits::inline_after`].
    pub(crate) inline_after: u32,
}

/// How a node begins. Here rather than beside the other methods of [`Node`], so that `node` does not
/// depend on `builder`.
impl Node {
    /// Settings for a node, which read nothing from the environment.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::new()
    }

    /// Settings for a node, filled from the environment. What is then set on the builder wins.
    ///
    #[doc = include_str!("../docs/variables.md")]
    ///
    /// # Errors
    ///
    /// If a variable has a value that cannot be used; the error names it, its value, and what was
    /// expected.
    pub fn from_env() -> Result<NodeBuilder, StartError> {
        NodeBuilder::from_env()
    }
}

impl NodeBuilder {
    fn new() -> Self {
        NodeBuilder::from_config(Config::default())
    }

    fn from_env() -> Result<Self, StartError> {
        Config::from_env().map(NodeBuilder::from_config)
    }

    fn from_config(config: Config) -> Self {
        NodeBuilder {
            config,
            seed_error: None,
            services: Vec::new(),
            env: Arc::new(TokioEnv),
            rng_seed: None,
            encode_local_calls: false,
            observer: None,
            inline_after: INLINE_AFTER,
        }
    }

    /// The cluster to belong to: nodes of different clusters never mix, though they reach each
    /// other. 1 to 64 bytes; `local` by default.
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.config.cluster = name.into();
        self
    }

    /// What this node is called, in its id and in messages. 1 to 64 bytes; the host name by default.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// Where this node runs, in 1 to 64 bytes; `local` by default.
    pub fn region(mut self, region: impl Into<Region>) -> Self {
        self.config.region = region.into();
        self
    }

    /// The region where calls aimed at the primary run; `local` by default, except on Fly.io, where
    /// it must be given.
    pub fn primary_region(mut self, region: impl Into<Region>) -> Self {
        self.config.primary_region = Some(region.into());
        self
    }

    /// Where to listen, for links by TCP and for gossip by UDP. Port 0 takes a free one. Loopback
    /// by default, on Fly.io the private address and port 3590; never every interface.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.config.listen = Some(addr);
        self
    }

    /// Where others reach this node, if that is not where it listens. Port 0 is the port that it
    /// listens at.
    pub fn advertise(mut self, addr: SocketAddr) -> Self {
        self.config.advertise = Some(addr);
        self
    }

    /// Where to find other nodes: addresses, or names that resolve to them, as `name`, `name:port`,
    /// `v4:port` or `[v6]:port`. The port is 3590 unless it is said. Replaces seeds set before. An
    /// entry that is no seed is an error at [`start`](NodeBuilder::start).
    pub fn seeds(mut self, seeds: impl IntoIterator<Item = impl ToString>) -> Self {
        match parse_seeds("seeds", seeds) {
            Ok(seeds) => self.config.seeds = seeds,
            Err(error) => self.seed_error = Some(error),
        }
        self
    }

    /// Serves a service: a type that `#[fly_rpc]` generated, around an implementation. Any number.
    /// Two of one name are an error at [`start`](NodeBuilder::start).
    ///
    /// A node that serves nothing is a client of the cluster.
    pub fn serve(mut self, service: impl Service) -> Self {
        self.services.push(Arc::new(service));
        self
    }

    /// Whether to serve nothing, whatever is given to [`serve`](NodeBuilder::serve). By default
    /// only where [`Node::from_env`] found `RELEASE_COMMAND`, which Fly.io sets on release machines.
    pub fn client_only(mut self, client_only: bool) -> Self {
        self.config.client_only = client_only;
        self
    }

    /// Joins without taking calls from others until [`Node::accept`]: for a node that must run
    /// migrations or be found healthy first.
    pub fn hold(mut self) -> Self {
        self.config.hold = true;
        self
    }

    /// How long [`Node::drain`] waits for calls that run; 4 s by default, at most 24 h. Keep it below
    /// the time that the platform leaves a process between its signal and its end.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.config.drain_timeout = timeout;
        self
    }

    /// The most bytes that the encoded arguments or the encoded reply of a call may have; 32 MiB by
    /// default, at most 4 GiB less a byte. Between two nodes the lesser holds. Bodies are held in
    /// memory whole, several at a time, so choose it by the largest that is meant to cross.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.config.max_body = bytes;
        self
    }

    /// How many calls from others may execute at once; further ones are refused as
    /// [overloaded](crate::error::Refusal::Overloaded). 8,192 by default, at least 1.
    pub fn max_in_flight(mut self, calls: usize) -> Self {
        self.config.max_in_flight = calls;
        self
    }

    /// How often links are probed; 1 s by default, 10 ms to 1 h. After 2 heartbeats without a word
    /// other nodes are preferred, after 5 the link is broken. A shorter one finds dead nodes sooner,
    /// and takes slow ones for dead; keep it above the longest round trip between regions.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.config.heartbeat = heartbeat;
        self
    }

    /// The world to run in; tokio's by default. For simulators.
    pub fn env(mut self, env: impl Env) -> Self {
        self.env = Arc::new(env);
        self
    }

    /// Seeds the random choices of the membership; random by default. For tests that must repeat.
    pub fn rng_seed(mut self, seed: u64) -> Self {
        self.rng_seed = Some(seed);
        self
    }

    /// Whether calls that run on this very node are encoded and decoded all the same; by default
    /// they are not. For tests: with it a type that does not survive the wire, or a body larger than
    /// [`max_body`](NodeBuilder::max_body), shows in a test with one node. They still run in this
    /// process, and [`Context::is_local`](super::node::context::Context::is_local) says so.
    pub fn encode_local_calls(mut self, encode: bool) -> Self {
        self.encode_local_calls = encode;
        self
    }

    /// Shows `observer` what the node does: its calls, its links, and whom it learns of. An `Arc` of
    /// an observer is one, too. Nobody is shown it by default.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Starts the node: takes its port, and begins to look for others. It serves at once; whoever
    /// must know the others first awaits [`Node::ready`]. Dropping the future starts nothing.
    ///
    /// # Errors
    ///
    /// If a setting cannot be used, two services have one name, or the port cannot be taken.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time and I/O enabled.
    pub async fn start(self) -> Result<Node, StartError> {
        let NodeBuilder {
            config,
            seed_error,
            services,
            env,
            rng_seed,
            encode_local_calls,
            observer,
            inline_after,
        } = self;
        if let Some(error) = seed_error {
            return Err(error);
        }
        config.validate()?;
        let services = if config.client_only { Vec::new() } else { services };
        let random = |purpose: u64| match rng_seed {
            Some(seed) => Xoshiro256PlusPlus::seed_from_u64(seed ^ purpose).next_u64(),
            None => env.random(),
        };

        let at = config.listen_at(!services.is_empty());
        let sockets = Sockets::bind(&*env, at).await?;
        let addr = config.advertise_at(sockets.addr);
        let id = NodeId::new(&config.name, random(1));
        let me = NodeInfo::new(id, config.region.clone(), addr);

        let (commands, receiver) = mpsc::unbounded_channel();
        let answers = Answers { commands: commands.clone(), region: config.region.clone() };
        let internal: Arc<dyn Service> = Arc::new(ServeInternal::new(answers));
        let state = State {
            accepting: !config.hold,
            draining: false,
            primary_region: config.primary(),
            withdrawn: Vec::new(),
        };
        let limits =
            Limits { max_in_flight: config.max_in_flight, max_body: config.max_body, inline_after };
        let services = std::iter::once(internal).chain(services).collect();
        let server = Server::new(Arc::clone(&env), me.clone(), services, state, limits)?;

        let settings = Settings::new(&config.cluster);
        let epoch = env.now();
        let membership = Membership::new(&me, settings, random(2), Duration::ZERO)
            .expect("the settings were validated");
        let discovery = Discovery::new(config.seeds.clone(), [addr, sockets.addr]);
        let told = SharedConfig {
            primary_region: config.primary(),
            max_body: config.max_body,
            encode_local_calls,
            observer,
        };
        let hub = NodeShared::new(env, me, told, server, commands);
        let handle = Handle::keeping(Arc::clone(&hub));
        cluster::start(ClusterParams {
            hub,
            commands: receiver,
            sockets,
            membership,
            discovery,
            cluster: config.cluster,
            heartbeat: config.heartbeat,
            epoch,
        });
        tracing::info!(node = %handle.me(), %addr, "node started");
        Ok(Node { handle, drain_timeout: config.drain_timeout })
    }
}

impl fmt::Debug for NodeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services: Vec<_> = self.services.iter().map(|service| service.type_name()).collect();
        f.debug_struct("NodeBuilder")
            .field("config", &self.config)
            .field("services", &services)
            .finish_non_exhaustive()
    }
}

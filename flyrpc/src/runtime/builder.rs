//! The settings of a node, and its start.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use rand::{Rng, SeedableRng, rngs::Xoshiro256PlusPlus};
use tokio::sync::mpsc;

use super::{
    cluster::{self, ClusterParams, InternalHandler, ServeInternal, Sockets},
    node::Node,
    server::{INLINE_AFTER, Limits, Server},
    shared::{Command, Handle, NodeShared, SharedConfig},
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

/// The settings of a node to start. Made by [`Node::builder`] and [`Node::from_env`].
///
/// Each method replaces the previous value, except [`serve`](NodeBuilder::serve), which adds. Values
/// are checked by [`start`](NodeBuilder::start), whose error names the setting, its value, and what
/// was expected.
#[must_use = "nothing runs before `start`"]
pub struct NodeBuilder {
    config: Config,
    /// The error of the first seed that did not parse.
    seed_error: Option<StartError>,
    services: Vec<Arc<dyn Service>>,
    env: Arc<dyn Env>,
    rng_seed: Option<u64>,
    encode_local_calls: bool,
    observer: Option<Arc<dyn Observer>>,
    /// See [`Limits::inline_after`].
    pub(crate) inline_after: u32,
}

/// Here rather than beside the other methods of [`Node`], so that `node` does not depend on `builder`.
impl Node {
    /// Default settings. Reads nothing from the environment.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::new()
    }

    /// Settings from the environment. Methods of the builder override them. The guide to
    /// [settings](crate::guide::settings) lists the variables.
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

    /// The cluster that the node belongs to. Nodes of different clusters never mix, even where they
    /// reach each other. 1 to 64 bytes; `local` by default.
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.config.cluster = name.into();
        self
    }

    /// The node's name, in its id and in messages. 1 to 64 bytes; the host name by default.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// The region that the node runs in. 1 to 64 bytes; `local` by default.
    pub fn region(mut self, region: impl Into<Region>) -> Self {
        self.config.region = region.into();
        self
    }

    /// The primary region, where calls aimed at the primary run. `local` by default, except on Fly.io,
    /// where it must be set.
    pub fn primary_region(mut self, region: impl Into<Region>) -> Self {
        self.config.primary_region = Some(region.into());
        self
    }

    /// The address to listen on: TCP for links, UDP for gossip. Port 0 takes a free port. Loopback by
    /// default, on Fly.io the private address and port 3590; never every interface.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.config.listen = Some(addr);
        self
    }

    /// The address where other nodes reach this one, if it is not the one it listens on. Port 0 stands
    /// for the port that it listens on.
    pub fn advertise(mut self, addr: SocketAddr) -> Self {
        self.config.advertise = Some(addr);
        self
    }

    /// Where to find other nodes: addresses, or names that resolve to them, as `name`, `name:port`,
    /// `v4:port` or `[v6]:port`. The port is 3590 by default. Replaces seeds set before. An entry that
    /// does not parse is an error at [`start`](NodeBuilder::start).
    pub fn seeds(mut self, seeds: impl IntoIterator<Item = impl ToString>) -> Self {
        match parse_seeds("seeds", seeds) {
            Ok(seeds) => self.config.seeds = seeds,
            Err(error) => self.seed_error = Some(error),
        }
        self
    }

    /// Adds a service: a type that `#[fly_rpc]` generated, around an implementation. Two services of one
    /// name are an error at [`start`](NodeBuilder::start).
    ///
    /// A node without services is a client of the cluster.
    pub fn serve(mut self, service: impl Service) -> Self {
        self.services.push(Arc::new(service));
        self
    }

    /// Whether to ignore the services given to [`serve`](NodeBuilder::serve). False by default, except
    /// where [`Node::from_env`] found `RELEASE_COMMAND`, which Fly.io sets on release machines.
    pub fn client_only(mut self, client_only: bool) -> Self {
        self.config.client_only = client_only;
        self
    }

    /// Joins the cluster without accepting calls from other nodes until [`Node::accept`]: for a node
    /// that must run migrations or pass a health check first.
    pub fn hold(mut self) -> Self {
        self.config.hold = true;
        self
    }

    /// How long [`Node::drain`] waits for calls in flight; 4 s by default, at most 24 h. Keep it below
    /// the time that the platform grants a process between its signal and its end.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.config.drain_timeout = timeout;
        self
    }

    /// Upper bound on the bytes of the encoded arguments, and of the encoded reply, of a call; 32 MiB by
    /// default, at most 4 GiB less a byte. Between two nodes the smaller bound holds. Several bodies
    /// are in memory at a time, each as a whole, so set it no higher than the largest body needs.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.config.max_body = bytes;
        self
    }

    /// Upper bound on calls from other nodes in flight; further ones are refused as
    /// [overloaded](crate::error::Refusal::Overloaded). 8,192 by default, at least 1.
    pub fn max_in_flight(mut self, calls: usize) -> Self {
        self.config.max_in_flight = calls;
        self
    }

    /// The time between two pings on a link; 1 s by default, 10 ms to 1 h. After 2 heartbeats of silence
    /// other nodes are preferred, after 5 the link is closed. A shorter heartbeat detects dead nodes
    /// sooner, but mistakes slow ones for dead: keep it above the longest round trip between regions.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.config.heartbeat = heartbeat;
        self
    }

    /// The runtime environment; tokio's by default. For simulators.
    pub fn env(mut self, env: impl Env) -> Self {
        self.env = Arc::new(env);
        self
    }

    /// Seeds the random choices of the membership; random by default. For reproducible tests.
    pub fn rng_seed(mut self, seed: u64) -> Self {
        self.rng_seed = Some(seed);
        self
    }

    /// Whether calls that run on this node are encoded and decoded as if they crossed a link; false by
    /// default. For tests: it reveals a type that does not survive encoding, or a body larger than
    /// [`max_body`](NodeBuilder::max_body), in a test with one node. The calls still run in this
    /// process, and [`Context::is_local`](crate::runtime::context::Context::is_local) returns true.
    pub fn encode_local_calls(mut self, encode: bool) -> Self {
        self.encode_local_calls = encode;
        self
    }

    /// Sets the observer of the node's calls, links and events; none by default. An `Arc` of an
    /// observer is an observer, too.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Starts the node: binds its port, and starts to look for other nodes. It serves at once; await
    /// [`Node::ready`] to wait until other nodes are known. Dropping the future starts nothing.
    ///
    /// # Errors
    ///
    /// If a setting is invalid, two services have one name, or the port cannot be bound.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time and I/O enabled.
    pub async fn start(mut self) -> Result<Node, StartError> {
        if let Some(error) = self.seed_error.take() {
            return Err(error);
        }
        self.config.validate()?;
        if self.config.client_only {
            self.services.clear();
        }
        let at = self.config.listen_at(!self.services.is_empty());
        let sockets = Sockets::bind(&*self.env, at).await?;
        let addr = self.config.advertise_at(sockets.addr);
        let id = NodeId::new(&self.config.name, self.random(1));
        let me = NodeInfo::new(id, self.config.region.clone(), addr);
        let (commands, receiver) = mpsc::unbounded_channel();
        let server = self.server(&me, commands.clone())?;
        let epoch = self.env.now();
        let settings = Settings::new(&self.config.cluster);
        let membership = Membership::new(&me, settings, self.random(2), Duration::ZERO)
            .expect("the settings were validated");
        let NodeBuilder { config, env, encode_local_calls, observer, .. } = self;
        let discovery = Discovery::new(config.seeds.clone(), [addr, sockets.addr]);
        let shared_config = SharedConfig {
            primary_region: config.primary(),
            max_body: config.max_body,
            encode_local_calls,
            observer,
        };
        let shared = NodeShared::new(env, me, shared_config, server, commands);
        let handle = Handle::strong(Arc::clone(&shared));
        cluster::start(ClusterParams {
            shared,
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

    /// The server of the internal service and of the user's.
    fn server(
        &mut self,
        me: &NodeInfo,
        commands: mpsc::UnboundedSender<Command>,
    ) -> Result<Server, StartError> {
        let config = &self.config;
        let handler = InternalHandler { commands, region: config.region.clone() };
        let internal: Arc<dyn Service> = Arc::new(ServeInternal::new(handler));
        let services = std::iter::once(internal).chain(self.services.drain(..)).collect();
        let state = State {
            accepting: !config.hold,
            draining: false,
            primary_region: config.primary(),
            withdrawn: Vec::new(),
        };
        let limits = Limits {
            max_in_flight: config.max_in_flight,
            max_body: config.max_body,
            inline_after: self.inline_after,
        };
        Server::new(Arc::clone(&self.env), me.clone(), services, state, limits)
    }

    /// A random number for one purpose, which the seed decides if there is one.
    fn random(&self, purpose: u64) -> u64 {
        match self.rng_seed {
            Some(seed) => Xoshiro256PlusPlus::seed_from_u64(seed ^ purpose).next_u64(),
            None => self.env.random(),
        }
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

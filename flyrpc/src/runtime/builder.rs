//! Configures and starts a node.

mod start;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use super::{
    node::Node,
    server::{Admission, Authorizer, INLINE_AFTER},
};
use crate::{
    config::{Config, Keyring, parse_seeds},
    env::{Env, TokioEnv},
    error::{Denied, StartError},
    service::Service,
    telemetry::{CaughtObserver, Observer, Spans},
    types::Region,
};

/// Configures and starts a node. Created by [`Node::builder`] or [`Node::from_env`].
///
/// Each method replaces the previous value, except [`serve`](NodeBuilder::serve), which adds a
/// service. [`start`](NodeBuilder::start) validates the values; its error names the setting, its
/// value, and the expected form.
#[must_use = "nothing runs before `start`"]
pub struct NodeBuilder {
    config: Config,
    /// The error of an entry that [`seeds`](NodeBuilder::seeds) could not parse. `start` returns
    /// it.
    seed_error: Option<StartError>,
    /// The error of a host name that [`listen_on_host`](NodeBuilder::listen_on_host) could not parse.
    listen_error: Option<StartError>,
    services: Vec<Arc<dyn Service>>,
    authorizer: Option<Authorizer>,
    env: Arc<dyn Env>,
    rng_seed: Option<u64>,
    encode_local_calls: bool,
    observers: Vec<CaughtObserver>,
    spans: Option<Spans>,
    /// See [`Limits::inline_after`].
    pub(crate) inline_after: u32,
}

// These methods are here rather than in `node.rs`, so that `node` does not depend on `builder`.
impl Node {
    /// Returns a builder with default settings. Reads nothing from the environment.
    pub fn builder() -> NodeBuilder {
        NodeBuilder::new()
    }

    /// Returns a builder with settings from environment variables. The builder's methods override
    /// them. The guide to [settings](crate::guide::settings) lists the variables.
    ///
    /// # Errors
    ///
    /// Returns an error if a variable has an invalid value. The error names the variable, its
    /// value, and the expected form.
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
            listen_error: None,
            services: Vec::new(),
            authorizer: None,
            env: Arc::new(TokioEnv),
            rng_seed: None,
            encode_local_calls: false,
            observers: Vec::new(),
            spans: None,
            inline_after: INLINE_AFTER,
        }
    }

    /// Sets the cluster that the node belongs to. Nodes of different clusters stay separate, even
    /// if they can reach each other. The name has 1 to 64 bytes; the default is `local`.
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.config.cluster = name.into();
        self
    }

    /// Sets the node's name, which is part of its id and appears in messages. The name has 1 to 64
    /// bytes; the default is the host name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// Sets the version of the application, such as the commit or the release that was deployed. Other nodes show it
    /// as [`Peer::version`](crate::Peer::version), which shows whether a rollout is complete. It affects no call.
    /// Up to 64 bytes without control characters; the default is empty. A version that is longer is an error at
    /// [start](Self::start).
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.config.version = version.into();
        self
    }

    /// Sets the region that the node runs in. The name has 1 to 64 bytes; the default is `local`.
    pub fn region(mut self, region: impl Into<Region>) -> Self {
        self.config.region = region.into();
        self
    }

    /// Sets the primary region, which serves calls to the primary. The default is `local`,
    /// except on Fly.io, where this setting is required.
    pub fn primary_region(mut self, region: impl Into<Region>) -> Self {
        self.config.primary_region = Some(region.into());
        self
    }

    /// Sets the address to listen on, with TCP for links and UDP for gossip. Port 0 selects a free
    /// port. The default is a loopback address; on Fly.io, it is the private address with port
    /// 3590. By default, the node never listens on all interfaces.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.config.listen = Some(addr);
        self.config.listen_name = None;
        self.listen_error = None;
        self
    }

    /// Sets the host name to listen on, as `name` or `name:port`, such as `fly-local-6pn:3590`. The default
    /// port is 3590. [`start`](NodeBuilder::start) looks the name up once, and listens on the first address
    /// that it resolves to. Replaces the address set by [`listen`](NodeBuilder::listen).
    pub fn listen_on_host(mut self, name: impl AsRef<str>) -> Self {
        match self.config.set_listen_name(name.as_ref()) {
            Ok(()) => self.listen_error = None,
            Err(error) => self.listen_error = Some(error),
        }
        self
    }

    /// Sets the address at which other nodes reach this one, if it differs from the listening address.
    /// Port 0 stands for the port of the listening address. Required if the node listens on every
    /// interface.
    /// [`start`](NodeBuilder::start) returns an error if other machines cannot reach the address: it is
    /// unspecified, multicast or broadcast, or it is loopback although the node listens beyond loopback.
    pub fn advertise(mut self, addr: SocketAddr) -> Self {
        self.config.advertise = Some(addr);
        self
    }

    /// Sets where to find other nodes. Each entry is an address, or a name that resolves to
    /// addresses, written as `name`, `name:port`, `v4:port` or `[v6]:port`. The default port is
    /// 3590. Replaces the seeds set before. If an entry does not parse,
    /// [`start`](NodeBuilder::start) returns an error.
    pub fn seeds(mut self, seeds: impl IntoIterator<Item = impl ToString>) -> Self {
        match parse_seeds("seeds", seeds) {
            Ok(seeds) => {
                self.config.seeds = seeds;
                self.seed_error = None;
            }
            Err(error) => self.seed_error = Some(error),
        }
        self
    }

    /// Adds a service: an implementation wrapped in a type that `#[fly_rpc]` generated. If two
    /// services have the same name, [`start`](NodeBuilder::start) returns an error.
    ///
    /// A node without services is only a client of the cluster.
    pub fn serve(mut self, service: impl Service) -> Self {
        self.services.push(Arc::new(service));
        self
    }

    /// Sets the function that decides which calls of other nodes the node serves. By default, there is none,
    /// and the node serves every call. Replaces the function set before.
    ///
    /// The function is called once for each request, when the request is announced: before its arguments
    /// are received in full and decoded, and before it counts in
    /// [`max_in_flight`](NodeBuilder::max_in_flight) and
    /// [`max_body_memory`](NodeBuilder::max_body_memory). If it returns [`Denied`], the call is not
    /// executed, and fails with [`RpcError::Denied`](crate::RpcError::Denied), which contains the reason. It
    /// is not called for calls that this node makes to itself, for requests that the node refuses anyway
    /// because it is held, draining or not primary, and for the requests that nodes make to keep the
    /// cluster together.
    ///
    /// The function runs in the task that reads from the link, so it must not block. If it panics, the call
    /// is denied. The first panic is logged.
    ///
    /// The name and the region of a caller are claims: see [`Admission::caller`].
    ///
    /// ```
    /// use flyrpc::{Admission, Denied, ErrorKind, Node, fly_rpc};
    ///
    /// #[fly_rpc]
    /// trait Notes {
    ///     async fn read(&self) -> String;
    ///     async fn delete(&self);
    /// }
    ///
    /// # struct InMemory;
    /// # impl Notes for InMemory {
    /// #     async fn read(&self) -> String {
    /// #         "a note".to_owned()
    /// #     }
    /// #     async fn delete(&self) {}
    /// # }
    /// fn rule(call: &Admission<'_>) -> Result<(), Denied> {
    ///     match (call.service(), call.method()) {
    ///         ("Notes", "delete") if call.caller().region() != "iad" => {
    ///             Err(Denied::new("only nodes in iad delete notes"))
    ///         }
    ///         _ => Ok(()),
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let iad = Node::builder().name("a").region("iad").primary_region("iad").authorize(rule);
    /// let iad = iad.serve(ServeNotes::new(InMemory)).start().await?;
    /// let hkg = Node::builder().name("b").region("hkg").primary_region("iad");
    /// let hkg = hkg.seeds([iad.addr()]).start().await?;
    /// hkg.ready().await;
    ///
    /// let notes: NotesClient = hkg.client();
    /// assert_eq!(notes.on_region("iad").read().await?, "a note");
    /// let error = notes.on_region("iad").delete().await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Denied);
    /// assert!(error.to_string().ends_with(": only nodes in iad delete notes"));
    /// # hkg.shutdown().await;
    /// # iad.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn authorize<F>(mut self, rule: F) -> Self
    where
        F: Fn(&Admission<'_>) -> Result<(), Denied> + Send + Sync + 'static,
    {
        self.authorizer = Some(Authorizer::new(rule));
        self
    }

    /// Sets whether to ignore the services given to [`serve`](NodeBuilder::serve). The default is
    /// false, unless [`Node::from_env`] found `RELEASE_COMMAND`, which Fly.io sets on release
    /// machines.
    pub fn client_only(mut self, client_only: bool) -> Self {
        self.config.client_only = client_only;
        self
    }

    /// Joins the cluster, but accepts no calls from other nodes until [`Node::accept`] is called.
    /// Use it for a node that must run migrations or pass a health check first.
    pub fn hold(mut self) -> Self {
        self.config.hold = true;
        self
    }

    /// Sets how long [`Node::drain`] waits for calls in flight, and within what time [`Node::shutdown`] as a
    /// whole ends. The default is 4 s and the maximum is 24 h. Keep the timeout below the time that the
    /// platform allows between the termination signal and killing the process, which is 5 s on Fly.io.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.config.drain_timeout = timeout;
        self
    }

    /// Sets the maximum size in bytes of a call's encoded arguments, and of its encoded reply. The
    /// default is 32 MiB and the maximum is 4 GiB minus 1 byte. Between two nodes, the smaller
    /// limit applies. Several bodies can be in memory at the same time, each as a whole, so set the
    /// limit no higher than the largest body needs.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.config.max_body = bytes;
        self
    }

    /// Sets the maximum number of bytes of bodies that the node holds for other nodes, over all links: of
    /// requests (more than 64 bytes), from their announcement until they are decoded, and of long replies (more
    /// than 16 KiB), from their encoding until they are written. The default is 256 MiB or 8 times
    /// [`max_body`](NodeBuilder::max_body), whichever is more. The minimum is twice `max_body`.
    ///
    /// A request that would exceed the maximum is refused with
    /// [`Refusal::Memory`](crate::error::Refusal::Memory). A long reply that would exceed it waits with its
    /// value, and is encoded when there is memory, or dropped at the deadline of its call. Once half of the
    /// maximum is in use, a peer may hold only its fair share, so that a single peer cannot take what the
    /// others need.
    ///
    /// Independently of this setting, a link holds at most 4 MiB of encoded long replies, or a single
    /// longer one, and at most 256 KiB of frames with short requests and replies, plus the write in
    /// progress.
    pub fn max_body_memory(mut self, bytes: usize) -> Self {
        self.config.max_body_memory = Some(bytes);
        self
    }

    /// Sets the maximum number of calls from other nodes in flight. Further calls are refused as
    /// [overloaded](crate::error::Refusal::Overloaded). The default is 8,192 and the minimum is 1.
    ///
    /// Once half of the maximum is in flight, a peer may have only its fair share, so that a single peer
    /// cannot take what the others need. The fair share is the maximum divided by one more than the
    /// number of peers that have calls in flight, or by the number of linked peers if that is less.
    pub fn max_in_flight(mut self, calls: usize) -> Self {
        self.config.max_in_flight = calls;
        self
    }

    /// Sets the time between two pings on a link, from 10 ms to 1 h. The default is 1 s. After 2
    /// heartbeats of silence, calls prefer other nodes; after 5, the link is closed. A shorter
    /// heartbeat detects dead nodes sooner, but is more likely to take a slow node for dead. Keep
    /// it above the longest round trip between regions.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.config.heartbeat = heartbeat;
        self
    }

    /// Sets the secret of the cluster. The node seals its links and its gossip, and accepts only nodes that hold
    /// one of these keys. A node that listens beyond loopback needs a secret, unless it is
    /// [`insecure`](NodeBuilder::insecure). See the guide to [security](crate::guide::security).
    pub fn secret(mut self, keyring: Keyring) -> Self {
        self.config.secret = Some(keyring);
        self
    }

    /// Declares that everything that can reach the node may call it. Without a
    /// [`secret`](NodeBuilder::secret), nothing is sealed. With a secret, the node is permissive: it seals links
    /// to nodes that hold the secret, and accepts nodes without it. A cluster is secured without downtime by
    /// deploying both to all nodes, and then the secret alone.
    pub fn insecure(mut self) -> Self {
        self.config.insecure = true;
        self
    }

    /// Sets the runtime environment, for simulators. The default is tokio's.
    pub fn env(mut self, env: impl Env) -> Self {
        self.env = Arc::new(env);
        self
    }

    /// Seeds the random choices of the membership and the boot number in the node's id, for
    /// reproducible tests. The default seed is random.
    pub fn rng_seed(mut self, seed: u64) -> Self {
        self.rng_seed = Some(seed);
        self
    }

    /// Sets whether calls that run on this node are encoded and decoded as if they crossed a link.
    /// The default is false. This is for tests with one node: it reveals a type that does not
    /// survive encoding, or a body larger than [`max_body`](NodeBuilder::max_body). The calls still
    /// run in this process, and [`Context::is_local`](crate::runtime::context::Context::is_local)
    /// returns true.
    pub fn encode_local_calls(mut self, encode: bool) -> Self {
        self.encode_local_calls = encode;
        self
    }

    /// Adds an observer of the node's calls, links and events. By default, there is none. Each call of this method
    /// adds one; each observer receives every report, in the order in which they were added. An `Arc` of an observer
    /// is also an observer. Panics of an observer are caught, and the first one is logged.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(CaughtObserver::new(observer));
        self
    }

    /// Makes a span for each call that the node makes, and for each handler that it runs. By default, there are
    /// no spans, and calls do not become slower. A later call of this method replaces what an earlier one set.
    pub fn spans(mut self, spans: Spans) -> Self {
        self.spans = Some(spans);
        self
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

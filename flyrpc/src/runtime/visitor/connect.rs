//! Connects a visitor to a node.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    config::{Keyring, Sealing},
    env::{Env, TokioEnv},
    proto::{
        link::handshake::{DialError, LocalHello},
        wire::{hello::EncodedHello, state::State},
    },
    runtime::{
        link::{self, Link, LinkParams, RegionCalls, VISITOR_REGION},
        server::{INLINE_AFTER, Limits, Server},
    },
    types::{KeyId, NodeId, NodeInfo, Region},
};

/// The name of visitors.
const VISITOR: &str = "visitor";

/// The interval of pings.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Upper bound on the body of a call or a reply, in bytes.
pub(super) const MAX_BODY: usize = 32 << 20;

/// How a visitor connects.
///
/// ```no_run
/// use flyrpc::operations::{VisitOptions, Visitor};
///
/// # async fn visit() -> Result<(), Box<dyn std::error::Error>> {
/// let options = VisitOptions::new().secret("…".parse()?);
/// let visitor = Visitor::connect(([127, 0, 0, 1], 3590).into(), options).await?;
/// for peer in visitor.status(None).await?.peers {
///     println!("{} is {}", peer.addr, peer.state);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct VisitOptions {
    cluster: Option<String>,
    secret: Option<Keyring>,
    env: Arc<dyn Env>,
}

impl VisitOptions {
    /// Connects to a node of any cluster, without a secret.
    pub fn new() -> Self {
        VisitOptions { cluster: None, secret: None, env: Arc::new(TokioEnv) }
    }

    /// Refuses nodes of other clusters than this one.
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.cluster = Some(name.into());
        self
    }

    /// Sets the secret of the cluster. The connection is sealed, and a node without the secret is refused.
    pub fn secret(mut self, secret: Keyring) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Sets the runtime environment, for simulators.
    pub fn env(mut self, env: impl Env) -> Self {
        self.env = Arc::new(env);
        self
    }

    pub(super) async fn connect(
        self,
        addr: SocketAddr,
    ) -> Result<(Arc<dyn Env>, Arc<Link>), VisitError> {
        let cluster = self.cluster.clone().unwrap_or_default();
        let dialed = self.dial(addr, &cluster).await;
        let dialed = match dialed {
            Err(DialError::OtherCluster(theirs)) if self.cluster.is_none() => {
                self.dial(addr, &theirs).await
            }
            dialed => dialed,
        };
        dialed.map(|link| (self.env, link)).map_err(VisitError::new)
    }

    async fn dial(&self, addr: SocketAddr, cluster: &str) -> Result<Arc<Link>, DialError> {
        let env = &self.env;
        let hello = self.hello(cluster);
        let handshaken = link::dial(&**env, addr, &hello).await?;
        let (now, me) = (env.now(), hello.node.clone());
        let region_calls = RegionCalls::new(now.into_std(), now.into_std());
        let state = State::clone(&hello.state);
        let limits = Limits {
            max_in_flight: 1,
            max_body: MAX_BODY,
            max_body_memory: 2 * MAX_BODY,
            inline_after: INLINE_AFTER,
        };
        let server = Server::new(Arc::clone(env), me, Vec::new(), state, limits, None, None);
        let params = LinkParams {
            env: Arc::clone(env),
            handler: Arc::new(server.expect("it has no services that could conflict")),
            events: Box::new(|_, _| {}),
            heartbeat: HEARTBEAT,
            max_body: MAX_BODY,
            region_calls: Arc::new(region_calls),
        };
        Ok(link::start(handshaken, params))
    }

    fn hello(&self, cluster: &str) -> LocalHello {
        // The node replaces the address with the one that the connection comes from.
        let addr = ([127, 0, 0, 1], 1).into();
        let id = NodeId::new(VISITOR, self.env.random());
        let node = NodeInfo::new(id, Region::from(VISITOR_REGION), addr);
        let state = State {
            accepting: false,
            draining: false,
            primary_region: Region::from(VISITOR_REGION),
            withdrawn: Vec::new(),
        };
        let sealing = self.secret.clone().map_or(Sealing::Open, Sealing::Sealed);
        let keys: Vec<KeyId> = sealing.keyring().into_iter().flat_map(Keyring::ids).collect();
        let services = Arc::from([]);
        let max_body = MAX_BODY as u64;
        let encoded = EncodedHello::new(cluster, &node, max_body, &services, &state, &keys, "");
        LocalHello {
            cluster: cluster.to_owned(),
            node,
            state: Arc::new(state),
            encoded: encoded.of_visitor(),
            heartbeat: HEARTBEAT,
            sealing,
        }
    }
}

impl fmt::Debug for VisitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VisitOptions")
            .field("cluster", &self.cluster)
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

impl Default for VisitOptions {
    fn default() -> Self {
        VisitOptions::new()
    }
}

/// Why a visitor could not connect to a node.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{source}")]
pub struct VisitError {
    source: DialError,
}

impl VisitError {
    fn new(source: DialError) -> Self {
        VisitError { source }
    }

    /// Returns the kind of the error, such as `CONNECT`, `NOT_FLYRPC` or `OTHER_SECRET`: the same texts as in
    /// [`Observed::Handshake`](crate::Observed::Handshake).
    pub fn kind(&self) -> &'static str {
        self.source.kind()
    }

    /// Returns the ids of the keys that the node holds, if it told them because it does not hold the visitor's.
    pub fn keys(&self) -> &[KeyId] {
        match &self.source {
            DialError::OtherSecret(keys) => keys,
            _ => &[],
        }
    }
}

//! Starts a node.

use std::{io, mem, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use rand::{Rng, SeedableRng, rngs::Xoshiro256PlusPlus};
use tokio::sync::mpsc;

use super::NodeBuilder;
use crate::{
    config::Keyring,
    error::StartError,
    proto::{
        discovery::Discovery,
        membership::{GossipSealing, Membership, Settings},
        seal::replay::Salt,
        wire::state::State,
    },
    runtime::{
        check_runtime::{bind_panicked, check_time},
        cluster::{self, ClusterParams, InternalHandler, ServeInternal, Sockets},
        node::Node,
        operations::Identity,
        server::{Limits, Server},
        shared::{Command, Handle, NodeShared, SharedConfig},
    },
    service::Service,
    telemetry::Observers,
    types::{NodeId, NodeInfo},
};

impl NodeBuilder {
    /// Starts the node: binds its port, and starts to look for other nodes. The node serves calls
    /// immediately; await [`Node::ready`] to wait until other nodes are known. If the future is
    /// dropped before it completes, no node is started.
    ///
    /// # Errors
    ///
    /// Returns an error if a setting is invalid, the node listens beyond loopback without a
    /// [`secret`](NodeBuilder::secret), two services have the same name, the port cannot be bound,
    /// or the current task runs outside a tokio runtime or in one without time or I/O. tokio reports the
    /// latter only by a panic, which is caught: with `panic = "abort"`, the process aborts.
    pub async fn start(mut self) -> Result<Node, StartError> {
        check_time()?;
        if let Some(error) = self.seed_error.take().or(self.listen_error.take()) {
            return Err(error);
        }
        self.resolve_listen_name().await?;
        self.config.validate()?;
        if self.config.client_only {
            self.services.clear();
        }
        let at = self.config.listen_at(!self.services.is_empty());
        let bind = AssertUnwindSafe(Sockets::bind(&*self.env, at)).catch_unwind();
        let bound = bind.await.unwrap_or_else(|panic| Err(bind_panicked(panic)));
        if !bound.as_ref().is_ok_and(Sockets::is_simulated) {
            // This error takes precedence over those of an address that others cannot reach, or that cannot be bound.
            self.config.check_secret(at)?;
        }
        self.config.check_addresses()?;
        let sockets = bound?;
        let addr = self.config.advertise_at(sockets.addr);
        let id = NodeId::new(&self.config.name, self.random(1));
        let me = NodeInfo::new(id, self.config.region.clone(), addr);
        let (commands, receiver) = mpsc::unbounded_channel();
        let observers =
            Observers::new(mem::take(&mut self.observers), self.spans.take()).map(Arc::new);
        let server = self.server(&me, commands.clone(), observers.as_ref())?;
        let epoch = self.env.now();
        let mut salt = Salt::default();
        self.env.fill(&mut salt);
        let sealing = self.config.sealing();
        let settings = Settings {
            sealing: GossipSealing { mode: sealing.clone(), salt },
            ..Settings::new(&self.config.cluster)
        };
        let membership = Membership::new(&me, settings, self.random(2), Duration::ZERO)
            .expect("the settings were validated");
        let NodeBuilder { config, env, encode_local_calls, .. } = self;
        let discovery = Discovery::new(config.seeds.clone(), [addr, sockets.addr]);
        let shared_config = SharedConfig {
            primary_region: config.primary(),
            max_body: config.max_body,
            encode_local_calls,
            observers,
        };
        let shared = NodeShared::new(env, me, shared_config, server, commands);
        let handle = Handle::new(Arc::clone(&shared));
        cluster::start(ClusterParams {
            shared,
            commands: receiver,
            sockets,
            membership,
            discovery,
            cluster: config.cluster.clone(),
            version: config.version.clone(),
            sealing,
            heartbeat: config.heartbeat,
            epoch,
        });
        handle.span().in_scope(|| {
            if config.insecure && !at.ip().to_canonical().is_loopback() {
                let accepts = if config.secret.is_some() {
                    "peers without the secret are also accepted"
                } else {
                    "links and gossip are open: everything that can reach this address may call it"
                };
                tracing::warn!(%addr, "this node is insecure: {accepts}");
            }
            tracing::info!(
                id = %handle.me(),
                %addr,
                cluster = config.cluster,
                primary_region = %config.primary(),
                seeds = ?config.seeds,
                "node started"
            );
        });
        Ok(Node { handle, drain_timeout: config.drain_timeout })
    }

    /// Looks up the name to listen on, if there is one.
    async fn resolve_listen_name(&mut self) -> Result<(), StartError> {
        let Some(name) = self.config.listen_name.take() else { return Ok(()) };
        let found = self.env.resolve(&name).await.and_then(|addrs| {
            addrs.first().copied().ok_or_else(|| io::Error::other("the name has no address"))
        });
        match found {
            Ok(addr) => {
                self.config.listen = Some(addr);
                Ok(())
            }
            Err(source) => Err(StartError::Resolve { name, source }),
        }
    }

    /// Creates the server for the internal service and the user's services.
    fn server(
        &mut self,
        me: &NodeInfo,
        commands: mpsc::UnboundedSender<Command>,
        observers: Option<&Arc<Observers>>,
    ) -> Result<Server, StartError> {
        let config = &self.config;
        let sealing = config.sealing();
        let identity = Identity {
            cluster: config.cluster.clone(),
            version: config.version.clone(),
            keys: sealing.keyring().into_iter().flat_map(Keyring::ids).collect(),
        };
        let handler = InternalHandler::new(commands, config.region.clone(), identity);
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
            max_body_memory: config.body_memory(),
            inline_after: self.inline_after,
        };
        let authorizer = self.authorizer.take();
        let env = Arc::clone(&self.env);
        Server::new(env, me.clone(), services, state, limits, authorizer, observers)
    }

    /// Returns a random number for one purpose. If a seed is set, it determines the number.
    fn random(&self, purpose: u64) -> u64 {
        match self.rng_seed {
            Some(seed) => Xoshiro256PlusPlus::seed_from_u64(seed ^ purpose).next_u64(),
            None => self.env.random(),
        }
    }
}

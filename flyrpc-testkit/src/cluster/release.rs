//! Releases: the programs that run on the nodes of a simulated cluster.

use std::{fmt, future::Future, sync::Arc};

use flyrpc::{Env, Keyring, Node, NodeBuilder, Region, Service};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::net::SimEnv;

/// The port of every simulated node: flyrpc's default port on Fly.io.
pub(super) const PORT: u16 = 3590;

/// A node that is about to start. The closures of a [`Release`] receive it.
#[derive(Debug, Clone)]
pub struct SimNode {
    pub(super) name: String,
    pub(super) region: Region,
    pub(super) primary_region: Region,
    pub(super) env: SimEnv,
}

impl SimNode {
    /// Returns the node's name, `<region>-<index>`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the node's region.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Returns the cluster's primary region.
    pub fn primary_region(&self) -> &Region {
        &self.primary_region
    }

    /// Returns whether the node is in the primary region.
    pub fn is_primary(&self) -> bool {
        self.region == self.primary_region
    }

    /// Returns the runtime environment of this boot of the node's machine. Tasks that a service spawns
    /// through the environment or [`flyrpc::spawn`] freeze and crash with the node. Tasks spawned with `tokio::spawn` do not.
    pub fn env(&self) -> &SimEnv {
        &self.env
    }
}

/// One version of the program that nodes run: its services and settings, or a program without flyrpc.
///
/// ```
/// use flyrpc_testkit::Release;
/// # mod v2 {
/// #     #[flyrpc::fly_rpc]
/// #     pub trait Strings {
/// #         async fn upcase(&self, text: String) -> String;
/// #     }
/// #     pub struct Shout;
/// #     impl Strings for Shout {
/// #         async fn upcase(&self, text: String) -> String { text.to_uppercase() }
/// #     }
/// # }
///
/// let release = Release::new()
///     .serve(|_node| v2::ServeStrings::new(v2::Shout))
///     .configure(|_node, builder| builder.max_in_flight(100));
/// ```
#[derive(Clone)]
pub struct Release {
    pub(super) program: Program,
}

#[derive(Clone)]
pub(super) enum Program {
    Flyrpc(NodeSetup),
    /// No program. Nothing listens on the port.
    Nothing,
    Other(Arc<dyn Fn(SimEnv) -> BoxFuture<'static, ()> + Send + Sync>),
}

/// How flyrpc nodes are configured and started.
#[derive(Clone)]
pub(super) struct NodeSetup {
    secret: Secret,
    insecure: bool,
    configure: Vec<Configure>,
    boot: BootFn,
}

/// The secret of the nodes that run a release.
#[derive(Clone)]
enum Secret {
    /// The secret of the cluster, if it has one.
    OfCluster,
    None,
    Own(Keyring),
}

type Configure = Arc<dyn Fn(&SimNode, NodeBuilder) -> NodeBuilder + Send + Sync>;

type BootFn =
    Arc<dyn Fn(SimNode, NodeBuilder) -> BoxFuture<'static, Result<Node, String>> + Send + Sync>;

impl NodeSetup {
    /// # Errors
    ///
    /// The reason why the node cannot start.
    pub(super) async fn start(
        &self,
        node: SimNode,
        bare: NodeBuilder,
        of_cluster: Option<&Keyring>,
    ) -> Result<Node, String> {
        let secret = match &self.secret {
            Secret::OfCluster => of_cluster,
            Secret::None => None,
            Secret::Own(keyring) => Some(keyring),
        };
        let mut builder = bare;
        if let Some(keyring) = secret {
            builder = builder.secret(keyring.clone());
        }
        if self.insecure {
            builder = builder.insecure();
        }
        let builder =
            self.configure.iter().fold(builder, |builder, configure| configure(&node, builder));
        (self.boot)(node, builder).await
    }
}

impl Release {
    /// Creates a release that runs a flyrpc node without services.
    pub fn new() -> Self {
        let boot = boot_fn(|_, builder| builder.start());
        let setup =
            NodeSetup { secret: Secret::OfCluster, insecure: false, configure: Vec::new(), boot };
        Release { program: Program::Flyrpc(setup) }
    }

    /// Creates a release that runs no program, such as a machine of the application before it uses
    /// flyrpc. Its port is closed.
    pub fn without_flyrpc() -> Self {
        Release { program: Program::Nothing }
    }

    /// Creates a release that runs an HTTP server on flyrpc's port. The server responds to every request
    /// with `400 Bad Request`.
    pub fn http_server() -> Self {
        Release::program(|env| async move {
            let mut listener = env.listen(env.addr(PORT)).await.expect("the port is free");
            while let Ok((mut stream, _)) = listener.accept().await {
                env.spawn(Box::pin(async move {
                    // Responds to any first byte, and closes the connection.
                    if stream.reader.read_u8().await.is_ok() {
                        let response = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
                        let _ = stream.writer.write_all(response).await;
                        let _ = stream.writer.shutdown().await;
                    }
                }));
            }
        })
    }

    /// Creates a release that runs this program instead of flyrpc. `program` is called each time the
    /// node starts. It must open its sockets and spawn its tasks through the environment. Other nodes
    /// expect flyrpc on port 3590.
    pub fn program<F>(program: impl Fn(SimEnv) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Release { program: Program::Other(Arc::new(move |env| Box::pin(program(env)))) }
    }

    /// Serves a service. The closure creates the service each time a node starts, so each boot has its
    /// own state. To keep state across restarts, share it through an `Arc`.
    ///
    /// # Panics
    ///
    /// If this release does not run flyrpc.
    #[track_caller]
    pub fn serve<S: Service>(
        self,
        service: impl Fn(&SimNode) -> S + Send + Sync + 'static,
    ) -> Self {
        self.configure(move |node, builder| builder.serve(service(node)))
    }

    pub(super) fn is_flyrpc(&self) -> bool {
        matches!(self.program, Program::Flyrpc(_))
    }

    /// Changes the settings of nodes, such as the heartbeat, the drain timeout, limits, or the primary
    /// region. Do not change the name, region, environment and address, which are already set. The
    /// seeds are the nodes that started earlier, or after a restart all other nodes. A test of
    /// discovery may set other seeds.
    ///
    /// # Panics
    ///
    /// If this release does not run flyrpc.
    #[track_caller]
    pub fn configure(
        mut self,
        setup: impl Fn(&SimNode, NodeBuilder) -> NodeBuilder + Send + Sync + 'static,
    ) -> Self {
        self.node_setup().configure.push(Arc::new(setup));
        self
    }

    /// Sets the secret of the nodes that run this release, instead of
    /// [the cluster's](crate::SimClusterBuilder::secret). A rotation is two rollouts:
    ///
    /// ```
    /// use flyrpc::Keyring;
    /// use flyrpc_testkit::{Release, SimCluster};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), flyrpc::InvalidKeyring> {
    /// let (old, new) = ("01".repeat(32), "02".repeat(32));
    /// let cluster = SimCluster::builder()
    ///     .region("iad", 2)
    ///     .secret(Keyring::parse(&old)?)
    /// #   .announce(false)
    ///     .start()
    ///     .await;
    ///
    /// let release = Release::new();
    /// cluster.roll(release.clone().secret(Keyring::parse(&format!("{new},{old}"))?)).await;
    /// cluster.roll(release.secret(Keyring::parse(&new)?)).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If this release does not run flyrpc.
    #[track_caller]
    pub fn secret(mut self, keyring: Keyring) -> Self {
        self.node_setup().secret = Secret::Own(keyring);
        self
    }

    /// Runs nodes without a secret, even if [the cluster](crate::SimClusterBuilder::secret) has one. Nodes with a
    /// secret accept them only if they are [`insecure`](Self::insecure). Therefore a cluster in which other nodes
    /// require the secret never [settles](crate::SimCluster::settled). For a stranger beside a cluster, start a
    /// [`Node`] of your own on a [host](crate::SimCluster::add_host).
    ///
    /// # Panics
    ///
    /// If this release does not run flyrpc.
    #[track_caller]
    pub fn without_secret(mut self) -> Self {
        self.node_setup().secret = Secret::None;
        self
    }

    /// Makes nodes [insecure](NodeBuilder::insecure): a node with a secret also accepts nodes without one. A cluster
    /// without a secret gets one in two rollouts: of a release with a [`secret`](Self::secret) that is insecure, then
    /// of a release with the same secret.
    ///
    /// # Panics
    ///
    /// If this release does not run flyrpc.
    #[track_caller]
    pub fn insecure(mut self) -> Self {
        self.node_setup().insecure = true;
        self
    }

    /// Starts nodes with `start` instead of [`NodeBuilder::start`]. Use the function that starts nodes
    /// in your program. It receives the builder with the changes of [`serve`](Self::serve) and
    /// [`configure`](Self::configure), and may add services. It can also run steps that must follow the
    /// start, such as [`Node::accept`] after a migration. A service that calls others needs no such step:
    /// its handlers get a client from [`context`](flyrpc::context).
    ///
    /// ```
    /// use flyrpc::{Node, NodeBuilder, StartError};
    /// use flyrpc_testkit::Release;
    /// # #[flyrpc::fly_rpc]
    /// # pub trait Strings {
    /// #     async fn upcase(&self, text: String) -> String;
    /// # }
    /// #
    /// # struct Upcase;
    /// # impl Strings for Upcase {
    /// #     async fn upcase(&self, text: String) -> String { text }
    /// # }
    /// # async fn migrate() {}
    ///
    /// async fn start(builder: NodeBuilder) -> Result<Node, StartError> {
    ///     let node = builder.serve(ServeStrings::new(Upcase)).hold().start().await?;
    ///     migrate().await;
    ///     node.accept();
    ///     Ok(node)
    /// }
    ///
    /// let release = Release::new().boot(|_node, builder| start(builder));
    /// ```
    ///
    /// # Panics
    ///
    /// If this release does not run flyrpc.
    #[track_caller]
    pub fn boot<F, E>(
        mut self,
        start: impl Fn(SimNode, NodeBuilder) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Node, E>> + Send + 'static,
        E: fmt::Display,
    {
        self.node_setup().boot = boot_fn(start);
        self
    }

    /// # Panics
    ///
    /// If this release does not run flyrpc.
    #[track_caller]
    fn node_setup(&mut self) -> &mut NodeSetup {
        match &mut self.program {
            Program::Flyrpc(setup) => setup,
            Program::Nothing | Program::Other(_) => {
                panic!(
                    "this release does not run flyrpc: use `Release::new()` to serve or configure"
                )
            }
        }
    }
}

fn boot_fn<F, E>(start: impl Fn(SimNode, NodeBuilder) -> F + Send + Sync + 'static) -> BootFn
where
    F: Future<Output = Result<Node, E>> + Send + 'static,
    E: fmt::Display,
{
    Arc::new(move |node, builder| {
        let started = start(node, builder);
        Box::pin(async move { started.await.map_err(|error| error.to_string()) })
    })
}

impl Default for Release {
    fn default() -> Self {
        Release::new()
    }
}

impl fmt::Debug for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.program {
            Program::Flyrpc(_) => "Release(flyrpc)",
            Program::Nothing => "Release(nothing)",
            Program::Other(_) => "Release(another program)",
        })
    }
}

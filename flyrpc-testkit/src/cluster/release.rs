//! What runs on the nodes of a simulated cluster.

use std::{fmt, future::Future, sync::Arc};

use flyrpc::{Env, Node, NodeBuilder, Region, Service};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::SimEnv;

/// The port of every simulated node: flyrpc's own on Fly.io.
pub(super) const PORT: u16 = 3590;

/// A node that is about to start, as the closures of a [`Release`] see it.
#[derive(Debug, Clone)]
pub struct SimNode {
    pub(super) name: String,
    pub(super) region: Region,
    pub(super) primary_region: Region,
    pub(super) env: SimEnv,
}

impl SimNode {
    /// Its name, `<region>-<index>`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its region.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The cluster's primary region.
    pub fn primary_region(&self) -> &Region {
        &self.primary_region
    }

    /// Whether its region is the primary one.
    pub fn is_primary(&self) -> bool {
        self.region == self.primary_region
    }

    /// The world of this boot of its host. Tasks that a service spawns through it freeze and crash
    /// with the node; those spawned with `tokio::spawn` do not.
    pub fn env(&self) -> &SimEnv {
        &self.env
    }
}

/// One version of what runs on nodes: the services that it serves, and how it is configured. Or
/// something that is not flyrpc at all.
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
    Flyrpc(Setups),
    /// A host that is up, on which nothing listens.
    Nothing,
    Other(Arc<dyn Fn(SimEnv) -> BoxFuture<'static, ()> + Send + Sync>),
}

/// How nodes of flyrpc are started.
#[derive(Clone)]
pub(super) struct Setups {
    setups: Vec<Setup>,
    boot: Boot,
}

type Setup = Arc<dyn Fn(&SimNode, NodeBuilder) -> NodeBuilder + Send + Sync>;

type Boot =
    Arc<dyn Fn(SimNode, NodeBuilder) -> BoxFuture<'static, Result<Node, String>> + Send + Sync>;

impl Setups {
    /// # Errors
    ///
    /// Why the node cannot start.
    pub(super) async fn start(&self, node: SimNode, bare: NodeBuilder) -> Result<Node, String> {
        let builder = self.setups.iter().fold(bare, |builder, setup| setup(&node, builder));
        (self.boot)(node, builder).await
    }
}

impl Release {
    /// A node of flyrpc that serves nothing yet.
    pub fn new() -> Self {
        let setups = Setups { setups: Vec::new(), boot: boot(|_, builder| builder.start()) };
        Release { program: Program::Flyrpc(setups) }
    }

    /// A machine of the application that has not got flyrpc yet: its port is closed.
    pub fn without_flyrpc() -> Self {
        Release { program: Program::Nothing }
    }

    /// A machine on whose port an HTTP server answers, which takes all that it is sent for a bad
    /// request.
    pub fn http_server() -> Self {
        Release::program(|env| async move {
            let mut listener = env.listen(env.addr(PORT)).await.expect("the port is free");
            while let Ok((mut stream, _)) = listener.accept().await {
                env.spawn(Box::pin(async move {
                    // Whoever said something is told that it was no HTTP, and hung up on.
                    if stream.reader.read_u8().await.is_ok() {
                        let answer = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
                        let _ = stream.writer.write_all(answer).await;
                        let _ = stream.writer.shutdown().await;
                    }
                }));
            }
        })
    }

    /// A machine on which this program runs instead of flyrpc, as often as it is started. Its
    /// sockets and tasks come from the environment that it is given. Other nodes look for flyrpc at
    /// port 3590.
    pub fn program<F>(program: impl Fn(SimEnv) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Release { program: Program::Other(Arc::new(move |env| Box::pin(program(env)))) }
    }

    /// Serves a service. The closure makes it anew for every start of every node, so that each can
    /// have a state of its own; what is to outlive a restart is shared through an `Arc`.
    ///
    /// # Panics
    ///
    /// If this is no release of flyrpc.
    pub fn serve<S: Service>(
        self,
        service: impl Fn(&SimNode) -> S + Send + Sync + 'static,
    ) -> Self {
        self.configure(move |node, builder| builder.serve(service(node)))
    }

    pub(super) fn is_flyrpc(&self) -> bool {
        matches!(self.program, Program::Flyrpc(_))
    }

    /// Changes settings of nodes: heartbeat, drain timeout, limits, another primary region and so
    /// on. Name, region, environment, address and seeds are set already; keep them.
    ///
    /// # Panics
    ///
    /// If this is no release of flyrpc.
    pub fn configure(
        mut self,
        setup: impl Fn(&SimNode, NodeBuilder) -> NodeBuilder + Send + Sync + 'static,
    ) -> Self {
        self.flyrpc().setups.push(Arc::new(setup));
        self
    }

    /// Starts nodes with a function of yours instead of [`NodeBuilder::start`]: the one that your
    /// program starts its nodes with. It is given the builder as [`serve`](Self::serve) and
    /// [`configure`](Self::configure) have left it, and may serve more. What comes after the start
    /// has its place here too: a service that calls others needs a client of its own node, which
    /// there is not before.
    ///
    /// ```
    /// # use std::sync::{Arc, OnceLock};
    /// use flyrpc::{Node, NodeBuilder, StartError};
    /// use flyrpc_testkit::Release;
    /// # #[flyrpc::fly_rpc]
    /// # pub trait Strings {
    /// #     async fn upcase(&self, text: String) -> String;
    /// # }
    /// #
    /// # #[derive(Clone, Default)]
    /// # struct Asking(Arc<OnceLock<StringsClient>>);
    /// # impl Strings for Asking {
    /// #     async fn upcase(&self, text: String) -> String { text }
    /// # }
    ///
    /// async fn start(builder: NodeBuilder) -> Result<Node, StartError> {
    ///     let service = Asking::default();
    ///     let node = builder.serve(ServeStrings::new(service.clone())).start().await?;
    ///     service.0.get_or_init(|| node.client());
    ///     Ok(node)
    /// }
    ///
    /// let release = Release::new().boot(|_node, builder| start(builder));
    /// ```
    ///
    /// # Panics
    ///
    /// If this is no release of flyrpc.
    pub fn boot<F, E>(
        mut self,
        start: impl Fn(SimNode, NodeBuilder) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Node, E>> + Send + 'static,
        E: fmt::Display,
    {
        self.flyrpc().boot = boot(start);
        self
    }

    /// # Panics
    ///
    /// If this is no release of flyrpc.
    fn flyrpc(&mut self) -> &mut Setups {
        match &mut self.program {
            Program::Flyrpc(setups) => setups,
            Program::Nothing | Program::Other(_) => {
                panic!("only flyrpc serves and is configured: begin with `Release::new()`")
            }
        }
    }
}

fn boot<F, E>(start: impl Fn(SimNode, NodeBuilder) -> F + Send + Sync + 'static) -> Boot
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

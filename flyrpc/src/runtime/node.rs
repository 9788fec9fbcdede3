//! A running node, and how to start one.

use std::{fmt, future::Future, net::SocketAddr, pin::pin, sync::Arc};

use futures_util::{
    future::{self, Either},
    stream::{self, BoxStream},
};
use tokio::sync::broadcast::error::RecvError;

use super::{
    client::{Client, Routed},
    cluster::InternalClient,
    shared::{Command, Handle},
};
use crate::{
    error::RpcError,
    service::Request,
    types::{Event, NodeId, NodeInfo, Peer, Region},
};

/// How long links may take, after the drain, to say goodbye; those that still carry replies may take
/// what is left of the drain timeout, too.
const GOODBYE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

/// A node of a cluster, running in this process: it serves others, knows who is where, and makes
/// clients that call.
///
/// Cloning gives another hold on the same node. When the last hold is dropped, clients included,
/// the node stops at once, as if it had crashed; [`shutdown`](Node::shutdown) stops it in good
/// order. A process may run several nodes.
///
/// A node lives in the runtime that it was started in. If that is shut down while a hold is left, the
/// node is shut down too: calls made through it fail with [`RpcError::ShutDown`], those under way
/// elsewhere with [`RpcError::Disconnected`]. A call that runs in this process is polled by whoever
/// awaits it, and goes on to its end, whatever ends the node.
///
/// ```
/// use flyrpc::{Node, fly_rpc};
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
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let node = Node::builder().region("hkg").serve(ServeStrings::new(Shout)).start().await?;
///
/// let strings: StringsClient = node.client();
/// assert_eq!(strings.on_region("hkg").upcase("fly".into()).await?, "FLY");
/// node.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Node {
    pub(super) handle: Arc<Handle>,
    pub(super) drain_timeout: std::time::Duration,
}

impl Node {
    /// The region that this node runs in.
    pub fn region(&self) -> &Region {
        self.handle.me().region()
    }

    /// The region where calls aimed at the primary run, as this node was told.
    pub fn primary_region(&self) -> &Region {
        self.handle.primary_region()
    }

    /// Whether this node runs in the primary region.
    pub fn is_primary(&self) -> bool {
        self.handle.is_primary()
    }

    /// What others know this boot of the node by.
    pub fn id(&self) -> &NodeId {
        self.handle.me().id()
    }

    /// Where others reach it: TCP for links, UDP for gossip.
    pub fn addr(&self) -> SocketAddr {
        self.handle.me().addr()
    }

    /// Its id, region and address.
    pub fn info(&self) -> &NodeInfo {
        self.handle.me()
    }

    /// The live nodes of a region, by id: this one, and those that serve nothing, included. Reads a
    /// local table.
    pub fn nodes_in(&self, region: impl Into<Region>) -> Vec<NodeInfo> {
        let region = region.into();
        let table = self.handle.table();
        let live = table.region(&region).iter().filter(|entry| !entry.lost);
        let mut nodes: Vec<NodeInfo> = live.map(|entry| entry.info.clone()).collect();
        if region == *self.region() && !region.is_empty() {
            nodes.push(self.info().clone());
        }
        nodes.sort();
        nodes
    }

    /// Asks a node for its region, now, rather than the local table. Dropping the future gives up.
    ///
    /// # Errors
    ///
    /// As any call: [`RpcError::NoNode`] if there is no such node, [`RpcError::Timeout`] after 5 s.
    pub fn region_of(
        &self,
        id: &NodeId,
    ) -> impl Future<Output = Result<Region, RpcError>> + Send + 'static + use<> {
        self.client::<InternalClient>().on_node(id).region()
    }

    /// Asks a node, now, whether it speaks flyrpc. Dropping the future gives up.
    ///
    /// # Errors
    ///
    /// As [`region_of`](Node::region_of): whoever cannot be asked is not known to support it or not.
    pub fn supports(
        &self,
        id: &NodeId,
    ) -> impl Future<Output = Result<bool, RpcError>> + Send + 'static + use<> {
        let asking = self.region_of(id);
        async move {
            match asking.await {
                Ok(_) => Ok(true),
                Err(RpcError::Unsupported { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        }
    }

    /// Every known address, and what answers there: nodes, and addresses of seeds where something
    /// else answers, or nothing. Reads a local table.
    pub fn peers(&self) -> Vec<Peer> {
        self.handle.known().iter().map(super::shared::Known::to_peer).collect()
    }

    /// What this node learns of others from now on, as a stream that ends with the node. A listener
    /// that falls more than 1,024 events behind is told how many it [missed](Event::Missed).
    ///
    /// What was learned before is in [`peers`](Node::peers): ask for the stream first, then for them,
    /// and nothing falls between.
    ///
    /// ```
    /// # use flyrpc::{Event, Node};
    /// use futures_util::StreamExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let first = Node::builder().name("first").start().await?;
    /// let mut events = first.events();
    ///
    /// let second = Node::builder().name("second").seeds([first.addr()]).start().await?;
    /// while let Some(event) = events.next().await {
    ///     match event {
    ///         Event::Up(node) if node.id() == second.id() => break,
    ///         other => println!("{other:?}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self) -> BoxStream<'static, Event> {
        let (events, stop) = (self.handle.events(), self.handle.stop().clone());
        Box::pin(stream::unfold((events, stop), |(mut events, stop)| async move {
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                () = stop.cancelled() => return None,
            };
            let event = match event {
                Ok(event) => event,
                Err(RecvError::Lagged(missed)) => Event::Missed(missed),
                Err(RecvError::Closed) => return None,
            };
            Some((event, (events, stop)))
        }))
    }

    /// A typed client that calls through this node, cheap to make and to clone. The type is that
    /// which `#[fly_rpc]` generates: `let strings: StringsClient = node.client();`.
    pub fn client<C: Client>(&self) -> C {
        C::from_routed(Routed::new(Arc::clone(&self.handle)))
    }

    /// Waits until every address of the first answer of the seeds has linked and told whom it knows,
    /// has been found unsupported, or has failed for 5 s. At once without seeds, and after
    /// [`shutdown`](Node::shutdown). Calls made before wait for it too, within their deadline,
    /// rather than say that there is no node.
    pub async fn ready(&self) {
        loop {
            let version = self.handle.version();
            if self.handle.table().ready {
                return;
            }
            tokio::select! {
                biased;
                () = self.handle.stop().cancelled() => return,
                () = self.handle.changed_since(version) => {}
            }
        }
    }

    /// Takes calls from others, after [`hold`](NodeBuilder::hold). Peers know within one message.
    pub fn accept(&self) {
        self.handle.change_state(|state| state.accepting = true);
    }

    /// Takes up or gives up calls from others to the service of the client `C`. Peers know within
    /// one message. Does nothing if this node does not serve it.
    pub fn set_serving<C: Client>(&self, serving: bool) {
        let name = C::Request::SERVICE;
        self.handle.change_state(|state| {
            state.withdrawn.retain(|withdrawn| withdrawn != name);
            if !serving {
                state.withdrawn.push(name.to_owned());
            }
        });
    }

    /// Takes no more calls from others, and waits until those that run have ended, up to the
    /// [drain timeout](NodeBuilder::drain_timeout). Calls made by this process still work, so that
    /// an HTTP server in it can drain first. Dropping the future leaves the node draining.
    pub async fn drain(&self) {
        self.handle.change_state(|state| state.draining = true);
        tokio::select! {
            biased;
            () = self.handle.stop().cancelled() => {}
            // What has not ended by then is cut off by the shutdown.
            _ = tokio::time::timeout(self.drain_timeout, self.handle.server().idle()) => {}
        }
    }

    /// Drains, leaves the membership, and closes the links. New calls made by this process fail with
    /// [`RpcError::ShutDown`] once it has drained. Dropping the future leaves the node draining.
    pub async fn shutdown(&self) {
        let drained_by = self.handle.env().now() + self.drain_timeout;
        self.drain().await;
        if self.handle.shut_down() {
            let (done, left) = tokio::sync::oneshot::channel();
            let at_most =
                drained_by.saturating_duration_since(self.handle.env().now()) + GOODBYE_TIMEOUT;
            self.handle.command(Command::Leave { within: GOODBYE_TIMEOUT, at_most, done });
            // The task is gone already if the node has stopped.
            let _ = left.await;
            self.handle.stop().cancel();
        } else {
            self.handle.stop().cancelled().await;
        }
    }

    /// Runs until SIGINT or SIGTERM (elsewhere than on Unix: Ctrl-C), then
    /// [shuts down](Node::shutdown). A second signal stops the node at once. Signals are handled
    /// from the first poll of the future on, and not otherwise.
    ///
    /// # Errors
    ///
    /// If the signals cannot be listened for.
    pub async fn run_until_signal(&self) -> std::io::Result<()> {
        let mut signals = Signals::listen()?;
        signals.next().await;
        tracing::info!(node = %self.info(), "signal received, shutting down");
        let shutdown = pin!(self.shutdown());
        let again = pin!(signals.next());
        if let Either::Right(_) = future::select(shutdown, again).await {
            tracing::warn!(node = %self.info(), "second signal received, stopping at once");
            self.handle.end();
        }
        Ok(())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(self.info()).finish()
    }
}

#[cfg(unix)]
struct Signals([tokio::signal::unix::Signal; 2]);

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Signals)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            future::pending().await
        }
    }
}

//! A running node.

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use futures_util::future::{self, Either};
use tokio::{runtime::Handle as RuntimeHandle, sync::oneshot};

use super::{
    client::{Client, Routed, runtime_to_enter},
    cluster::InternalClient,
    events::Events,
    operations,
    server::ServerStats,
    shared::{Command, Handle, NodeRef, PeerSnapshot, RareCounts},
    signals::Signals,
    task::{JoinHandle, spawn_in},
};
use crate::{
    error::{Closed, ErrorInfo, RpcError},
    proto::routing::Entry,
    service::Request,
    types::{NodeId, NodeInfo, NodeReport, Peer, Region, Stats, WatchReport},
};

/// Upper bound on the time that links take to close after the drain. Links that still carry replies
/// may also use the rest of the drain timeout.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// The part of the drain timeout that a shutdown reserves for leaving the cluster and closing the links.
const LEAVE_RESERVE: Duration = Duration::from_millis(500);

/// A node of a cluster, running in this process. It serves other nodes, tracks which nodes are
/// live, and creates clients.
///
/// Cloning a node returns another handle to the same node. When the last handle is dropped,
/// including those that clients hold, the node stops immediately, as if it had crashed.
/// [`shutdown`](Node::shutdown) stops it gracefully. A process may run several nodes.
///
/// A node lives in the runtime in which it was started. If that runtime is shut down while a handle
/// remains, the node is shut down too. New calls through the node then fail with
/// [`RpcError::ShutDown`], and calls in flight to other nodes fail with [`RpcError::Disconnected`].
/// A call that runs in this process is polled by the task that awaits it, so it runs to completion
/// no matter how the node ends.
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
    pub(super) drain_timeout: Duration,
}

impl Node {
    /// The region that this node runs in.
    pub fn region(&self) -> &Region {
        self.handle.me().region()
    }

    /// The primary region in this node's configuration.
    pub fn primary_region(&self) -> &Region {
        self.handle.primary_region()
    }

    /// Whether this node runs in the primary region.
    pub fn is_primary(&self) -> bool {
        self.handle.is_primary()
    }

    /// The id of this boot of the node.
    pub fn id(&self) -> &NodeId {
        self.handle.me().id()
    }

    /// The address where other nodes reach this node: TCP for links, UDP for gossip.
    pub fn addr(&self) -> SocketAddr {
        self.handle.me().addr()
    }

    /// This node's id, region and address.
    pub fn info(&self) -> &NodeInfo {
        self.handle.me()
    }

    /// Returns the live nodes of a region in order of their ids, including this node and nodes that
    /// serve nothing. Reads a local table.
    pub fn nodes_in(&self, region: impl Into<Region>) -> Vec<NodeInfo> {
        let region = region.into();
        let here = region == *self.region() && !region.is_empty();
        let me = here.then(|| self.info().clone());
        live_nodes(self.handle.table().region(&region), me)
    }

    /// Returns all live nodes in order of their ids, including this node and nodes that serve nothing.
    /// Reads a local table.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        live_nodes(self.handle.table().nodes(), Some(self.info().clone()))
    }

    /// Asks a node for its region, instead of reading the local table. Dropping the future cancels
    /// the request.
    ///
    /// # Errors
    ///
    /// Returns the errors of any call: for example, [`RpcError::NoNode`] if there is no such node,
    /// and [`RpcError::Timeout`] after 5 s.
    pub fn region_of(
        &self,
        id: &NodeId,
    ) -> impl Future<Output = Result<Region, RpcError>> + Send + 'static + use<> {
        self.client::<InternalClient>().on_node(id).region()
    }

    /// Asks a node whether it supports flyrpc, instead of reading the local table. Dropping the
    /// future cancels the request.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`region_of`](Node::region_of). After an error, it is unknown
    /// whether the node supports flyrpc.
    pub fn supports(
        &self,
        id: &NodeId,
    ) -> impl Future<Output = Result<bool, RpcError>> + Send + 'static + use<> {
        let region = self.region_of(id);
        async move {
            match region.await {
                Ok(_) => Ok(true),
                Err(RpcError::Unsupported { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        }
    }

    /// Returns the state of a node and of the peers that it knows, from its own point of view. Dropping the future cancels the
    /// request.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`region_of`](Node::region_of). A node of version 0.1 gives
    /// [`Unsupported`](crate::ErrorKind::Unsupported).
    pub fn status_of(
        &self,
        id: &NodeId,
    ) -> impl Future<Output = Result<NodeReport, ErrorInfo>> + Send + 'static + use<> {
        let status = self.client::<InternalClient>().on_node(id).status(None);
        async move { operations::decode_report(&status.await??) }
    }

    /// Returns the calls that a node serves. The node starts to record them when it is asked first, so only the difference
    /// of two answers is complete. It stops a minute after it was last asked, and records nothing otherwise. Dropping the
    /// future cancels the request.
    ///
    /// # Errors
    ///
    /// As [`status_of`](Node::status_of).
    pub fn watch(
        &self,
        id: &NodeId,
    ) -> impl Future<Output = Result<WatchReport, ErrorInfo>> + Send + 'static + use<> {
        let watch = self.client::<InternalClient>().on_node(id).watch(None);
        async move { operations::decode_watch(&watch.await??) }
    }

    /// Returns every known address and its state. This includes addresses of seeds where no node
    /// responds, because another program or nothing responds there. Reads a local table.
    ///
    /// Each [`Peer`] has its own copy of the descriptions of its services, so the cost grows with the number of methods
    /// in the cluster. This is for status pages and logs; [`nodes`](Node::nodes) and [`nodes_in`](Node::nodes_in) copy
    /// no descriptions.
    pub fn peers(&self) -> Vec<Peer> {
        self.handle.peers().iter().map(PeerSnapshot::to_peer).collect()
    }

    /// Returns what the node has counted since its start, and what is in flight now. Each is read separately, so a call
    /// that is being counted may be in one of them and not yet in another.
    pub fn stats(&self) -> Stats {
        let server = self.handle.server();
        let ServerStats { in_flight, body_bytes, held, refusals, handlers } = server.stats();
        let RareCounts { dials, handshakes, gossip } = self.handle.counters().read_rare();
        let links = self.handle.peers().into_iter().filter_map(|peer| peer.link);
        Stats {
            links: links.map(|link| link.stats(server.body_bytes_of(link.peer()))).collect(),
            in_flight,
            body_bytes,
            held,
            calls: self.handle.counters().calls(),
            regions: self.handle.region_stats(),
            refusals,
            handlers,
            dials,
            handshakes,
            gossip,
        }
    }

    /// Returns a stream of events about other nodes, from now on. The stream ends with the node. A
    /// listener that falls more than 1,024 events behind receives the number of events that it
    /// [missed](crate::types::Event::Missed).
    ///
    /// [`peers`](Node::peers) returns what was learned earlier. Subscribe first and then read the
    /// peers, so that no change is lost in between.
    ///
    /// ```
    /// use flyrpc::{Event, Node};
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
    pub fn events(&self) -> Events {
        Events::new(self.handle.events(), self.handle.stop().clone())
    }

    /// Runs `future` in a task of this node, such as a refresh in the background. In production, this is
    /// `tokio::spawn`. The task is not stopped when the node shuts down. In a simulation with `flyrpc-testkit`, it stops
    /// when the node crashes, and stands still while the node is frozen.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        spawn_in(&**self.handle.env(), future)
    }

    /// Returns the time on this node's wall clock. In a simulation, it follows the simulated clock of this node.
    pub fn system_time(&self) -> SystemTime {
        self.handle.env().system_time()
    }

    /// Returns a typed client that calls through this node. It is cheap to create and to clone. `C`
    /// is a client type that `#[fly_rpc]` generates: `let strings: StringsClient = node.client();`.
    pub fn client<C: Client>(&self) -> C {
        C::from_routed(Routed::new(NodeRef::Strong(Arc::clone(&self.handle))))
    }

    /// Returns a handle that does not keep the node running.
    pub fn downgrade(&self) -> WeakNode {
        WeakNode { handle: Arc::downgrade(&self.handle), drain_timeout: self.drain_timeout }
    }

    /// Waits until the initial search for nodes is complete. The seeds are resolved once. Each of the
    /// resulting addresses must have been linked and have sent its members, have been found unsupported,
    /// or have failed for 5 s. Once a node was found at one address of a name, the other addresses of
    /// the name delay this by at most one second. They cause no delay if they cannot be reached, or if
    /// they belong to a different address family than one that has been found.
    ///
    /// Returns immediately if there are no seeds, and after [`shutdown`](Node::shutdown). Calls made
    /// before the search is complete wait for it, within their deadline, instead of failing with
    /// [`RpcError::NoNode`].
    pub async fn ready(&self) {
        loop {
            let version = self.handle.version();
            if self.is_ready() {
                return;
            }
            tokio::select! {
                biased;
                () = self.handle.stop().cancelled() => return,
                () = self.handle.changed_since(version) => {}
            }
        }
    }

    /// Returns whether the initial search for nodes is complete, without waiting: whether
    /// [`ready`](Node::ready) would return immediately. Stays true while the node is held or drains, and
    /// after it was shut down. A health check also reads [`is_draining`](Node::is_draining).
    pub fn is_ready(&self) -> bool {
        self.handle.table().ready || self.handle.stop().is_cancelled()
    }

    /// Accepts calls from other nodes, after [`hold`](Node::hold) or
    /// [`NodeBuilder::hold`](crate::NodeBuilder::hold). Each linked peer is notified with one message.
    pub fn accept(&self) {
        self.handle.change_state(|state| state.accepting = true);
    }

    /// Stops accepting calls from other nodes until [`accept`](Node::accept) is called, for example while
    /// a resource that the services need is missing. Calls in flight continue, and calls that this process
    /// makes still work. Each linked peer is notified with one message and sends its calls to other nodes.
    /// A call that arrives nevertheless is refused as [held](crate::Refusal::Held), unexecuted. Calls of
    /// this process to its own node still run.
    pub fn hold(&self) {
        self.handle.change_state(|state| state.accepting = false);
    }

    /// Starts or stops accepting calls from other nodes to the service of the client `C`. Each
    /// linked peer is notified with one message. Has no effect if this node does not serve the
    /// service.
    pub fn set_serving<C: Client>(&self, serving: bool) {
        let name = C::Request::SERVICE;
        self.handle.change_state(|state| {
            state.withdrawn.retain(|withdrawn| withdrawn != name);
            if !serving {
                state.withdrawn.push(name.to_owned());
            }
        });
    }

    /// Stops accepting calls from other nodes, and waits until those in flight have ended, for at
    /// most the [drain timeout]. Calls made by this process still work, so an HTTP server in this
    /// process can drain first. Dropping the future leaves the node draining.
    ///
    /// [drain timeout]: crate::runtime::builder::NodeBuilder::drain_timeout
    pub async fn drain(&self) {
        self.drain_within(self.drain_timeout).await;
    }

    async fn drain_within(&self, timeout: Duration) {
        self.handle.change_state(|state| state.draining = true);
        let idle = {
            let _entered = runtime_to_enter(&self.handle).map(RuntimeHandle::enter);
            tokio::time::timeout(timeout, self.handle.server().idle())
        };
        tokio::select! {
            biased;
            () = self.handle.stop().cancelled() => {}
            // The shutdown ends calls that are still in flight after the timeout.
            _ = idle => {}
        }
    }

    /// Returns whether the node no longer accepts calls from other nodes because it is draining or was
    /// shut down.
    pub fn is_draining(&self) -> bool {
        self.handle.server().state().draining || self.handle.is_shut_down()
    }

    /// Drains the node, leaves the cluster, and closes the links, all within the [drain timeout]. Calls
    /// in flight may take the timeout less the time that is reserved for leaving, which is half a second or
    /// an eighth of the timeout, whichever is less. Once the node has drained, new calls made by this
    /// process fail with [`RpcError::ShutDown`]. Dropping the future leaves the node draining.
    ///
    /// [drain timeout]: crate::runtime::builder::NodeBuilder::drain_timeout
    pub async fn shutdown(&self) {
        let reserve = LEAVE_RESERVE.min(self.drain_timeout / 8);
        let deadline = self.handle.env().now() + self.drain_timeout;
        self.drain_within(self.drain_timeout - reserve).await;
        if self.handle.shut_down() {
            let (done, closed) = oneshot::channel();
            let at_most = deadline.saturating_duration_since(self.handle.env().now());
            let within = GOODBYE_TIMEOUT.min(at_most);
            self.handle.command(Command::Leave { within, at_most, done });
            // An error means that the cluster task has ended already.
            let _ = closed.await;
            self.handle.stop().cancel();
        } else {
            self.handle.stop().cancelled().await;
        }
    }

    /// Waits until the node has ended, and returns why: it was shut down, or a task that it cannot
    /// run without failed. A program that does not use [`run_until_signal`](Node::run_until_signal)
    /// should wait for this in parallel with its own work, and exit when the node has failed. Dropping
    /// the future has no effect on the node.
    ///
    /// ```
    /// use flyrpc::{Closed, Node};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let node = Node::builder().start().await?;
    /// node.shutdown().await;
    /// assert_eq!(node.closed().await, Closed::ShutDown);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn closed(&self) -> Closed {
        self.handle.stop().cancelled().await;
        self.handle.failure().cloned().map_or(Closed::ShutDown, Closed::Failed)
    }

    /// Runs until the process receives SIGINT or SIGTERM (on platforms other than Unix: Ctrl-C),
    /// then [shuts down](Node::shutdown). A second signal stops the node immediately. Also returns
    /// once the node has [ended](Node::closed) for any other reason. The signals are handled once
    /// the future has been polled. Before that, they keep their default effect.
    ///
    /// # Errors
    ///
    /// Returns an error if no handler can be installed for the signals, or if a task of the node failed.
    /// The latter contains the [`NodeFailure`](crate::NodeFailure).
    pub async fn run_until_signal(&self) -> std::io::Result<()> {
        let mut signals = {
            let _entered = runtime_to_enter(&self.handle).map(RuntimeHandle::enter);
            Signals::listen()?
        };
        tokio::select! {
            biased;
            closed = self.closed() => return to_result(closed),
            () = signals.next() => {}
        }
        self.handle.span().in_scope(|| tracing::info!("signal received; shutting down"));
        let shutdown = pin!(self.shutdown());
        let again = pin!(signals.next());
        if let Either::Right(_) = future::select(shutdown, again).await {
            self.handle.span().in_scope(|| {
                tracing::warn!("second signal received; stopping immediately");
            });
            self.handle.end();
        }
        to_result(self.closed().await)
    }
}

/// A handle to a node that does not keep it running. Created by [`Node::downgrade`].
///
/// A service that needs its own node should hold this instead of a [`Node`], because the node holds the
/// service. For calls, [`Context::client`](crate::Context::client) is simpler.
#[derive(Clone)]
pub struct WeakNode {
    handle: Weak<Handle>,
    drain_timeout: Duration,
}

impl WeakNode {
    /// Returns a handle that keeps the node running, or `None` once all such handles were dropped.
    pub fn upgrade(&self) -> Option<Node> {
        let handle = self.handle.upgrade()?;
        Some(Node { handle, drain_timeout: self.drain_timeout })
    }
}

impl fmt::Debug for WeakNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WeakNode").field(&self.upgrade()).finish()
    }
}

/// Returns `me` and the nodes of `entries` that are not disconnected, in order of their ids.
fn live_nodes<'a, L: 'a>(
    entries: impl IntoIterator<Item = &'a Arc<Entry<L>>>,
    me: Option<NodeInfo>,
) -> Vec<NodeInfo> {
    let live = entries.into_iter().filter(|entry| !entry.disconnected);
    let mut nodes: Vec<_> = live.map(|entry| entry.info.clone()).chain(me).collect();
    nodes.sort();
    nodes
}

fn to_result(closed: Closed) -> std::io::Result<()> {
    match closed {
        Closed::ShutDown => Ok(()),
        Closed::Failed(failure) => Err(std::io::Error::other(failure)),
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(self.info()).finish()
    }
}

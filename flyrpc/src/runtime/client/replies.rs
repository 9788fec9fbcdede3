//! Calls on many nodes, and the stream of their replies.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    future::{Future, poll_fn},
    net::{Ipv6Addr, SocketAddr},
    pin::{Pin, pin},
    sync::Arc,
    task::{self, Poll, ready},
};

use futures_util::{
    Stream, StreamExt, future::BoxFuture, stream::futures_unordered::FuturesUnordered,
};
use tokio::time::Instant;

use super::{each_call::EachCall, generated::Client, routed::Routed, selector::Selector};
use crate::{
    error::{RpcError, Unsupported},
    proto::routing::{CallerTrait, Serving, serving},
    runtime::{
        context::{Context, poll_in},
        shared::NodeShared,
    },
    service::caller_trait,
    types::{NodeId, NodeInfo, NodeSet, Nodes, Region},
};

/// Upper bound on the calls of a stream that are in progress at the same time.
const MAX_CONCURRENT: usize = 64;

/// The replies of many nodes, in the order of their arrival: a stream of each node with the result of its
/// call. Created by the method `each` of a [client](crate::fly_rpc#many-nodes).
///
/// Nothing happens before the stream is polled for the first time. Then, the nodes are selected: those
/// [`Nodes`] that are live and serve the service of the client, in the view of this node. A node that is
/// held or draining is selected, and answers [`Refused`](RpcError::Refused); one that does not have the
/// method answers [`Unsupported`](RpcError::Unsupported). Nodes without the service, such as those that are
/// only clients, are not selected. A live node to which no link is open yet is called, and left out if it
/// turns out not to serve the service. If no node is selected, the stream is empty. A program that has just
/// started should wait until its node is [`ready`](crate::Node::ready), because it calls only the nodes that
/// it knows.
///
/// At most 64 calls are in progress at the same time; when one ends, the next starts. This node's own call
/// runs in this process. The deadline of every call counts from the first poll of the stream, also if the
/// call starts later: a call that has not started by then fails with [`Timeout`](RpcError::Timeout). The
/// timeout is chosen as for other calls: the client's `timeout`, or else the method's, or else 5 s. If a
/// handler calls `each`, the remaining time of the handler's call is another bound, no matter where the
/// stream is polled.
///
/// The node of an item is the node that was called. For [`Nodes::one_per_region`], it is the node that
/// replied; or, if the call failed, the node that the error names, or else a node of the region.
///
/// If this node has been shut down, the stream has one item: this node, and the result of calling it, which
/// is [`ShutDown`](RpcError::ShutDown). If the node no longer exists, the id, region and address of that
/// item are empty.
///
/// `Replies` is a [`Stream`]. It also has its own [`next`](Replies::next) and [`collect`](Replies::collect),
/// for programs that need no other method of streams. Its calls make progress only while it is polled. Like
/// a client, it keeps its node running. Dropping it cancels the calls in progress, on other nodes too unless
/// their method is detached; calls that have not started are not made.
///
/// # Panics
///
/// Polling the stream panics if the function that was passed to `each` panics. A panic of a handler is an
/// item with [`Panicked`](RpcError::Panicked).
#[must_use = "a stream does nothing unless it is polled"]
pub struct Replies<T> {
    routed: Routed,
    nodes: Nodes,
    caller: CallerTrait,
    /// Makes one call.
    call: MakeCall<T>,
    /// The context of the handler that the calls belong to.
    context: Option<Context>,
    /// `None` before the first poll.
    calls: Option<Calls<T>>,
}

type MakeCall<T> = Box<dyn FnMut(Routed) -> BoxFuture<'static, Result<T, RpcError>> + Send>;

/// The calls of a stream that have not ended.
struct Calls<T> {
    /// When the stream was first polled, on this node's clock. `None` if the node no longer exists.
    since: Option<Instant>,
    /// The calls that have not started.
    queued: VecDeque<Selected>,
    in_progress: FuturesUnordered<CallInProgress<T>>,
}

/// A node, or a region with such a node, that a call is made to.
struct Selected {
    node: NodeInfo,
    selector: Selector,
    /// Whether the node is known to serve the service.
    known: bool,
}

/// A call on a node or region. Its output is `None` if the node does not serve the service after all.
struct CallInProgress<T> {
    selected: Selected,
    each: Option<Arc<EachCall>>,
    call: BoxFuture<'static, Result<T, RpcError>>,
}

impl Routed {
    /// Makes a `call` on each of the `nodes`, with a client that targets it.
    #[doc(hidden)]
    pub fn each<C, F, Fut, T>(&self, nodes: Nodes, mut call: F) -> Replies<T>
    where
        C: Client,
        F: FnMut(C) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, RpcError>> + Send + 'static,
        T: Send + 'static,
    {
        Replies {
            routed: self.clone(),
            nodes,
            caller: caller_trait::<C::Request>(),
            call: Box::new(move |routed| Box::pin(call(C::from_routed(routed)))),
            // As for a call: a stream made in a handler belongs to that handler's call, no matter where the
            // stream is polled.
            context: Context::try_current(),
            calls: None,
        }
    }
}

impl<T> Replies<T> {
    /// Waits for the next reply. Returns `None` once all calls have ended.
    ///
    /// Dropping the future loses no reply and cancels no call, so it can be used as a branch of
    /// `tokio::select!`.
    pub async fn next(&mut self) -> Option<(NodeInfo, Result<T, RpcError>)> {
        StreamExt::next(self).await
    }

    /// Waits for all replies, at most until the deadline of the calls. Dropping the future cancels the calls.
    pub async fn collect(self) -> Vec<(NodeInfo, Result<T, RpcError>)> {
        StreamExt::collect(self).await
    }

    /// Selects the nodes to call.
    fn select(&self) -> Calls<T> {
        let node = self.routed.node();
        let since = node.as_ref().map(|node| node.env().now());
        let selected = match node {
            Some(node) if !node.is_shut_down() => select(&node, &self.nodes, &self.caller),
            // The call fails, and its error names the service and the method.
            Some(node) => vec![Selected::node(node.me().clone(), true)],
            None => vec![Selected::node(unknown(), true)],
        };
        Calls { since, queued: selected.into(), in_progress: FuturesUnordered::new() }
    }
}

impl<T> Stream for Replies<T> {
    type Item = (NodeInfo, Result<T, RpcError>);

    fn poll_next(
        mut self: Pin<&mut Self>,
        task: &mut task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.calls.is_none() {
            this.context = this.context.take().or_else(Context::try_current);
            this.calls = Some(this.select());
        }
        let Replies { routed, call, context, calls: Some(calls), .. } = this else {
            unreachable!("the nodes have been selected")
        };
        let Some(context) = context else { return calls.poll_next(routed, call, task) };
        let next = pin!(poll_fn(|task| calls.poll_next(routed, call, task)));
        poll_in(context, next, task)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let Some(calls) = &self.calls else { return (0, None) };
        // Nodes that turn out not to serve the service are left out.
        (0, Some(calls.queued.len() + calls.in_progress.len()))
    }
}

impl<T> fmt::Debug for Replies<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.calls.as_ref();
        f.debug_struct("Replies")
            .field("via", &self.routed)
            .field("nodes", &self.nodes)
            .field("in_progress", &calls.map(|calls| calls.in_progress.len()))
            .field("queued", &calls.map(|calls| calls.queued.len()))
            .finish()
    }
}

impl<T> Calls<T> {
    /// Returns the next reply. Starts calls while fewer than [`MAX_CONCURRENT`] are in progress.
    fn poll_next(
        &mut self,
        routed: &Routed,
        call: &mut MakeCall<T>,
        task: &mut task::Context<'_>,
    ) -> Poll<Option<(NodeInfo, Result<T, RpcError>)>> {
        loop {
            while self.in_progress.len() < MAX_CONCURRENT
                && let Some(selected) = self.queued.pop_front()
            {
                let each = self.since.map(|since| Arc::new(EachCall::new(since)));
                let routed = routed.for_each_call(selected.selector.clone(), each.clone());
                let call = call(routed);
                self.in_progress.push(CallInProgress { selected, each, call });
            }
            match ready!(self.in_progress.poll_next_unpin(task)) {
                Some(None) => {}
                Some(Some(reply)) => return Poll::Ready(Some(reply)),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<T> Future for CallInProgress<T> {
    type Output = Option<(NodeInfo, Result<T, RpcError>)>;

    fn poll(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Self::Output> {
        let result = ready!(self.call.as_mut().poll(task));
        let Selected { node, selector, known } = &self.selected;
        if let Err(RpcError::Unsupported { why: Unsupported::Service, .. }) = result
            && !known
        {
            return Poll::Ready(None);
        }
        let called = match (selector, &result) {
            (Selector::Region(_), Ok(_)) => self.each.as_ref().and_then(|each| each.node()),
            (Selector::Region(_), Err(error)) => error.node().cloned(),
            _ => None,
        };
        Poll::Ready(Some((called.unwrap_or_else(|| node.clone()), result)))
    }
}

impl Selected {
    fn node(node: NodeInfo, known: bool) -> Self {
        Selected { selector: Selector::Node(node.id().clone()), node, known }
    }
}

/// Selects the nodes to call, in the order in which their calls start.
fn select(node: &NodeShared, nodes: &Nodes, caller: &CallerTrait) -> Vec<Selected> {
    let region = match nodes.set() {
        NodeSet::InRegion(region) => Some(region),
        NodeSet::All | NodeSet::Others | NodeSet::OnePerRegion => None,
    };
    let is_included = match nodes.set() {
        NodeSet::Others => false,
        NodeSet::InRegion(region) => region == node.me().region(),
        NodeSet::All | NodeSet::OnePerRegion => true,
    };
    let me = (is_included && node.server().service(caller.service).is_some()).then(|| node.me());
    let table = node.table();
    let others = serving(&table, region, caller);
    if matches!(nodes.set(), NodeSet::OnePerRegion) {
        return one_per_region(me, &others);
    }
    let others = others.into_iter();
    let mut selected: Vec<_> =
        others.map(|Serving { node, known }| Selected::node(node.clone(), known)).collect();
    if let Some(me) = me {
        // Among the first calls, but after the requests to other nodes: the handler runs while this stream is
        // polled, and they should not wait for it.
        let at = selected.len().min(MAX_CONCURRENT - 1);
        selected.insert(at, Selected::node(me.clone(), true));
    }
    selected
}

/// Selects the regions of nodes. This node runs the call in its own region, and otherwise routing chooses.
fn one_per_region(me: Option<&NodeInfo>, others: &[Serving<'_>]) -> Vec<Selected> {
    let mut regions: BTreeMap<&Region, Serving<'_>> = BTreeMap::new();
    let me = me.map(|node| Serving { node, known: true });
    for &serving in me.iter().chain(others) {
        let chosen = regions.entry(serving.node.region()).or_insert(serving);
        if !chosen.known && serving.known {
            *chosen = serving;
        }
    }
    let select = |(region, serving): (&Region, Serving<'_>)| Selected {
        node: serving.node.clone(),
        selector: Selector::Region(region.clone()),
        known: serving.known,
    };
    regions.into_iter().map(select).collect()
}

/// Stands for a node that no longer exists.
fn unknown() -> NodeInfo {
    let addr = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    NodeInfo::new(NodeId::new("", 0), Region::from(""), addr)
}

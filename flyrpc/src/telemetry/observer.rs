//! [`Observer`], and the values that it receives.
//!
//! Observers are called synchronously and in order. A trace is therefore complete and, in a simulation,
//! the same in every run.

use std::{sync::Arc, time::Duration};

use super::served::{ServeOutcome, Served};
use crate::{
    error::{ErrorKind, RpcError},
    types::{Event, NodeInfo, Target},
};

/// Receives reports of a node's activity, for metrics, traces and tests. Set by
/// [`NodeBuilder::observer`](crate::NodeBuilder::observer).
///
/// An observer is called from within calls and from the node's tasks, so it must not block. Panics of
/// an observer are caught. The first one is logged, and nothing else is affected. Several threads may
/// call it at the same time. The attempts of one call are reported in order, and so are the node's links
/// and events.
///
/// A node reports the calls that its own clients make, and the calls that it serves. A call between two nodes is
/// therefore reported by both. A call that runs in process is reported as both by its node. The calls that flyrpc
/// itself makes between nodes are not reported.
///
/// ```
/// use std::{collections::BTreeMap, sync::{Arc, Mutex}};
///
/// use flyrpc::{Attempt, Node, Observed, Observer, Region, fly_rpc};
///
/// /// The number of attempts in each region.
/// #[derive(Default)]
/// struct PerRegion(Mutex<BTreeMap<Region, u64>>);
///
/// impl Observer for PerRegion {
///     fn observe(&self, observed: &Observed<'_>) {
///         if let Observed::Started(Attempt { node: Some(node), .. }) = observed {
///             *self.0.lock().unwrap().entry(node.region().clone()).or_default() += 1;
///         }
///     }
/// }
///
/// # #[fly_rpc]
/// # trait Strings {
/// #     async fn upcase(&self, text: String) -> String;
/// # }
/// # struct Shout;
/// # impl Strings for Shout {
/// #     async fn upcase(&self, text: String) -> String {
/// #         text.to_uppercase()
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let counts = Arc::new(PerRegion::default());
/// let node = Node::builder().region("hkg").observer(Arc::clone(&counts));
/// let node = node.serve(ServeStrings::new(Shout)).start().await?;
///
/// let strings: StringsClient = node.client();
/// strings.upcase("fly".into()).await?;
/// strings.on_region("hkg").upcase("rpc".into()).await?;
/// // There is no node in syd, so this attempt has no node.
/// assert!(strings.on_region("syd").upcase("nobody".into()).await.is_err());
/// assert_eq!(*counts.0.lock().unwrap(), BTreeMap::from([("hkg".into(), 2)]));
/// # node.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Called synchronously for each event. `observed` borrows from the node.
    fn observe(&self, observed: &Observed<'_>);
}

/// Lets a program keep a handle to an observer that it passes to a node.
impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, observed: &Observed<'_>) {
        (**self).observe(observed);
    }
}

/// One occurrence that a node reports to its observer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Observed<'a> {
    /// An attempt of a call from this node starts. If the call runs in this process, its handler is about
    /// to start. Otherwise, its request was queued on a link.
    Started(&'a Attempt<'a>),
    /// A started attempt ended. Each attempt ends exactly once. The next attempt of its call may already
    /// have started, because the attempts of an idempotent call overlap if the node of one goes quiet, or the call is
    /// hedged.
    Ended(&'a Attempt<'a>, Outcome<'a>),
    /// A call of this node ended, after its last attempt was reported as ended. Reported exactly once for each call
    /// that was polled while its node existed, also if its future was dropped. The bytes of the outcome are those of the
    /// reply that ended the call.
    Called(&'a Called<'a>, Outcome<'a>),
    /// This node has accepted a request of another node. Its handler starts once its arguments are complete, unless
    /// the caller gives up before, or the request is refused after all: its arguments cannot be decoded, or as many
    /// calls of the method run as `#[rpc(max_in_flight)]` allows.
    Admitted(&'a Served<'a>),
    /// This node has refused a request of another node with an error of this kind. No handler was started.
    Refused(&'a Served<'a>, ErrorKind),
    /// A handler is about to start, for a call of another node or of this one.
    ServeStarted(&'a Served<'a>),
    /// A handler has ended, this long after it started. Reported once for each handler that was reported as started,
    /// unless the node is dropped together with its runtime.
    ServeEnded(&'a Served<'a>, ServeOutcome, Duration),
    /// The number of requests of other nodes that this node holds has changed to this. It holds a request until it knows
    /// whether the caller still waits, which it does not know after a pause of one of the two.
    Held(usize),
    /// A handshake with another program ended, in a connection that either end opened. The text is `OK` if it gave a
    /// link, or else the kind of the failure, such as `NOT_FLYRPC`. The texts do not change.
    Handshake(&'a str),
    /// A datagram was dropped, for this reason, such as `NOT_SEALED`. The texts do not change.
    DatagramDropped(&'a str),
    /// A link to a node was opened, by either end.
    LinkOpened(&'a NodeInfo),
    /// A link to a node was closed, for this reason. Another link to that node may still be open. Not
    /// reported by a node that is dropped together with its runtime, as in a crash.
    LinkClosed(&'a NodeInfo, &'a str),
    /// An event, as [`Node::events`](crate::Node::events) yields it.
    Event(&'a Event),
}

/// One attempt of a call, as seen by the caller.
///
/// Every call has at least one attempt. A call can also fail outside an attempt on a node, because
/// there is no node, or because the deadline passes while the call waits for another node. Such a
/// failure is reported as an attempt without a node.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Attempt<'a> {
    /// The number of the call among all calls of this boot of the node, counted from 1.
    pub call: u64,
    /// The number of the attempt among the attempts of the call, counted from 1.
    pub number: u32,
    /// The service's name on the wire.
    pub service: &'static str,
    /// The method's name on the wire.
    pub method: &'static str,
    /// The target of the call.
    pub target: &'a Target,
    /// The node that executes it, if there is one.
    pub node: Option<&'a NodeInfo>,
    /// The kind of error with which the attempt before this one failed. `None` for the first attempt, and if the attempt
    /// before has not failed: it is still in progress, or it was canceled before its request was sent.
    pub previous: Option<ErrorKind>,
    /// The length of the encoded arguments in bytes, without their frame. `None` if nothing was encoded,
    /// as in a call that runs in this process.
    pub request_bytes: Option<usize>,
}

/// A logical call that has ended: all its attempts together, as its caller saw it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Called<'a> {
    /// The number of the call among all calls of this boot of the node, as in [`Attempt::call`].
    pub call: u64,
    /// The service's name on the wire.
    pub service: &'static str,
    /// The method's name on the wire.
    pub method: &'static str,
    /// The target of the call. Of several targets, the first one.
    pub target: &'a Target,
    /// The node that answered, or that of the error, or else that of the last attempt.
    pub node: Option<&'a NodeInfo>,
    /// The number of attempts that started on a node. It is 0 if there was no node, and more than 1 if the call was
    /// retried or hedged.
    pub attempts: u32,
    /// The time from the first poll of the call to its end.
    pub took: Duration,
}

/// The outcome of an attempt, or of a call.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// The attempt received a reply. Contains the length of the encoded reply in bytes, without its frame,
    /// or `None` if the reply was not encoded.
    Replied(Option<usize>),
    /// The same, and the reply is an `Err` that the handler returned.
    RepliedErr(Option<usize>),
    /// The attempt failed with this error, and another one may follow, or the call failed.
    Failed(&'a RpcError),
    /// The future of the call was dropped, or another attempt of the call ended it.
    Cancelled,
}

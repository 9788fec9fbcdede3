//! What a node tells of its calls, links and neighbours to whoever wants to measure or trace them.
//!
//! It is told synchronously and in order, so that a trace is complete and, in a simulation, equal
//! from run to run. It changes nothing.

use std::sync::Arc;

use crate::{
    error::RpcError,
    types::{Event, NodeInfo, Target},
};

/// Sees what a node does: for metrics, traces and tests. Given to
/// [`NodeBuilder::observer`](crate::runtime::node::NodeBuilder::observer).
///
/// It is called in the middle of calls and of the node's own tasks: it must not block, and must not
/// panic. What it is shown lives as long as the call of it. Threads may call it at once; what one
/// call, or the node's links and events, have to tell comes in order.
///
/// It sees the calls that this node's clients make, and not those that it serves: whoever makes
/// them sees those. Nor does it see what nodes ask each other.
///
/// ```
/// use std::{collections::BTreeMap, sync::{Arc, Mutex}};
///
/// use flyrpc::{Attempt, Node, Observed, Observer, Region, fly_rpc};
///
/// /// How many attempts went to each region.
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
/// // There is no node in syd, so that this one goes nowhere.
/// assert!(strings.on_region("syd").upcase("nobody".into()).await.is_err());
/// assert_eq!(*counts.0.lock().unwrap(), BTreeMap::from([("hkg".into(), 2)]));
/// # node.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Takes notice of one thing, when it happens.
    fn observe(&self, observed: &Observed<'_>);
}

/// Whoever gave it away can still read what it has seen.
impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, observed: &Observed<'_>) {
        (**self).observe(observed);
    }
}

/// Something that a node did, or learned.
#[derive(Debug)]
#[non_exhaustive]
pub enum Observed<'a> {
    /// An attempt of a call that this node makes begins: the handler, if it runs in this process;
    /// else its request was handed to a link.
    Started(&'a Attempt<'a>),
    /// An attempt that had started is over. Each ends once, and before the next of its call starts.
    Ended(&'a Attempt<'a>, Outcome<'a>),
    /// A link to a node was opened, by either end.
    LinkOpened(&'a NodeInfo),
    /// A link to a node is over, and why; another to it may be open. A node that is dropped with
    /// its runtime, as in a crash, does not tell of its links.
    LinkClosed(&'a NodeInfo, &'a str),
    /// What [`Node::events`](crate::runtime::node::Node::events) tells.
    Event(&'a Event),
}

/// One attempt of a call, as its caller sees it.
///
/// Every call has at least one. Where a call fails without an attempt on a node, as if there is no
/// node, or in a way that no attempt of it has failed, as if its time ends while it waits for
/// another node, that is shown as an attempt without a node.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Attempt<'a> {
    /// Numbers the calls of this boot of this node, from 1.
    pub call: u64,
    /// Numbers the attempts of the call, from 1.
    pub number: u32,
    /// The service's name on the wire.
    pub service: &'static str,
    /// The method's name on the wire.
    pub method: &'static str,
    /// What the call was aimed at.
    pub target: &'a Target,
    /// The node that it goes to; none if it goes to none.
    pub node: Option<&'a NodeInfo>,
    /// The length of the encoded arguments in bytes, without the frame around them; none if nothing
    /// was encoded, as in a call that runs in this process.
    pub request_bytes: Option<usize>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// With the handler's value, and the length of the encoded reply in bytes, without the frame
    /// around it, if it was encoded.
    Replied(Option<usize>),
    /// With this error; another attempt may follow.
    Failed(&'a RpcError),
    /// The call's future was dropped.
    Cancelled,
}

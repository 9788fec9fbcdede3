//! What a node tells of its calls, links and neighbours to whoever wants to measure or trace them.
//!
//! It is told synchronously and in order, so that a trace is complete and, in a simulation, equal
//! from run to run. It changes nothing.

use crate::{Event, NodeInfo, RpcError, Target};

/// Sees what a node does: for metrics, traces and tests. Given to
/// [`NodeBuilder::observer`](crate::NodeBuilder::observer).
///
/// It is called in the middle of calls and of the node's own tasks: it must not block, and must not
/// panic. What it is shown lives as long as the call of it.
pub trait Observer: Send + Sync + 'static {
    /// Takes notice of one thing, when it happens.
    fn observe(&self, observed: &Observed<'_>);
}

/// Something that a node did, or learned.
#[derive(Debug)]
#[non_exhaustive]
pub enum Observed<'a> {
    /// An attempt of a call that this node makes begins.
    Started(&'a Attempt<'a>),
    /// An attempt that had started is over.
    Ended(&'a Attempt<'a>, Outcome<'a>),
    /// A link to a node was opened, by either end.
    LinkOpened(&'a NodeInfo),
    /// A link to a node is over; another to it may be open.
    LinkClosed(&'a NodeInfo, &'a str),
    /// What [`Node::events`](crate::Node::events) tells.
    Event(&'a Event),
}

/// One attempt of a call, as its caller sees it. Most calls have one; one that finds no node has
/// one without a node.
#[derive(Debug)]
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
    /// The node that it goes to; none was found without it.
    pub node: Option<&'a NodeInfo>,
    /// The length of the encoded arguments in bytes; none if nothing was encoded, as in a call
    /// that runs in this process.
    pub request_bytes: Option<usize>,
}

/// How an attempt ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// With the handler's value, and the length of the encoded reply in bytes, if it was encoded.
    Replied(Option<usize>),
    /// With this error; another attempt may follow.
    Failed(&'a RpcError),
    /// Its future was dropped.
    Cancelled,
}

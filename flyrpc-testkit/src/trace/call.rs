//! Calls that nodes made, and filters for them.

use std::{error::Error, fmt, ops::RangeBounds, sync::Arc, time::Duration, vec};

use flyrpc::{ErrorKind, NodeId, NodeInfo, Region, RpcError, Target};

use super::{node_boot::NodeBoot, time::Stamp};

/// One attempt of a call, as its caller observed it. Most calls have one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedCall {
    pub(super) caller: Arc<NodeBoot>,
    pub(super) request: Request,
    pub(super) started: Stamp,
    /// `None` while the attempt is in flight.
    pub(super) end: Option<CallEnd>,
    pub(super) delivery: Delivery,
}

/// Numbers the calls of one boot of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CallNumber(pub(super) u64);

/// Numbers the attempts of a call, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AttemptNumber(pub(super) u32);

/// The data of an attempt at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) call: CallNumber,
    pub(super) attempt: AttemptNumber,
    pub(super) service: &'static str,
    pub(super) method: &'static str,
    pub(super) target: Target,
    pub(super) node: Option<NodeInfo>,
    pub(super) bytes: Option<usize>,
}

/// The data of an attempt at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CallEnd {
    pub(super) stamp: Stamp,
    pub(super) outcome: CallOutcome,
    pub(super) bytes: Option<usize>,
}

/// What the nodes of the run observed of an attempt, apart from its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Delivery {
    pub(super) request: RequestFate,
    /// Whether the attempt ended with a response of the serving node.
    pub(super) is_answered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum RequestFate {
    /// The trace does not show whether the request arrived, or it may still arrive.
    #[default]
    Unknown,
    /// The attempt has ended, and its request has not arrived.
    Lost,
    /// The request arrived, and no handler started.
    Arrived,
    /// The handler of the request started at this time, which identifies the execution.
    Executed(Stamp),
}

impl TracedCall {
    /// Returns the name of the node that made the call.
    pub fn caller(&self) -> &str {
        &self.caller.name
    }

    /// Returns the region of the node that made the call.
    pub fn caller_region(&self) -> &Region {
        &self.caller.region
    }

    /// Returns which boot of the calling node made the call. Boots are counted from 1 in each run.
    pub fn caller_boot(&self) -> u32 {
        self.caller.boot
    }

    /// Returns the target of the call.
    pub fn target(&self) -> &Target {
        &self.request.target
    }

    /// Returns the name of the node that this attempt was sent to. `None` if the call failed before a
    /// node was picked, for example because no node was found.
    pub fn node(&self) -> Option<&str> {
        self.request.node.as_ref().map(NodeInfo::name)
    }

    /// Returns the id of the node that this attempt was sent to, which identifies one boot of the node.
    pub fn node_id(&self) -> Option<&NodeId> {
        self.request.node.as_ref().map(NodeInfo::id)
    }

    /// Returns the region of the node that this attempt was sent to.
    pub fn region(&self) -> Option<&Region> {
        self.request.node.as_ref().map(NodeInfo::region)
    }

    /// Returns the service's name on the wire.
    pub fn service(&self) -> &'static str {
        self.request.service
    }

    /// Returns the method's name on the wire.
    pub fn method(&self) -> &'static str {
        self.request.method
    }

    /// Returns the number of the call, which is unique within one boot of the caller. All attempts of a
    /// call have the same number.
    pub fn call(&self) -> u64 {
        self.request.call.0
    }

    /// Returns the number of this attempt within its call, counted from 1.
    pub fn attempt(&self) -> u32 {
        self.request.attempt.0
    }

    /// Returns whether the attempt was sent to the caller's own node. A call without a node is neither
    /// local nor remote.
    pub fn is_local(&self) -> bool {
        self.node() == Some(self.caller())
    }

    /// Returns when the attempt started, counted from the start of the run.
    pub fn start(&self) -> Duration {
        self.started.at
    }

    /// Returns when the attempt ended, counted from the start of the run. `None` if it was in flight when
    /// the trace was taken.
    pub fn end(&self) -> Option<Duration> {
        Some(self.end.as_ref()?.stamp.at)
    }

    /// Returns how long the attempt took. `None` if it was in flight when the trace was taken.
    pub fn took(&self) -> Option<Duration> {
        Some(self.end()?.saturating_sub(self.start()))
    }

    /// Returns how the attempt ended. `None` if it was in flight when the trace was taken.
    pub fn outcome(&self) -> Option<&CallOutcome> {
        Some(&self.end.as_ref()?.outcome)
    }

    /// Returns the error, if the attempt failed.
    pub fn error(&self) -> Option<&RpcError> {
        match self.outcome()? {
            CallOutcome::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the length of the encoded arguments in bytes. `None` if nothing was encoded, as in a local
    /// call.
    pub fn request_bytes(&self) -> Option<usize> {
        self.request.bytes
    }

    /// Returns the length of the encoded reply in bytes. `None` if there was no reply or it was not
    /// encoded.
    pub fn reply_bytes(&self) -> Option<usize> {
        self.end.as_ref()?.bytes
    }
}

/// How an attempt of a call ended. Displays as `ok`, `cancelled`, or the error with its sources.
///
/// Two failures are equal if their display texts are equal.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CallOutcome {
    /// The caller received the handler's value.
    Replied,
    /// The attempt failed with this error. Another attempt may have followed.
    Failed(Arc<RpcError>),
    /// The caller dropped its future.
    Cancelled,
}

impl CallOutcome {
    /// Returns a short name, for use where the whole error does not fit.
    pub(super) fn label(&self) -> &'static str {
        match self {
            CallOutcome::Replied => "ok",
            CallOutcome::Cancelled => "cancelled",
            CallOutcome::Failed(error) => kind_label(error.kind()),
        }
    }
}

/// Returns a short name of a kind of error.
pub(super) fn kind_label(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NoNode => "no node",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::NotPrimary => "not primary",
        ErrorKind::Refused => "refused",
        ErrorKind::Denied => "denied",
        ErrorKind::Timeout => "timeout",
        ErrorKind::Disconnected => "disconnected",
        ErrorKind::Panicked => "panicked",
        ErrorKind::Encode => "not encoded",
        ErrorKind::ArgumentsTooLarge => "arguments too large",
        ErrorKind::ReplyTooLarge => "reply too large",
        ErrorKind::BadReply => "bad reply",
        ErrorKind::ShutDown => "shut down",
        _ => "failed",
    }
}

impl fmt::Display for CallOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CallOutcome::Failed(error) = self else {
            return f.write_str(self.label());
        };
        write!(f, "{error}")?;
        let mut source = error.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl PartialEq for CallOutcome {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (CallOutcome::Failed(_), CallOutcome::Failed(_)) => {
                self.label() == other.label() && self.to_string() == other.to_string()
            }
            _ => self.label() == other.label(),
        }
    }
}

impl Eq for CallOutcome {}

/// An iterator over the attempts of a trace, in the order in which they started. Its methods are filters
/// that can be combined.
///
/// ```
/// # fn check(trace: &flyrpc_testkit::Trace) {
/// let lost = trace.calls().from_region("iad").to_node("hkg-0").failed();
/// assert!(lost.clone().count() <= 1, "{trace}");
/// assert!(lost.into_iter().all(|call| call.attempt() == 1));
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "filters have no effect unless the iterator is used"]
pub struct Calls<'a>(vec::IntoIter<&'a TracedCall>);

impl<'a> Calls<'a> {
    pub(super) fn new(calls: &'a [TracedCall]) -> Self {
        Calls(calls.iter().collect::<Vec<_>>().into_iter())
    }

    fn only(self, keep: impl Fn(&TracedCall) -> bool) -> Self {
        Calls(self.0.filter(|call| keep(call)).collect::<Vec<_>>().into_iter())
    }

    /// Keeps attempts that were sent to a node in `region`.
    pub fn to_region(self, region: impl Into<Region>) -> Self {
        let region = region.into();
        self.only(|call| call.region() == Some(&region))
    }

    /// Keeps attempts that were sent to the node with this name.
    pub fn to_node(self, name: &str) -> Self {
        self.only(|call| call.node() == Some(name))
    }

    /// Keeps attempts that were sent to no node, usually because none was found.
    pub fn to_no_node(self) -> Self {
        self.only(|call| call.node().is_none())
    }

    /// Keeps attempts that nodes in `region` made.
    pub fn from_region(self, region: impl Into<Region>) -> Self {
        let region = region.into();
        self.only(|call| *call.caller_region() == region)
    }

    /// Keeps attempts that the node with this name made, in any of its boots.
    pub fn from_node(self, name: &str) -> Self {
        self.only(|call| call.caller() == name)
    }

    /// Keeps attempts to call the service with this name on the wire.
    pub fn service(self, name: &str) -> Self {
        self.only(|call| call.service() == name)
    }

    /// Keeps attempts to call a method with this name on the wire.
    pub fn method(self, name: &str) -> Self {
        self.only(|call| call.method() == name)
    }

    /// Keeps attempts that are attempt `number` of their call, counted from 1.
    pub fn attempt(self, number: u32) -> Self {
        self.only(|call| call.attempt() == number)
    }

    /// Keeps attempts that returned a value.
    pub fn ok(self) -> Self {
        self.only(|call| matches!(call.outcome(), Some(CallOutcome::Replied)))
    }

    /// Keeps attempts that ended with an error.
    pub fn failed(self) -> Self {
        self.only(|call| call.error().is_some())
    }

    /// Keeps attempts of calls that were canceled, because the caller dropped the future.
    pub fn cancelled(self) -> Self {
        self.only(|call| matches!(call.outcome(), Some(CallOutcome::Cancelled)))
    }

    /// Keeps attempts that were in flight when the trace was taken.
    pub fn under_way(self) -> Self {
        self.only(|call| call.outcome().is_none())
    }

    /// Keeps attempts that were sent to the caller's own node.
    pub fn local(self) -> Self {
        self.only(TracedCall::is_local)
    }

    /// Keeps attempts that were sent to another node.
    pub fn remote(self) -> Self {
        self.only(|call| call.node().is_some() && !call.is_local())
    }

    /// Keeps attempts that started at `start` or later, counted from the start of the run.
    pub fn since(self, start: Duration) -> Self {
        self.between(start..)
    }

    /// Keeps attempts that started in `range`, counted from the start of the run.
    pub fn between(self, range: impl RangeBounds<Duration>) -> Self {
        self.only(|call| range.contains(&call.start()))
    }
}

impl<'a> Iterator for Calls<'a> {
    type Item = &'a TracedCall;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for Calls<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back()
    }
}

impl ExactSizeIterator for Calls<'_> {}

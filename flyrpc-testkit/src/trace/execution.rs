//! Executions of handlers, as the serving nodes reported them, and filters for them.

use std::{fmt, ops::RangeBounds, sync::Arc, time::Duration, vec};

use flyrpc::{ErrorKind, NodeInfo, Region};

use super::{call::kind_label, node_boot::NodeBoot, time::Stamp};

/// One execution of a handler, as the serving node reported it.
///
/// A call has one execution for each of its attempts that reached a handler. A request that was lost or refused has
/// none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedExecution {
    pub(super) node: Arc<NodeBoot>,
    pub(super) served: ServedRequest,
    pub(super) started: Stamp,
    /// `None` while the handler is running.
    pub(super) end: Option<ExecutionEnd>,
}

/// A request, as the serving node observed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServedRequest {
    pub(super) node: NodeInfo,
    pub(super) caller: NodeInfo,
    pub(super) service: String,
    pub(super) method: String,
    pub(super) attempt: u32,
    pub(super) is_local: bool,
}

/// Numbers the executions of one boot of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ExecutionNumber(pub(super) u64);

/// The data of an execution at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExecutionEnd {
    pub(super) stamp: Stamp,
    pub(super) outcome: ExecutionOutcome,
}

impl TracedExecution {
    /// Returns the name of the node that ran the handler.
    pub fn node(&self) -> &str {
        &self.node.name
    }

    /// Returns the region of the node that ran the handler.
    pub fn region(&self) -> &Region {
        &self.node.region
    }

    /// Returns which boot of the node ran the handler. Boots are counted from 1 in each run.
    pub fn boot(&self) -> u32 {
        self.node.boot
    }

    /// Returns the name of the node that made the call.
    pub fn caller(&self) -> &str {
        self.served.caller.name()
    }

    /// Returns the region of the node that made the call.
    pub fn caller_region(&self) -> &Region {
        self.served.caller.region()
    }

    /// Returns the service's name on the wire.
    pub fn service(&self) -> &str {
        &self.served.service
    }

    /// Returns the method's name on the wire.
    pub fn method(&self) -> &str {
        &self.served.method
    }

    /// Returns the number of the attempt within its call, counted from 1.
    pub fn attempt(&self) -> u32 {
        self.served.attempt
    }

    /// Returns whether the node made the call itself.
    pub fn is_local(&self) -> bool {
        self.served.is_local
    }

    /// Returns when the handler started, counted from the start of the run.
    pub fn start(&self) -> Duration {
        self.started.at
    }

    /// Returns when the handler ended, counted from the start of the run. `None` if it was running when the trace
    /// was taken.
    pub fn end(&self) -> Option<Duration> {
        Some(self.end.as_ref()?.stamp.at)
    }

    /// Returns how long the handler ran. `None` if it was running when the trace was taken.
    pub fn took(&self) -> Option<Duration> {
        Some(self.end()?.saturating_sub(self.start()))
    }

    /// Returns how the handler ended. `None` if it was running when the trace was taken.
    pub fn outcome(&self) -> Option<ExecutionOutcome> {
        Some(self.end.as_ref()?.outcome)
    }
}

/// How an execution of a handler ended.
///
/// Displays as `ok`, `Err`, `cancelled`, `crashed`, or the kind of the error, such as `panicked`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExecutionOutcome {
    /// The handler returned a value other than an `Err`.
    Replied,
    /// The handler returned an `Err`.
    RepliedErr,
    /// The handler panicked, exceeded its deadline, or returned a value that could not be encoded.
    Failed(ErrorKind),
    /// The handler was dropped, because its caller canceled the call or its link ended.
    Cancelled,
    /// The node crashed, or its machine was restarted, while the handler was running.
    Crashed,
}

impl fmt::Display for ExecutionOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ExecutionOutcome::Replied => "ok",
            ExecutionOutcome::RepliedErr => "Err",
            ExecutionOutcome::Failed(kind) => kind_label(*kind),
            ExecutionOutcome::Cancelled => "cancelled",
            ExecutionOutcome::Crashed => "crashed",
        })
    }
}

/// An iterator over the executions of a trace, in the order in which they started. Its methods are filters that can be
/// combined.
///
/// ```
/// # fn check(trace: &flyrpc_testkit::Trace) {
/// let saved = trace.executions().service("Notes").method("save");
/// assert_eq!(saved.clone().count(), 1, "saved exactly once: {trace}");
/// assert_eq!(saved.on_region("iad").ok().count(), 1, "{trace}");
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "filters have no effect unless the iterator is used"]
pub struct Executions<'a>(vec::IntoIter<&'a TracedExecution>);

impl<'a> Executions<'a> {
    pub(super) fn new(executions: &'a [TracedExecution]) -> Self {
        Executions(executions.iter().collect::<Vec<_>>().into_iter())
    }

    fn only(self, keep: impl Fn(&TracedExecution) -> bool) -> Self {
        let kept = self.0.filter(|execution| keep(execution));
        Executions(kept.collect::<Vec<_>>().into_iter())
    }

    fn ended(self, keep: impl Fn(ExecutionOutcome) -> bool) -> Self {
        self.only(|execution| execution.outcome().is_some_and(&keep))
    }

    /// Keeps executions on the node with this name, in any of its boots.
    pub fn on_node(self, name: &str) -> Self {
        self.only(|execution| execution.node() == name)
    }

    /// Keeps executions on nodes in `region`.
    pub fn on_region(self, region: impl Into<Region>) -> Self {
        let region = region.into();
        self.only(|execution| *execution.region() == region)
    }

    /// Keeps executions of calls that the node with this name made, in any of its boots.
    pub fn by_node(self, name: &str) -> Self {
        self.only(|execution| execution.caller() == name)
    }

    /// Keeps executions of calls that nodes in `region` made.
    pub fn by_region(self, region: impl Into<Region>) -> Self {
        let region = region.into();
        self.only(|execution| *execution.caller_region() == region)
    }

    /// Keeps executions of the service with this name on the wire.
    pub fn service(self, name: &str) -> Self {
        self.only(|execution| execution.service() == name)
    }

    /// Keeps executions of a method with this name on the wire.
    pub fn method(self, name: &str) -> Self {
        self.only(|execution| execution.method() == name)
    }

    /// Keeps executions of attempt `number` of a call, counted from 1.
    pub fn attempt(self, number: u32) -> Self {
        self.only(|execution| execution.attempt() == number)
    }

    /// Keeps executions that returned a value, including an `Err`. [`Calls::ok`](crate::Calls::ok) keeps the attempts
    /// that received it.
    pub fn ok(self) -> Self {
        self.ended(|outcome| {
            matches!(outcome, ExecutionOutcome::Replied | ExecutionOutcome::RepliedErr)
        })
    }

    /// Keeps executions that returned an `Err`.
    pub fn returned_err(self) -> Self {
        self.ended(|outcome| outcome == ExecutionOutcome::RepliedErr)
    }

    /// Keeps executions that panicked, exceeded their deadline, or returned a value that could not be encoded.
    pub fn failed(self) -> Self {
        self.ended(|outcome| matches!(outcome, ExecutionOutcome::Failed(_)))
    }

    /// Keeps executions that were dropped, because their caller canceled the call or its link ended.
    pub fn cancelled(self) -> Self {
        self.ended(|outcome| outcome == ExecutionOutcome::Cancelled)
    }

    /// Keeps executions during which their node crashed.
    pub fn crashed(self) -> Self {
        self.ended(|outcome| outcome == ExecutionOutcome::Crashed)
    }

    /// Keeps executions that were running when the trace was taken.
    pub fn running(self) -> Self {
        self.only(|execution| execution.outcome().is_none())
    }

    /// Keeps executions of calls that the serving node itself made.
    pub fn local(self) -> Self {
        self.only(TracedExecution::is_local)
    }

    /// Keeps executions of calls that another node made.
    pub fn remote(self) -> Self {
        self.only(|execution| !execution.is_local())
    }

    /// Keeps executions that started at `start` or later, counted from the start of the run.
    pub fn since(self, start: Duration) -> Self {
        self.between(start..)
    }

    /// Keeps executions that started in `range`, counted from the start of the run.
    pub fn between(self, range: impl RangeBounds<Duration>) -> Self {
        self.only(|execution| range.contains(&execution.start()))
    }
}

impl<'a> Iterator for Executions<'a> {
    type Item = &'a TracedExecution;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for Executions<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back()
    }
}

impl ExactSizeIterator for Executions<'_> {}

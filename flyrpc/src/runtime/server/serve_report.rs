//! Reports of served calls to the observers of the node, and to its recorder while an operator watches. Without both, the
//! only cost is a check of a flag.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{handler_future::Ended, recorder::Recorder};
use crate::{
    env::Env,
    error::ErrorKind,
    proto::wire::status::Status,
    runtime::link::ResponseResult,
    service::{IsErr, Request},
    telemetry::{LocalParent, Observed, Observers, ServeOutcome, ServeSpan, Served, ServerSpan},
    types::{MethodReport, NodeInfo, TraceContext},
};

/// Reports the calls of one method.
pub(crate) struct ServeReporter {
    observers: Option<Arc<Observers>>,
    recorder: Recorder,
    /// Whether there are observers or the recorder is on.
    is_active: AtomicBool,
    /// This node.
    node: NodeInfo,
    service: &'static str,
    method: &'static str,
    returns_result: bool,
    /// The names of service and method, in spans.
    rpc_method: &'static str,
}

impl ServeReporter {
    pub(super) fn new(
        observers: Option<Arc<Observers>>,
        node: &NodeInfo,
        rpc_method: &'static str,
        returns_result: bool,
    ) -> Arc<Self> {
        let (service, method) =
            rpc_method.rsplit_once('/').expect("generated code writes `Service/method`");
        Arc::new(ServeReporter {
            recorder: Recorder::default(),
            is_active: AtomicBool::new(observers.is_some()),
            observers,
            node: node.clone(),
            service,
            method,
            returns_result,
            rpc_method,
        })
    }

    /// Whether calls have to be reported.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        self.is_active.load(Relaxed)
    }

    /// Switches the recorder on or off.
    pub(super) fn record(&self, is_on: bool) {
        self.recorder.set_on(is_on);
        self.is_active.store(is_on || self.observers.is_some(), Relaxed);
    }

    /// Returns what the recorder has counted.
    pub(super) fn recorded(&self) -> MethodReport {
        MethodReport {
            service: self.service.to_owned(),
            method: self.method.to_owned(),
            in_flight: self.recorder.in_flight(),
            counts: self.recorder.read(),
        }
    }

    /// Records a handler that did not end in its first poll. Must be called whether the reporter is active or not.
    #[inline]
    pub(super) fn on_pending(&self) {
        self.recorder.on_pending();
    }

    /// Records that such a handler has ended.
    #[inline]
    pub(super) fn on_pending_ended(&self) {
        self.recorder.on_pending_ended();
    }

    fn observe(&self, observed: &Observed<'_>) {
        if let Some(observers) = &self.observers {
            observers.observe(observed);
        }
    }

    /// Describes attempt `attempt` of a call of another node.
    pub(super) fn served<'a>(&'a self, caller: &'a NodeInfo, attempt: u32) -> Served<'a> {
        let &ServeReporter { ref node, service, method, .. } = self;
        Served { node, caller, service, method, attempt, local: false, execution: None }
    }

    #[inline(never)]
    pub(super) fn admitted(&self, caller: &NodeInfo, attempt: u32) {
        self.observe(&Observed::Admitted(&self.served(caller, attempt)));
    }

    #[inline(never)]
    pub(super) fn refused(&self, caller: &NodeInfo, attempt: u32, status: &Status) {
        let (served, kind) = (self.served(caller, attempt), kind_of(status));
        self.observe(&Observed::Refused(&served, kind));
        if self.recorder.is_on() {
            self.recorder.on_refused(kind);
        }
    }

    /// Reports that a handler starts. Returns `None` if there are no observers. `trace` is the context of the caller's
    /// span.
    #[inline(never)]
    pub(super) fn started(
        &self,
        caller: &NodeInfo,
        attempt: u32,
        trace: Option<&TraceContext>,
    ) -> Option<StartReport> {
        let observers = self.observers.as_ref()?;
        let mut execution = None;
        if !observers.is_empty() {
            execution = Some(observers.next_execution());
            let served = Served { execution, ..self.served(caller, attempt) };
            observers.observe(&Observed::ServeStarted(&served));
        }
        let span = observers.spans().map(|spans| {
            ServeSpan::of_request(spans, self.rpc_method, (&self.node, caller), trace)
        });
        Some(StartReport { execution, span })
    }

    /// Returns the span of a handler that runs on `me` for a call of the same node with the span `parent`.
    fn span_of_local_call(&self, me: &NodeInfo, parent: Option<&LocalParent>) -> Option<ServeSpan> {
        let spans = self.observers.as_ref()?.spans()?;
        Some(ServeSpan::of_local_call(spans, self.rpc_method, me, parent?))
    }

    /// Returns the outcome of a handler whose response is encoded.
    pub(crate) fn outcome(&self, result: &ResponseResult) -> ServeOutcome {
        match result {
            Ok(reply) if self.returns_result && reply.body.is_err() => ServeOutcome::RepliedErr,
            Ok(_) => ServeOutcome::Replied,
            Err(status) => ServeOutcome::Failed(kind_of(status)),
        }
    }

    /// Reports how a handler ended, which was reported by `start`.
    #[inline(never)]
    pub(super) fn ended(
        &self,
        caller: &NodeInfo,
        attempt: u32,
        outcome: ServeOutcome,
        took: Duration,
        start: Option<StartReport>,
    ) {
        let mut served = self.served(caller, attempt);
        if let Some(StartReport { execution, span }) = start {
            served.execution = execution;
            if let Some(span) = span {
                span.end(outcome);
            }
        }
        self.on_ended(&served, outcome, took);
    }

    fn on_ended(&self, served: &Served<'_>, outcome: ServeOutcome, took: Duration) {
        self.observe(&Observed::ServeEnded(served, outcome, took));
        if self.recorder.is_on() {
            self.recorder.on_ended(outcome, took);
        }
    }
}

/// A handler of a call of another node that was reported as started.
pub(super) struct StartReport {
    /// The number of the execution, if there are observers.
    execution: Option<u64>,
    /// The span of the handler, if it has one.
    span: Option<ServeSpan>,
}

impl StartReport {
    /// Returns the span of the handler, if it has one.
    pub(super) fn span(&self) -> Option<Arc<dyn ServerSpan>> {
        self.span.as_ref().and_then(ServeSpan::share)
    }
}

/// Reports a handler that runs for a call of this node itself: its start when it is polled first, and its end when this is
/// dropped.
pub(crate) struct LocalReport {
    env: Arc<dyn Env>,
    /// This node, or a visitor.
    me: NodeInfo,
    attempt: u32,
    reporter: Arc<ServeReporter>,
    /// When the handler started.
    start: Option<Instant>,
    /// The number of the execution, once the handler was reported as started to an observer.
    execution: Option<u64>,
    /// Canceled, until the handler has ended.
    outcome: ServeOutcome,
    span: Option<ServeSpan>,
}

impl LocalReport {
    /// Creates the report of attempt `attempt` of a call with the span `parent`.
    pub(crate) fn new(
        reporter: &Arc<ServeReporter>,
        env: &Arc<dyn Env>,
        me: &NodeInfo,
        attempt: u32,
        parent: Option<&LocalParent>,
    ) -> Self {
        LocalReport {
            env: Arc::clone(env),
            me: me.clone(),
            attempt,
            reporter: Arc::clone(reporter),
            start: None,
            execution: None,
            outcome: ServeOutcome::Cancelled,
            span: reporter.span_of_local_call(me, parent),
        }
    }

    /// Returns the span of the handler, if it has one.
    pub(crate) fn span(&self) -> Option<Arc<dyn ServerSpan>> {
        self.span.as_ref().and_then(ServeSpan::share)
    }

    /// Runs the handler, and returns its value, which has this `outcome`.
    pub(crate) async fn run<T>(
        mut self,
        handler: impl Future<Output = T>,
        outcome: impl FnOnce(&ServeReporter, &T) -> ServeOutcome,
    ) -> T {
        self.start = Some(self.env.now());
        self.reporter.on_pending();
        self.execution =
            self.reporter.observers.as_ref().map(|observers| observers.next_execution());
        self.reporter.observe(&Observed::ServeStarted(&self.served()));
        let result = handler.await;
        self.outcome = outcome(&self.reporter, &result);
        result
    }

    fn served(&self) -> Served<'_> {
        let served = self.reporter.served(&self.me, self.attempt);
        // The handler may run for a visitor.
        let local = self.me.id() == served.node.id();
        Served { local, execution: self.execution, ..served }
    }
}

impl Drop for LocalReport {
    fn drop(&mut self) {
        if let Some(span) = self.span.take() {
            span.end(self.outcome);
        }
        if let Some(start) = self.start {
            let took = self.env.now().saturating_duration_since(start);
            self.reporter.on_pending_ended();
            self.reporter.on_ended(&self.served(), self.outcome, took);
        }
    }
}

/// Returns the outcome of a handler whose value is not encoded.
pub(crate) fn typed_outcome<R: Request>(ended: &Ended<R::Response>) -> ServeOutcome {
    match ended {
        Ended::Value(value) if IsErr::of::<R>(value) == IsErr(true) => ServeOutcome::RepliedErr,
        Ended::Value(_) => ServeOutcome::Replied,
        Ended::Panicked(_) => ServeOutcome::Failed(ErrorKind::Panicked),
        Ended::Expired | Ended::TimedOut => ServeOutcome::Failed(ErrorKind::Timeout),
    }
}

/// Returns the kind of the error that the caller receives for a status.
fn kind_of(status: &Status) -> ErrorKind {
    match status {
        Status::NotPrimary { .. } => ErrorKind::NotPrimary,
        Status::Draining
        | Status::Overloaded
        | Status::MethodOverloaded
        | Status::Memory
        | Status::Held => ErrorKind::Refused,
        Status::Denied { .. } => ErrorKind::Denied,
        Status::NoMethod | Status::BadArguments { .. } => ErrorKind::Unsupported,
        Status::ArgumentsTooLarge { .. } => ErrorKind::ArgumentsTooLarge,
        Status::Expired | Status::TimedOut => ErrorKind::Timeout,
        Status::Panicked { .. } => ErrorKind::Panicked,
        Status::ReplyTooLarge { .. } => ErrorKind::ReplyTooLarge,
        Status::BadReply { .. } => ErrorKind::BadReply,
    }
}

//! The future of a call through a node.
//!
//! It is written by hand for the two most frequent kinds of calls: one that runs on this node, and one whose
//! request is queued on a link in the first poll, and whose reply arrives. Such a call needs no other
//! future. Any other call continues in a boxed future of [`make`].

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context as Task, Poll, ready},
};

use futures_util::future::BoxFuture;

use super::{
    attempt::{Attempt, QueuedAttempt},
    call::{Call, CallStart, FieldsWithTrace},
    caller::Value,
    error_exit::{rpc_error, shut_down},
    first_report::{CallNumber, FirstAttemptReport},
    local::{self, LocalMethod},
    make,
    outside::{is_in_runtime_of, runtime_to_enter},
    record::{self, AttemptRecorder, reporting},
    remote::{self, Begun, FirstAttempt},
    response::{self, decode},
    selector::{CallOptions, fields},
};
use crate::{
    error::RpcError,
    proto::routing::{AttemptEnd, AttemptFailure, CallFailure},
    runtime::{
        context::Context,
        server::HandlerFuture,
        shared::{NodeInUse, NodeRef, NodeShared},
    },
    service::{IsErr, Request},
    telemetry::{CallSpan, CallStatus, Outcome},
};

/// A call through a node. It starts when it is first polled. Dropping it cancels the call.
///
/// `make` is [`make::call`]. Its type and that of its future are parameters, so that this future is `Send`
/// exactly if that one is.
pub(super) struct CallFuture<R: Request, T, M, F> {
    /// `None` once the call has started.
    node: Option<NodeRef>,
    options: CallOptions,
    /// `None` if the handler or `make` has it.
    request: Option<R>,
    value: Value<R, T>,
    make: M,
    state: State<R, F>,
}

enum State<R: Request, F> {
    /// The call was not polled yet. A handler that made it has this context.
    New(Option<Context>),
    Local(LocalCall<R>),
    Queued(QueuedCall),
    Boxed(Pin<Box<F>>),
    Over,
}

/// A call whose handler runs on this node.
struct LocalCall<R: Request> {
    node: NodeInUse,
    start: CallStart,
    handler: HandlerFuture<BoxFuture<'static, R::Response>>,
}

/// A call whose first attempt is in flight.
struct QueuedCall {
    node: NodeInUse,
    start: CallStart,
    attempt: QueuedAttempt,
    /// The version of the table from which the node was picked.
    version: u64,
    idempotent: bool,
    /// Set if the attempt was reported as started.
    reported: Option<CallNumber>,
    /// The span of the call, if it has one.
    span: Option<Box<CallSpan>>,
}

/// What happened to the first attempt of a call instead of a reply.
enum Ended {
    Failed(AttemptEnd),
    /// The node went quiet, and the call may be repeated.
    Quiet,
}

/// Returns the future of a call. The remaining time of the `enclosing` call, if there is one, bounds the
/// call's own time.
pub(super) fn call<R: Request, T>(
    node: NodeRef,
    options: CallOptions,
    request: R,
    enclosing: Option<Context>,
    value: Value<R, T>,
) -> impl Future<Output = Result<T, RpcError>> {
    CallFuture {
        node: Some(node),
        options,
        request: Some(request),
        value,
        make: make::call,
        state: State::New(enclosing),
    }
}

// The request is moved, and never pinned.
impl<R: Request, T, M, F> Unpin for CallFuture<R, T, M, F> {}

impl<R, T, M, F> Future for CallFuture<R, T, M, F>
where
    R: Request,
    M: Fn(NodeInUse, Call, R, Option<Begun>, Option<Box<CallSpan>>) -> F,
    F: Future<Output = Result<R::Response, RpcError>>,
{
    type Output = Result<T, RpcError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let outcome = loop {
            match &mut this.state {
                State::Queued(call) => {
                    let request = this.request.as_ref().expect(HAS_REQUEST);
                    match ready!(call.poll(task, request, &this.options)) {
                        Ok(response) => {
                            call.node.count_call(R::SERVICE, CallStatus::Ok);
                            break Ok(response);
                        }
                        Err(ended) => this.resume(ended),
                    }
                }
                State::Local(call) => match ready!(call.poll(task)) {
                    Ok(response) => {
                        call.node.count_call(R::SERVICE, CallStatus::Ok);
                        break Ok(response);
                    }
                    Err(failure) => break Err(call.error(&this.options, failure)),
                },
                State::Boxed(call) => break ready!(call.as_mut().poll(task)),
                State::New(enclosing) => {
                    let enclosing = enclosing.take();
                    if let Err(error) = this.start(task, enclosing) {
                        break Err(error);
                    }
                    if let State::Queued(call) = &this.state
                        && !call.attempt.link().is_quiet()
                    {
                        // Queuing the request has registered the waker. If the peer goes quiet from now on, the
                        // link wakes this task.
                        return Poll::Pending;
                    }
                }
                State::Over => panic!("a call was polled after it had completed"),
            }
        };
        this.state = State::Over;
        Poll::Ready(outcome.and_then(this.value))
    }
}

const HAS_REQUEST: &str = "the request is here until the handler or `make` takes it";

impl<R, T, M, F> CallFuture<R, T, M, F>
where
    R: Request,
    M: Fn(NodeInUse, Call, R, Option<Begun>, Option<Box<CallSpan>>) -> F,
{
    fn start(&mut self, task: &mut Task<'_>, enclosing: Option<Context>) -> Result<(), RpcError> {
        let request = self.request.as_ref().expect(HAS_REQUEST);
        let Some(node) = self.node.take().and_then(NodeRef::upgrade) else {
            return Err(shut_down(request));
        };
        let (now, method) = (node.env().now(), request.method());
        let enclosing = enclosing.or_else(Context::try_current);
        let start = CallStart::new::<R>(method, &self.options, now, enclosing.as_ref());
        let metadata = self.options.metadata.as_deref();
        let has_observers = node.observers().is_some();
        let span = if has_observers { start_span::<R>(&node, method) } else { None };
        if let Some(error) = metadata.and_then(|metadata| metadata.error.as_ref()) {
            let failure = make::failed_here(&node, AttemptFailure::Encode(error.clone()));
            let call = Call::new::<R>(&self.options, node.primary_region(), start, span.as_deref());
            let error = rpc_error(&node, &call, failure);
            AttemptRecorder::new(&node, &call, None, span).finish(Err(&error));
            return Err(error);
        }
        if self.options.each.is_some() || runtime_to_enter(&node).is_some() {
            self.make(node, start, None, span);
            return Ok(());
        }
        if let Err(failure) = make::check(&node, &start) {
            if has_observers {
                self.make(node, start, None, span);
                return Ok(());
            }
            return Err(call_error::<R>(&node, &self.options, start, failure));
        }
        let declared = &R::methods()[method].options;
        let target = self.options.selector.target(declared.primary, node.primary_region());
        let here = if target.includes(node.me()) { local::find(&node, request) } else { None };
        match here {
            Some(LocalMethod::Typed(handler))
                if !has_observers
                    && !node.server().is_recording()
                    && local::runs_inline::<R>(&node, target, &start, method) =>
            {
                let request = self.request.take().expect(HAS_REQUEST);
                let handler = local::start_inline(&node, &start, metadata, handler, request);
                self.state = State::Local(LocalCall { node, start, handler });
            }
            None if is_in_runtime_of(&node) => {
                let expires = node.env().timer_time(now) + start.timeout;
                let is_only = declared.primary || self.options.further.is_none();
                let target = (target, is_only);
                let with_trace =
                    span.as_ref().and_then(|span| FieldsWithTrace::new(metadata, span));
                let fields =
                    with_trace.as_ref().map_or_else(|| fields(metadata), FieldsWithTrace::bytes);
                match remote::begin(&node, target, start, request, fields, Some(expires), task) {
                    Begun {
                        version,
                        first: FirstAttempt::InFlight(Attempt::Queued(attempt)),
                        ..
                    } if declared.hedge.is_none() => {
                        let (idempotent, reported) = (declared.idempotent, None);
                        let mut call = QueuedCall {
                            node,
                            start,
                            attempt,
                            version,
                            idempotent,
                            reported,
                            span,
                        };
                        if has_observers {
                            call.report_start::<R>(&self.options);
                        }
                        self.state = State::Queued(call);
                    }
                    begun => self.make(node, start, Some(begun), span),
                }
            }
            Some(_) | None => self.make(node, start, None, span),
        }
        Ok(())
    }

    #[cold]
    fn make(
        &mut self,
        node: NodeInUse,
        start: CallStart,
        begun: Option<Begun>,
        span: Option<Box<CallSpan>>,
    ) {
        let request = self.request.take().expect(HAS_REQUEST);
        let call = Call::new::<R>(&self.options, node.primary_region(), start, span.as_deref());
        self.state = State::Boxed(Box::pin((self.make)(node, call, request, begun, span)));
    }

    /// Continues a call whose first attempt is not answered with a reply.
    #[cold]
    fn resume(&mut self, ended: Ended) {
        let State::Queued(queued) = mem::replace(&mut self.state, State::Over) else { return };
        let report = queued.report::<R>(&self.options);
        let reported = queued.reported.map(|number| report.reported(number));
        let QueuedCall { node, start, attempt, version, span, .. } = queued;
        let first = match ended {
            Ended::Failed(end) => FirstAttempt::Ended(Arc::clone(attempt.link()), Box::new(end)),
            Ended::Quiet => FirstAttempt::InFlight(Attempt::Queued(attempt)),
        };
        self.make(node, start, Some(Begun { version, first, reported }), span);
    }
}

/// Reports and counts a call that is dropped while it is in flight as canceled. `make` does so for the calls that it has.
impl<R: Request, T, M, F> Drop for CallFuture<R, T, M, F> {
    fn drop(&mut self) {
        let node = match &mut self.state {
            State::Queued(call) => {
                if let Some(number) = call.reported {
                    let span = call.span.take();
                    call.report::<R>(&self.options).end::<R>(number, span, Outcome::Cancelled);
                }
                &call.node
            }
            State::Local(call) => &call.node,
            State::New(_) | State::Boxed(_) | State::Over => return,
        };
        node.count_call(R::SERVICE, CallStatus::Cancelled);
    }
}

impl<R: Request> LocalCall<R> {
    fn poll(&mut self, task: &mut Task<'_>) -> Poll<Result<R::Response, AttemptFailure>> {
        Pin::new(&mut self.handler).poll(task).map(local::value)
    }

    fn error(&self, options: &CallOptions, failure: AttemptFailure) -> RpcError {
        let failure = make::failed_here(&self.node, failure);
        call_error::<R>(&self.node, options, self.start, failure)
    }
}

/// Starts the span of a call, if it has one.
#[cold]
fn start_span<R: Request>(node: &NodeShared, method: usize) -> Option<Box<CallSpan>> {
    let spans = reporting(node, R::SERVICE)?.spans()?;
    Some(Box::new(spans.start_call(R::methods()[method].rpc_method)))
}

/// Returns the error of a call.
#[cold]
fn call_error<R: Request>(
    node: &NodeShared,
    options: &CallOptions,
    start: CallStart,
    failure: CallFailure,
) -> RpcError {
    let call = Call::new::<R>(options, node.primary_region(), start, None);
    rpc_error(node, &call, failure)
}

impl QueuedCall {
    /// Reports that the attempt has started, if there is anything to report.
    #[cold]
    fn report_start<R: Request>(&mut self, options: &CallOptions) {
        let mut span = self.span.take();
        let is_recording = span.as_ref().is_some_and(|span| span.is_recording());
        if is_recording || self.node.observers().is_some_and(|observers| !observers.is_empty()) {
            self.reported = self.report::<R>(options).start::<R>(span.as_deref_mut());
        }
        self.span = span;
    }

    /// Describes the attempt for observers.
    fn report<'a, R: Request>(&'a self, options: &'a CallOptions) -> FirstAttemptReport<'a> {
        let primary = R::methods()[self.start.method()].options.primary;
        FirstAttemptReport {
            node: &self.node,
            start: self.start,
            target: options.selector.target(primary, self.node.primary_region()),
            peer: self.attempt.link().peer(),
            request_bytes: self.attempt.request_bytes,
        }
    }

    /// Returns the response, or what happened to the attempt instead of a reply.
    #[inline(always)]
    fn poll<R: Request>(
        &mut self,
        task: &mut Task<'_>,
        request: &R,
        options: &CallOptions,
    ) -> Poll<Result<R::Response, Ended>> {
        match self.attempt.poll(task) {
            Poll::Ready(Ok(response)) => {
                let bytes = self.reported.and_then(|_| response::size(&response));
                let decoded = decode::<R>(&self.node, request.method(), response);
                if let (Ok(response), Some(number)) = (&decoded, self.reported) {
                    let outcome = record::replied(bytes, IsErr::of::<R>(response));
                    let span = self.span.take();
                    self.report::<R>(options).end::<R>(number, span, outcome);
                    self.reported = None;
                }
                Poll::Ready(decoded.map_err(|failure| Ended::Failed(failure.into())))
            }
            Poll::Ready(Err(end)) => Poll::Ready(Err(Ended::Failed(end))),
            // The link wakes all calls when its peer goes quiet.
            Poll::Pending if self.idempotent && self.attempt.link().is_quiet() => {
                Poll::Ready(Err(Ended::Quiet))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

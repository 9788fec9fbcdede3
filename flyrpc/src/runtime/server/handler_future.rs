//! Runs a handler with its context until its deadline, and catches its panics. Used for calls from
//! other nodes and from this node.

use std::{
    future::{Future, pending},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

use crate::{
    error::{BodyError, discard, panic_message},
    proto::wire::status::Status,
    runtime::{
        context::{Context, poll_in},
        link::{EncodeAgain, Reply, ResponseResult},
    },
    service::{EncodeResponse, EncodedHandler, EncodedResponse, Service},
    telemetry::ServerSpan,
    types::Metadata,
};

/// How a handler ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended<T> {
    Value(T),
    Panicked(String),
    /// The deadline passed before the handler was polled for the first time.
    Expired,
    /// The deadline passed while the handler was running.
    TimedOut,
}

/// When to stop a handler that has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// At the deadline of its call.
    Deadline,
    /// Never, because the method is detached.
    Completion,
}

impl Until {
    /// Returns when to stop the handlers of a method that is `detached` or not.
    pub(crate) fn of(detached: bool) -> Self {
        if detached { Until::Completion } else { Until::Deadline }
    }
}

/// Runs a handler, whose future is an `F`. Dropping this future drops the handler at its current await
/// point.
pub(crate) struct HandlerFuture<F> {
    /// `None` once the handler was stopped.
    handler: Option<F>,
    context: Context,
    /// Created when the handler is first pending; most handlers never are.
    timer: Option<Pin<Box<Sleep>>>,
    until: Until,
    /// Whether the handler may start without checking its deadline.
    deadline_checked: bool,
}

impl<F: Future + Unpin> HandlerFuture<F> {
    /// Creates a future that runs `handler` until `until`. If it is first polled after the deadline of
    /// `context`, the handler does not start, unless [`start_now`](Self::start_now) is called.
    pub(crate) fn new(handler: F, context: Context, until: Until) -> Self {
        HandlerFuture {
            handler: Some(handler),
            context,
            timer: None,
            until,
            deadline_checked: false,
        }
    }

    /// Creates a future that runs `handler` until the deadline of `context`. It is for a call that
    /// was made just now, so the deadline is not checked before the first poll.
    pub(crate) fn of_new_call(handler: F, context: Context) -> Self {
        let mut future = HandlerFuture::new(handler, context, Until::Deadline);
        future.start_now();
        future
    }

    /// States that the deadline has not passed just before the first poll.
    fn start_now(&mut self) {
        self.deadline_checked = true;
    }

    fn remaining(&self) -> std::time::Duration {
        self.context.remaining()
    }
}

impl<F> HandlerFuture<F> {
    /// Drops the handler, and catches a panic of its destructor.
    #[inline]
    fn discard(&mut self) {
        if let Some(handler) = self.handler.take() {
            discard(handler);
        }
    }
}

impl<F: Future + Unpin> Future for HandlerFuture<F> {
    type Output = Ended<F::Output>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Ended<F::Output>> {
        let this = &mut *self;
        if !std::mem::replace(&mut this.deadline_checked, true) && this.remaining().is_zero() {
            this.discard();
            return Poll::Ready(Ended::Expired);
        }
        let handler = Pin::new(this.handler.as_mut().expect("not polled after it was stopped"));
        let context = &this.context;
        match catch_unwind(AssertUnwindSafe(|| poll_in(context, handler, task))) {
            Ok(Poll::Ready(value)) => return Poll::Ready(Ended::Value(value)),
            Ok(Poll::Pending) => {}
            Err(panic) => {
                this.discard();
                return Poll::Ready(Ended::Panicked(panic_message(panic)));
            }
        }
        if this.until == Until::Completion {
            return Poll::Pending;
        }
        if this.timer.is_none() {
            this.timer = Some(Box::pin(tokio::time::sleep(this.remaining())));
        }
        let timer = this.timer.as_mut().expect("created above").as_mut();
        if timer.poll(task).is_ready() {
            this.discard();
            return Poll::Ready(Ended::TimedOut);
        }
        Poll::Pending
    }
}

impl<F> Drop for HandlerFuture<F> {
    #[inline]
    fn drop(&mut self) {
        self.discard();
    }
}

/// Runs the handler of an encoded request, and encodes its reply.
pub(crate) struct RequestFuture {
    /// Why the handler could not be started, until this was returned.
    failed: Option<Status>,
    running: HandlerFuture<EncodedHandler>,
}

impl RequestFuture {
    /// Decodes the arguments of the method at index `method`. The handler starts when this future
    /// is polled.
    pub(crate) fn new(
        service: &dyn Service,
        method: usize,
        until: Until,
        body: &Bytes,
        context: Context,
    ) -> Self {
        let running = HandlerFuture::new(EncodedHandler::new(pending()), context, until);
        let mut future = RequestFuture { failed: None, running };
        future.decode(service, method, body);
        future
    }

    /// Replaces a handler of `service`, whose context was that of a request of the same node, with the
    /// handler of another request.
    #[inline(always)]
    pub(super) fn restart(
        &mut self,
        service: &dyn Service,
        method: usize,
        until: Until,
        body: &Bytes,
        (attempt, deadline): (u32, Instant),
        metadata: Option<&Arc<Metadata>>,
    ) {
        let context = &mut self.running.context;
        (context.attempt, context.deadline) = (attempt, deadline);
        context.detached = until == Until::Completion;
        if metadata.is_some() || context.metadata.is_some() {
            context.metadata = metadata.cloned();
        }
        self.running.until = until;
        self.running.timer = None;
        self.running.deadline_checked = false;
        self.decode(service, method, body);
    }

    #[inline(always)]
    fn decode(&mut self, service: &dyn Service, method: usize, body: &Bytes) {
        let future = self.running.handler.get_or_insert_with(|| EncodedHandler::new(pending()));
        if let Err(error) = catch_panic("decoding", || service.start(method, body, future)) {
            self.failed = Some(Status::bad_arguments(error.path(), error.message()));
        }
    }

    /// Returns the number and the deadline of the attempt.
    pub(super) fn call(&self) -> (u32, Instant) {
        let Context { attempt, deadline, .. } = self.running.context;
        (attempt, deadline)
    }

    /// Returns whether the handler cannot be started, because its arguments could not be decoded.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Sets the span of the handler, which is entered whenever the handler is polled.
    pub(super) fn set_span(&mut self, span: Option<Arc<dyn ServerSpan>>) {
        self.running.context.span = span;
    }

    /// States that the deadline has not passed just before the first poll, which saves a clock reading.
    pub(crate) fn start_now(&mut self) {
        self.running.start_now();
    }
}

impl Future for RequestFuture {
    type Output = ResponseResult;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(status) = this.failed.take() {
            return Poll::Ready(Err(status));
        }
        Poll::Ready(match task::ready!(Pin::new(&mut this.running).poll(task)) {
            Ended::Value(Ok(EncodedResponse { body, encode_again })) => {
                Ok(Reply { body, encode_again: encode_again.map(guarded) })
            }
            Ended::Value(Err(error)) => Err(bad_reply(error)),
            Ended::Panicked(message) => Err(Status::panicked(message)),
            Ended::Expired => Err(Status::Expired),
            Ended::TimedOut => Err(Status::TimedOut),
        })
    }
}

/// Returns `encode`, wrapped to catch its panics and the panics of the response's destructor.
fn guarded(encode: EncodeResponse) -> EncodeAgain {
    struct Guarded(Option<EncodeResponse>);

    impl Drop for Guarded {
        fn drop(&mut self) {
            discard(self.0.take());
        }
    }

    let mut guarded = Guarded(Some(encode));
    Box::new(move || {
        let encode = guarded.0.take().expect("called once");
        catch_panic("encoding", encode).map_err(bad_reply)
    })
}

fn bad_reply(error: BodyError) -> Status {
    Status::bad_reply(error.path(), error.message())
}

/// Runs user code that encodes or decodes a body, and turns a panic into an error. `doing` names
/// the operation in the error.
#[inline(always)]
pub(crate) fn catch_panic<T, E: From<BodyError>>(
    doing: &str,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(BodyError::new("", format_args!("{doing} panicked: {}", panic_message(panic))).into())
    })
}

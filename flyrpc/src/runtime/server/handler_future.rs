//! Runs a handler with its context until its deadline, and catches its panics. Used for calls from
//! other nodes and from this node.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{self, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Sleep;

use crate::{
    error::{BodyError, discard, panic_message},
    proto::wire::status::Status,
    runtime::{
        context::{Context, poll_in},
        link::{EncodeAgain, Reply, ResponseResult},
    },
    service::{EncodeResponse, EncodedResponse, Service},
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

/// Runs a handler. Dropping this future drops the handler at its current await point.
pub(crate) struct HandlerFuture<T> {
    /// `None` once the handler has ended.
    handler: Option<BoxFuture<'static, T>>,
    context: Option<Context>,
    /// Created when the handler is first pending; most handlers never are.
    timer: Option<Pin<Box<Sleep>>>,
    until: Until,
    /// Whether the handler may start without checking its deadline.
    deadline_checked: bool,
}

impl<T> HandlerFuture<T> {
    /// Creates a future that runs `handler` until `until`. If it is first polled after the deadline of
    /// `context`, the handler does not start, unless [`start_now`](Self::start_now) is called.
    pub(crate) fn new(handler: BoxFuture<'static, T>, context: Context, until: Until) -> Self {
        HandlerFuture {
            handler: Some(handler),
            context: Some(context),
            timer: None,
            until,
            deadline_checked: false,
        }
    }

    /// Creates a future that runs `handler` until the deadline of `context`. It is for a call that
    /// was made just now, so the deadline is not checked before the first poll.
    pub(crate) fn of_new_call(handler: BoxFuture<'static, T>, context: Context) -> Self {
        let mut future = HandlerFuture::new(handler, context, Until::Deadline);
        future.start_now();
        future
    }

    /// States that the deadline has not passed just before the first poll.
    fn start_now(&mut self) {
        self.deadline_checked = true;
    }

    fn remaining(&self) -> std::time::Duration {
        self.context.as_ref().map(Context::remaining).unwrap_or_default()
    }

    /// Drops the handler, and catches a panic of its destructor.
    fn discard(&mut self) {
        discard(self.handler.take());
    }
}

impl<T> Future for HandlerFuture<T> {
    type Output = Ended<T>;

    fn poll(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Ended<T>> {
        let this = &mut *self;
        if !std::mem::replace(&mut this.deadline_checked, true) && this.remaining().is_zero() {
            this.discard();
            return Poll::Ready(Ended::Expired);
        }
        let handler = this.handler.as_mut().expect("not polled after completion").as_mut();
        let context = &mut this.context;
        match catch_unwind(AssertUnwindSafe(|| poll_in(context, handler, task))) {
            Ok(Poll::Ready(value)) => {
                this.discard();
                return Poll::Ready(Ended::Value(value));
            }
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

impl<T> Drop for HandlerFuture<T> {
    fn drop(&mut self) {
        self.discard();
    }
}

/// Runs the handler of an encoded request, and encodes its reply.
pub(crate) enum RequestFuture {
    /// The handler could not be started. `None` once the status has been returned.
    Failed(Option<Status>),
    Running(HandlerFuture<Result<EncodedResponse, BodyError>>),
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
        match catch_panic("decoding", || service.start(method, body)) {
            Ok(handler) => RequestFuture::Running(HandlerFuture::new(handler, context, until)),
            Err(error) => {
                RequestFuture::Failed(Some(Status::bad_arguments(error.path(), error.message())))
            }
        }
    }

    /// States that the deadline has not passed just before the first poll, which saves a clock reading.
    pub(crate) fn start_now(&mut self) {
        if let RequestFuture::Running(handler) = self {
            handler.start_now();
        }
    }
}

impl Future for RequestFuture {
    type Output = ResponseResult;

    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Self::Output> {
        let ended = match self.get_mut() {
            RequestFuture::Failed(status) => {
                return Poll::Ready(Err(status.take().expect("not polled after completion")));
            }
            RequestFuture::Running(handler) => task::ready!(Pin::new(handler).poll(task)),
        };
        Poll::Ready(match ended {
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
pub(crate) fn catch_panic<T, E: From<BodyError>>(
    doing: &str,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(BodyError::new("", format_args!("{doing} panicked: {}", panic_message(panic))).into())
    })
}

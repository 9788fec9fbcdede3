//! A handler at work: with its context, within its deadline, its panics caught. The same for calls
//! from other nodes and from this one.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{self, Poll},
};

use futures_util::future::BoxFuture;
use tokio::time::Sleep;

use crate::{
    error::BodyError,
    proto::wire::status::Status,
    runtime::context::{Context, poll_in},
    service::Service,
};

/// How a handler ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended<T> {
    Value(T),
    Panicked(String),
    /// Its time was over before it was polled the first time.
    Expired,
    /// Its time ran out while it executed.
    TimedOut,
}

/// When a handler that has started is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// At the deadline of its call.
    Deadline,
    /// Never: it is detached.
    Completion,
}

impl Until {
    /// For a method that is `detached`, or not.
    pub(crate) fn of(detached: bool) -> Self {
        if detached { Until::Completion } else { Until::Deadline }
    }
}

/// Runs a handler. Dropping it drops the handler wherever it is.
pub(crate) struct HandlerFuture<T> {
    /// None once it has ended.
    handler: Option<BoxFuture<'static, T>>,
    context: Option<Context>,
    /// Made when the handler is first found pending: most never are.
    timer: Option<Pin<Box<Sleep>>>,
    until: Until,
    polled: bool,
}

impl<T> HandlerFuture<T> {
    /// Runs `handler`, which must start before the deadline of `context`, until `until`.
    pub(crate) fn new(handler: BoxFuture<'static, T>, context: Context, until: Until) -> Self {
        HandlerFuture {
            handler: Some(handler),
            context: Some(context),
            timer: None,
            until,
            polled: false,
        }
    }

    /// Runs `handler` until the deadline of `context`, for a call that was made just now: the deadline
    /// is not checked first.
    pub(crate) fn of_new_call(handler: BoxFuture<'static, T>, context: Context) -> Self {
        let mut future = HandlerFuture::new(handler, context, Until::Deadline);
        future.polled = true;
        future
    }

    fn remaining(&self) -> std::time::Duration {
        self.context.as_ref().map(Context::remaining).unwrap_or_default()
    }

    /// Drops the handler, whose own drop may panic.
    fn discard(&mut self) {
        discard(self.handler.take());
    }
}

impl<T> Future for HandlerFuture<T> {
    type Output = Ended<T>;

    fn poll(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Ended<T>> {
        let this = &mut *self;
        if !std::mem::replace(&mut this.polled, true) && this.remaining().is_zero() {
            this.discard();
            return Poll::Ready(Ended::Expired);
        }
        let handler = this.handler.as_mut().expect("polled only until it has ended").as_mut();
        let context = &mut this.context;
        match catch_unwind(AssertUnwindSafe(|| poll_in(context, handler, task))) {
            Ok(Poll::Ready(value)) => {
                this.discard();
                return Poll::Ready(Ended::Value(value));
            }
            Ok(Poll::Pending) => {}
            Err(panic) => {
                this.discard();
                return Poll::Ready(Ended::Panicked(message(panic)));
            }
        }
        if this.until == Until::Completion {
            return Poll::Pending;
        }
        if this.timer.is_none() {
            this.timer = Some(Box::pin(tokio::time::sleep(this.remaining())));
        }
        let timer = this.timer.as_mut().expect("made above").as_mut();
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

/// The handler of an encoded request, up to its encoded reply.
pub(crate) enum RequestFuture {
    /// It cannot be run.
    Failed(Option<Status>),
    Running(HandlerFuture<Result<Vec<u8>, BodyError>>),
}

impl RequestFuture {
    /// Decodes the arguments of method number `method`, which begins to run when this is polled.
    pub(crate) fn new(
        service: &dyn Service,
        method: usize,
        until: Until,
        body: &[u8],
        context: Context,
    ) -> Self {
        match catch_panic("decoding", || service.start(method, body)) {
            Ok(handler) => RequestFuture::Running(HandlerFuture::new(handler, context, until)),
            Err(error) => {
                RequestFuture::Failed(Some(Status::bad_arguments(error.path(), error.message())))
            }
        }
    }
}

impl Future for RequestFuture {
    type Output = Result<Vec<u8>, Status>;

    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Self::Output> {
        let ended = match self.get_mut() {
            RequestFuture::Failed(status) => {
                return Poll::Ready(Err(status.take().expect("polled only until it has ended")));
            }
            RequestFuture::Running(handler) => task::ready!(Pin::new(handler).poll(task)),
        };
        Poll::Ready(match ended {
            Ended::Value(Ok(reply)) => Ok(reply),
            Ended::Value(Err(error)) => Err(Status::bad_reply(error.path(), error.message())),
            Ended::Panicked(message) => Err(Status::panicked(message)),
            Ended::Expired => Err(Status::Expired),
            Ended::TimedOut => Err(Status::TimedOut),
        })
    }
}

/// Runs user code that is `doing` something to a body, and makes an error of its panic.
pub(crate) fn catch_panic<T, E: From<BodyError>>(
    doing: &str,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(BodyError::new("", format_args!("{doing} panicked: {}", message(panic))).into())
    })
}

/// The text of a panic, as `panic!` gives it.
fn message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<&str>() {
        Ok(text) => (*text).to_owned(),
        Err(panic) => match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => {
                discard(panic);
                "a panic whose payload is no text".to_owned()
            }
        },
    }
}

/// Drops what user code made. Its call is over, so that a panic now adds nothing.
fn discard<T>(value: T) {
    let value = AssertUnwindSafe(value);
    if let Err(panic) = catch_unwind(move || drop(value)) {
        // Its payload may panic when it is dropped, and so on.
        std::mem::forget(panic);
    }
}

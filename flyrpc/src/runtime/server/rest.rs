//! What is left of a request whose handler did not end in its first poll, or whose response has to wait.

use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{self, Poll},
};

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::{admission::Permit, handler_future::RequestFuture, serve_report::StartReport};
use crate::{
    runtime::link::{Flush, InboundRequest, Outgoing},
    telemetry::ServeOutcome,
};

/// What is left of a request that is pending. As a future, it finishes the request. It is written by hand,
/// because waiting calls make up most of the memory of a busy node.
pub(super) enum Rest {
    // Fields are dropped in this order: the handler ends first.
    Handler {
        future: RequestFuture,
        report: Option<Box<StartReport>>,
        permit: Permit,
        request: InboundRequest,
        start: Instant,
    },
    /// The response has to wait for room.
    Response(InboundRequest, Outgoing<Permit>),
    /// The outbox nearly always has room, so the future that waits for it is not part of every request.
    Responding(BoxFuture<'static, ()>),
    Over,
}

impl Rest {
    /// Runs the handler until it has ended, and sends its response if there is room. Returns what is left.
    fn poll_handler(
        // Dropped in the reverse order.
        request: InboundRequest,
        mut permit: Permit,
        mut future: RequestFuture,
        start: Instant,
        report: Option<Box<StartReport>>,
        task: &mut task::Context<'_>,
    ) -> Rest {
        let polled = if permit.method.is_detached() {
            Pin::new(&mut future).poll(task).map(Some)
        } else {
            request.poll_unless_canceled(Pin::new(&mut future), task)
        };
        let Poll::Ready(result) = polled else {
            return Rest::Handler { future, report, permit, request, start };
        };
        let (attempt, deadline) = future.call();
        drop(future);
        let reporter = &permit.method.reporter;
        reporter.on_pending_ended();
        let took = request.now().saturating_duration_since(start);
        permit.method.time.add(took);
        if reporter.is_active() {
            let outcome = result.as_ref();
            let outcome =
                outcome.map_or(ServeOutcome::Cancelled, |result| reporter.outcome(result));
            let report = report.map(|report| *report);
            reporter.ended(request.caller(), attempt, outcome, took, report);
        }
        let Some(result) = result else { return Rest::Over };
        permit.on_handler_ended();
        let response = Outgoing { of: permit.method.kind(), result, deadline, permit };
        match request.try_respond(response, Flush::Now) {
            Ok(()) => Rest::Over,
            Err((request, response)) => Rest::Response(request, response),
        }
    }
}

impl Future for Rest {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<()> {
        loop {
            *self = match mem::replace(&mut *self, Rest::Over) {
                Rest::Handler { future, permit, request, start, report } => {
                    match Rest::poll_handler(request, permit, future, start, report, task) {
                        handler @ Rest::Handler { .. } => {
                            *self = handler;
                            return Poll::Pending;
                        }
                        rest => rest,
                    }
                }
                Rest::Response(request, response) => {
                    Rest::Responding(Box::pin(request.respond(response)))
                }
                Rest::Responding(mut responding) => {
                    let polled = responding.as_mut().poll(task);
                    *self = Rest::Responding(responding);
                    return polled;
                }
                Rest::Over => return Poll::Ready(()),
            };
        }
    }
}

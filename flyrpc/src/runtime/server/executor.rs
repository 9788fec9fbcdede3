//! Starts requests in tasks. Requests that are expected to be quick run one after the other in a
//! shared task, because a separate task costs more than such a handler. Every other request runs in
//! its own task.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{AbortHandle, AbortRegistration, Abortable},
};
use tokio::time::Instant;

use super::{
    admission::Permit, handler_future::RequestFuture, inline_policy::INLINE_BUDGET,
    registry::ServedMethod, serving::Server,
};
use crate::{
    env::yield_once,
    runtime::{
        context::Context,
        link::{Admitted, Flush, InboundRequest, Link, ResponseResult},
    },
    service::ServiceKind,
};

/// A task that runs requests one after the other yields each time it has run this many.
const YIELD_EVERY_REQUESTS: usize = 64;

/// Requests that arrived together, each with its remaining time as of `now`.
type Requests = Vec<(Admitted<Permit>, Duration)>;

/// Starts requests that arrived on one link.
pub(super) fn start(server: &Arc<Server>, link: &Arc<Link>, now: Instant, requests: Requests) {
    let quick = |admitted: &Admitted<Permit>| {
        let method = &admitted.permit.method;
        method.inline_policy.is_quick() && !method.is_detached()
    };
    let together = if requests.iter().all(|(admitted, _)| quick(admitted)) {
        requests
    } else {
        let (together, alone): (Requests, Requests) =
            requests.into_iter().partition(|(admitted, _)| quick(admitted));
        for (admitted, remaining) in alone {
            start_alone(server, admitted, now + remaining);
        }
        together
    };
    if !together.is_empty() {
        let together = run_together(Arc::clone(server), Arc::clone(link), now, together);
        server.env.spawn(Box::pin(together));
    }
}

/// Runs a request in its own task.
fn start_alone(server: &Arc<Server>, admitted: Admitted<Permit>, deadline: Instant) {
    let of = Arc::clone(server);
    let registration = register(&admitted.permit.method, &admitted.request);
    spawn(server, registration, async move {
        let before = of.env.now();
        let Admitted { permit, request, attempt, body } = admitted;
        let method = &permit.method;
        // Only a handler that starts is detached: until then, its caller may cancel the request.
        if method.is_detached() && !request.detach() {
            return;
        }
        let context = context(&of, &request, method, attempt, deadline);
        let mut future = RequestFuture::new(
            &*method.implementation,
            method.method,
            method.until,
            &body,
            context,
        );
        drop(body);
        let (first, _) = poll_first(&of, method, before, &mut future).await;
        finish(request, method.kind(), first, future).await;
        drop(permit);
    });
}

/// Runs requests one after the other. A request that cannot be finished immediately continues in
/// its own task.
async fn run_together(server: Arc<Server>, link: Arc<Link>, start: Instant, requests: Requests) {
    let mut now = server.env.now();
    for (count, (admitted, remaining)) in (1..).zip(requests) {
        // An earlier request of this batch may have shown that the method is not quick.
        if !admitted.permit.method.inline_policy.is_quick() {
            start_alone(&server, admitted, start + remaining);
            continue;
        }
        if !admitted.request.is_wanted() {
            continue;
        }
        let Admitted { permit, request, attempt, body } = admitted;
        let method = &permit.method;
        let context = context(&server, &request, method, attempt, start + remaining);
        let mut future = RequestFuture::new(
            &*method.implementation,
            method.method,
            method.until,
            &body,
            context,
        );
        drop(body);
        let (first, after) = poll_first(&server, method, now, &mut future).await;
        now = after;
        let kind = method.kind();
        let unfinished = match first {
            Poll::Ready(response) => request
                .try_respond(kind, response, Flush::Later)
                .err()
                .map(|(request, response)| (request, Poll::Ready(response))),
            Poll::Pending => Some((request, Poll::Pending)),
        };
        if let Some((request, first)) = unfinished {
            let registration = register(method, &request);
            spawn(&server, registration, async move {
                finish(request, kind, first, future).await;
                drop(permit);
            });
        }
        // The link is flushed only here and at the end. If it were flushed earlier, the writer
        // would be scheduled to run next on this thread, and a handler that blocks the thread would
        // delay everything that the link has to send.
        if count % YIELD_EVERY_REQUESTS == 0 {
            link.flush();
            yield_once().await;
            now = server.env.now();
        }
    }
    link.flush();
}

/// Finishes a request after its `first` poll, and responds. The outbox nearly always has room for
/// the response, so the future that waits for room is boxed rather than part of every request.
async fn finish(
    request: InboundRequest,
    kind: ServiceKind,
    first: Poll<ResponseResult>,
    future: RequestFuture,
) {
    let response = match first {
        Poll::Ready(response) => response,
        Poll::Pending => future.await,
    };
    if let Err((request, response)) = request.try_respond(kind, response, Flush::Now) {
        Box::pin(request.respond(kind, response)).await;
    }
}

fn context(
    server: &Server,
    request: &InboundRequest,
    method: &ServedMethod,
    attempt: u32,
    deadline: Instant,
) -> Context {
    let (caller, env) = (request.caller().clone(), Arc::clone(&server.env));
    let detached = method.is_detached();
    Context { caller, deadline, attempt, local: false, detached, env }
}

/// Polls a request for the first time, and records whether it was quick, measured from `before`.
/// Returns the result and the time after the poll.
async fn poll_first(
    server: &Server,
    method: &ServedMethod,
    before: Instant,
    future: &mut RequestFuture,
) -> (Poll<ResponseResult>, Instant) {
    poll_fn(|task| {
        let polled = Pin::new(&mut *future).poll(task);
        let now = server.env.now();
        let quick = polled.is_ready() && now.saturating_duration_since(before) < INLINE_BUDGET;
        method.inline_policy.record(quick);
        Poll::Ready((polled, now))
    })
    .await
}

/// Prepares a request to run in its own task. The task is aborted when the request is canceled or
/// its link ends, unless the method is detached.
fn register(method: &ServedMethod, request: &InboundRequest) -> Option<AbortRegistration> {
    if method.is_detached() {
        return None;
    }
    let (abort, registration) = AbortHandle::new_pair();
    request.abort_with(abort);
    Some(registration)
}

fn spawn(
    server: &Server,
    registration: Option<AbortRegistration>,
    rest: impl Future<Output = ()> + Send + 'static,
) {
    match registration {
        None => server.env.spawn(Box::pin(rest)),
        Some(registration) => {
            server.env.spawn(Box::pin(Abortable::new(rest, registration).map(drop)));
        }
    }
}

//! Where requests run: those that are expected to be quick one after the other in one task, since a
//! task of its own costs more than such a handler; every other in its own.

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
    admission::Permit, handler_future::Execution, inline_policy::INLINE_BUDGET, server::Server,
};
use crate::{
    env::yield_once,
    runtime::{
        context::Context,
        link::{Admitted, Flush, InboundRequest, Link, Outcome},
    },
};

/// After this many requests that run in one task, other tasks run.
const YIELD_EVERY_REQUESTS: usize = 64;

/// An admitted request with its deadline.
struct Job {
    admitted: Admitted<Permit>,
    deadline: Instant,
}

/// Starts requests that arrived together, each with the time that it has left from `now`.
pub(super) fn start(
    server: &Arc<Server>,
    link: &Arc<Link>,
    now: Instant,
    requests: Vec<(Admitted<Permit>, Duration)>,
) {
    let mut quick = Vec::new();
    for (admitted, remaining) in requests {
        let (method, _) = server.served(&admitted.permit);
        let together = method.inline_policy.is_quick() && !method.detached;
        let job = Job { admitted, deadline: now + remaining };
        if together {
            quick.push(job);
        } else {
            start_alone(server, job);
        }
    }
    if !quick.is_empty() {
        let together = run_together(Arc::clone(server), Arc::clone(link), quick);
        server.env.spawn(Box::pin(together));
    }
}

/// Runs a request in a task of its own.
fn start_alone(server: &Arc<Server>, job: Job) {
    let of = Arc::clone(server);
    let registration = register(server, &job.admitted.permit, &job.admitted.request);
    spawn(server, registration, async move {
        let before = of.env.now();
        let (mut execution, request, permit) = execution(&of, job);
        let (first, _) = poll_first(&of, &permit, before, &mut execution).await;
        finish(request, is_internal(&of, &permit), first, execution).await;
        drop(permit);
    });
}

/// Runs requests one after the other. What is not finished at once goes on in a task of its own.
async fn run_together(server: Arc<Server>, link: Arc<Link>, jobs: Vec<Job>) {
    let mut now = server.env.now();
    for (count, job) in (1..).zip(jobs) {
        // One of those before may just have shown that the method is not quick.
        if !server.served(&job.admitted.permit).0.inline_policy.is_quick() {
            start_alone(&server, job);
            continue;
        }
        if !job.admitted.request.is_wanted() {
            continue;
        }
        let (mut execution, request, permit) = execution(&server, job);
        let (first, after) = poll_first(&server, &permit, now, &mut execution).await;
        now = after;
        let internal = is_internal(&server, &permit);
        let unfinished = match first {
            Poll::Ready(outcome) => request
                .try_respond(internal, outcome, Flush::Later)
                .err()
                .map(|(request, outcome)| (request, Poll::Ready(outcome))),
            Poll::Pending => Some((request, Poll::Pending)),
        };
        if let Some((request, first)) = unfinished {
            let registration = register(&server, &permit, &request);
            spawn(&server, registration, async move {
                finish(request, internal, first, execution).await;
                drop(permit);
            });
        }
        // Not before: the writer, woken here, would run on this thread next, and a handler that blocks
        // it would delay everything that the link has to send.
        if count % YIELD_EVERY_REQUESTS == 0 {
            link.flush();
            yield_once().await;
            now = server.env.now();
        }
    }
    link.flush();
}

/// Runs what the `first` poll left of a request, and responds. Nearly always there is room for that at
/// once, so that requests carry no state for waiting.
async fn finish(
    request: InboundRequest,
    internal: bool,
    first: Poll<Outcome>,
    execution: Execution,
) {
    let outcome = match first {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => execution.await,
    };
    if let Err((request, outcome)) = request.try_respond(internal, outcome, Flush::Now) {
        Box::pin(request.respond(internal, outcome)).await;
    }
}

/// Makes a request ready to be polled.
fn execution(server: &Server, job: Job) -> (Execution, InboundRequest, Permit) {
    let Job { admitted: Admitted { permit, request, attempt, body }, deadline } = job;
    let context = Context {
        caller: request.caller().clone(),
        deadline,
        attempt,
        local: false,
        env: Arc::clone(&server.env),
    };
    let (method, service) = server.served(&permit);
    let execution = Execution::new(service, method.method, method.detached, &body, context);
    (execution, request, permit)
}

/// Polls a request for the first time, records whether it was quick since `before`, and returns the
/// time.
async fn poll_first(
    server: &Server,
    permit: &Permit,
    before: Instant,
    execution: &mut Execution,
) -> (Poll<Outcome>, Instant) {
    poll_fn(|task| {
        let polled = Pin::new(&mut *execution).poll(task);
        let now = server.env.now();
        let quick = polled.is_ready() && now.saturating_duration_since(before) < INLINE_BUDGET;
        server.served(permit).0.inline_policy.record(quick);
        Poll::Ready((polled, now))
    })
    .await
}

fn is_internal(server: &Server, permit: &Permit) -> bool {
    server.served(permit).0.is_internal()
}

/// Prepares a request for a task of its own, which ends when the request is cancelled or its link ends,
/// unless the method is detached.
fn register(
    server: &Server,
    permit: &Permit,
    request: &InboundRequest,
) -> Option<AbortRegistration> {
    if server.served(permit).0.detached {
        request.detach();
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

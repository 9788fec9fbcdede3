//! Where requests run: those that should be quick one after the other in one task, for a task of its
//! own costs more than such a handler; every other in its own.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use futures_util::future::{AbortHandle, Abortable};
use tokio::time::Instant;

use super::{Admission, Execution, ServedMethod, Server, inline_policy::INLINE_BUDGET};
use crate::{
    env::yield_once,
    proto::wire::{ids::RequestId, status::Status},
    runtime::{
        context::Context,
        link::{Incoming, Link},
    },
};

/// What a request is answered with.
type Answer = Result<Vec<u8>, Status>;

/// After how many requests that run in one task others have their turn.
const YIELD_EVERY_REQUESTS: usize = 64;

/// Starts requests that came together.
pub(super) fn start(server: &Arc<Server>, link: &Arc<Link>, requests: Vec<(Admission, Incoming)>) {
    let mut quick = Vec::new();
    for (admission, request) in requests {
        let method = &server.methods[admission.method];
        if method.pace.is_quick() && !method.detached {
            quick.push((admission, request));
        } else {
            start_alone(server, link, admission, request);
        }
    }
    if !quick.is_empty() {
        let together = run_together(Arc::clone(server), Arc::clone(link), quick);
        server.env.spawn(Box::pin(together));
    }
}

/// Runs a request of which nobody knows how long it takes.
fn start_alone(server: &Arc<Server>, link: &Arc<Link>, admission: Admission, request: Incoming) {
    let (of, to) = (Arc::clone(server), Arc::clone(link));
    let (method, id) = (admission.method, request.id);
    spawn(server, link, method, id, async move {
        let before = of.env.now();
        let mut execution = execution(&of, &to, method, request);
        let (first, _) = poll_first(&of, method, before, &mut execution).await;
        finish(&to, of.is_own(method), id, first, execution).await;
        drop(admission);
    });
}

/// Runs requests one after the other. What does not end at once goes on in a task of its own.
async fn run_together(server: Arc<Server>, link: Arc<Link>, requests: Vec<(Admission, Incoming)>) {
    let mut now = server.env.now();
    for (count, (admission, request)) in (1..).zip(requests) {
        let (method, id) = (admission.method, request.id);
        // One of those before may just have shown that it is not.
        if !server.methods[method].pace.is_quick() {
            start_alone(&server, &link, admission, request);
            continue;
        }
        if !link.is_wanted(id) {
            continue;
        }
        let mut execution = execution(&server, &link, method, request);
        let (first, after) = poll_first(&server, method, now, &mut execution).await;
        now = after;
        let own = server.is_own(method);
        let rest = match first {
            Poll::Ready(answer) => link.try_answer(own, id, answer).map(Poll::Ready),
            Poll::Pending => Some(Poll::Pending),
        };
        if let Some(rest) = rest {
            let to = Arc::clone(&link);
            spawn(&server, &link, method, id, async move {
                finish(&to, own, id, rest, execution).await;
                drop(admission);
            });
        }
        // Not before: the writer, woken here, would run on this thread next, and a handler that blocks
        // it would hold up all that the link has to send.
        if count % YIELD_EVERY_REQUESTS == 0 {
            link.send_answers();
            yield_once().await;
            now = server.env.now();
        }
    }
    link.send_answers();
}

/// Runs what the `first` poll left of a request, and answers it. Nearly always there is space for that
/// at once, so that requests have no room for waiting.
async fn finish(link: &Link, own: bool, id: RequestId, first: Poll<Answer>, execution: Execution) {
    let answer = match first {
        Poll::Ready(answer) => answer,
        Poll::Pending => execution.await,
    };
    match link.try_answer(own, id, answer) {
        None => link.send_answers(),
        Some(answer) => Box::pin(link.answer(own, id, answer)).await,
    }
}

/// Makes a request ready to be polled.
fn execution(server: &Server, link: &Link, method: usize, request: Incoming) -> Execution {
    let context = Context {
        caller: link.peer().clone(),
        deadline: request.deadline,
        attempt: request.attempt,
        local: false,
        env: Arc::clone(&server.env),
    };
    let ServedMethod { service, method, detached, .. } = server.methods[method];
    Execution::new(&*server.services[service], method, detached, &request.body, context)
}

/// Polls a request for the first time, notes whether it was quick since `before`, and tells the time.
async fn poll_first(
    server: &Server,
    method: usize,
    before: Instant,
    execution: &mut Execution,
) -> (Poll<Answer>, Instant) {
    poll_fn(|task| {
        let polled = Pin::new(&mut *execution).poll(task);
        let now = server.env.now();
        let quick = polled.is_ready() && now.saturating_duration_since(before) < INLINE_BUDGET;
        server.methods[method].pace.record(quick);
        Poll::Ready((polled, now))
    })
    .await
}

/// Runs what a request still takes in a task of its own, and ends that when it is cancelled or the
/// link ends, unless the method is detached.
fn spawn(
    server: &Server,
    link: &Arc<Link>,
    method: usize,
    id: RequestId,
    rest: impl Future<Output = ()> + Send + 'static,
) {
    if server.methods[method].detached {
        link.detached(id);
        return server.env.spawn(Box::pin(rest));
    }
    let (abort, registration) = AbortHandle::new_pair();
    link.abortable(id, abort);
    let link = Arc::clone(link);
    server.env.spawn(Box::pin(async move {
        if Abortable::new(rest, registration).await.is_err() {
            link.ran(id);
        }
    }));
}

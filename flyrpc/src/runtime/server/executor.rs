//! Starts requests in tasks. Requests that are expected to be quick run one after the other in a
//! shared task, because a separate task costs more than such a handler. Every other request runs in
//! its own task.

use std::{
    collections::VecDeque,
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
use tokio::{runtime::Handle, time::Instant};

use super::{
    admission::Permit, handler_future::RequestFuture, inline_policy::INLINE_BUDGET,
    registry::ServedMethod, serving::Server,
};
use crate::{
    proto::wire::frame::INLINE_BODY_MAX,
    runtime::{
        context::Context,
        link::{Admitted, Flush, InboundRequest, Link, Outgoing, RequestPermit, ResponseResult},
    },
};

/// Upper bound on the requests that a task runs in sequence before it yields.
const YIELD_EVERY_REQUESTS: u32 = 64;

/// Upper bound on the time for which a task runs requests in sequence before it yields. The last request
/// may exceed it.
const TIME_SLICE: Duration = Duration::from_micros(25);

/// Heavy requests per thread that start before other tasks run. With fewer, threads would wait for the next
/// ones.
const HEAVY_PER_THREAD: usize = 8;

/// A task hands half of its requests to another task if all of them would take longer than this.
const SPLIT_ABOVE: Duration = Duration::from_micros(50);

/// Requests that arrived together, each with its remaining time as of `now`.
type Requests = Vec<(Admitted<Permit>, Duration)>;

/// Returns how many of the first requests to start before other tasks run: all of them, or those up to as
/// many heavy ones as keep all threads busy. On a single thread, that is one.
pub(super) fn start_together(requests: &[(Admitted<Permit>, Duration)]) -> usize {
    let heavy =
        |(admitted, _): &(Admitted<Permit>, _)| admitted.permit.method.inline_policy.is_heavy();
    if !requests.iter().any(heavy) {
        return requests.len();
    }
    let threads = Handle::current().metrics().num_workers();
    let at_most = if threads == 1 { 1 } else { HEAVY_PER_THREAD * threads };
    let mut after = requests.iter().enumerate().filter(|(_, request)| heavy(request));
    after.nth(at_most - 1).map_or(requests.len(), |(last, _)| last + 1)
}

/// Starts requests that arrived on one link.
pub(super) fn start(server: &Arc<Server>, link: &Arc<Link>, now: Instant, requests: Requests) {
    // Decoding a long body can take a long time, even if the handler is quick.
    let quick = |admitted: &Admitted<Permit>| {
        let method = &admitted.permit.method;
        let short = admitted.body.len() <= INLINE_BODY_MAX;
        short && method.inline_policy.is_quick() && !method.is_detached()
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
        spawn_together(server, link, now, together.into());
    }
}

/// Runs a request in its own task.
fn start_alone(server: &Arc<Server>, admitted: Admitted<Permit>, deadline: Instant) {
    let of = Arc::clone(server);
    let registration = register(&admitted.permit.method, &admitted.request);
    spawn(server, registration, async move {
        let before = of.env.now();
        // A request is detached only when its handler starts. Until then, its caller may cancel it.
        if admitted.permit.method.is_detached() && !admitted.request.detach() {
            return;
        }
        let (permit, request, mut future) = decode(&of, admitted, deadline, before);
        let method = &permit.method;
        let (first, _) = poll_first(&of, method, before, &mut future).await;
        finish(request, deadline, permit, first, future).await;
    });
}

/// Decodes the arguments of a request at `now`. Its handler starts when the future is polled, which must
/// be soon.
#[inline(always)]
fn decode(
    server: &Server,
    admitted: Admitted<Permit>,
    deadline: Instant,
    now: Instant,
) -> (Permit, InboundRequest, RequestFuture) {
    let Admitted { mut permit, request, attempt, body } = admitted;
    let method = &permit.method;
    let context = context(server, &request, method, attempt, deadline);
    let mut future =
        RequestFuture::new(&*method.implementation, method.method, method.until, &body, context);
    // Decoding a long body may take until the deadline.
    if body.len() <= INLINE_BODY_MAX && now < deadline {
        future.start_now();
    }
    drop(body);
    permit.release_memory();
    (permit, request, future)
}

/// Runs requests in sequence. A request that cannot be finished immediately continues in its own task.
/// If the requests take long, another task runs half of them.
async fn run_together(
    server: Arc<Server>,
    link: Arc<Link>,
    start: Instant,
    mut requests: VecDeque<(Admitted<Permit>, Duration)>,
) {
    let mut now = server.env.now();
    let mut slice = TimeSlice::new(now);
    while let Some((admitted, remaining)) = requests.pop_front() {
        now = run_one(&server, admitted, start + remaining, now).await;
        slice.count += 1;
        if requests.is_empty() {
            break;
        }
        // Once for all responses of this slice. The writer runs when this task yields. If the next handler
        // blocks the thread, another thread runs the writer.
        if slice.count == 1 {
            link.flush();
        }
        if !slice.is_over(now) {
            continue;
        }
        if slice.time_of(requests.len(), now) > SPLIT_ABOVE {
            let half = requests.split_off(requests.len() / 2);
            spawn_together(&server, &link, start, half);
        }
        // Unlike `yield_once`, this lets the runtime look for events of sockets.
        tokio::task::yield_now().await;
        now = server.env.now();
        slice = TimeSlice::new(now);
    }
    link.flush();
}

/// A sequence of requests that a task runs before it yields.
struct TimeSlice {
    start: Instant,
    end: Instant,
    count: u32,
}

impl TimeSlice {
    fn new(now: Instant) -> Self {
        TimeSlice { start: now, end: now + TIME_SLICE, count: 0 }
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.end || self.count >= YIELD_EVERY_REQUESTS
    }

    /// Estimates how long `count` requests will take, based on the requests of this slice.
    fn time_of(&self, count: usize, now: Instant) -> Duration {
        let each = now.saturating_duration_since(self.start) / self.count.max(1);
        each.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
    }
}

/// Runs requests in sequence in a new task.
fn spawn_together(
    server: &Arc<Server>,
    link: &Arc<Link>,
    start: Instant,
    requests: VecDeque<(Admitted<Permit>, Duration)>,
) {
    let together = run_together(Arc::clone(server), Arc::clone(link), start, requests);
    server.env.spawn(Box::pin(together));
}

/// Runs a request of a batch, or starts a task for it. `now` is the current time. Returns the time
/// afterward.
async fn run_one(
    server: &Arc<Server>,
    admitted: Admitted<Permit>,
    deadline: Instant,
    now: Instant,
) -> Instant {
    // An earlier request of this batch may have shown that the method is not quick.
    if !admitted.permit.method.inline_policy.is_quick() {
        start_alone(server, admitted, deadline);
        return now;
    }
    if !admitted.request.is_wanted() {
        return now;
    }
    let (permit, request, mut future) = decode(server, admitted, deadline, now);
    let method = &permit.method;
    let (first, after) = poll_first(server, method, now, &mut future).await;
    match first {
        Poll::Ready(result) => {
            let response = Outgoing { of: method.kind(), result, deadline, permit };
            if let Err((request, response)) = request.try_respond(response, Flush::Later) {
                let registration = register(&response.permit.method, &request);
                spawn(server, registration, request.respond(response));
            }
        }
        Poll::Pending => {
            let registration = register(method, &request);
            let rest = finish(request, deadline, permit, Poll::Pending, future);
            spawn(server, registration, rest);
        }
    }
    after
}

/// Finishes a request after its `first` poll, and responds. The outbox nearly always has room for
/// the response, so the future that waits for room is boxed rather than part of every request.
async fn finish(
    request: InboundRequest,
    deadline: Instant,
    permit: Permit,
    first: Poll<ResponseResult>,
    future: RequestFuture,
) {
    let result = match first {
        Poll::Ready(result) => result,
        Poll::Pending => future.await,
    };
    let response = Outgoing { of: permit.method.kind(), result, deadline, permit };
    if let Err((request, response)) = request.try_respond(response, Flush::Now) {
        Box::pin(request.respond(response)).await;
    }
}

fn context(
    server: &Server,
    request: &InboundRequest,
    method: &ServedMethod,
    attempt: u32,
    deadline: Instant,
) -> Context {
    let (caller, host) = (request.caller().clone(), Arc::clone(server.host()));
    let detached = method.is_detached();
    Context { caller, deadline, attempt, local: false, detached, depth: 0, host }
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
        let heavy = now.saturating_duration_since(before) >= INLINE_BUDGET;
        method.inline_policy.record(polled.is_ready() && !heavy);
        method.inline_policy.record_heavy(heavy);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_ends_after_its_time_or_its_number_of_requests() {
        let start = Instant::now();
        let mut slice = TimeSlice::new(start);
        slice.count = YIELD_EVERY_REQUESTS - 1;
        assert!(!slice.is_over(start + TIME_SLICE - Duration::from_nanos(1)));
        assert!(slice.is_over(start + TIME_SLICE));
        slice.count += 1;
        assert!(slice.is_over(start));
    }

    #[test]
    fn the_time_of_the_other_requests_is_estimated_from_those_of_the_slice() {
        let start = Instant::now();
        let mut slice = TimeSlice::new(start);
        slice.count = 2;
        let after = start + Duration::from_micros(50);
        assert_eq!(slice.time_of(40, after), Duration::from_millis(1));
        assert_eq!(slice.time_of(0, after), Duration::ZERO);
        assert_eq!(slice.time_of(40, start), Duration::ZERO);
    }
}

//! Starts requests in tasks. Requests that are expected to be quick run one after the other in a
//! shared task, because a separate task costs more than such a handler. Every other request runs in
//! its own task.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{runtime::Handle, time::Instant};

use super::{
    admission::Permit,
    handler_future::RequestFuture,
    registry::ServedMethod,
    rest::Rest,
    serve_report::StartReport,
    serving::{Alone, Server},
    workers::{Job, Workers},
};
use crate::{
    proto::{
        link::gate::Gated,
        wire::{frame::INLINE_BODY_MAX, request_fields::RequestFields, status::Status},
    },
    runtime::{
        context::Context,
        link::{Admitted, Flush, Link, Outgoing, RequestPermit, ResponseResult},
    },
    types::Metadata,
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

/// Requests that arrived together.
type Requests = Vec<Gated<Admitted<Permit>>>;

/// Returns how many of the first requests to start before other tasks run: all of them, or those up to as
/// many heavy ones as keep all threads busy. On a single thread, that is one.
pub(super) fn start_together(requests: &[Gated<Admitted<Permit>>]) -> usize {
    let heavy = |gated: &Gated<Admitted<Permit>>| gated.item.permit.method.inline_policy.is_heavy();
    if !requests.iter().any(heavy) {
        return requests.len();
    }
    let threads = Handle::current().metrics().num_workers();
    let at_most = if threads == 1 { 1 } else { HEAVY_PER_THREAD * threads };
    let mut after = requests.iter().enumerate().filter(|(_, request)| heavy(request));
    after.nth(at_most - 1).map_or(requests.len(), |(last, _)| last + 1)
}

/// Starts requests that arrived on one link, and left its gate `now`.
pub(super) fn start(server: &Arc<Server>, link: &Arc<Link>, now: Instant, requests: Requests) {
    // Decoding a long body can take a long time, even if the handler is quick.
    let quick = |admitted: &Admitted<Permit>| {
        let method = &admitted.permit.method;
        let short = admitted.body.len() <= INLINE_BODY_MAX;
        short && method.inline_policy.is_quick() && !method.is_detached()
    };
    let cancellations = link.cancellations();
    let together = if requests.iter().all(|gated| quick(&gated.item)) {
        requests
    } else {
        let mut together = Vec::new();
        for gated in requests {
            if quick(&gated.item) {
                together.push(gated);
            } else {
                let deadline = now + gated.remaining();
                start_alone(server, gated.item, deadline, cancellations);
            }
        }
        together
    };
    if !together.is_empty() {
        let batch = Batch {
            server: Arc::clone(server),
            link: Arc::clone(link),
            start: now,
            requests: together.into(),
            cancellations,
            earlier: None,
        };
        server.env.spawn(Box::pin(batch.run()));
    }
}

/// Runs a request in its own task.
fn start_alone(
    server: &Arc<Server>,
    admitted: Admitted<Permit>,
    deadline: Instant,
    cancellations: u32,
) {
    let request = Alone { server: Arc::clone(server), admitted, deadline, cancellations };
    server.workers.run(&*server.env, request);
}

impl Job for Alone {
    fn run(self, task: &mut task::Context<'_>) -> Option<BoxFuture<'static, ()>> {
        let Alone { server, admitted, deadline, cancellations } = self;
        // A request is detached only when its handler starts. Until then, its caller may cancel it.
        let detached = admitted.permit.method.is_detached();
        let request = &admitted.request;
        let start = if detached { request.detach() } else { request.is_wanted(cancellations) };
        if !start {
            return None;
        }
        let now = server.env.now();
        let (rest, _) = run(&server, admitted, deadline, now, &mut None, Flush::Now, task);
        rest.map(|rest| Box::pin(rest) as BoxFuture<'static, ()>)
    }

    fn workers(&self) -> Arc<Workers<Self>> {
        Arc::clone(&self.server.workers)
    }
}

/// Runs a request until it is finished or pending. `now` is the current time. Uses the allocation of the
/// completed future in `earlier`, and leaves one there. It belongs to the service with this index, and to
/// the same link. Returns what is left of the request, and the time afterward.
#[inline(always)]
fn run(
    server: &Server,
    mut admitted: Admitted<Permit>,
    deadline: Instant,
    now: Instant,
    earlier: &mut Option<(usize, RequestFuture)>,
    flush: Flush,
    task: &mut task::Context<'_>,
) -> (Option<Rest>, Instant) {
    if !admitted.permit.on_handler_starts() {
        refuse_full(server, admitted);
        return (None, now);
    }
    let service = admitted.permit.method.service;
    let future = match &mut *earlier {
        Some((of, future)) if *of == service => {
            restart(future, &admitted, deadline, now);
            future
        }
        earlier => &mut earlier.insert((service, decode(server, &admitted, deadline, now))).1,
    };
    let Admitted { mut permit, request, attempt, body, fields } = admitted;
    drop(body);
    permit.release_memory();
    let mut report = None;
    let is_reported = permit.method.reporter.is_active();
    let starts = is_reported && !future.has_failed() && now < deadline;
    if starts {
        let trace = fields.as_ref().and_then(|fields| fields.trace.as_ref());
        report = permit.method.reporter.started(request.caller(), attempt, trace);
        future.set_span(report.as_ref().and_then(StartReport::span));
    }
    let First { polled, took, after } = poll_first(server, &permit.method, now, future, task);
    let rest = match polled {
        Poll::Ready(result) => {
            permit.method.time.add_first(&result, took);
            if is_reported {
                let reporter = &permit.method.reporter;
                match &result {
                    Err(status) if !starts => reporter.refused(request.caller(), attempt, status),
                    result => {
                        let outcome = reporter.outcome(result);
                        reporter.ended(request.caller(), attempt, outcome, took, report);
                        future.set_span(None);
                    }
                }
            }
            permit.on_handler_ended();
            let response = Outgoing { of: permit.method.kind(), result, deadline, permit };
            let unsent = request.try_respond(response, flush).err();
            unsent.map(|(request, response)| Rest::Response(request, response))
        }
        Poll::Pending => {
            let start = now;
            permit.method.reporter.on_pending();
            let report = report.map(Box::new);
            let future = earlier.take().map(|(_, future)| future);
            future.map(|future| Rest::Handler { request, start, permit, future, report })
        }
    };
    (rest, after)
}

/// Refuses a request, because the limit of its method was reached after it was admitted.
#[cold]
fn refuse_full(server: &Server, admitted: Admitted<Permit>) {
    server.refusals.add(&Status::MethodOverloaded);
    let Admitted { permit, request, attempt, .. } = admitted;
    let reporter = &permit.method.reporter;
    if reporter.is_active() {
        reporter.refused(request.caller(), attempt, &Status::MethodOverloaded);
    }
    request.refuse(Status::MethodOverloaded);
}

/// Decodes the arguments of a request at `now`. Its handler starts when the future is polled, which must
/// be soon.
#[inline]
fn decode(
    server: &Server,
    admitted: &Admitted<Permit>,
    deadline: Instant,
    now: Instant,
) -> RequestFuture {
    let ServedMethod { implementation, method, until, .. } = &*admitted.permit.method;
    let (body, context) = (&admitted.body, context(server, admitted, deadline));
    let mut future = RequestFuture::new(&**implementation, *method, *until, body, context);
    start_now(&mut future, body, deadline, now);
    future
}

/// Like [`decode`], with the allocation of a `future` that has completed. It belonged to a request for the
/// same service on the same link.
#[inline(always)]
fn restart(
    future: &mut RequestFuture,
    admitted: &Admitted<Permit>,
    deadline: Instant,
    now: Instant,
) {
    let Admitted { permit, attempt, fields, body, .. } = admitted;
    let ServedMethod { implementation, method, until, .. } = &*permit.method;
    let (attempt, metadata) = ((*attempt, deadline), metadata(fields.as_deref()));
    future.restart(&**implementation, *method, *until, body, attempt, metadata);
    start_now(future, body, deadline, now);
}

fn start_now(future: &mut RequestFuture, body: &[u8], deadline: Instant, now: Instant) {
    // Decoding a long body may take until the deadline.
    if body.len() <= INLINE_BODY_MAX && now < deadline {
        future.start_now();
    }
}

/// Requests that arrived on one link, and run in sequence in one task. A request that cannot be finished
/// immediately continues in its own task. If the requests take long, another task runs half of them.
struct Batch {
    server: Arc<Server>,
    link: Arc<Link>,
    /// When the requests left the gate.
    start: Instant,
    requests: VecDeque<Gated<Admitted<Permit>>>,
    /// The number of cancellations on the link before these requests started.
    cancellations: u32,
    /// The index of a service, and the completed future of one of its requests, whose allocation the next
    /// request uses.
    earlier: Option<(usize, RequestFuture)>,
}

impl Batch {
    async fn run(mut self) {
        while poll_fn(|task| Poll::Ready(self.run_slice(task))).await == Slice::Over {
            // Unlike `yield_once`, this lets the runtime look for events of sockets.
            tokio::task::yield_now().await;
        }
    }

    /// Runs some of the requests.
    fn run_slice(&mut self, task: &mut task::Context<'_>) -> Slice {
        let mut now = self.server.env.now();
        let mut slice = TimeSlice::new(now);
        while let Some(gated) = self.requests.pop_front() {
            let deadline = self.start + gated.remaining();
            now = self.run_one(gated.item, deadline, now, task);
            slice.count += 1;
            if self.requests.is_empty() {
                break;
            }
            // Once for all responses of this slice. The writer runs when this task yields. If the next
            // handler blocks the thread, another thread runs the writer.
            if slice.count == 1 {
                self.link.flush();
            }
            if slice.is_over(now) {
                if slice.time_of(self.requests.len(), now) > SPLIT_ABOVE {
                    self.spawn_half();
                }
                return Slice::Over;
            }
        }
        self.link.flush();
        Slice::Last
    }

    /// Runs a request, or starts a task for it. `now` is the current time. Returns the time afterward.
    fn run_one(
        &mut self,
        admitted: Admitted<Permit>,
        deadline: Instant,
        now: Instant,
        task: &mut task::Context<'_>,
    ) -> Instant {
        let server = &self.server;
        // An earlier request of this batch may have shown that the method is not quick.
        if !admitted.permit.method.inline_policy.is_quick() {
            start_alone(server, admitted, deadline, self.cancellations);
            return now;
        }
        if !admitted.request.is_wanted(self.cancellations) {
            return now;
        }
        let earlier = &mut self.earlier;
        let (rest, after) = run(server, admitted, deadline, now, earlier, Flush::Later, task);
        if let Some(rest) = rest {
            server.env.spawn(Box::pin(rest));
        }
        after
    }

    /// Lets another task run half of the requests.
    fn spawn_half(&mut self) {
        let half = Batch {
            server: Arc::clone(&self.server),
            link: Arc::clone(&self.link),
            start: self.start,
            requests: self.requests.split_off(self.requests.len() / 2),
            cancellations: self.cancellations,
            earlier: None,
        };
        self.server.env.spawn(Box::pin(half.run()));
    }
}

/// What follows a sequence of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slice {
    /// Other tasks run before the next requests.
    Over,
    /// No request is left.
    Last,
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

fn metadata(fields: Option<&RequestFields>) -> Option<&Arc<Metadata>> {
    fields?.metadata.as_ref()
}

fn context(server: &Server, admitted: &Admitted<Permit>, deadline: Instant) -> Context {
    let Admitted { permit, request, attempt, fields, .. } = admitted;
    Context {
        caller: request.caller().clone(),
        deadline,
        attempt: *attempt,
        local: false,
        origin: Some(request.origin()),
        detached: permit.method.is_detached(),
        depth: 0,
        host: Arc::clone(server.host()),
        metadata: metadata(fields.as_deref()).cloned(),
        span: None,
    }
}

/// The first poll of a request.
struct First {
    polled: Poll<ResponseResult>,
    took: Duration,
    /// The time after it.
    after: Instant,
}

/// Polls a request for the first time, and records whether it was quick, measured from `before`.
#[inline(always)]
fn poll_first(
    server: &Server,
    method: &ServedMethod,
    before: Instant,
    future: &mut RequestFuture,
    task: &mut task::Context<'_>,
) -> First {
    let polled = Pin::new(future).poll(task);
    let after = server.env.now();
    let took = after.saturating_duration_since(before);
    method.inline_policy.record(polled.is_ready(), took, after);
    First { polled, took, after }
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

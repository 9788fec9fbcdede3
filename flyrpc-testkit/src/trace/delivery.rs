//! Decides which request that arrived belongs to which attempt, and which requests were lost.
//!
//! Requests do not contain the number of their call. They are matched to attempts by caller, serving node, method,
//! attempt, times and responses. If several requests match, their order decides.

use std::{collections::BTreeMap, ops::Bound};

use flyrpc::{ErrorKind, NodeId};

use super::{
    arrivals::{Arrival, Handling},
    call::{CallOutcome, Delivery, RequestFate, TracedCall},
    execution::{ExecutionOutcome, TracedExecution},
    time::Stamp,
};

/// Returns the delivery of each attempt. `is_recorded` returns whether the trace contains what the node with a name
/// serves.
pub(super) fn deliveries(
    calls: &[TracedCall],
    arrivals: &[Arrival],
    executions: &[TracedExecution],
    is_recorded: impl Fn(&str) -> bool,
) -> Vec<Delivery> {
    let mut matching = Matching::new(calls, arrivals, executions);
    // The number of an attempt is higher on the wire than in the reports of its caller if an earlier attempt failed
    // before it was reported.
    for attempts in [Attempts::Equal, Attempts::Higher] {
        matching.match_answered(attempts);
    }
    for arrived in [Arrived::InTime, Arrived::Late] {
        for attempts in [Attempts::Equal, Attempts::Higher] {
            matching.match_others(attempts, arrived);
        }
    }
    matching.mark_lost(is_recorded);
    matching.deliveries
}

/// How the number of an attempt on the wire compares to its number in the reports of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempts {
    Equal,
    Higher,
}

/// Whether a request arrived before its attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrived {
    InTime,
    Late,
}

struct Matching<'a> {
    calls: &'a [TracedCall],
    /// The requests that are not matched yet.
    requests: BTreeMap<Route<'a>, Requests>,
    /// In the order of `calls`.
    deliveries: Vec<Delivery>,
}

/// The calls of a method from one node to one boot of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Route<'a> {
    /// The name of the caller. Calls do not contain its id.
    caller: &'a str,
    node: &'a NodeId,
    service: &'a str,
    method: &'a str,
}

/// The requests of a route, by [time](Arrival::at).
#[derive(Debug, Default)]
struct Requests(BTreeMap<Stamp, Request>);

#[derive(Debug, Clone, Copy)]
struct Request {
    attempt: u32,
    fate: RequestFate,
    response: Option<(Stamp, Response)>,
}

/// The response of the serving node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Response {
    Reply,
    Error(ErrorKind),
}

impl<'a> Matching<'a> {
    fn new(
        calls: &'a [TracedCall],
        arrivals: &'a [Arrival],
        executions: &[TracedExecution],
    ) -> Self {
        let mut requests: BTreeMap<_, Requests> = BTreeMap::new();
        for arrival in arrivals {
            let request = Request::new(arrival, executions);
            requests.entry(Route::of_arrival(arrival)).or_default().0.insert(arrival.at, request);
        }
        let delivery = |call: &TracedCall| {
            let response = call.outcome().and_then(Response::to_attempt);
            let is_answered = response.is_some_and(Response::is_from_node);
            Delivery { request: RequestFate::Unknown, is_answered }
        };
        Matching { calls, requests, deliveries: calls.iter().map(delivery).collect() }
    }

    /// Matches the attempts that a response of the serving node may have ended, in the order in which they ended. Each
    /// gets the first request that fits.
    fn match_answered(&mut self, attempts: Attempts) {
        let ended = self.calls.iter().enumerate().filter_map(|(at, call)| {
            let end = call.end.as_ref()?;
            Some((end.stamp, at, Response::to_attempt(&end.outcome)?))
        });
        let mut ended: Vec<_> = ended.collect();
        ended.sort_by_key(|(end, ..)| *end);
        for (end, at, response) in ended {
            self.match_one(at, |call, requests| {
                let request = requests.take_answered(call, (end, response), attempts)?;
                // The caller decodes replies.
                let is_answered = response != Response::Error(ErrorKind::BadReply)
                    || request.response.is_some_and(|(_, sent)| sent == response);
                Some(Delivery { request: request.fate, is_answered })
            });
        }
    }

    /// Matches the attempts that ended without a response, or are in flight, in the order in which they started. Each
    /// gets the first request that fits.
    fn match_others(&mut self, attempts: Attempts, arrived: Arrived) {
        for at in 0..self.calls.len() {
            if !self.deliveries[at].is_answered {
                self.match_one(at, |call, requests| {
                    let request = requests.take_first(call, attempts, arrived)?;
                    Some(Delivery { request: request.fate, is_answered: false })
                });
            }
        }
    }

    /// Sets the delivery of a call that has none, unless `find` returns `None`.
    fn match_one(
        &mut self,
        at: usize,
        find: impl FnOnce(&TracedCall, &mut Requests) -> Option<Delivery>,
    ) {
        let (call, delivery) = (&self.calls[at], &mut self.deliveries[at]);
        let requests = Route::of_call(call).and_then(|route| self.requests.get_mut(&route));
        if delivery.request == RequestFate::Unknown
            && let Some(found) = requests.and_then(|requests| find(call, requests))
        {
            *delivery = found;
        }
    }

    /// Marks the requests that have not arrived at a node of the trace, unless they may still arrive.
    fn mark_lost(&mut self, is_recorded: impl Fn(&str) -> bool) {
        for (call, delivery) in self.calls.iter().zip(&mut self.deliveries) {
            let is_recorded = call.node().is_some_and(&is_recorded);
            let has_ended = call.end.is_some() && !delivery.is_answered;
            if delivery.request == RequestFate::Unknown
                && has_ended
                && is_recorded
                && !call.is_local()
            {
                delivery.request = RequestFate::Lost;
            }
        }
    }
}

impl<'a> Route<'a> {
    fn of_arrival(arrival: &'a Arrival) -> Self {
        let key = &arrival.key;
        let (service, method) = (key.service.as_str(), key.method.as_str());
        Route { caller: key.caller.name(), node: &key.node, service, method }
    }

    /// Returns `None` if the attempt was sent to no node.
    fn of_call(call: &'a TracedCall) -> Option<Self> {
        let (service, method) = (call.service(), call.method());
        Some(Route { caller: call.caller(), node: call.node_id()?, service, method })
    }
}

impl Requests {
    /// Removes the first request whose response may have ended `call`.
    fn take_answered(
        &mut self,
        call: &TracedCall,
        (end, response): (Stamp, Response),
        attempts: Attempts,
    ) -> Option<Request> {
        // By time, because a detached handler may report its end after its caller.
        let fits = |(responded, sent): (Stamp, Response)| {
            responded.at <= end.at && sent.may_arrive_as(response)
        };
        let (found, _) = self.0.range(call.started..=end).find(|(_, request)| {
            request.is_of(call, attempts) && request.response.is_some_and(fits)
        })?;
        let found = *found;
        self.0.remove(&found)
    }

    /// Removes the first request that arrived after `call` started.
    fn take_first(
        &mut self,
        call: &TracedCall,
        attempts: Attempts,
        arrived: Arrived,
    ) -> Option<Request> {
        let until = match &call.end {
            Some(end) if arrived == Arrived::InTime => Bound::Excluded(end.stamp),
            _ => Bound::Unbounded,
        };
        let mut later = self.0.range((Bound::Included(call.started), until));
        let (found, _) = later.find(|(_, request)| request.is_of(call, attempts))?;
        let found = *found;
        self.0.remove(&found)
    }
}

impl Request {
    fn new(arrival: &Arrival, executions: &[TracedExecution]) -> Self {
        let (fate, response) = match arrival.handling {
            Handling::Open => (RequestFate::Arrived, None),
            Handling::Refused(kind) => {
                (RequestFate::Arrived, Some((arrival.at, Response::Error(kind))))
            }
            Handling::Executed(index) => {
                let execution = &executions[index.0];
                let end = execution.end.as_ref();
                let response =
                    end.and_then(|end| Some((end.stamp, Response::of_execution(end.outcome)?)));
                (RequestFate::Executed(execution.started), response)
            }
        };
        Request { attempt: arrival.key.attempt, fate, response }
    }

    fn is_of(&self, call: &TracedCall, attempts: Attempts) -> bool {
        match attempts {
            Attempts::Equal => self.attempt == call.attempt(),
            Attempts::Higher => self.attempt > call.attempt(),
        }
    }
}

impl Response {
    fn of_execution(outcome: ExecutionOutcome) -> Option<Self> {
        match outcome {
            ExecutionOutcome::Replied | ExecutionOutcome::RepliedErr => Some(Response::Reply),
            ExecutionOutcome::Failed(kind) => Some(Response::Error(kind)),
            ExecutionOutcome::Cancelled | ExecutionOutcome::Crashed => None,
        }
    }

    /// Returns the response with which an attempt may have ended. Deadlines are enforced by the caller, also if the
    /// serving node has reported that it exceeded one.
    fn to_attempt(outcome: &CallOutcome) -> Option<Self> {
        match outcome {
            CallOutcome::Replied => Some(Response::Reply),
            CallOutcome::Failed(error) => {
                let kind = error.kind();
                (kind != ErrorKind::Timeout).then_some(Response::Error(kind))
            }
            CallOutcome::Cancelled => None,
        }
    }

    /// Whether an attempt may end with `received` if the handler ended with this response. Neither the serving node nor
    /// the caller accepts every reply.
    fn may_arrive_as(self, received: Response) -> bool {
        let no_reply = [ErrorKind::ReplyTooLarge, ErrorKind::BadReply].map(Response::Error);
        self == received || self == Response::Reply && no_reply.contains(&received)
    }

    /// Whether the caller never ends an attempt on a node like this by itself.
    fn is_from_node(self) -> bool {
        match self {
            Response::Reply => true,
            Response::Error(kind) => matches!(
                kind,
                ErrorKind::NotPrimary
                    | ErrorKind::Refused
                    | ErrorKind::Denied
                    | ErrorKind::Failed
                    | ErrorKind::Panicked
                    | ErrorKind::ReplyTooLarge
            ),
        }
    }
}

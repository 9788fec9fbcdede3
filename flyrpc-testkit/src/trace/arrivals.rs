//! The requests that arrived at recorded nodes.

use std::collections::BTreeMap;

use flyrpc::{ErrorKind, NodeId};

use super::{execution::ServedRequest, time::Stamp};

/// The requests that arrived at the recorded nodes of a run, including local ones.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    all: Vec<Arrival>,
    /// Requests that were admitted and neither executed nor refused yet, as indices into `all`.
    open: BTreeMap<RequestKey, Vec<usize>>,
}

#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) key: RequestKey,
    /// When it was executed or refused, or else when it was admitted.
    pub(super) at: Stamp,
    pub(super) handling: Handling,
}

/// What the nodes of the run observe of a request. Requests with equal keys are interchangeable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RequestKey {
    pub(super) caller: NodeId,
    pub(super) node: NodeId,
    pub(super) service: String,
    pub(super) method: String,
    pub(super) attempt: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Handling {
    /// Admitted. Its handler has not started, and never starts if the caller gives up first.
    Open,
    Refused(ErrorKind),
    Executed(ExecutionIndex),
}

/// An index into the executions of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExecutionIndex(pub(super) usize);

impl Arrivals {
    /// Returns the requests.
    pub(super) fn all(&self) -> &[Arrival] {
        &self.all
    }

    /// Records that a request was admitted.
    pub(super) fn on_admitted(&mut self, request: &ServedRequest, at: Stamp) {
        let key = RequestKey::of(request);
        self.open.entry(key.clone()).or_default().push(self.all.len());
        self.all.push(Arrival { key, at, handling: Handling::Open });
    }

    /// Records that the handler of a request started. Local requests are not reported as admitted before.
    pub(super) fn on_started(
        &mut self,
        request: &ServedRequest,
        at: Stamp,
        execution: ExecutionIndex,
    ) {
        self.on_handling(request, at, Handling::Executed(execution));
    }

    /// Records that a request was refused, whether or not it was admitted before.
    pub(super) fn on_refused(&mut self, request: &ServedRequest, at: Stamp, kind: ErrorKind) {
        self.on_handling(request, at, Handling::Refused(kind));
    }

    fn on_handling(&mut self, request: &ServedRequest, at: Stamp, handling: Handling) {
        let key = RequestKey::of(request);
        // The latest one: requests whose callers gave up stay open.
        let index = self.open.get_mut(&key).and_then(Vec::pop);
        let arrival = Arrival { key, at, handling };
        match index {
            Some(index) => self.all[index] = arrival,
            None => self.all.push(arrival),
        }
    }
}

impl RequestKey {
    fn of(request: &ServedRequest) -> Self {
        RequestKey {
            caller: request.caller.id().clone(),
            node: request.node.id().clone(),
            service: request.service.clone(),
            method: request.method.clone(),
            attempt: request.attempt,
        }
    }
}

//! Reports a call that ends with its first attempt on another node. Any other call has an
//! [`AttemptRecorder`](super::record::AttemptRecorder), which needs a future that borrows from the call.

use std::num::NonZeroU64;

use super::{
    call::CallStart,
    record::{ReportedAttempt, reporting},
};
use crate::{
    runtime::shared::NodeShared,
    service::Request,
    telemetry::{Attempt, CallSpan, Called, Observed, Observers, Outcome},
    types::{NodeInfo, TargetRef},
};

/// The number of a call whose first attempt was reported as started, among the calls of this node.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallNumber(NonZeroU64);

/// What is reported of a call whose first attempt is in flight.
pub(super) struct FirstAttemptReport<'a> {
    pub(super) node: &'a NodeShared,
    pub(super) start: CallStart,
    pub(super) target: TargetRef<'a>,
    /// The node that executes the attempt.
    pub(super) peer: &'a NodeInfo,
    pub(super) request_bytes: usize,
}

impl FirstAttemptReport<'_> {
    /// Reports that the attempt started, if the calls of the service are reported, and in the span of the call.
    #[cold]
    pub(super) fn start<R: Request>(&self, span: Option<&mut CallSpan>) -> Option<CallNumber> {
        let observers = reporting(self.node, R::SERVICE)?;
        let number = CallNumber(NonZeroU64::new(self.node.next_call())?);
        if let Some(span) = span {
            span.on_attempt(1, self.peer, None);
        }
        self.show::<R>(observers, number, |attempt| {
            observers.observe(&Observed::Started(attempt));
        });
        Some(number)
    }

    /// Reports that the attempt, and with it the call, ended with this outcome.
    #[cold]
    pub(super) fn end<R: Request>(
        &self,
        number: CallNumber,
        span: Option<Box<CallSpan>>,
        outcome: Outcome<'_>,
    ) {
        let Some(observers) = reporting(self.node, R::SERVICE) else { return };
        if let Some(span) = span {
            span.end(Some(self.peer), &outcome);
        }
        self.show::<R>(observers, number, |attempt| {
            observers.observe(&Observed::Ended(attempt, outcome));
            self.show_call(observers, attempt, outcome);
        });
    }

    /// Returns what a recorder needs to continue.
    pub(super) fn reported(&self, CallNumber(call): CallNumber) -> ReportedAttempt {
        let (node, request_bytes) = (self.peer.clone(), self.request_bytes);
        ReportedAttempt { call: call.get(), node, request_bytes }
    }

    fn show<R: Request>(
        &self,
        observers: &Observers,
        CallNumber(call): CallNumber,
        show: impl FnOnce(&Attempt<'_>),
    ) {
        if observers.is_empty() {
            return;
        }
        show(&Attempt {
            call: call.get(),
            number: 1,
            service: R::SERVICE,
            method: R::methods()[self.start.method()].name,
            target: &self.target.to_owned(),
            node: Some(self.peer),
            previous: None,
            request_bytes: Some(self.request_bytes),
        });
    }

    fn show_call(&self, observers: &Observers, attempt: &Attempt<'_>, outcome: Outcome<'_>) {
        let &Attempt { call, service, method, target, node, .. } = attempt;
        let took = self.node.env().now().saturating_duration_since(self.start.now);
        let called = Called { call, service, method, target, node, attempts: 1, took };
        observers.observe(&Observed::Called(&called, outcome));
    }
}

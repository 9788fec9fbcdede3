//! Reports the attempts of a call to an observer: the start and the outcome of each.
//!
//! Without an observer, the only cost is a check of an `Option`.

use std::mem::{Discriminant, discriminant};

use super::{call::Call, error_exit::rpc_error};
use crate::{
    error::RpcError,
    proto::routing::{AttemptFailure, CallFailure},
    runtime::shared::NodeShared,
    service::INTERNAL_SERVICE,
    telemetry::{Attempt, Observed, Observer, Outcome},
    types::NodeInfo,
};

/// Reports the attempts of one call to the observer, if there is one. If this is dropped before the
/// call has ended, it reports that the call was canceled.
// Boxed, because every local call contains it, and it is nearly always empty.
#[must_use = "dropping it reports that the call was canceled"]
pub(super) struct AttemptRecorder<'a>(Option<Box<Recording<'a>>>);

struct Recording<'a> {
    observer: &'a dyn Observer,
    call: &'a Call,
    /// The number of the call among the calls of this node.
    number: u64,
    /// The number of attempts reported so far.
    attempts: u32,
    open: Option<Open>,
    /// The kinds of errors with which earlier attempts failed.
    failures: Vec<Discriminant<RpcError>>,
}

/// An attempt that has started and not ended.
struct Open {
    node: Option<NodeInfo>,
    request_bytes: Option<usize>,
    reply_bytes: Option<usize>,
}

impl<'a> AttemptRecorder<'a> {
    /// Starts to record a call. Records nothing if there is no observer, or if the call is to the
    /// internal service.
    pub(super) fn new(node: &'a NodeShared, call: &'a Call) -> Self {
        let observer = node.observer().filter(|_| call.service != INTERNAL_SERVICE);
        AttemptRecorder(observer.map(|observer| {
            Box::new(Recording {
                observer,
                call,
                number: node.next_call(),
                attempts: 0,
                open: None,
                failures: Vec::new(),
            })
        }))
    }

    /// Reports that an attempt starts on `node`. `request_bytes` is the size of its arguments, if
    /// they are encoded.
    pub(super) fn start(&mut self, node: &NodeInfo, request_bytes: Option<usize>) {
        if let Some(recording) = &mut self.0 {
            recording.start(Some(node.clone()), request_bytes);
        }
    }

    /// Records the size of a reply that has arrived. The reply may still fail to decode.
    pub(super) fn reply(&mut self, bytes: usize) {
        if let Some(Open { reply_bytes, .. }) = self.0.as_mut().and_then(|it| it.open.as_mut()) {
            *reply_bytes = Some(bytes);
        }
    }

    /// Reports that the open attempt, if there is one, ended with a reply or with this failure.
    pub(super) fn end(&mut self, failure: Option<&AttemptFailure>) {
        if let Some(recording) = &mut self.0 {
            recording.end_attempt(failure);
        }
    }

    /// Reports that the call ended. If no attempt has failed with this kind of error, as when there
    /// is no node, the error is reported as an attempt without a node.
    pub(super) fn finish(mut self, error: Option<&RpcError>) {
        let Some(mut recording) = self.0.take() else { return };
        recording.end(error);
        if let Some(error) = error
            && !recording.failures.contains(&discriminant(error))
        {
            recording.start(None, None);
            recording.end(Some(error));
        }
    }
}

impl Drop for AttemptRecorder<'_> {
    fn drop(&mut self) {
        let Some(recording) = &mut self.0 else { return };
        if recording.attempts == 0 {
            recording.start(None, None);
        }
        recording.show_end(|_| Outcome::Cancelled);
    }
}

impl Recording<'_> {
    fn start(&mut self, node: Option<NodeInfo>, request_bytes: Option<usize>) {
        self.attempts += 1;
        let open = self.open.insert(Open { node, request_bytes, reply_bytes: None });
        let attempt = open.attempt(self.call, self.number, self.attempts);
        self.observer.observe(&Observed::Started(&attempt));
    }

    fn end_attempt(&mut self, failure: Option<&AttemptFailure>) {
        let Some(node) = self.open.as_ref().and_then(|open| open.node.clone()) else { return };
        let failure = failure.map(|failure| CallFailure::At { node, failure: failure.clone() });
        let error = failure.map(|failure| rpc_error(self.call, failure));
        self.end(error.as_ref());
    }

    fn end(&mut self, error: Option<&RpcError>) {
        if self.open.is_some() {
            self.failures.extend(error.map(discriminant));
        }
        self.show_end(|open| match error {
            None => Outcome::Replied(open.reply_bytes),
            Some(error) => Outcome::Failed(error),
        });
    }

    fn show_end<'o>(&mut self, outcome: impl FnOnce(&Open) -> Outcome<'o>) {
        let Some(open) = self.open.take() else { return };
        let attempt = open.attempt(self.call, self.number, self.attempts);
        self.observer.observe(&Observed::Ended(&attempt, outcome(&open)));
    }
}

impl Open {
    fn attempt<'a>(&'a self, of: &'a Call, call: u64, number: u32) -> Attempt<'a> {
        let Call { service, method, ref target, .. } = *of;
        let Open { ref node, request_bytes, .. } = *self;
        Attempt { call, number, service, method, target, node: node.as_ref(), request_bytes }
    }
}

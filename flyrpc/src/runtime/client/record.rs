//! Shows an observer the attempts of a call: that each starts, and how it ends.
//!
//! Without an observer all of it is one look at an `Option`.

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

/// Shows an observer, if there is one, the attempts of one call. Dropped before the call has ended, it
/// reports that the call was cancelled.
// Boxed, because it is part of every call that runs here, and nearly always empty.
#[must_use = "dropping it reports that the call was cancelled"]
pub(super) struct AttemptRecorder<'a>(Option<Box<Recording<'a>>>);

struct Recording<'a> {
    observer: &'a dyn Observer,
    call: &'a Call,
    /// Numbers the calls of this node.
    number: u64,
    /// How many attempts were shown.
    attempts: u32,
    open: Option<Open>,
    /// How earlier attempts failed.
    failures: Vec<Discriminant<RpcError>>,
}

/// An attempt that has started and not ended.
struct Open {
    node: Option<NodeInfo>,
    request_bytes: Option<usize>,
    reply_bytes: Option<usize>,
}

impl<'a> AttemptRecorder<'a> {
    /// Records a call, unless there is no observer or it is a call that nodes make of each other.
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

    /// An attempt starts on `node`, with arguments of so many bytes if they are encoded.
    pub(super) fn start(&mut self, node: &NodeInfo, request_bytes: Option<usize>) {
        if let Some(recording) = &mut self.0 {
            recording.start(Some(node.clone()), request_bytes);
        }
    }

    /// A reply of so many bytes has arrived, which may yet turn out not to decode.
    pub(super) fn reply(&mut self, bytes: usize) {
        if let Some(Open { reply_bytes, .. }) = self.0.as_mut().and_then(|it| it.open.as_mut()) {
            *reply_bytes = Some(bytes);
        }
    }

    /// The attempt that has started, if one has, ended with a reply or this failure.
    pub(super) fn end(&mut self, failure: Option<&AttemptFailure>) {
        if let Some(recording) = &mut self.0 {
            recording.end_attempt(failure);
        }
    }

    /// The call ended. An error with which no attempt has failed, such as that there is no node, is
    /// shown as an attempt without a node.
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

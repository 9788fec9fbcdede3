//! What an observer is told of a call: that attempts begin, and how they end.
//!
//! Without an observer all of it is one look at an `Option`.

use std::mem::{Discriminant, discriminant};

use super::call::Call;
use crate::{
    error::RpcError,
    runtime::shared::NodeShared,
    service::INTERNAL_SERVICE,
    telemetry::{Attempt, Observed, Observer, Outcome},
    types::NodeInfo,
};

/// Tells an observer, if there is one, of the attempts of one call. Dropped before the call has
/// ended, it says that the call was cancelled.
// Boxed, as it is part of every call that runs here, and nearly always empty.
#[must_use = "dropping it says that the call was cancelled"]
pub(super) struct AttemptRecorder<'a>(Option<Box<Recording<'a>>>);

struct Recording<'a> {
    observer: &'a dyn Observer,
    call: &'a Call,
    /// Numbers the calls of this node.
    number: u64,
    /// How many attempts were told of.
    attempts: u32,
    open: Option<Open>,
    /// How earlier attempts failed.
    failures: Vec<Discriminant<RpcError>>,
}

/// An attempt under way.
struct Open {
    node: Option<NodeInfo>,
    request_bytes: Option<usize>,
    reply_bytes: Option<usize>,
}

impl<'a> AttemptRecorder<'a> {
    /// Watches a call, unless nobody wants to know or it is one that nodes make of each other.
    pub(super) fn new(node: &'a NodeShared, call: &'a Call) -> Self {
        AttemptRecorder(node.observer().filter(|_| call.service != INTERNAL_SERVICE).map(
            |observer| {
                Box::new(Recording {
                    observer,
                    call,
                    number: node.next_call(),
                    attempts: 0,
                    open: None,
                    failures: Vec::new(),
                })
            },
        ))
    }

    /// An attempt begins on `node`, with arguments of so many bytes if they are encoded.
    pub(super) fn start(&mut self, node: &NodeInfo, request_bytes: Option<usize>) {
        if let Some(watched) = &mut self.0 {
            watched.start(Some(node.clone()), request_bytes);
        }
    }

    /// A reply of so many bytes has arrived, which may yet be found unreadable.
    pub(super) fn reply(&mut self, bytes: usize) {
        if let Some(Open { reply_bytes, .. }) = self.0.as_mut().and_then(|it| it.open.as_mut()) {
            *reply_bytes = Some(bytes);
        }
    }

    /// The attempt under way, if one is, has ended.
    pub(super) fn end(&mut self, error: Option<&RpcError>) {
        if let Some(watched) = &mut self.0 {
            watched.end(error);
        }
    }

    /// The call has ended. What no attempt has failed with, such as that there is no node, is told
    /// as an attempt without a node.
    pub(super) fn finish(mut self, error: Option<&RpcError>) {
        let Some(mut watched) = self.0.take() else { return };
        watched.end(error);
        if let Some(error) = error
            && !watched.failures.contains(&discriminant(error))
        {
            watched.start(None, None);
            watched.end(Some(error));
        }
    }
}

impl Drop for AttemptRecorder<'_> {
    fn drop(&mut self) {
        let Some(watched) = &mut self.0 else { return };
        if watched.attempts == 0 {
            watched.start(None, None);
        }
        watched.tell_end(|_| Outcome::Cancelled);
    }
}

impl Recording<'_> {
    fn start(&mut self, node: Option<NodeInfo>, request_bytes: Option<usize>) {
        self.attempts += 1;
        let open = self.open.insert(Open { node, request_bytes, reply_bytes: None });
        let attempt = open.attempt(self.call, self.number, self.attempts);
        self.observer.observe(&Observed::Started(&attempt));
    }

    fn end(&mut self, error: Option<&RpcError>) {
        if self.open.is_some() {
            self.failures.extend(error.map(discriminant));
        }
        self.tell_end(|open| match error {
            None => Outcome::Replied(open.reply_bytes),
            Some(error) => Outcome::Failed(error),
        });
    }

    fn tell_end<'o>(&mut self, outcome: impl FnOnce(&Open) -> Outcome<'o>) {
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

//! Reports the attempts of a call to an observer: the start and the outcome of each. Reports the node that
//! answered to a stream of [`Replies`](super::Replies), if the call is one of its calls.
//!
//! Without either, the only cost is a check of an `Option`. [`FirstAttemptReport`](super::first_report::FirstAttemptReport)
//! reports the calls that a single attempt on another node ends.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{call::Call, each_call::EachCall, error_exit::attempt_error};
use crate::{
    error::{ErrorKind, RpcError},
    proto::routing::{AttemptEnd, AttemptFailure},
    runtime::shared::NodeShared,
    service::{INTERNAL_SERVICE, IsErr},
    telemetry::{Attempt, CallSpan, Called, LocalParent, Observed, Observers, Outcome},
    types::NodeInfo,
};

/// Reports the attempts of one call to the observer, if there is one. If this is dropped before the
/// call has ended, it reports that the call was canceled.
#[must_use = "dropping it reports that the call was canceled"]
pub(super) struct AttemptRecorder<'a> {
    // Boxed, because every local call contains it, and it is nearly always empty.
    recording: Option<Box<Mutex<Recording<'a>>>>,
    each: Option<&'a EachCall>,
}

/// The number of an attempt, as it is reported to the observer. 0 if attempts are not reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AttemptNumber(u32);

/// The first attempt of a call, which was reported as started and not as ended.
#[derive(Debug, Clone)]
pub(super) struct ReportedAttempt {
    /// The number of the call among the calls of this node.
    pub(super) call: u64,
    pub(super) node: NodeInfo,
    pub(super) request_bytes: usize,
}

struct Recording<'a> {
    caller: &'a NodeShared,
    observers: &'a Observers,
    call: &'a Call,
    /// The number of the call among the calls of this node.
    number: u64,
    /// The number of attempts reported so far.
    attempts: u32,
    /// The attempts that have started and have not ended. There are several only if the node of one of
    /// them went quiet.
    open: Vec<Open>,
    /// The node that answered, or that of the last attempt.
    node: Option<NodeInfo>,
    /// The size of the last reply.
    reply_bytes: Option<usize>,
    /// The attempts that have failed, and the kinds of their errors.
    failures: Vec<(AttemptNumber, ErrorKind)>,
    /// Whether the next attempt that starts was already reported as started.
    is_first_reported: bool,
    /// The span of the call, if it has one, until it ends.
    span: Option<Box<CallSpan>>,
}

const FIRST: AttemptNumber = AttemptNumber(1);

/// An attempt that has started and not ended.
struct Open {
    number: AttemptNumber,
    /// The position of the target of the attempt.
    target: usize,
    node: Option<NodeInfo>,
    previous: Option<ErrorKind>,
    request_bytes: Option<usize>,
    reply_bytes: Option<usize>,
}

impl<'a> AttemptRecorder<'a> {
    /// Starts to record a call, or continues after its first attempt was `reported`. Records nothing if there is no
    /// observer, or if the call is to the internal service.
    pub(super) fn new(
        node: &'a NodeShared,
        call: &'a Call,
        reported: Option<ReportedAttempt>,
        span: Option<Box<CallSpan>>,
    ) -> Self {
        let recording = reporting(node, call.service).map(|observers| {
            let mut recording = Recording {
                caller: node,
                observers,
                call,
                number: 0,
                attempts: 0,
                open: Vec::new(),
                node: None,
                reply_bytes: None,
                failures: Vec::new(),
                is_first_reported: false,
                span,
            };
            match reported {
                Some(first) => recording.resume(first),
                None => recording.number = node.next_call(),
            }
            Box::new(Mutex::new(recording))
        });
        AttemptRecorder { recording, each: call.each.as_deref() }
    }

    /// Returns the parent of the span of a handler that runs on this node, if the call has a span.
    pub(super) fn local_parent(&self) -> Option<LocalParent> {
        let recording = lock(self.recording.as_ref()?);
        recording.span.as_ref().map(|span| span.local_parent())
    }

    /// Reports that an attempt on the target at position `target` starts on `node`. `request_bytes` is the size
    /// of its arguments, if they are encoded.
    #[inline]
    pub(super) fn start(
        &self,
        target: usize,
        node: &NodeInfo,
        request_bytes: Option<usize>,
    ) -> AttemptNumber {
        self.set_node(node);
        match &self.recording {
            Some(recording) => lock(recording).start(target, Some(node.clone()), request_bytes),
            None => AttemptNumber(0),
        }
    }

    /// Records that `node` has answered the call, after several attempts may have started.
    #[inline]
    pub(super) fn set_node(&self, node: &NodeInfo) {
        if let Some(each) = self.each {
            each.set_node(node);
        }
        if let Some(recording) = &self.recording {
            lock(recording).node = Some(node.clone());
        }
    }

    /// Records the size of a reply that has arrived. The reply may still fail to decode.
    #[inline]
    pub(super) fn reply(&self, attempt: AttemptNumber, bytes: usize) {
        if let Some(recording) = &self.recording {
            lock(recording).set_reply_bytes(attempt, bytes);
        }
    }

    /// Reports that an attempt ended with a reply or with the given failure.
    #[inline]
    pub(super) fn end(&self, attempt: AttemptNumber, result: Result<IsErr, &AttemptFailure>) {
        if let Some(recording) = &self.recording {
            lock(recording).end_attempt(attempt, result);
        }
    }

    /// Reports that an attempt ended without a reply. If its request was not sent, it was canceled.
    #[inline]
    pub(super) fn end_without_reply(&self, attempt: AttemptNumber, end: &AttemptEnd) {
        let Some(recording) = &self.recording else { return };
        match end {
            AttemptEnd::Failed(failure) => lock(recording).end_attempt(attempt, Err(failure)),
            AttemptEnd::LinkClosed | AttemptEnd::NotSent(_) => {
                lock(recording).cancel_attempt(attempt)
            }
        }
    }

    /// Reports the end of the first attempt, if the call was continued after it had ended.
    #[inline]
    pub(super) fn end_first(&self, end: &AttemptEnd) {
        self.end_without_reply(FIRST, end);
    }

    /// Reports that the attempts that have not ended were canceled, because the call has ended.
    pub(super) fn cancel_open(&self) {
        if let Some(recording) = &self.recording {
            lock(recording).end_open(|_| Outcome::Cancelled);
        }
    }

    /// Reports that the call ended. If no attempt has failed with this kind of error, as when there
    /// is no node, the error is reported as an attempt without a node.
    pub(super) fn finish(mut self, result: Result<IsErr, &RpcError>) {
        let Some(recording) = self.recording.take() else { return };
        let mut recording = recording.into_inner().unwrap_or_else(PoisonError::into_inner);
        recording.end(result);
        let attempts = recording.attempts;
        if let Err(error) = result
            && !recording.failures.iter().any(|(_, kind)| *kind == error.kind())
        {
            recording.start(0, None, None);
            recording.end(result);
        }
        if let Some(node) = result.err().and_then(RpcError::node) {
            recording.node = Some(node.clone());
        }
        let outcome = outcome(recording.reply_bytes, result);
        recording.show_call(attempts, outcome);
    }
}

impl Drop for AttemptRecorder<'_> {
    fn drop(&mut self) {
        let Some(recording) = &mut self.recording else { return };
        let recording = recording.get_mut().unwrap_or_else(PoisonError::into_inner);
        let attempts = recording.attempts;
        if attempts == 0 {
            recording.start(0, None, None);
        }
        recording.end_open(|_| Outcome::Cancelled);
        recording.show_call(attempts, Outcome::Cancelled);
    }
}

/// Returns the observers to which the calls of `service` are reported.
pub(super) fn reporting<'a>(node: &'a NodeShared, service: &str) -> Option<&'a Observers> {
    node.observers().filter(|_| service != INTERNAL_SERVICE)
}

impl Recording<'_> {
    /// Continues after the first attempt was reported as started.
    fn resume(&mut self, ReportedAttempt { call, node, request_bytes }: ReportedAttempt) {
        self.number = call;
        self.attempts = 1;
        self.is_first_reported = true;
        self.node = Some(node.clone());
        self.open.push(Open {
            number: FIRST,
            target: 0,
            node: Some(node),
            previous: None,
            request_bytes: Some(request_bytes),
            reply_bytes: None,
        });
    }

    #[cold]
    fn start(
        &mut self,
        target: usize,
        node: Option<NodeInfo>,
        request_bytes: Option<usize>,
    ) -> AttemptNumber {
        if std::mem::take(&mut self.is_first_reported) && !self.open.is_empty() {
            return FIRST;
        }
        self.attempts += 1;
        let number = AttemptNumber(self.attempts);
        let before = AttemptNumber(self.attempts - 1);
        let failure = self.failures.iter().find(|(failed, _)| *failed == before);
        let previous = failure.map(|(_, kind)| *kind);
        if let (Some(span), Some(node)) = (&mut self.span, &node) {
            span.on_attempt(self.attempts, node, previous);
        }
        let open = Open { number, target, node, previous, request_bytes, reply_bytes: None };
        let attempt = open.attempt(self.call, self.number);
        self.observers.observe(&Observed::Started(&attempt));
        self.open.push(open);
        number
    }

    #[cold]
    fn set_reply_bytes(&mut self, attempt: AttemptNumber, bytes: usize) {
        if let Some(open) = self.open.iter_mut().find(|open| open.number == attempt) {
            open.reply_bytes = Some(bytes);
            self.reply_bytes = Some(bytes);
        }
    }

    #[cold]
    fn end_attempt(&mut self, attempt: AttemptNumber, result: Result<IsErr, &AttemptFailure>) {
        let Some(open) = self.take_open(attempt) else { return };
        let node = || open.node.clone().unwrap_or_else(|| self.caller.me().clone());
        let result = result.map_err(|failure| attempt_error(self.call, node(), failure.clone()));
        self.failures.extend(result.as_ref().err().map(|error| (attempt, error.kind())));
        self.show_end(&open, outcome(open.reply_bytes, result.as_ref().copied()));
    }

    #[cold]
    fn cancel_attempt(&mut self, attempt: AttemptNumber) {
        if let Some(open) = self.take_open(attempt) {
            self.show_end(&open, Outcome::Cancelled);
        }
    }

    fn take_open(&mut self, attempt: AttemptNumber) -> Option<Open> {
        let at = self.open.iter().position(|open| open.number == attempt)?;
        Some(self.open.remove(at))
    }

    /// Ends the open attempts with the outcome of the call.
    fn end(&mut self, result: Result<IsErr, &RpcError>) {
        if let Err(error) = result {
            self.failures.extend(self.open.iter().map(|open| (open.number, error.kind())));
        }
        self.end_open(|open| outcome(open.reply_bytes, result));
    }

    fn end_open<'o>(&mut self, outcome: impl Fn(&Open) -> Outcome<'o>) {
        for open in std::mem::take(&mut self.open) {
            self.show_end(&open, outcome(&open));
        }
    }

    /// Reports that the call has ended, after `attempts` attempts on nodes.
    fn show_call(&mut self, attempts: u32, outcome: Outcome<'_>) {
        if let Some(span) = self.span.take() {
            span.end(self.node.as_ref(), &outcome);
        }
        let Call { service, method, ref target, ref start, .. } = *self.call;
        let called = Called {
            call: self.number,
            service,
            method,
            target,
            node: self.node.as_ref(),
            attempts,
            took: self.caller.env().now().saturating_duration_since(start.now),
        };
        self.observers.observe(&Observed::Called(&called, outcome));
    }

    fn show_end(&self, open: &Open, outcome: Outcome<'_>) {
        let attempt = open.attempt(self.call, self.number);
        self.observers.observe(&Observed::Ended(&attempt, outcome));
    }
}

fn lock<'l, 'a>(recording: &'l Mutex<Recording<'a>>) -> MutexGuard<'l, Recording<'a>> {
    recording.lock().unwrap_or_else(PoisonError::into_inner)
}

fn outcome(reply_bytes: Option<usize>, result: Result<IsErr, &RpcError>) -> Outcome<'_> {
    match result {
        Ok(is_err) => replied(reply_bytes, is_err),
        Err(error) => Outcome::Failed(error),
    }
}

/// Returns the outcome of an attempt that received a reply of this size, if it was encoded.
pub(super) fn replied(bytes: Option<usize>, IsErr(is_err): IsErr) -> Outcome<'static> {
    if is_err { Outcome::RepliedErr(bytes) } else { Outcome::Replied(bytes) }
}

impl Open {
    fn attempt<'a>(&'a self, of: &'a Call, call: u64) -> Attempt<'a> {
        let Call { service, method, .. } = *of;
        let target = of.target_at(self.target);
        let Open { number: AttemptNumber(number), ref node, previous, request_bytes, .. } = *self;
        let node = node.as_ref();
        Attempt { call, number, service, method, target, node, previous, request_bytes }
    }
}

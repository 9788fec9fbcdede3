//! Records how calls over a link end, for routing.
//!
//! A reply counts with its latency. A lost link, a deadline without a reply, an overload and a panic count as
//! failures. Replies that cannot be used count as slow, so that they attract no calls. A call that its caller has
//! dropped has taken at least as long as it lasted. Other statuses show nothing about the load of the node.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{event::LinkEvent, handle::Link};
use crate::proto::{
    link::in_flight::Response,
    routing::{Change, Failure},
    wire::{ids::MethodIndex, status::Status},
};

/// The method of calls from which routing does not learn.
pub(super) const UNCOUNTED: MethodIndex = MethodIndex(u64::MAX);

impl Link {
    /// Records that responses arrive now. Must be called before their calls are woken.
    pub(super) fn on_responses(&self) {
        self.outcomes.responses_at.store(self.micros_at(self.now()), Relaxed);
    }

    /// Records the response to a call that was sent at `sent_at`, in microseconds on the link's clock.
    #[inline(always)]
    pub(super) fn record_response(
        self: &Arc<Self>,
        method: MethodIndex,
        sent_at: u64,
        response: &Response,
    ) {
        let Response::Reply(_) = response else {
            return self.record_no_reply(method, sent_at, response);
        };
        let now = self.outcomes.responses_at.load(Relaxed);
        let Some(median) = self.median(method) else {
            return self.record_canceled(sent_at);
        };
        let ratio = median.observe(now.saturating_sub(sent_at));
        if self.load.on_reply(ratio, self.outcomes.epoch + now) {
            self.record_recovery(now, sent_at, ratio);
        }
    }

    /// Records the end of a call that shows nothing about the load of the node.
    pub(super) fn record_canceled(&self, sent_at: u64) {
        let load = &self.load;
        load.on_canceled();
        if load.is_ejected() {
            load.release_probe(self.outcomes.epoch + sent_at);
        }
    }

    /// Records that the caller has dropped a call.
    pub(super) fn record_dropped(&self, method: MethodIndex, sent_at: u64) {
        self.record_canceled(sent_at);
        let now = self.micros_at(self.now());
        if let Some(ratio) = self.ratio_of(method, now.saturating_sub(sent_at)) {
            self.load.on_no_reply_within(ratio, self.outcomes.epoch + now);
        }
    }

    /// Records that the deadline of a call has passed without a reply.
    pub(super) fn record_expired(self: &Arc<Self>, method: MethodIndex, sent_at: u64) {
        let took = self.micros_at(self.now()).saturating_sub(sent_at);
        if self.ratio_of(method, took).is_some_and(|ratio| ratio < 1.0) {
            // The node has had less time than half of its calls take, which is not its fault.
            return self.record_dropped(method, sent_at);
        }
        self.record_failure(method, sent_at, Failure::Transport, true);
    }

    /// Records a call that was in flight when the link ended.
    #[cold]
    pub(super) fn record_lost(self: &Arc<Self>, method: MethodIndex, sent_at: u64) {
        let is_first = method != UNCOUNTED && !self.outcomes.loss_recorded.swap(true, Relaxed);
        self.record_failure(method, sent_at, Failure::Transport, is_first);
    }

    /// Records that the peer has become quiet while calls are in flight.
    pub(super) fn record_quiet(self: &Arc<Self>) {
        if self.in_flight().is_empty() {
            return;
        }
        let now = self.node_micros();
        self.load.penalize(0.0, now);
        self.announce_change(self.health.on_failure(now, now, Failure::Transport));
    }

    #[cold]
    fn record_no_reply(self: &Arc<Self>, method: MethodIndex, sent_at: u64, response: &Response) {
        let status = match response {
            Response::Status(status) => Status::decode(status).ok(),
            Response::Reply(_) | Response::TooLarge(_) => None,
        };
        match status {
            // Either side may notice first that the deadline has passed.
            Some(Status::Expired | Status::TimedOut) => self.record_expired(method, sent_at),
            Some(Status::Overloaded | Status::Memory | Status::Panicked { .. }) => {
                self.record_failure(method, sent_at, Failure::Response, true);
            }
            // The limit of one method says little about the others.
            None
            | Some(
                Status::MethodOverloaded | Status::BadReply { .. } | Status::ReplyTooLarge { .. },
            ) => {
                self.record_failure(method, sent_at, Failure::Response, false);
            }
            Some(
                Status::NotPrimary { .. }
                | Status::Draining
                | Status::Held
                | Status::Denied { .. }
                | Status::NoMethod
                | Status::BadArguments { .. }
                | Status::ArgumentsTooLarge { .. },
            ) => self.record_canceled(sent_at),
        }
    }

    /// Returns the ratio of a time, in microseconds, to the median of a method, if that is known.
    fn ratio_of(&self, method: MethodIndex, time: u64) -> Option<f32> {
        self.median(method)?.ratio_of(time)
    }

    /// Records a failure. `counts` is whether the failure counts for ejections.
    fn record_failure(
        self: &Arc<Self>,
        method: MethodIndex,
        sent_at: u64,
        failure: Failure,
        counts: bool,
    ) {
        if method == UNCOUNTED {
            return self.record_canceled(sent_at);
        }
        let now = self.micros_at(self.now());
        let took = now.saturating_sub(sent_at);
        let ratio = self.ratio_of(method, took).unwrap_or(1.0);
        let epoch = self.outcomes.epoch;
        self.load.on_failure(ratio, epoch + now);
        if counts {
            let change = self.health.on_failure(epoch + now, epoch + sent_at, failure);
            self.announce_change(change);
        }
    }

    #[cold]
    fn record_recovery(self: &Arc<Self>, now: u64, sent_at: u64, ratio: f32) {
        let epoch = self.outcomes.epoch;
        self.announce_change(self.health.on_recovery(epoch + now, epoch + sent_at, ratio));
    }

    fn announce_change(self: &Arc<Self>, change: Option<Change>) {
        let event = match change {
            None => return,
            Some(Change::Ejected { .. }) => LinkEvent::Ejected,
            Some(Change::Restored) => LinkEvent::Restored,
        };
        self.region_calls.on_ejections_changed();
        self.announce(event);
    }
}

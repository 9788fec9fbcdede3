//! The inbound gate: holds complete requests until it is certain that their callers still wait.
//!
//! Two rules prevent the start of a call that its caller has given up:
//!
//! - A request starts only after everything buffered behind it has been read, because that may include
//!   its cancellation.
//! - A request starts only while the offset of the caller's clock is known (see [`LinkClock`]), so that
//!   its deadline can be compared with that clock.

use std::time::Duration;

use super::clock::{LinkClock, Verdict};
use crate::{codec::bytes::Malformed, proto::wire::frame::RequestHead};

/// How many times a request with a timestamp ahead of our clock is held before it is rejected. Once
/// is enough for a correct peer.
const MAX_AHEAD: u32 = 4;

/// Upper bound on bytes drained before held requests are released: more than any socket buffers. A
/// peer that keeps sending cannot delay them further.
pub(crate) const DRAIN_BEFORE_RELEASE: u64 = 64 << 20;

/// Upper bound on bytes drained before a complete request starts: as much as sockets buffer by default. In
/// effect only if the number of buffered bytes is not known, or is even larger.
const DRAIN_BEFORE_START: usize = 8 << 20;

/// The number of complete requests for which memory is kept between heartbeats.
const MAX_RETAINED: usize = 16;

/// The timeout of a peer's request is clamped to this, so that it can be added to a time without
/// overflow. Longer than any call.
const MAX_DURATION: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Requests that are complete but have not started.
#[derive(Debug)]
pub(crate) struct Gate<T> {
    clock: LinkClock,
    /// Requests that are held until the offset of the caller's clock is known again.
    held: Vec<Gated<T>>,
    /// Complete requests, until the bytes buffered behind them have been read. In the order of
    /// [`Gated::start_at`].
    ready: Vec<Gated<T>>,
    /// The latest timestamp of the requests that arrived since the gate was last opened, including
    /// refused and canceled ones.
    latest_stamp: u64,
}

/// A request in the gate, or one that has left it.
#[derive(Debug)]
pub(crate) struct Gated<T> {
    /// When the request was sent, in microseconds on the caller's clock.
    stamp: u64,
    /// The time after `stamp` at which the caller gives up, in microseconds. Once the request may start, the
    /// remaining time instead.
    timeout: u64,
    /// The time at which the caller has certainly given up, in microseconds on this end's clock. Known
    /// once the request is held.
    deadline: u64,
    /// The number of bytes to receive on the link before the request starts.
    start_at: u64,
    /// How many times the request was held because its timestamp was ahead of our clock.
    ahead: u32,
    pub(crate) item: T,
}

impl<T> Gated<T> {
    /// Returns the remaining time of a request that may start, as of when it left the gate.
    pub(crate) fn remaining(&self) -> Duration {
        Duration::from_micros(self.timeout).min(MAX_DURATION)
    }
}

/// The requests that leave the gate when it is opened.
#[derive(Debug)]
pub(crate) struct Released<T> {
    /// Requests to start.
    pub(crate) start: Vec<Gated<T>>,
    /// Expired requests, to be refused.
    pub(crate) expired: Vec<T>,
    /// Whether a ping must be sent now, because requests are held until its pong arrives.
    pub(crate) needs_ping: bool,
}

impl<T> Gate<T> {
    pub(crate) fn new(clock: LinkClock) -> Self {
        Gate { clock, held: Vec::new(), ready: Vec::new(), latest_stamp: 0 }
    }

    /// Records the timestamp of a request that arrived, even if the request is refused or canceled. The
    /// timestamp can show that our clock was stopped.
    pub(crate) fn on_request(&mut self, head: &RequestHead) {
        self.latest_stamp = self.latest_stamp.max(head.stamp);
    }

    /// Adds a complete request.
    #[inline]
    pub(crate) fn push(&mut self, head: &RequestHead, item: T) {
        let RequestHead { stamp, timeout, .. } = *head;
        let (deadline, start_at) = (u64::MAX, u64::MAX);
        self.ready.push(Gated { stamp, timeout, deadline, start_at, ahead: 0, item });
    }

    /// Removes a request that was canceled.
    pub(crate) fn remove(&mut self, is_canceled: impl Fn(&T) -> bool) -> Option<T> {
        [&mut self.held, &mut self.ready].into_iter().find_map(|queue| {
            let at = queue.iter().position(|entry| is_canceled(&entry.item))?;
            Some(queue.remove(at).item)
        })
    }

    /// Handles a heartbeat at `now`. The reader takes a step even if nothing has arrived.
    pub(crate) fn on_heartbeat(&mut self, now: u64) {
        if self.ready.is_empty() {
            self.ready.shrink_to(MAX_RETAINED);
        }
        self.clock.step(now);
    }

    /// Handles a ping that arrived at `now`. `stamp` is the time on the peer's clock when it was sent.
    pub(crate) fn on_ping(&mut self, now: u64, stamp: u64) {
        self.clock.observe(now, stamp);
    }

    /// Handles a pong that arrived at `now`, in response to the ping sent at `echo`, which
    /// [`SentPings`](super::pings::SentPings) has verified. `stamp` is the time on the peer's clock when
    /// the pong was sent.
    pub(crate) fn on_pong(&mut self, now: u64, echo: u64, stamp: u64) {
        self.clock.pong(now, echo, stamp);
    }

    /// Returns the shortest of the last round trips, in microseconds.
    pub(crate) fn round_trip(&self) -> Option<u64> {
        self.clock.round_trip()
    }

    /// Records that `received` bytes have been received on the link, and that at most `buffered` more had
    /// arrived when the requests since the last call were pushed. `None` if this is not known.
    ///
    /// Bytes that arrive later were sent later, or the peer had no room to send them. They do not delay the
    /// requests: with a long body behind it, a request would often wait for all of the body.
    pub(crate) fn on_buffered(&mut self, received: u64, buffered: impl FnOnce() -> Option<usize>) {
        if self.ready.last().is_none_or(|last| last.start_at != u64::MAX) {
            return;
        }
        let buffered = buffered().unwrap_or(usize::MAX).min(DRAIN_BEFORE_START);
        let first_new = self.ready.partition_point(|entry| entry.start_at != u64::MAX);
        let (earlier, new) = self.ready.split_at_mut(first_new);
        // In order, even if the number is known only from now on.
        let start_at =
            (received + buffered as u64).max(earlier.last().map_or(0, |last| last.start_at));
        new.iter_mut().for_each(|entry| entry.start_at = start_at);
    }

    /// Returns whether complete requests wait for [`open`](Self::open).
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns whether a complete request may start once `received` bytes have been received.
    pub(crate) fn may_open(&self, received: u64) -> bool {
        self.ready.first().is_some_and(|first| first.start_at <= received)
    }

    /// Returns whether requests are held until [`release`](Self::release).
    pub(crate) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Releases the complete requests that may start once `received` bytes have been received, except those
    /// that must be held. Applies `hold` to each held request. If the socket is empty, all may start, and
    /// `received` is `u64::MAX`.
    ///
    /// # Errors
    ///
    /// If a request's timestamp is still ahead of our clock after the request was held [`MAX_AHEAD`]
    /// times.
    pub(crate) fn open(
        &mut self,
        now: u64,
        received: u64,
        hold: impl FnMut(&mut T),
    ) -> Result<Released<T>, Malformed> {
        let count = self.ready.partition_point(|entry| entry.start_at <= received);
        // As many requests will probably be complete next time.
        let mut next = Vec::with_capacity(self.ready.len());
        next.extend(self.ready.drain(count..));
        let ready = std::mem::replace(&mut self.ready, next);
        self.sort(now, ready, hold)
    }

    /// Releases the held requests after a pong, except those that must be held again.
    ///
    /// # Errors
    ///
    /// The same as for [`open`](Self::open).
    pub(crate) fn release(&mut self, now: u64) -> Result<Released<T>, Malformed> {
        let held = std::mem::take(&mut self.held);
        self.sort(now, held, |_| ())
    }

    /// Returns the earliest deadline of a held request, on this end's clock.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.held.iter().map(|entry| entry.deadline).min()
    }

    /// Removes the held requests whose deadline has passed at `now`. Otherwise, a peer that answers no
    /// ping could keep them here.
    pub(crate) fn take_expired(&mut self, now: u64) -> Vec<T> {
        let expired = self.held.extract_if(.., |entry| entry.deadline <= now);
        expired.map(|entry| entry.item).collect()
    }

    /// Removes up to `count` requests, at least one. Returns `None` if there are none. For a gate whose link
    /// has ended.
    pub(crate) fn take_some(&mut self, count: usize) -> Option<Vec<T>> {
        let queues = [&mut self.held, &mut self.ready];
        let queue = queues.into_iter().find(|queue| !queue.is_empty())?;
        let from = queue.len().saturating_sub(count.max(1));
        Some(queue.drain(from..).map(|entry| entry.item).collect())
    }

    /// Applies `change` to the last `count` requests that were pushed.
    pub(crate) fn change_last(&mut self, count: usize, change: impl FnMut(&mut T)) {
        self.ready.iter_mut().rev().take(count).map(|entry| &mut entry.item).for_each(change);
    }

    #[inline]
    fn sort(
        &mut self,
        now: u64,
        mut entries: Vec<Gated<T>>,
        hold: impl FnMut(&mut T),
    ) -> Result<Released<T>, Malformed> {
        self.clock.observe(now, std::mem::take(&mut self.latest_stamp));
        // Nearly always, all of them may start, so none is moved.
        for at in 0..entries.len() {
            let entry = &mut entries[at];
            match self.clock.verdict(now, entry.stamp, entry.timeout) {
                Verdict::Start { remaining } => entry.timeout = remaining,
                verdict => {
                    let others = entries.split_off(at);
                    return self.sort_from(now, entries, verdict, others, hold);
                }
            }
        }
        Ok(Released { start: entries, expired: Vec::new(), needs_ping: false })
    }

    /// Continues after some requests that may start. The first of the `others` has this verdict.
    #[cold]
    fn sort_from(
        &mut self,
        now: u64,
        start: Vec<Gated<T>>,
        verdict: Verdict,
        others: Vec<Gated<T>>,
        mut hold: impl FnMut(&mut T),
    ) -> Result<Released<T>, Malformed> {
        let mut released = Released { start, expired: Vec::new(), needs_ping: false };
        let mut known = Some(verdict);
        for mut entry in others {
            let verdict = known.take();
            match verdict.unwrap_or_else(|| self.clock.verdict(now, entry.stamp, entry.timeout)) {
                Verdict::Start { remaining } => {
                    entry.timeout = remaining;
                    released.start.push(entry);
                }
                Verdict::Expired => released.expired.push(entry.item),
                Verdict::Hold => {
                    released.needs_ping |= self.held.is_empty();
                    hold(&mut entry.item);
                    entry.deadline = entry.deadline.min(now.saturating_add(entry.timeout));
                    self.held.push(entry);
                }
                Verdict::Ahead if entry.ahead < MAX_AHEAD => {
                    entry.ahead += 1;
                    // A ping sent earlier, for other held requests, no longer proves anything.
                    released.needs_ping = true;
                    hold(&mut entry.item);
                    entry.deadline = entry.deadline.min(now.saturating_add(entry.timeout));
                    self.held.push(entry);
                }
                Verdict::Ahead => {
                    return Err(Malformed::new("request with a timestamp in the future"));
                }
            }
        }
        Ok(released)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::wire::ids::{MethodIndex, RequestId};

    const HEARTBEAT: u64 = 1_000_000;

    fn head(id: u64, stamp: u64) -> RequestHead {
        let (id, method) = (RequestId(id), MethodIndex(0));
        RequestHead { id, method, primary: false, attempt: 1, stamp, timeout: 500_000 }
    }

    fn push(gate: &mut Gate<u64>, id: u64, stamp: u64) {
        gate.on_request(&head(id, stamp));
        gate.push(&head(id, stamp), id);
    }

    /// Returns a gate whose clock was synced at `now`, with a peer whose clock equals ours.
    fn synced(now: u64) -> Gate<u64> {
        let mut gate = Gate::new(LinkClock::new(HEARTBEAT));
        gate.on_pong(now, now, now);
        gate
    }

    fn started(released: Released<u64>) -> Vec<u64> {
        released.start.into_iter().map(|entry| entry.item).collect()
    }

    #[test]
    fn complete_requests_start_in_order_with_the_time_that_is_left() {
        let mut gate = synced(1_000);
        push(&mut gate, 1, 900);
        push(&mut gate, 2, 1_000);
        let released = gate.open(1_000, u64::MAX, |_| ()).unwrap();
        let left = |micros| Duration::from_micros(micros);
        let start = released.start.iter().map(|entry| (entry.item, entry.remaining()));
        assert!(start.eq([(1, left(499_900)), (2, left(500_000))]));
        assert!(released.expired.is_empty() && !released.needs_ping);
        assert!(!gate.has_ready() && !gate.has_held());
    }

    #[test]
    fn nothing_starts_before_the_first_pong() {
        let mut gate = Gate::new(LinkClock::new(HEARTBEAT));
        push(&mut gate, 1, 0);
        push(&mut gate, 2, 0);
        let released = gate.open(10, u64::MAX, |_| ()).unwrap();
        assert!(released.start.is_empty() && released.needs_ping);
        push(&mut gate, 3, 0);
        // The ping that was sent for the first two requests also covers this one.
        assert!(!gate.open(10, u64::MAX, |_| ()).unwrap().needs_ping);
        gate.on_pong(20, 10, 10);
        assert_eq!(started(gate.release(20).unwrap()), [1, 2, 3]);
    }

    #[test]
    fn a_request_that_its_caller_has_given_up_is_refused() {
        let mut gate = synced(1_000_000);
        push(&mut gate, 1, 400_000);
        let released = gate.open(1_000_000, u64::MAX, |_| ()).unwrap();
        assert_eq!(released.expired, [1]);
    }

    #[test]
    fn a_canceled_request_is_removed_whether_it_is_ready_or_held() {
        let mut gate = Gate::new(LinkClock::new(HEARTBEAT));
        push(&mut gate, 1, 0);
        gate.open(0, u64::MAX, |_| ()).unwrap();
        push(&mut gate, 2, 0);
        assert_eq!(gate.remove(|id| *id == 1), Some(1));
        assert_eq!(gate.remove(|id| *id == 2), Some(2));
        assert_eq!(gate.remove(|id| *id == 2), None);
        assert!(!gate.has_ready() && !gate.has_held());
    }

    #[test]
    fn a_request_that_stays_ahead_of_our_clock_ends_the_link() {
        let mut gate = synced(0);
        push(&mut gate, 1, 90_000_000);
        let mut now = 0;
        let rejected = (0..=MAX_AHEAD + 1).find(|turn| {
            let result =
                if *turn == 0 { gate.open(now, u64::MAX, |_| ()) } else { gate.release(now) };
            // Each pong claims that the clocks agree, which the request's timestamp contradicts.
            now += 1_000;
            gate.on_pong(now, now, now);
            result.is_err()
        });
        assert_eq!(rejected, Some(MAX_AHEAD + 1));
    }

    #[test]
    fn the_timestamp_of_a_canceled_request_shows_that_our_clock_was_stopped() {
        let mut gate = synced(1_000);
        push(&mut gate, 1, 1_000);
        gate.on_request(&head(2, 60_000_000));
        let released = gate.open(2_000, u64::MAX, |_| ()).unwrap();
        assert!(released.start.is_empty() && released.needs_ping);
    }

    #[test]
    fn a_request_starts_once_the_bytes_that_were_behind_it_are_read() {
        let mut gate = synced(0);
        push(&mut gate, 1, 0);
        gate.on_buffered(100, || Some(50));
        push(&mut gate, 2, 0);
        push(&mut gate, 3, 0);
        gate.on_buffered(120, || Some(70));
        gate.on_buffered(130, || unreachable!("no request is new"));
        let mut open = |received| started(gate.open(0, received, |_| ()).unwrap());
        assert!(open(149).is_empty());
        assert_eq!(open(150), [1]);
        assert!(open(189).is_empty());
        assert_eq!(open(190), [2, 3]);
    }

    #[test]
    fn a_request_starts_no_earlier_than_those_before_it() {
        let mut gate = synced(0);
        push(&mut gate, 1, 0);
        gate.on_buffered(100, || None);
        push(&mut gate, 2, 0);
        gate.on_buffered(110, || Some(1));
        assert!(!gate.may_open(111));
        assert!(started(gate.open(0, 111, |_| ()).unwrap()).is_empty());
        let end = 100 + DRAIN_BEFORE_START as u64;
        assert_eq!(started(gate.open(0, end, |_| ()).unwrap()), [1, 2]);
    }

    #[test]
    fn a_request_starts_when_the_socket_is_empty_or_much_is_read() {
        let mut gate = synced(0);
        push(&mut gate, 1, 0);
        gate.on_buffered(100, || Some(50));
        push(&mut gate, 2, 0);
        assert_eq!(started(gate.open(0, u64::MAX, |_| ()).unwrap()), [1, 2]);
        for buffered in [None, Some(usize::MAX)] {
            push(&mut gate, 3, 0);
            gate.on_buffered(100, || buffered);
            let end = 100 + DRAIN_BEFORE_START as u64;
            assert!(started(gate.open(0, end - 1, |_| ()).unwrap()).is_empty());
            assert_eq!(started(gate.open(0, end, |_| ()).unwrap()), [3]);
        }
    }

    #[test]
    fn a_held_request_expires_with_its_deadline_although_no_ping_is_answered() {
        let mut gate = Gate::new(LinkClock::new(HEARTBEAT));
        push(&mut gate, 1, 0);
        let mut held = Vec::new();
        gate.open(100, u64::MAX, |id| held.push(*id)).unwrap();
        assert_eq!(held, [1]);
        assert_eq!(gate.next_deadline(), Some(500_100));
        push(&mut gate, 2, 0);
        gate.open(900, u64::MAX, |_| ()).unwrap();
        // Being held again does not extend the deadline.
        gate.release(400_000).unwrap();
        assert!(gate.take_expired(500_099).is_empty());
        assert_eq!(gate.take_expired(500_100), [1]);
        assert_eq!(gate.take_expired(u64::MAX), [2]);
        assert_eq!(gate.next_deadline(), None);
    }
}

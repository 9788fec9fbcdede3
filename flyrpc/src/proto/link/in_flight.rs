//! This end's calls that wait for their responses.

use std::{collections::BTreeMap, mem, task::Waker, time::Instant};

use bytes::Bytes;

use super::{
    assembler::PartialBody,
    id_map::{IdMap, in_order},
};
use crate::proto::wire::ids::RequestId;

/// The response to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Response {
    /// The encoded reply.
    Reply(Bytes),
    /// The payload of a status frame.
    Status(Bytes),
    /// A reply of this many bytes, which is more than this node accepts.
    TooLarge(u64),
}

/// The calls in flight in one direction of a link.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    last_id: u64,
    calls: IdMap<InFlightCall>,
    /// The replies that are arriving in chunks, each for a call in `calls`.
    arriving: BTreeMap<RequestId, PartialBody>,
    /// When [`expire`](Self::expire) is due. It may be earlier than necessary, because the call that it was
    /// for may have ended.
    next_expiry: Option<Instant>,
    /// Whether the link has ended, so that no more responses arrive.
    closed: bool,
}

#[derive(Debug)]
enum InFlightCall {
    Waiting {
        waker: Waker,
        /// `None` if the call has a timer of its own.
        expires: Option<Instant>,
    },
    /// It has expired, and its task was woken.
    Expired { waker: Waker },
    /// Its response has arrived, and its task was woken.
    Complete(Response),
}

impl InFlightCall {
    /// The waker of its task, unless its response has arrived.
    fn waker(&self) -> Option<&Waker> {
        match self {
            InFlightCall::Waiting { waker, .. } | InFlightCall::Expired { waker } => Some(waker),
            InFlightCall::Complete(_) => None,
        }
    }
}

/// The progress of a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The call is complete, and has been removed.
    Response(Response),
    /// The response has not arrived. The waker is stored.
    Pending,
    /// The link has ended, so no response will arrive.
    Closed,
    /// The call has expired.
    Expired,
}

impl InFlight {
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Returns whether the link has ended, so that no more calls may be added.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Adds a call and returns its id. `waker` wakes the task of the call. A call that has not ended when
    /// it `expires` is woken by [`expire`](Self::expire), whose time [`next_expiry`](Self::next_expiry)
    /// returns.
    #[inline]
    pub(crate) fn add(&mut self, waker: &Waker, expires: Option<Instant>) -> RequestId {
        self.last_id += 1;
        let id = RequestId(self.last_id);
        self.calls.add(id, InFlightCall::Waiting { waker: waker.clone(), expires });
        if let Some(at) = expires
            && self.next_expiry.is_none_or(|next| at < next)
        {
            self.next_expiry = Some(at);
        }
        id
    }

    /// Returns when [`expire`](Self::expire) must be called, or `None` if no call can expire.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry
    }

    /// Wakes the calls that have expired at `now`.
    ///
    /// This checks every call. Most calls end long before they expire, so it is due only once in about the
    /// timeout of a call, and a queue that each call would have to join and leave would cost more.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.next_expiry = None;
        let mut expired = Vec::new();
        for (id, call) in self.calls.iter_mut() {
            let InFlightCall::Waiting { waker, expires: Some(at) } = call else { continue };
            if *at <= now {
                expired.push((id, waker.clone()));
                *call = InFlightCall::Expired { waker: mem::replace(waker, Waker::noop().clone()) };
            } else {
                self.next_expiry = Some(self.next_expiry.map_or(*at, |next| next.min(*at)));
            }
        }
        in_order(expired).into_iter().for_each(Waker::wake);
    }

    /// Returns whether the call still waits for its response.
    pub(crate) fn expects(&self, id: RequestId) -> bool {
        self.calls.get(id).is_some_and(|call| call.waker().is_some())
    }

    /// Handles the start of a reply that arrives in chunks. A reply that no call waits for
    /// is ignored.
    pub(crate) fn begin_reply(&mut self, id: RequestId, reply: PartialBody) {
        if self.expects(id) {
            self.arriving.insert(id, reply);
        }
    }

    /// Removes and returns the received part of a reply, so that a chunk can be appended without holding
    /// the lock of this value. Returns `None` if no call waits for the reply.
    pub(crate) fn take_arriving(&mut self, id: RequestId) -> Option<PartialBody> {
        self.arriving.remove(&id)
    }

    /// Puts back the value that [`take_arriving`](Self::take_arriving) returned. Drops it if the call
    /// was given up in the meantime.
    pub(crate) fn put_arriving(&mut self, id: RequestId, reply: PartialBody) {
        if self.expects(id) {
            self.arriving.insert(id, reply);
        }
    }

    /// Stores a response, and returns the waker of the call's task. A response that no call waits for is
    /// dropped.
    #[inline(always)]
    pub(crate) fn complete(&mut self, id: RequestId, response: Response) -> Option<Waker> {
        let call = self.calls.get_mut(id)?;
        if let InFlightCall::Complete(_) = call {
            return None;
        }
        if !self.arriving.is_empty() {
            self.arriving.remove(&id);
        }
        match mem::replace(call, InFlightCall::Complete(response)) {
            InFlightCall::Waiting { waker, .. } | InFlightCall::Expired { waker } => Some(waker),
            InFlightCall::Complete(_) => None,
        }
    }

    /// Returns the response if it has arrived. Otherwise stores `waker`, to wake it when the response
    /// arrives.
    ///
    /// # Panics
    ///
    /// If the response was already returned, or the call was removed with [`remove`](Self::remove).
    #[inline(always)]
    pub(crate) fn poll(&mut self, id: RequestId, waker: &Waker) -> Progress {
        match self.calls.get_mut(id) {
            Some(InFlightCall::Complete(_)) => match self.calls.remove(id) {
                Some(InFlightCall::Complete(response)) => Progress::Response(response),
                _ => unreachable!("it was found a moment ago"),
            },
            Some(_) if self.closed => Progress::Closed,
            Some(InFlightCall::Expired { .. }) => Progress::Expired,
            Some(InFlightCall::Waiting { waker: stored, .. }) => {
                stored.clone_from(waker);
                Progress::Pending
            }
            None => panic!("a call is not polled after it is complete"),
        }
    }

    /// Removes a call that was given up, along with the received part of its reply.
    pub(crate) fn remove(&mut self, id: RequestId) {
        self.calls.remove(id);
        self.arriving.remove(&id);
    }

    /// Handles the end of the link: wakes every waiting call. No more responses will arrive.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.arriving.clear();
        self.wake_all();
    }

    /// Wakes every waiting call, so that it checks the state of its link.
    pub(crate) fn wake_all(&mut self) {
        let calls = self.calls.iter_mut().filter_map(|(id, call)| Some((id, call.waker()?)));
        in_order(calls).into_iter().for_each(Waker::wake_by_ref);
    }

    /// Frees unused memory.
    pub(crate) fn shrink(&mut self) {
        self.calls.shrink();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn append(in_flight: &mut InFlight, id: RequestId, chunk: &[u8]) -> Option<Bytes> {
        let mut reply = in_flight.take_arriving(id)?;
        reply.put(chunk, 0).unwrap();
        if reply.is_complete() {
            return Some(reply.into_buffer().into());
        }
        in_flight.put_arriving(id, reply);
        None
    }

    fn reply(byte: u8) -> Response {
        Response::Reply(Bytes::copy_from_slice(&[byte]))
    }

    #[test]
    fn a_response_reaches_the_call_with_its_id() {
        let mut in_flight = InFlight::default();
        let (first, second) =
            (in_flight.add(Waker::noop(), None), in_flight.add(Waker::noop(), None));
        assert!(in_flight.expects(first) && in_flight.expects(second));
        assert!(in_flight.complete(second, reply(2)).is_some());
        assert_eq!(in_flight.poll(first, Waker::noop()), Progress::Pending);
        assert_eq!(in_flight.poll(second, Waker::noop()), Progress::Response(reply(2)));
        assert_eq!(in_flight.len(), 1);
    }

    #[test]
    fn a_second_response_and_an_unexpected_one_are_dropped() {
        let mut in_flight = InFlight::default();
        let id = in_flight.add(Waker::noop(), None);
        assert!(in_flight.complete(id, reply(1)).is_some());
        assert!(!in_flight.expects(id));
        assert!(in_flight.complete(id, reply(2)).is_none());
        assert!(in_flight.complete(RequestId(99), reply(3)).is_none());
        assert_eq!(in_flight.poll(id, Waker::noop()), Progress::Response(reply(1)));
    }

    #[test]
    fn a_reply_in_chunks_is_complete_with_its_last_byte() {
        let mut in_flight = InFlight::default();
        let id = in_flight.add(Waker::noop(), None);
        in_flight.begin_reply(id, PartialBody::new(3, Vec::new()));
        assert_eq!(append(&mut in_flight, id, b"ab"), None);
        assert_eq!(append(&mut in_flight, id, b"c"), Some(Bytes::from_static(b"abc")));
    }

    #[test]
    fn a_reply_in_chunks_is_kept_only_while_its_call_waits() {
        let mut in_flight = InFlight::default();
        in_flight.begin_reply(RequestId(99), PartialBody::new(1 << 20, Vec::new()));
        assert!(in_flight.arriving.is_empty());

        let [given_up, during_chunk, refused] = [0; 3].map(|_| in_flight.add(Waker::noop(), None));
        for id in [given_up, during_chunk, refused] {
            in_flight.begin_reply(id, PartialBody::new(3, Vec::new()));
        }
        in_flight.remove(given_up);
        assert!(in_flight.take_arriving(given_up).is_none());
        let taken = in_flight.take_arriving(during_chunk).unwrap();
        in_flight.remove(during_chunk);
        in_flight.put_arriving(during_chunk, taken);
        in_flight.complete(refused, Response::TooLarge(9));
        assert!(in_flight.arriving.is_empty());

        let pending = in_flight.add(Waker::noop(), None);
        in_flight.begin_reply(pending, PartialBody::new(3, Vec::new()));
        in_flight.close();
        assert!(in_flight.arriving.is_empty());
    }

    #[test]
    fn a_response_that_arrived_before_the_link_ended_still_counts() {
        let mut in_flight = InFlight::default();
        let (answered, pending) =
            (in_flight.add(Waker::noop(), None), in_flight.add(Waker::noop(), None));
        in_flight.complete(answered, reply(1));
        in_flight.close();
        assert!(in_flight.is_closed());
        assert_eq!(in_flight.poll(answered, Waker::noop()), Progress::Response(reply(1)));
        assert_eq!(in_flight.poll(pending, Waker::noop()), Progress::Closed);
        in_flight.remove(pending);
        assert!(in_flight.is_empty());
    }

    #[test]
    fn a_call_expires_unless_its_response_has_arrived() {
        let mut in_flight = InFlight::default();
        let start = Instant::now();
        let after = |seconds| Some(start + Duration::from_secs(seconds));
        let add = |in_flight: &mut InFlight, expires| in_flight.add(Waker::noop(), expires);
        let [late, early, answered, untimed] =
            [after(3), after(1), after(1), None].map(|expires| add(&mut in_flight, expires));
        assert_eq!(in_flight.next_expiry(), after(1));
        in_flight.complete(answered, reply(1));
        in_flight.expire(start + Duration::from_secs(1));
        assert_eq!(in_flight.poll(early, Waker::noop()), Progress::Expired);
        assert_eq!(in_flight.poll(answered, Waker::noop()), Progress::Response(reply(1)));
        for waiting in [late, untimed] {
            assert_eq!(in_flight.poll(waiting, Waker::noop()), Progress::Pending);
        }
        assert_eq!(in_flight.next_expiry(), after(3));
        in_flight.remove(late);
        in_flight.expire(start + Duration::from_secs(3));
        assert_eq!(in_flight.next_expiry(), None);
    }

    #[test]
    fn a_response_that_arrives_after_a_call_has_expired_still_counts() {
        let mut in_flight = InFlight::default();
        let now = Instant::now();
        let id = in_flight.add(Waker::noop(), Some(now));
        in_flight.expire(now);
        in_flight.complete(id, reply(1));
        assert_eq!(in_flight.poll(id, Waker::noop()), Progress::Response(reply(1)));
    }
}

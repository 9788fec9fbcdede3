//! Calls of this end that wait for their responses.

use std::{collections::BTreeMap, task::Waker};

use bytes::Bytes;

use crate::proto::wire::ids::RequestId;

/// What came back for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Response {
    /// The encoded reply.
    Reply(Bytes),
    /// The payload of a status frame.
    Status(Bytes),
    /// A reply of this many bytes, more than this node takes.
    TooLarge(u64),
}

/// The calls in flight in one direction of a link.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    last_id: u64,
    calls: BTreeMap<RequestId, InFlightCall>,
    /// Whether no more responses will come.
    closed: bool,
}

#[derive(Debug)]
struct InFlightCall {
    waker: Waker,
    response: Option<Response>,
}

/// How far a call has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The call is over, and forgotten.
    Response(Response),
    /// The waker is kept.
    Pending,
    /// The link has ended: no response will come.
    Closed,
}

impl InFlight {
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Whether no more calls can be added.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Adds a call, whose task `waker` wakes.
    pub(crate) fn add(&mut self, waker: &Waker) -> RequestId {
        self.last_id += 1;
        let id = RequestId(self.last_id);
        self.calls.insert(id, InFlightCall { waker: waker.clone(), response: None });
        id
    }

    /// Whether a response to `id` is still awaited.
    pub(crate) fn expects(&self, id: RequestId) -> bool {
        self.calls.get(&id).is_some_and(|call| call.response.is_none())
    }

    /// Stores a response, and returns the task to wake. A response that nobody awaits is dropped.
    pub(crate) fn complete(&mut self, id: RequestId, response: Response) -> Option<Waker> {
        let call = self.calls.get_mut(&id)?;
        if call.response.is_some() {
            return None;
        }
        call.response = Some(response);
        // A task is woken once: from here on the waker is not needed.
        Some(std::mem::replace(&mut call.waker, Waker::noop().clone()))
    }

    /// Takes the response to `id` if it has come; else keeps `waker` for when it does.
    ///
    /// # Panics
    ///
    /// After it has returned the response, or after [`remove`](Self::remove).
    pub(crate) fn poll(&mut self, id: RequestId, waker: &Waker) -> Progress {
        let call = self.calls.get_mut(&id).expect("a call is polled only until it is over");
        if let Some(response) = call.response.take() {
            self.calls.remove(&id);
            return Progress::Response(response);
        }
        if self.closed {
            return Progress::Closed;
        }
        call.waker.clone_from(waker);
        Progress::Pending
    }

    /// Forgets a call that was given up.
    pub(crate) fn remove(&mut self, id: RequestId) {
        self.calls.remove(&id);
    }

    /// No more responses will come: wakes every call that waits.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        for call in self.calls.values() {
            call.waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(byte: u8) -> Response {
        Response::Reply(Bytes::copy_from_slice(&[byte]))
    }

    #[test]
    fn a_response_reaches_the_call_with_its_id() {
        let mut in_flight = InFlight::default();
        let (first, second) = (in_flight.add(Waker::noop()), in_flight.add(Waker::noop()));
        assert!(in_flight.expects(first) && in_flight.expects(second));
        assert!(in_flight.complete(second, reply(2)).is_some());
        assert_eq!(in_flight.poll(first, Waker::noop()), Progress::Pending);
        assert_eq!(in_flight.poll(second, Waker::noop()), Progress::Response(reply(2)));
        assert_eq!(in_flight.len(), 1);
    }

    #[test]
    fn a_second_response_and_one_that_nobody_awaits_are_dropped() {
        let mut in_flight = InFlight::default();
        let id = in_flight.add(Waker::noop());
        assert!(in_flight.complete(id, reply(1)).is_some());
        assert!(!in_flight.expects(id));
        assert!(in_flight.complete(id, reply(2)).is_none());
        assert!(in_flight.complete(RequestId(99), reply(3)).is_none());
        assert_eq!(in_flight.poll(id, Waker::noop()), Progress::Response(reply(1)));
    }

    #[test]
    fn a_response_that_came_before_the_link_ended_still_counts() {
        let mut in_flight = InFlight::default();
        let (answered, pending) = (in_flight.add(Waker::noop()), in_flight.add(Waker::noop()));
        in_flight.complete(answered, reply(1));
        in_flight.close();
        assert!(in_flight.is_closed());
        assert_eq!(in_flight.poll(answered, Waker::noop()), Progress::Response(reply(1)));
        assert_eq!(in_flight.poll(pending, Waker::noop()), Progress::Closed);
        in_flight.remove(pending);
        assert!(in_flight.is_empty());
    }
}

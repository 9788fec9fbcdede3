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
    calls: BTreeMap<RequestId, Waiting>,
    /// Whether no more responses will come.
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    waker: Waker,
    response: Option<Response>,
}

/// How far a call has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The call is over, and forgotten.
    Response(Response),
    /// The waker is kept.
    Waiting,
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
        self.calls.insert(id, Waiting { waker: waker.clone(), response: None });
        id
    }

    /// Whether a response to `id` is still awaited.
    pub(crate) fn expects(&self, id: RequestId) -> bool {
        self.calls.get(&id).is_some_and(|waiting| waiting.response.is_none())
    }

    /// Stores a response, and returns the task to wake. A response that nobody awaits is dropped.
    pub(crate) fn complete(&mut self, id: RequestId, response: Response) -> Option<Waker> {
        let waiting = self.calls.get_mut(&id)?;
        if waiting.response.is_some() {
            return None;
        }
        waiting.response = Some(response);
        // A task is woken once: from here on the waker is not needed.
        Some(std::mem::replace(&mut waiting.waker, Waker::noop().clone()))
    }

    /// Takes the response to `id` if it has come; else keeps `waker` for when it does.
    ///
    /// # Panics
    ///
    /// After it has returned the response, or after [`remove`](Self::remove).
    pub(crate) fn poll(&mut self, id: RequestId, waker: &Waker) -> Progress {
        let waiting = self.calls.get_mut(&id).expect("a call is polled only until it is over");
        if let Some(response) = waiting.response.take() {
            self.calls.remove(&id);
            return Progress::Response(response);
        }
        if self.closed {
            return Progress::Closed;
        }
        waiting.waker.clone_from(waker);
        Progress::Waiting
    }

    /// Forgets a call that was given up.
    pub(crate) fn remove(&mut self, id: RequestId) {
        self.calls.remove(&id);
    }

    /// No more responses will come: wakes every call that waits.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        for waiting in self.calls.values() {
            waiting.waker.wake_by_ref();
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
        let mut calls = InFlight::default();
        let (first, second) = (calls.add(Waker::noop()), calls.add(Waker::noop()));
        assert!(calls.expects(first) && calls.expects(second));
        assert!(calls.complete(second, reply(2)).is_some());
        assert_eq!(calls.poll(first, Waker::noop()), Progress::Waiting);
        assert_eq!(calls.poll(second, Waker::noop()), Progress::Response(reply(2)));
        assert_eq!(calls.len(), 1);
    }

    #[test]
    fn a_second_response_and_one_that_nobody_awaits_are_dropped() {
        let mut calls = InFlight::default();
        let id = calls.add(Waker::noop());
        assert!(calls.complete(id, reply(1)).is_some());
        assert!(!calls.expects(id));
        assert!(calls.complete(id, reply(2)).is_none());
        assert!(calls.complete(RequestId(99), reply(3)).is_none());
        assert_eq!(calls.poll(id, Waker::noop()), Progress::Response(reply(1)));
    }

    #[test]
    fn a_response_that_came_before_the_link_ended_still_counts() {
        let mut calls = InFlight::default();
        let (answered, waiting) = (calls.add(Waker::noop()), calls.add(Waker::noop()));
        calls.complete(answered, reply(1));
        calls.close();
        assert!(calls.is_closed());
        assert_eq!(calls.poll(answered, Waker::noop()), Progress::Response(reply(1)));
        assert_eq!(calls.poll(waiting, Waker::noop()), Progress::Closed);
        calls.remove(waiting);
        assert!(calls.is_empty());
    }
}

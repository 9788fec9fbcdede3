//! The peer's requests, from arrival to response.

use super::id_map::{IdMap, in_order};
use crate::proto::wire::ids::RequestId;

/// The peer's requests that this end has not finished. `A` aborts the task of a request.
#[derive(Debug)]
pub(crate) struct Inbound<A> {
    requests: IdMap<Phase<A>>,
    /// Whether the link has ended.
    closed: bool,
}

/// The phase that a request has reached.
#[derive(Debug)]
enum Phase<A> {
    /// Its task has not been polled, or is being polled for the first time.
    Queued,
    /// Its task is pending, or was pending.
    Pending(A),
    /// Its handler runs to completion, even if the caller cancels the request or the link ends.
    Detached { canceled: bool },
    /// The caller canceled it. Its handler was aborted if it was pending.
    Canceled,
}

impl<A> Default for Inbound<A> {
    fn default() -> Self {
        Inbound { requests: IdMap::default(), closed: false }
    }
}

impl<A> Inbound<A> {
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Adds a request. Returns false and adds nothing if the link has ended, or if a request with that
    /// id is unfinished. Only a faulty peer sends the id of an unfinished request.
    #[inline]
    pub(crate) fn add(&mut self, id: RequestId) -> bool {
        !self.closed && self.requests.add(id, Phase::Queued)
    }

    /// Returns whether the caller still waits for the request, as far as this end knows.
    pub(crate) fn is_wanted(&self, id: RequestId) -> bool {
        !matches!(self.requests.get(id), None | Some(Phase::Canceled))
    }

    /// Returns whether the caller still waits for the reply to a request, as far as this end knows. It may
    /// have canceled a detached request whose handler continues.
    pub(crate) fn wants_reply(&self, id: RequestId) -> bool {
        self.is_wanted(id)
            && !matches!(self.requests.get(id), Some(Phase::Detached { canceled: true }))
    }

    /// Records that the task of a request is pending, and that `abort` makes it look whether the request is
    /// still wanted. Returns whether it is, as [`is_wanted`](Self::is_wanted) does.
    pub(crate) fn pending(&mut self, id: RequestId, abort: impl FnOnce() -> A) -> bool {
        match self.requests.get_mut(id) {
            None | Some(Phase::Canceled) => false,
            Some(Phase::Detached { .. }) => true,
            Some(phase) => {
                *phase = Phase::Pending(abort());
                true
            }
        }
    }

    /// Lets the handler of a request run to completion, even if the request is canceled later. Returns
    /// whether the request is still wanted, as [`is_wanted`](Self::is_wanted) does.
    pub(crate) fn detach(&mut self, id: RequestId) -> bool {
        match self.requests.get_mut(id) {
            None | Some(Phase::Canceled) => false,
            Some(phase) => {
                *phase = Phase::Detached { canceled: false };
                true
            }
        }
    }

    /// Handles a cancellation by the caller. Returns the value that aborts the handler, if the handler is
    /// pending and not detached.
    pub(crate) fn cancel(&mut self, id: RequestId) -> Option<A> {
        let phase = self.requests.get_mut(id)?;
        if let Phase::Detached { canceled } = phase {
            *canceled = true;
            return None;
        }
        match std::mem::replace(phase, Phase::Canceled) {
            Phase::Pending(abort) => Some(abort),
            Phase::Queued | Phase::Detached { .. } | Phase::Canceled => None,
        }
    }

    /// Removes a request that is finished.
    #[inline]
    pub(crate) fn remove(&mut self, id: RequestId) {
        self.requests.remove(id);
    }

    /// Handles the end of the link: removes all requests, and returns the values that abort the pending
    /// handlers that are not detached.
    pub(crate) fn close(&mut self) -> Vec<A> {
        self.closed = true;
        let aborts = self.requests.drain().filter_map(|(id, phase)| match phase {
            Phase::Pending(abort) => Some((id, abort)),
            Phase::Queued | Phase::Detached { .. } | Phase::Canceled => None,
        });
        in_order(aborts)
    }

    /// Frees unused memory.
    pub(crate) fn shrink(&mut self) {
        self.requests.shrink();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: RequestId = RequestId(1);

    fn inbound() -> Inbound<&'static str> {
        let mut inbound = Inbound::default();
        assert!(inbound.add(ID));
        inbound
    }

    #[test]
    fn a_repeated_id_is_ignored_until_the_first_request_is_finished() {
        let mut inbound = inbound();
        assert!(!inbound.add(ID));
        inbound.cancel(ID);
        assert!(!inbound.add(ID));
        inbound.remove(ID);
        assert!(inbound.add(ID));
    }

    #[test]
    fn a_request_canceled_in_the_queue_never_gets_a_task() {
        let mut inbound = inbound();
        assert!(inbound.is_wanted(ID));
        assert_eq!(inbound.cancel(ID), None);
        assert!(!inbound.is_wanted(ID));
        assert!(!inbound.pending(ID, || "abort"));
        assert!(!inbound.is_empty());
        inbound.remove(ID);
        assert!(inbound.is_empty());
    }

    #[test]
    fn a_cancellation_aborts_a_handler_unless_it_is_detached() {
        let mut inbound = inbound();
        assert!(inbound.pending(ID, || "abort"));
        assert_eq!(inbound.cancel(ID), Some("abort"));
        assert_eq!(inbound.cancel(ID), None);

        let mut inbound = self::inbound();
        assert!(inbound.detach(ID));
        assert!(inbound.wants_reply(ID));
        assert!(inbound.pending(ID, || "abort"));
        assert_eq!(inbound.cancel(ID), None);
        assert!(inbound.is_wanted(ID) && !inbound.wants_reply(ID));
    }

    #[test]
    fn a_request_that_was_canceled_before_it_was_detached_must_not_start() {
        let mut inbound = inbound();
        assert_eq!(inbound.cancel(ID), None);
        assert!(!inbound.detach(ID));
        assert!(!inbound.is_wanted(ID));
        inbound.remove(ID);
        assert!(!inbound.detach(ID), "the link has ended");
    }

    #[test]
    fn the_end_of_the_link_aborts_handlers_and_rejects_further_requests() {
        let mut inbound = inbound();
        assert!(inbound.pending(ID, || "abort"));
        assert!(inbound.add(RequestId(2)));
        assert!(inbound.add(RequestId(3)));
        assert!(inbound.detach(RequestId(3)));
        assert_eq!(inbound.close(), ["abort"]);
        assert!(inbound.is_empty());
        assert!(!inbound.add(RequestId(4)));
        assert!(!inbound.pending(RequestId(2), || "late"));
    }
}

//! Requests of the peer, from their arrival to their response.

use std::collections::BTreeMap;

use crate::proto::wire::ids::RequestId;

/// The peer's requests that this end has not finished. `A` aborts a handler.
#[derive(Debug)]
pub(crate) struct Inbound<A> {
    requests: BTreeMap<RequestId, Phase<A>>,
    /// Whether the link has ended.
    closed: bool,
}

/// How far a request has come.
#[derive(Debug)]
enum Phase<A> {
    /// Its handler has not been polled, or is being polled for the first time.
    Queued,
    /// Its handler is pending.
    Executing(A),
    /// Its handler runs to its end, whatever the caller does.
    Detached,
    /// The caller gave it up before its handler was pending.
    Cancelled,
}

impl<A> Default for Inbound<A> {
    fn default() -> Self {
        Inbound { requests: BTreeMap::new(), closed: false }
    }
}

impl<A> Inbound<A> {
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Adds a request, and returns how many others there are. None if one with that id is not
    /// finished, which only a faulty peer's can be, or the link has ended.
    pub(crate) fn add(&mut self, id: RequestId) -> Option<usize> {
        if self.closed || self.requests.contains_key(&id) {
            return None;
        }
        self.requests.insert(id, Phase::Queued);
        Some(self.requests.len() - 1)
    }

    /// Whether the caller still waits for the request, as far as is known.
    pub(crate) fn is_wanted(&self, id: RequestId) -> bool {
        !matches!(self.requests.get(&id), None | Some(Phase::Cancelled))
    }

    /// The handler of a request is about to run in a task of its own, which `abort` ends.
    ///
    /// # Errors
    ///
    /// `abort` comes back, to be used at once, if the request is not wanted any more.
    pub(crate) fn executing(&mut self, id: RequestId, abort: A) -> Result<(), A> {
        match self.requests.get_mut(&id) {
            None | Some(Phase::Cancelled) => Err(abort),
            Some(phase) => {
                *phase = Phase::Executing(abort);
                Ok(())
            }
        }
    }

    /// Lets a request run to its end, even if it is cancelled later.
    pub(crate) fn detach(&mut self, id: RequestId) {
        if let Some(phase) = self.requests.get_mut(&id)
            && !matches!(phase, Phase::Cancelled)
        {
            *phase = Phase::Detached;
        }
    }

    /// The caller gave a request up. Returns what aborts its handler, if it has one.
    pub(crate) fn cancel(&mut self, id: RequestId) -> Option<A> {
        let phase = self.requests.get_mut(&id)?;
        if matches!(phase, Phase::Detached) {
            return None;
        }
        match std::mem::replace(phase, Phase::Cancelled) {
            Phase::Executing(abort) => Some(abort),
            Phase::Queued | Phase::Detached | Phase::Cancelled => None,
        }
    }

    /// Forgets a request that is finished.
    pub(crate) fn remove(&mut self, id: RequestId) {
        self.requests.remove(&id);
    }

    /// The link has ended: forgets all requests, and returns what aborts the handlers that are not
    /// detached.
    pub(crate) fn close(&mut self) -> Vec<A> {
        self.closed = true;
        let requests = std::mem::take(&mut self.requests);
        let aborts = requests.into_values().filter_map(|phase| match phase {
            Phase::Executing(abort) => Some(abort),
            Phase::Queued | Phase::Detached | Phase::Cancelled => None,
        });
        aborts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: RequestId = RequestId(1);

    fn inbound() -> Inbound<&'static str> {
        let mut inbound = Inbound::default();
        assert_eq!(inbound.add(ID), Some(0));
        inbound
    }

    #[test]
    fn a_repeated_id_is_ignored_until_the_first_request_is_finished() {
        let mut inbound = inbound();
        assert_eq!(inbound.add(ID), None);
        inbound.cancel(ID);
        assert_eq!(inbound.add(ID), None);
        inbound.remove(ID);
        assert_eq!(inbound.add(ID), Some(0));
    }

    #[test]
    fn a_request_cancelled_in_the_queue_never_gets_a_task() {
        let mut inbound = inbound();
        assert!(inbound.is_wanted(ID));
        assert_eq!(inbound.cancel(ID), None);
        assert!(!inbound.is_wanted(ID));
        assert_eq!(inbound.executing(ID, "abort"), Err("abort"));
        assert!(!inbound.is_empty());
        inbound.remove(ID);
        assert!(inbound.is_empty());
    }

    #[test]
    fn a_cancellation_aborts_a_handler_unless_it_is_detached() {
        let mut inbound = inbound();
        inbound.executing(ID, "abort").unwrap();
        assert_eq!(inbound.cancel(ID), Some("abort"));
        assert_eq!(inbound.cancel(ID), None);

        let mut inbound = self::inbound();
        inbound.detach(ID);
        assert_eq!(inbound.cancel(ID), None);
        assert!(inbound.is_wanted(ID));
    }

    #[test]
    fn the_end_of_the_link_aborts_what_runs_and_takes_no_more() {
        let mut inbound = inbound();
        inbound.executing(ID, "abort").unwrap();
        inbound.add(RequestId(2)).unwrap();
        inbound.add(RequestId(3)).unwrap();
        inbound.detach(RequestId(3));
        assert_eq!(inbound.close(), ["abort"]);
        assert!(inbound.is_empty());
        assert_eq!(inbound.add(RequestId(4)), None);
        assert_eq!(inbound.executing(RequestId(2), "late"), Err("late"));
    }
}

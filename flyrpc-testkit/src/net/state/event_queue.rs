//! The queue of scheduled events, in order of their due times.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{
    ids::{ConnId, Path, Side},
    socket::Packet,
};

#[derive(Default)]
pub(crate) struct EventQueue {
    events: BTreeMap<(Instant, EventSeq), Event>,
    last: EventSeq,
}

/// Orders events that are due at the same instant by the order in which they were scheduled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct EventSeq(u64);

/// A scheduled event.
pub(crate) enum Event {
    /// The first message in flight from `from` arrives at the other end.
    StreamArrival {
        conn: ConnId,
        from: Side,
    },
    DatagramArrival(Packet),
    /// A shaper may be free.
    ShaperFree(Path),
}

impl EventQueue {
    pub(crate) fn schedule(&mut self, at: Instant, event: Event) {
        self.last = EventSeq(self.last.0 + 1);
        self.events.insert((at, self.last), event);
    }

    /// Returns when the next event is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    /// Removes the next event if it is due by `now`, and returns it with its due time.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(Instant, Event)> {
        let first = self.events.first_entry().filter(|first| first.key().0 <= now)?;
        let ((at, _), event) = first.remove_entry();
        Some((at, event))
    }
}

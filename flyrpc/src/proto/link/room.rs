//! Tasks that wait for room in the outbox.
//!
//! Room is granted, not announced. When there is room, exactly the tasks whose bytes fit are woken, and
//! each of them may append without asking again. If every write woke all n waiting tasks of a link, each
//! write would cost n wake-ups.

use std::{
    collections::BTreeMap,
    task::{Poll, Waker},
};

/// With [`Order::NewestFirst`], one in this many grants goes to the task that has waited longest.
const OLDEST_EVERY: u32 = 4;

/// Which waiting task is granted room first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// In the order of arrival.
    OldestFirst,
    /// The most recent task, except that every fourth grant goes to the earliest task. Under overload,
    /// the earliest tasks have the least time left, so serving them first would serve nobody in time.
    NewestFirst,
}

/// Identifies a waiting task, in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// The tasks that wait for room, and the tasks that were granted room and have not used it yet.
#[derive(Debug)]
pub(crate) struct RoomQueue {
    order: Order,
    last: u64,
    waiting: BTreeMap<Ticket, Waiting>,
    granted: BTreeMap<Ticket, usize>,
    /// The sum of `granted`, in bytes.
    granted_bytes: usize,
    /// The number of grants, modulo [`OLDEST_EVERY`].
    grant_count: u32,
}

#[derive(Debug)]
struct Waiting {
    bytes: usize,
    waker: Waker,
}

impl RoomQueue {
    pub(crate) fn new(order: Order) -> Self {
        RoomQueue {
            order,
            last: 0,
            waiting: BTreeMap::new(),
            granted: BTreeMap::new(),
            granted_bytes: 0,
            grant_count: 0,
        }
    }

    /// Returns whether no task waits. A task that comes now then overtakes none.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the number of bytes that were granted and have not been appended yet.
    pub(crate) fn granted_bytes(&self) -> usize {
        self.granted_bytes
    }

    /// Adds the task of `waker`, which wants to append `bytes` bytes.
    pub(crate) fn join(&mut self, bytes: usize, waker: &Waker) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.waiting.insert(ticket, Waiting { bytes, waker: waker.clone() });
        ticket
    }

    /// Returns `Ready` if room was granted. Otherwise, stores `waker`.
    pub(crate) fn poll(&mut self, ticket: Ticket, waker: &Waker) -> Poll<()> {
        match self.waiting.get_mut(&ticket) {
            Some(waiting) => {
                waiting.waker.clone_from(waker);
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }

    /// Removes a task that is about to append its bytes, or no longer wants to. Returns whether it was
    /// granted room.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> bool {
        self.waiting.remove(&ticket);
        let granted = self.granted.remove(&ticket);
        self.granted_bytes -= granted.unwrap_or(0);
        granted.is_some()
    }

    /// Grants room to waiting tasks, as long as `fits` returns true for the bytes granted so far and the
    /// bytes of the next task. Adds the wakers of these tasks to `wake`.
    pub(crate) fn grant(&mut self, fits: impl Fn(usize, usize) -> bool, wake: &mut Vec<Waker>) {
        while let Some(ticket) = self.next() {
            let bytes = self.waiting[&ticket].bytes;
            if !fits(self.granted_bytes, bytes) {
                return;
            }
            let waiting = self.waiting.remove(&ticket).expect("it is the next");
            self.granted.insert(ticket, bytes);
            self.granted_bytes += bytes;
            self.grant_count = (self.grant_count + 1) % OLDEST_EVERY;
            wake.push(waiting.waker);
        }
    }

    /// Adds the wakers of all waiting tasks to `wake`, without granting them room.
    pub(crate) fn wake_all(&self, wake: &mut Vec<Waker>) {
        wake.extend(self.waiting.values().map(|waiting| waiting.waker.clone()));
    }

    fn next(&self) -> Option<Ticket> {
        let oldest = self.order == Order::OldestFirst || self.grant_count == OLDEST_EVERY - 1;
        let mut tickets = self.waiting.keys();
        if oldest { tickets.next() } else { tickets.next_back() }.copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue for 100 bytes of room.
    struct Room {
        queue: RoomQueue,
        used: usize,
    }

    impl Room {
        fn new(order: Order) -> Self {
            Room { queue: RoomQueue::new(order), used: 100 }
        }

        fn join(&mut self, bytes: usize) -> Ticket {
            self.queue.join(bytes, Waker::noop())
        }

        /// Grants room, and returns the number of tasks that it wakes.
        fn grant(&mut self) -> usize {
            let mut wake = Vec::new();
            let used = self.used;
            self.queue.grant(|granted, bytes| used + granted + bytes <= 100, &mut wake);
            wake.len()
        }

        fn is_granted(&mut self, ticket: Ticket) -> bool {
            self.queue.poll(ticket, Waker::noop()).is_ready()
        }
    }

    #[test]
    fn as_many_tasks_are_woken_as_there_is_room_for_and_none_twice() {
        let mut room = Room::new(Order::OldestFirst);
        let tickets: Vec<_> = (0..1_000).map(|_| room.join(10)).collect();
        assert_eq!(room.grant(), 0);
        room.used = 0;
        assert_eq!(room.grant(), 10);
        // Nothing was appended yet, so nothing more is granted.
        assert_eq!(room.grant(), 0);
        let mut woken = 10;
        for ticket in &tickets {
            assert!(room.is_granted(*ticket), "in the order of arrival");
            room.queue.leave(*ticket);
            woken += room.grant();
        }
        assert_eq!(woken, 1_000);
        assert!(room.queue.is_empty());
        assert_eq!(room.queue.granted_bytes(), 0);
    }

    #[test]
    fn a_task_that_leaves_returns_the_room_that_it_was_granted() {
        let mut room = Room::new(Order::OldestFirst);
        let (first, second, third) = (room.join(100), room.join(100), room.join(100));
        room.used = 0;
        assert_eq!(room.grant(), 1);
        assert!(room.is_granted(first) && !room.is_granted(third));
        room.queue.leave(second);
        room.queue.leave(first);
        assert_eq!(room.grant(), 1);
        assert!(room.is_granted(third));
    }

    #[test]
    fn the_newest_goes_first_and_the_oldest_does_not_starve() {
        let mut room = Room::new(Order::NewestFirst);
        let mut waiting: Vec<_> = (0..8).map(|_| room.join(100)).collect();
        room.used = 0;
        let mut order = Vec::new();
        while room.grant() == 1 {
            let at = waiting.iter().position(|ticket| room.is_granted(*ticket)).unwrap();
            let ticket = waiting.remove(at);
            room.queue.leave(ticket);
            order.push(ticket.0);
        }
        assert_eq!(order, [8, 7, 6, 1, 5, 4, 3, 2]);
    }

    #[test]
    fn a_task_that_needs_much_is_not_overtaken_by_those_behind_it() {
        let mut room = Room::new(Order::OldestFirst);
        let (much, little) = (room.join(80), room.join(10));
        room.used = 50;
        assert_eq!(room.grant(), 0);
        room.used = 0;
        assert_eq!(room.grant(), 2);
        assert!(room.is_granted(much) && room.is_granted(little));
    }
}

//! Decides when waiting calls ask the nodes that refused them again.
//!
//! The waiting calls of one target form a queue, and only the first of them ask. While they are refused,
//! fewer calls ask, after longer pauses. While they are served, twice as many ask at each turn, and each
//! call that is served lets another one ask immediately. A full node therefore receives few requests
//! that it has to refuse, regardless of how many calls wait, and free capacity is found and used
//! quickly.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::jitter::jittered;

/// The first pause after a refusal.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// A call that was not refused within this time after its turn counts as accepted.
const MAX_FEEDBACK: Duration = Duration::from_millis(500);

/// Upper bound on the calls that ask at the same time.
const MAX_BATCH: usize = 256;

/// A call's place in the queue. A lower ticket has waited longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// The queue of one target's calls that wait for nodes which refused them.
#[derive(Debug)]
pub(crate) struct Pacer {
    last: Ticket,
    queue: BTreeSet<Ticket>,
    /// The calls that have had their turn and whose outcome is not known yet.
    asking: BTreeSet<Ticket>,
    /// The number of calls that were refused since the last turn, and the number that left after asking.
    refused: usize,
    served: usize,
    /// The number of calls that ask at the next turn.
    batch: usize,
    pause: Duration,
    /// The time of the last turn.
    last_turn: Instant,
    next_turn: Instant,
}

impl Pacer {
    /// Creates an empty queue, after a refusal.
    pub(crate) fn new(now: Instant, random: u64) -> Self {
        Pacer {
            last: Ticket(0),
            queue: BTreeSet::new(),
            asking: BTreeSet::new(),
            // The refusal that made the first call wait.
            refused: 1,
            served: 0,
            batch: 1,
            pause: FIRST_PAUSE,
            last_turn: now,
            next_turn: now + jittered(FIRST_PAUSE, random),
        }
    }

    /// Adds a call that was refused for the first time, at the end of the queue.
    pub(crate) fn join(&mut self) -> Ticket {
        self.last = Ticket(self.last.0 + 1);
        self.queue.insert(self.last);
        self.last
    }

    /// Handles a call that asked at its turn and was refused again. The call returns to its place.
    pub(crate) fn on_refused(&mut self, ticket: Ticket) {
        self.refused += 1;
        self.asking.remove(&ticket);
        self.queue.insert(ticket);
    }

    /// Handles a call that no longer waits. If the call was served at its turn, returns the call that
    /// takes its turn immediately.
    pub(crate) fn on_left(&mut self, ticket: Ticket) -> Option<Ticket> {
        self.queue.remove(&ticket);
        if !self.asking.remove(&ticket) {
            return None;
        }
        self.served += 1;
        let next = self.queue.pop_first()?;
        self.asking.insert(next);
        Some(next)
    }

    /// Returns when [`poll`](Self::poll) is due next, or `None` if no call is in the queue.
    pub(crate) fn next_turn(&self) -> Option<Instant> {
        (!self.queue.is_empty()).then_some(self.next_turn)
    }

    /// Returns whether no call waits or asks.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.asking.is_empty()
    }

    /// Returns the calls whose turn it is at `now`, in queue order. `random` determines the jitter.
    pub(crate) fn poll(&mut self, now: Instant, random: u64) -> Vec<Ticket> {
        if now < self.next_turn || self.queue.is_empty() {
            return Vec::new();
        }
        let feedback = now.saturating_duration_since(self.last_turn);
        if self.refused == 0 && !self.asking.is_empty() && feedback < MAX_FEEDBACK {
            // It is not known yet whether the nodes have room.
            self.next_turn = now + jittered(FIRST_PAUSE, random);
            return Vec::new();
        }
        if self.refused == 0 {
            self.batch = (self.batch * 2).min(MAX_BATCH);
        } else if self.refused > self.served {
            self.batch = (self.batch / 2).max(1);
        }
        let is_full = self.refused > 0 && self.served == 0;
        self.pause = if is_full { (self.pause * 2).min(MAX_PAUSE) } else { FIRST_PAUSE };
        (self.refused, self.served) = (0, 0);
        self.last_turn = now;
        self.next_turn = now + jittered(self.pause, random);
        let mut turns = Vec::new();
        while turns.len() < self.batch
            && let Some(ticket) = self.queue.pop_first()
        {
            turns.push(ticket);
        }
        self.asking.extend(&turns);
        turns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The random number that yields no jitter: a factor of 1.
    const MIDDLE: u64 = 512;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A node with some capacity, and the calls that wait for it.
    struct Sim {
        pacer: Pacer,
        now: Instant,
        capacity: usize,
        refusals: usize,
        served: usize,
    }

    impl Sim {
        fn new(waiting: usize) -> Self {
            let now = Instant::now();
            let mut pacer = Pacer::new(now, MIDDLE);
            (0..waiting).for_each(|_| _ = pacer.join());
            Sim { pacer, now, capacity: 0, refusals: 0, served: 0 }
        }

        /// Advances by `duration`. Each call that asks is immediately either refused or served.
        fn run(&mut self, duration: Duration) {
            let end = self.now + duration;
            while let Some(turn) = self.pacer.next_turn().filter(|turn| *turn <= end) {
                self.now = turn;
                let mut turns = self.pacer.poll(turn, MIDDLE);
                while let Some(ticket) = turns.pop() {
                    if self.capacity == 0 {
                        self.refusals += 1;
                        self.pacer.on_refused(ticket);
                    } else {
                        self.capacity -= 1;
                        self.served += 1;
                        turns.extend(self.pacer.on_left(ticket));
                    }
                }
            }
            self.now = end;
        }
    }

    #[test]
    fn a_full_node_refuses_a_few_calls_a_second_however_many_wait() {
        for waiting in [1, 5_000] {
            let mut sim = Sim::new(waiting);
            sim.run(ms(10_000));
            assert!((15..30).contains(&sim.refusals), "{}", sim.refusals);
        }
    }

    #[test]
    fn the_pause_after_refusals_grows_up_to_a_bound() {
        let mut pacer = Pacer::new(Instant::now(), MIDDLE);
        let ticket = pacer.join();
        let mut last = pacer.next_turn().unwrap();
        let pauses: Vec<Duration> = (0..4)
            .map(|_| {
                assert_eq!(pacer.poll(last, MIDDLE), [ticket]);
                pacer.on_refused(ticket);
                let next = pacer.next_turn().unwrap();
                next - std::mem::replace(&mut last, next)
            })
            .collect();
        assert_eq!(pauses, [200, 400, 500, 500].map(ms));
    }

    #[test]
    fn room_is_filled_soon_and_in_the_order_of_arrival() {
        let mut sim = Sim::new(5_000);
        sim.run(ms(5_000));
        sim.capacity = 10_000;
        let refusals = sim.refusals;
        sim.run(ms(600));
        assert_eq!((sim.served, sim.refusals), (5_000, refusals));
        assert!(sim.pacer.is_empty());
    }

    #[test]
    fn calls_that_were_not_refused_let_more_ask_before_they_are_served() {
        let mut pacer = Pacer::new(Instant::now(), MIDDLE);
        (0..5_000).for_each(|_| _ = pacer.join());
        let start = pacer.next_turn().unwrap();
        let mut asked = 0;
        while let Some(turn) = pacer.next_turn() {
            asked += pacer.poll(turn, MIDDLE).len();
            assert!(turn - start < ms(20_000), "{asked}");
        }
        assert_eq!(asked, 5_000);
    }

    #[test]
    fn a_call_that_was_refused_again_keeps_its_place() {
        let now = Instant::now();
        let mut pacer = Pacer::new(now, MIDDLE);
        let (first, second) = (pacer.join(), pacer.join());
        assert_eq!(pacer.poll(now + ms(100), MIDDLE), [first]);
        pacer.on_refused(first);
        assert_eq!(pacer.poll(now + ms(300), MIDDLE), [first]);
        assert_eq!(pacer.on_left(first), Some(second), "it was served, so there is room");
        assert_eq!(pacer.on_left(second), None);
        assert!(pacer.is_empty());
    }

    #[test]
    fn a_call_that_gives_up_in_the_queue_passes_no_turn_on() {
        let mut pacer = Pacer::new(Instant::now(), MIDDLE);
        let (first, second) = (pacer.join(), pacer.join());
        assert_eq!(pacer.on_left(first), None);
        assert_eq!(pacer.on_left(second), None);
        assert!(pacer.is_empty());
    }
}

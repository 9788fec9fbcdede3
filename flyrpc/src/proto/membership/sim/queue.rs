//! A queue of actions, ordered by time.

use std::{cmp::Ordering, collections::BinaryHeap, time::Duration};

/// Items ordered by time, then by insertion order.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Entry<T>>,
    added: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: Duration,
    number: u64,
    item: T,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Queue { heap: BinaryHeap::new(), added: 0 }
    }

    pub(super) fn add(&mut self, at: Duration, item: T) {
        self.heap.push(Entry { at, number: self.added, item });
        self.added += 1;
    }

    /// Removes and returns the next item if it is due by `end`.
    pub(super) fn next_until(&mut self, end: Duration) -> Option<(Duration, T)> {
        let next = self.heap.peek().filter(|entry| entry.at <= end);
        next.is_some().then(|| self.heap.pop().map(|entry| (entry.at, entry.item)))?
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        // Reversed, because the heap keeps the greatest entry on top.
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_ordered_by_time_then_by_insertion() {
        let mut queue = Queue::new();
        for (at, item) in [(3, 'd'), (1, 'a'), (2, 'b'), (2, 'c'), (9, 'e')] {
            queue.add(Duration::from_secs(at), item);
        }
        let until = Duration::from_secs(3);
        let taken: String =
            std::iter::from_fn(|| queue.next_until(until)).map(|(_, item)| item).collect();
        assert_eq!(taken, "abcd");
    }
}

//! Rejects datagrams that were received before.

use std::collections::BTreeMap;

/// How many of the last numbers of a sender are remembered. A datagram that this many others of its sender have
/// overtaken is rejected.
const WINDOW: u64 = 128;

/// Identifies the boot of the sender of a datagram.
pub(crate) type Salt = [u8; 16];

/// The numbers of the datagrams received from each boot.
///
/// A wall clock would reject the datagrams of machines whose clock is wrong, for example after they were suspended.
#[derive(Debug)]
pub(crate) struct ReplayWindows {
    windows: BTreeMap<Salt, Window>,
    /// Upper bound on the boots that are remembered. The one that sent least recently is forgotten first.
    capacity: usize,
    /// Counts datagrams, to order the boots by their last datagram.
    received: u64,
}

#[derive(Debug, Default)]
struct Window {
    /// One more than the highest number received.
    next: u64,
    /// Bit `n` is set if the number `next - 1 - n` was received.
    seen: u128,
    last_received: u64,
}

impl ReplayWindows {
    pub(crate) fn new(capacity: usize) -> Self {
        ReplayWindows { windows: BTreeMap::new(), capacity, received: 0 }
    }

    /// Records an authentic datagram. Returns false if it was received before, or is too old to tell.
    pub(crate) fn accept(&mut self, salt: Salt, number: u64) -> bool {
        if self.windows.len() >= self.capacity && !self.windows.contains_key(&salt) {
            self.forget_oldest();
        }
        self.received += 1;
        let window = self.windows.entry(salt).or_default();
        window.last_received = self.received;
        window.accept(number)
    }

    fn forget_oldest(&mut self) {
        let oldest = self.windows.iter().min_by_key(|(_, window)| window.last_received);
        if let Some(salt) = oldest.map(|(salt, _)| *salt) {
            self.windows.remove(&salt);
        }
    }
}

impl Window {
    fn accept(&mut self, number: u64) -> bool {
        let Some(next) = number.checked_add(1) else { return false };
        if next > self.next {
            let ahead = next - self.next;
            self.seen = if ahead < WINDOW { self.seen << ahead } else { 0 };
            self.next = next;
        }
        let behind = self.next - next;
        if behind >= WINDOW || self.seen & (1 << behind) != 0 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const A: Salt = [1; 16];
    const B: Salt = [2; 16];

    #[test]
    fn a_datagram_is_accepted_once_in_any_order() {
        let mut windows = ReplayWindows::new(8);
        for number in [5, 3, 4, 0, 127, 1] {
            assert!(windows.accept(A, number), "{number}");
        }
        for number in [5, 3, 4, 0, 127, 1] {
            assert!(!windows.accept(A, number), "{number}");
        }
        assert!(windows.accept(B, 5));
    }

    #[test]
    fn a_datagram_that_many_others_have_overtaken_is_rejected() {
        let mut windows = ReplayWindows::new(8);
        assert!(windows.accept(A, 1_000));
        assert!(windows.accept(A, 1_000 - WINDOW + 1));
        assert!(!windows.accept(A, 1_000 - WINDOW));
        assert!(!windows.accept(A, u64::MAX));
    }

    #[test]
    fn the_boot_heard_from_least_recently_is_forgotten() {
        let mut windows = ReplayWindows::new(2);
        assert!(windows.accept(A, 0) && windows.accept(B, 0));
        assert!(windows.accept(A, 1));
        assert!(windows.accept([3; 16], 0));
        assert_eq!(windows.windows.len(), 2);
        assert!(!windows.accept(A, 1));
        assert!(windows.accept(B, 0));
    }

    proptest! {
        #[test]
        fn no_number_is_accepted_twice_and_none_in_the_window_is_rejected(
            numbers in proptest::collection::vec(0_u64..400, 0..400),
        ) {
            let (mut windows, mut seen) = (ReplayWindows::new(1), BTreeSet::new());
            for number in numbers {
                let highest = seen.last().copied().unwrap_or(0);
                let expected = !seen.contains(&number) && number + WINDOW > highest;
                prop_assert_eq!(windows.accept(A, number), expected);
                if expected {
                    seen.insert(number);
                }
            }
        }
    }
}

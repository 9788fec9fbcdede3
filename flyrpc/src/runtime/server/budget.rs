//! A limit that peers share.

use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

use crate::proto::wire::frame::INLINE_BODY_MAX;

/// An amount up to this is small: the longest body that is not sent in chunks.
const SMALL: usize = INLINE_BODY_MAX;

/// An amount of something, such as calls or bytes, that must not be exceeded. While less than half of it
/// is in use, any peer may take more. Beyond that, each peer may hold only its fair share, so that no
/// peer can take what the others need.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: AtomicUsize,
    /// The part of `used` that is reserved and not in use yet.
    reserved: AtomicUsize,
    /// The number of peers whose holding is not zero.
    holders: AtomicUsize,
}

/// The part of a [`Budget`] that one peer holds.
#[derive(Debug, Default)]
pub(super) struct Holding(AtomicUsize);

impl Holding {
    pub(super) fn amount(&self) -> usize {
        self.0.load(Relaxed)
    }
}

impl Budget {
    pub(super) const fn new(limit: usize) -> Self {
        Budget {
            limit,
            used: AtomicUsize::new(0),
            reserved: AtomicUsize::new(0),
            holders: AtomicUsize::new(0),
        }
    }

    /// Takes `amount` for the peer of `holding`, one of `peers` linked peers. Returns false, and takes
    /// nothing, if that would exceed the limit, or if half of the budget is in use and the peer would
    /// exceed its fair share.
    ///
    /// The share is computed as if one more peer held something, so that the next peer that calls finds
    /// room. A peer that holds nothing is bound only by the limit.
    #[inline]
    pub(super) fn take(&self, holding: &Holding, amount: usize, peers: usize) -> bool {
        let fits = |used: usize| {
            let total = used.saturating_add(amount);
            total <= self.limit || self.fits_despite_reservation(total, amount)
        };
        // Before anything is counted, because a node that is full refuses many requests.
        if !fits(self.used()) {
            return false;
        }
        let (used, held) = self.add(holding, amount);
        let taken = fits(used) && self.is_fair(used, held, amount, peers);
        if !taken {
            self.give_back(holding, amount);
        }
        taken
    }

    /// Takes `amount` unless that would exceed the limit. The share of the peer does not matter.
    pub(super) fn take_beyond_share(&self, holding: &Holding, amount: usize) -> bool {
        let (used, _) = self.add(holding, amount);
        let taken = used.saturating_add(amount) <= self.limit;
        if !taken {
            self.give_back(holding, amount);
        }
        taken
    }

    /// Takes `amount` even if that exceeds the limit. Until the budget is no longer exceeded, and
    /// [`end_reservation`](Self::end_reservation) is called, only small amounts can be taken. There is at
    /// most one reservation at a time.
    pub(super) fn reserve(&self, holding: &Holding, amount: usize) {
        self.add(holding, amount);
        self.reserved.store(amount, SeqCst);
    }

    /// Ends the reservation. The reserved amount stays taken.
    pub(super) fn end_reservation(&self) {
        self.reserved.store(0, SeqCst);
    }

    /// Returns whether more than the limit was taken, because of a reservation.
    pub(super) fn is_exceeded(&self) -> bool {
        self.used.load(SeqCst) > self.limit
    }

    #[cfg(test)]
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Returns whether the share of the peer allows it to take `amount`.
    pub(super) fn allows(&self, holding: &Holding, amount: usize, peers: usize) -> bool {
        self.is_fair(self.used.load(SeqCst), holding.0.load(Relaxed), amount, peers)
    }

    /// Returns an amount that the peer of `holding` has taken. Returns whether nothing is in use now.
    #[inline]
    pub(super) fn give_back(&self, holding: &Holding, amount: usize) -> bool {
        if holding.0.fetch_sub(amount, Relaxed) == amount && amount > 0 {
            self.holders.fetch_sub(1, Relaxed);
        }
        // Last, so that a task that finds this amount free also finds the share of the peer free.
        self.used.fetch_sub(amount, SeqCst) == amount
    }

    /// Returns the amount in use.
    pub(super) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Returns whether nothing is in use.
    pub(super) fn is_unused(&self) -> bool {
        self.used.load(SeqCst) == 0
    }

    /// Returns the amounts that were in use, and held by the peer, before this.
    fn add(&self, holding: &Holding, amount: usize) -> (usize, usize) {
        let held = holding.0.fetch_add(amount, Relaxed);
        if held == 0 && amount > 0 {
            self.holders.fetch_add(1, Relaxed);
        }
        (self.used.fetch_add(amount, SeqCst), held)
    }

    fn is_fair(&self, used: usize, held: usize, amount: usize, peers: usize) -> bool {
        used < self.limit / 2 || held == 0 || held + amount <= self.share(peers)
    }

    /// Small amounts are returned soon, so they do not have to wait for the reservation. One that is taken
    /// just when the reservation ends may exceed the limit.
    #[cold]
    fn fits_despite_reservation(&self, total: usize, amount: usize) -> bool {
        amount <= SMALL && total.saturating_sub(self.reserved.load(SeqCst)) <= self.limit
    }

    #[cold]
    fn share(&self, peers: usize) -> usize {
        let sharers = self.holders.load(Relaxed).saturating_add(1).min(peers);
        self.limit.div_ceil(sharers.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one unit at a time until the budget refuses. Returns the amount taken.
    fn take_all(budget: &Budget, holding: &Holding, peers: usize) -> usize {
        (0..).take_while(|_| budget.take(holding, 1, peers)).count()
    }

    #[test]
    fn the_only_peer_may_take_everything() {
        for limit in [1, 2, 3, 100] {
            let (budget, only) = (Budget::new(limit), Holding::default());
            assert_eq!(take_all(&budget, &only, 1), limit);
        }
    }

    #[test]
    fn one_peer_takes_at_most_half_while_others_are_linked() {
        for peers in [2, 3, 50] {
            let (budget, greedy) = (Budget::new(100), Holding::default());
            assert_eq!(take_all(&budget, &greedy, peers), 50);
        }
    }

    #[test]
    fn every_peer_that_calls_later_finds_room() {
        let budget = Budget::new(1_000);
        let greedy = Holding::default();
        take_all(&budget, &greedy, 10);
        let second = Holding::default();
        assert_eq!(take_all(&budget, &second, 10), 334);
        let third = Holding::default();
        assert_eq!(take_all(&budget, &third, 10), 166);
        assert_eq!(budget.used.load(Relaxed), 1_000);
    }

    #[test]
    fn peers_within_their_shares_leave_one_share_free() {
        let budget = Budget::new(1_000);
        let holdings: Vec<_> = (0..4).map(|_| Holding::default()).collect();
        // The peers take turns.
        while holdings.iter().filter(|holding| budget.take(holding, 1, 10)).count() > 0 {}
        let held: Vec<_> = holdings.iter().map(|holding| holding.0.load(Relaxed)).collect();
        assert_eq!(held, [200; 4]);
    }

    #[test]
    fn a_peer_that_holds_nothing_is_bound_by_the_limit_only() {
        let budget = Budget::new(100);
        let (greedy, other) = (Holding::default(), Holding::default());
        assert!(budget.take(&greedy, 50, 9));
        assert!(budget.take(&other, 50, 9));
        assert!(!budget.take(&Holding::default(), 1, 9));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let budget = Budget::new(10);
        let (first, second) = (Holding::default(), Holding::default());
        assert!(!budget.take(&first, 11, 2));
        assert!(budget.take(&first, 10, 2));
        assert!(!budget.take(&second, 1, 2));
        budget.give_back(&first, 10);
        assert_eq!(budget.holders.load(Relaxed), 0);
        assert!(budget.take(&second, 10, 2));
        budget.give_back(&second, 10);
        assert_eq!((budget.used.load(Relaxed), budget.holders.load(Relaxed)), (0, 0));
    }

    #[test]
    fn absurd_amounts_are_refused() {
        let budget = Budget::new(100);
        assert!(!budget.take(&Holding::default(), usize::MAX, 2));
    }
}

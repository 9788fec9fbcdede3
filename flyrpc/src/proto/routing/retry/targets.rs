//! The targets of one call, in the order in which they are tried, and the attempts made on them.

/// Upper bound on the attempts on one target before the call goes on to the next one.
const MAX_ATTEMPTS_PER_TARGET: u32 = 3;

/// Upper bound on the attempts on all targets before the call waits or fails.
const MAX_ATTEMPTS: u32 = 6;

/// The position of one round of a call in the list of its targets.
///
/// A call with several targets may go through the list twice. The first pass skips nodes that are quiet or whose
/// link was lost, so that a target whose nodes are all unresponsive costs no time. If it finds no node at all, the
/// second pass accepts them.
#[derive(Debug)]
pub(super) struct TargetOrder {
    /// For each target, the attempts of this round that count: those in flight, and those that failed on a node.
    counted: Vec<u32>,
    /// The target of the attempt on this node itself, if this round has one that counts.
    here: Option<usize>,
    current: usize,
    accepts_unresponsive: bool,
}

impl TargetOrder {
    /// Creates the order of a call with this many targets, at least one.
    pub(super) fn new(targets: usize) -> Self {
        TargetOrder {
            counted: vec![0; targets],
            here: None,
            current: 0,
            accepts_unresponsive: targets == 1,
        }
    }

    /// The position of the target on which the next attempt starts.
    pub(super) fn current(&self) -> usize {
        self.current
    }

    /// Whether the next attempt may go to a node that is quiet or whose link was lost.
    pub(super) fn accepts_unresponsive(&self) -> bool {
        self.accepts_unresponsive
    }

    /// The number of attempts of this round that count.
    pub(super) fn counted(&self) -> u32 {
        self.counted.iter().sum()
    }

    /// Whether the limits allow another attempt, on the current target or on one of the next.
    pub(super) fn has_room(&self) -> bool {
        let is_open = |counted: &u32| *counted < MAX_ATTEMPTS_PER_TARGET;
        self.counted() < MAX_ATTEMPTS
            && (self.counted[self.current..].iter().any(is_open) || self.has_second_pass())
    }

    /// Whether the second pass follows. It does not if an attempt was made: a node has refused the call, or the
    /// call has failed, so it must not wait on a node that may never answer.
    fn has_second_pass(&self) -> bool {
        !self.accepts_unresponsive && self.counted() == 0
    }

    /// Whether the current target has had all attempts that it may have.
    pub(super) fn is_exhausted_here(&self) -> bool {
        self.counted[self.current] >= MAX_ATTEMPTS_PER_TARGET
    }

    /// Whether no attempt of this round that counts was made on another node of the current target.
    pub(super) fn is_fresh_here(&self) -> bool {
        self.counted[self.current] <= u32::from(self.here == Some(self.current))
    }

    /// Counts an attempt on the current target.
    pub(super) fn count(&mut self) {
        self.counted[self.current] += 1;
    }

    /// Counts an attempt on this node itself, which belongs to the current target.
    pub(super) fn count_here(&mut self) {
        self.count();
        self.here = Some(self.current);
    }

    /// Undoes the count of an attempt on `target`, which turned out to have sent nothing.
    pub(super) fn uncount(&mut self, target: usize) {
        self.counted[target] -= 1;
    }

    /// Goes on to the next target that may have another attempt. Returns false if there is none.
    pub(super) fn advance(&mut self) -> bool {
        while self.current + 1 < self.counted.len() {
            self.current += 1;
            if !self.is_exhausted_here() {
                return true;
            }
        }
        if !self.has_second_pass() {
            return false;
        }
        self.current = 0;
        self.accepts_unresponsive = true;
        true
    }

    /// Starts another round at the first target.
    pub(super) fn restart(&mut self) {
        self.counted.fill(0);
        self.here = None;
        self.rewind();
    }

    /// Goes back to the first target in the same round.
    pub(super) fn rewind(&mut self) {
        self.current = 0;
        self.accepts_unresponsive = self.counted.len() == 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(order: &mut TargetOrder) -> Vec<(usize, bool)> {
        let mut passes = vec![(order.current(), order.accepts_unresponsive())];
        while order.advance() {
            passes.push((order.current(), order.accepts_unresponsive()));
        }
        passes
    }

    #[test]
    fn several_targets_are_passed_twice_and_a_single_one_once() {
        let twice = [(0, false), (1, false), (0, true), (1, true)];
        let mut order = TargetOrder::new(2);
        assert_eq!(passes(&mut order), twice);
        order.restart();
        assert_eq!(passes(&mut order), twice);
        assert_eq!(passes(&mut TargetOrder::new(1)), [(0, true)]);
    }

    #[test]
    fn a_target_has_at_most_three_attempts_and_all_together_six() {
        let mut order = TargetOrder::new(3);
        for target in 0..2 {
            for _ in 0..3 {
                assert!(order.has_room() && !order.is_exhausted_here());
                order.count();
            }
            assert!(order.is_exhausted_here());
            assert!(order.advance());
            assert_eq!(order.current(), target + 1);
        }
        assert!(!order.has_room());
        order.uncount(0);
        assert!(order.has_room());
    }

    #[test]
    fn a_target_that_is_exhausted_is_passed_over() {
        let mut order = TargetOrder::new(3);
        assert!(order.advance());
        (0..3).for_each(|_| order.count());
        order.rewind();
        assert!(order.advance());
        assert_eq!(order.current(), 2);
        assert!(!order.advance() && order.has_room());
        (0..3).for_each(|_| order.count());
        assert!(!order.has_room());
    }

    #[test]
    fn unresponsive_nodes_are_not_accepted_after_an_attempt() {
        let mut order = TargetOrder::new(2);
        order.count();
        assert!(order.advance());
        assert!(!order.advance());
    }

    #[test]
    fn a_single_target_has_three_attempts() {
        let mut order = TargetOrder::new(1);
        (0..3).for_each(|_| order.count());
        assert!(!order.has_room());
    }
}

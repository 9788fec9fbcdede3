//! Pairs of nodes that claim one address.

use std::collections::VecDeque;

use crate::types::NodeId;

/// Upper bound on the pairs that are remembered. If it is exceeded, the oldest pair is forgotten.
const CAPACITY: usize = 256;

/// The pairs that were reported. Such a pair stays misconfigured as long as both nodes run, and each new
/// link to one of them reveals it again.
#[derive(Debug, Default)]
pub(super) struct AddressConflicts(VecDeque<[NodeId; 2]>);

impl AddressConflicts {
    /// Returns true if this pair, in either order, has not been reported before.
    pub(super) fn is_new(&mut self, a: &NodeId, b: &NodeId) -> bool {
        let mut pair = [a.clone(), b.clone()];
        pair.sort();
        if self.0.contains(&pair) {
            return false;
        }
        if self.0.len() == CAPACITY {
            self.0.pop_front();
        }
        self.0.push_back(pair);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_new_once_in_either_order_and_the_number_of_pairs_is_bounded() {
        let id = |boot| NodeId::new("n", boot);
        let mut conflicts = AddressConflicts::default();
        assert!(conflicts.is_new(&id(1), &id(2)));
        assert!(!conflicts.is_new(&id(1), &id(2)) && !conflicts.is_new(&id(2), &id(1)));
        assert!(conflicts.is_new(&id(1), &id(3)));
        (0..CAPACITY as u64).for_each(|boot| assert!(conflicts.is_new(&id(1), &id(10 + boot))));
        assert_eq!(conflicts.0.len(), CAPACITY);
        assert!(conflicts.is_new(&id(1), &id(2)));
    }
}

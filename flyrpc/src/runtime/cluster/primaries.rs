//! Peers whose primary region differs from this node's.

use std::collections::BTreeMap;

use crate::types::{NodeId, Region};

/// The primary region of each linked peer that disagrees with this node.
#[derive(Debug, Default)]
pub(super) struct PrimaryDisagreements(BTreeMap<NodeId, Region>);

impl PrimaryDisagreements {
    /// Compares a peer's primary region with this node's. Returns true if they differ and this
    /// difference was not known before.
    pub(super) fn is_new(&mut self, peer: &NodeId, theirs: &Region, ours: &Region) -> bool {
        if theirs == ours {
            self.0.remove(peer);
            return false;
        }
        self.0.insert(peer.clone(), theirs.clone()).as_ref() != Some(theirs)
    }

    /// Forgets a peer that is no longer linked.
    pub(super) fn remove(&mut self, peer: &NodeId) {
        self.0.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disagreement_is_new_once_until_it_changes_or_is_settled() {
        let mut disagreements = PrimaryDisagreements::default();
        let peer = NodeId::new("hkg-0", 1);
        let (iad, hkg, syd) = ("iad".into(), "hkg".into(), "syd".into());
        let mut is_new = |theirs: &Region| disagreements.is_new(&peer, theirs, &iad);
        assert_eq!([&iad, &hkg, &hkg].map(&mut is_new), [false, true, false]);
        assert_eq!([&syd, &iad, &syd].map(&mut is_new), [true, false, true]);
        disagreements.remove(&peer);
        assert!(disagreements.is_new(&peer, &syd, &iad));
    }
}

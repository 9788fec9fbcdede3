//! Chooses among candidates that are offered one at a time, without a list of them.

use std::time::Duration;

/// Keeps one of many candidates, each with a distance: one of the nearest, chosen at random.
pub(super) struct Best<T> {
    /// How many candidates at the shortest distance were offered.
    seen: u64,
    kept: Option<(Duration, T)>,
}

impl<T> Best<T> {
    pub(super) const fn none() -> Self {
        Best { seen: 0, kept: None }
    }

    /// Offers a candidate, which is kept if it is the nearest. Among equally near candidates, each is kept
    /// with the same probability (reservoir sampling).
    pub(super) fn offer(&mut self, distance: Duration, random: u64, candidate: T) {
        let nearest = self.kept.as_ref().map(|(nearest, _)| *nearest);
        if nearest.is_none_or(|nearest| distance < nearest) {
            self.seen = 0;
        } else if nearest.is_some_and(|nearest| distance > nearest) {
            return;
        }
        self.seen += 1;
        if mix(random, self.seen).is_multiple_of(self.seen) {
            self.kept = Some((distance, candidate));
        }
    }

    pub(super) fn kept(self) -> Option<T> {
        self.kept.map(|(_, candidate)| candidate)
    }
}

/// Returns different random bits for each `turn` (the finalizer of SplitMix64).
pub(super) fn mix(random: u64, turn: u64) -> u64 {
    let mut z = random.wrapping_add(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

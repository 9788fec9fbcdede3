//! Seeded random numbers. Implemented here instead of taken from a crate, so that a seed in an old bug
//! report still gives the same run after an upgrade of dependencies.

/// SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    /// Returns a separate stream for each seed, name and number. The random numbers of one host depend
    /// neither on which other hosts exist nor on their random numbers.
    pub(crate) fn new(seed: u64, name: &str, number: u64) -> Self {
        let mut rng = Rng(seed ^ fnv1a(name.as_bytes()));
        rng.0 = rng.next() ^ number;
        rng.0 = rng.next();
        rng
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number from 0 to `most` inclusive, uniform up to a bias of `most` in 2⁶⁴.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        match most.checked_add(1) {
            Some(choices) => self.next() % choices,
            None => self.next(),
        }
    }

    /// Returns true with this probability, which is between 0 and 1.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        unit < probability
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ_by_seed_name_and_number() {
        let first = |seed, name, number| Rng::new(seed, name, number).next();
        assert_eq!(first(7, "iad-0", 0), first(7, "iad-0", 0));
        assert_ne!(first(7, "iad-0", 0), first(8, "iad-0", 0));
        assert_ne!(first(7, "iad-0", 0), first(7, "iad-1", 0));
        assert_ne!(first(7, "iad-0", 0), first(7, "iad-0", 1));
    }

    #[test]
    fn a_bounded_number_reaches_both_bounds() {
        let mut rng = Rng::new(1, "bounds", 0);
        let mut seen = [0; 4];
        (0..1_000).for_each(|_| seen[rng.up_to(3) as usize] += 1);
        assert!(seen.iter().all(|times| *times > 200), "{seen:?}");
        assert_eq!(rng.up_to(0), 0);
        rng.up_to(u64::MAX);
    }

    #[test]
    fn a_chance_is_true_with_its_probability() {
        let mut rng = Rng::new(1, "chance", 0);
        let hits = (0..10_000).filter(|_| rng.chance(0.25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits} of 10,000");
        assert!((0..1_000).all(|_| !rng.chance(0.0) && rng.chance(1.0)));
    }
}

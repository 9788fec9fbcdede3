//! The random number generator for plans. It does not come from a crate, so that a seed gives the
//! same plan after dependencies are upgraded.

/// SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug)]
pub(super) struct PlanRng(u64);

impl PlanRng {
    pub(super) fn new(seed: u64) -> Self {
        PlanRng(seed ^ 0x5bf0_3635_dcf2_9a11)
    }

    /// Returns another stream of numbers of the same seed. What is drawn from it changes nothing that is
    /// drawn from [`new`](Self::new).
    pub(super) fn second_stream(seed: u64) -> Self {
        PlanRng(seed.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x2545_f491_4f6c_dd1d)
    }

    /// Returns the stream of numbers that decide about the secret, in the same way.
    pub(super) fn secret_stream(seed: u64) -> Self {
        PlanRng(seed.wrapping_mul(0xda94_2042_e4dd_58b5) ^ 0x7365_6372_6574)
    }

    /// Returns the stream of numbers that decide about misbehaving nodes, in the same way.
    pub(super) fn misbehavior_stream(seed: u64) -> Self {
        PlanRng(seed.wrapping_mul(0xa076_1d64_78bd_642f) ^ 0x6d69_7362_6568)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number from `least` to `most`, both inclusive.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    /// Returns a number from `least`, which must be at least 1, to `most`, uniform on a logarithmic
    /// scale.
    pub(super) fn spread(&mut self, least: u64, most: u64) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let (low, high) = ((least as f64).ln(), (most as f64 + 1.0).ln());
        ((low + unit * (high - low)).exp() as u64).clamp(least, most)
    }

    /// Returns true with the given probability in percent.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    /// Returns one of `choices`, which must not be empty.
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.next() as usize % choices.len()]
    }
}

//! Bytes that no well-behaved peer sends. The tests of every decoder use them.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};

/// The number of random inputs, and of mutations.
const ROUNDS: u64 = 3_000;

/// Lengths that are too large for any input, encoded as varints and in MessagePack.
const LENGTHS: &[&[u8]] = &[
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0xdb, 0xff, 0xff, 0xff, 0xff],
    &[0xdd, 0xff, 0xff, 0xff, 0xff],
    &[0xdf, 0xff, 0xff, 0xff, 0xff],
];

/// Calls `read` with every prefix of the `valid` bytes, many mutations of them, and random bytes. If it
/// panics, the seed and the bytes are printed.
#[track_caller]
pub(crate) fn feed(valid: &[Vec<u8>], mut read: impl FnMut(&[u8])) {
    let mut attempt = |what: String, bytes: &[u8]| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| read(bytes))) {
            eprintln!("panicked at {what}: {bytes:02x?}");
            resume_unwind(panic);
        }
    };
    for (which, valid) in valid.iter().enumerate() {
        for cut in 0..=valid.len() {
            attempt(format!("valid {which} cut after {cut} bytes"), &valid[..cut]);
        }
    }
    for seed in 0..ROUNDS {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut bytes = vec![0; random.random_range(0..200)];
        random.fill_bytes(&mut bytes);
        attempt(format!("random bytes of seed {seed}"), &bytes);
        if !valid.is_empty() {
            let valid = &valid[random.random_range(0..valid.len())];
            attempt(format!("mutation of seed {seed}"), &mutated(valid, &mut random));
        }
    }
}

fn mutated(valid: &[u8], random: &mut SmallRng) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = random.random(),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, random.random()),
            _ => {
                let length = LENGTHS[random.random_range(0..LENGTHS.len())];
                let end = (at + length.len()).min(bytes.len());
                bytes.splice(at..end, length.iter().copied());
            }
        }
    }
    bytes
}

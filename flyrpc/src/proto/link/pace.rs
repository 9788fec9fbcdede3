//! Measures how fast the socket accepts bytes, and derives how much to write ahead.
//!
//! Bytes that the socket has accepted precede everything that is queued later, including small calls.
//! The chunks of one write and the unsent bytes in the socket are therefore limited to the amount that a
//! slow path takes in a short time.

/// Upper bound on the bytes of long bodies in one write.
const CHUNK_BYTES_MAX: usize = 256 << 10;

/// Upper bound on the unsent bytes that the socket should hold.
const LOW_WATER_MAX: usize = 128 << 10;

/// Lower bound on both limits, in bytes.
const BYTES_MIN: usize = 4 << 10;

/// Both limits before the first measurement. Writes grow as long as the socket accepts everything at
/// once.
const BYTES_UNMEASURED: usize = 16 << 10;

/// How long a write of chunks should take, in microseconds.
const CHUNK_TIME: u64 = 50_000;

/// How long the socket should take to send what it holds, in microseconds.
const LOW_WATER_TIME: u64 = 100_000;

/// Minimum duration of a measurement, in microseconds.
const MEASURED_MIN: u64 = 20_000;

/// Earlier measurements are weighted as if they had taken at most this time, in microseconds.
const MEMORY: u64 = 200_000;

/// Measures how fast the socket sends bytes. Between two moments at which the socket was full, it sent
/// as many bytes as it accepted.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When the socket was last full. `None` if everything has been written since then.
    full_at: Option<u64>,
    /// The bytes that the socket has sent since then. While it is not full, the bytes that it has
    /// accepted.
    since: i64,
    /// Whether the socket has accepted any bytes since then.
    took: bool,
    /// The measurement: the socket sent this many bytes in `micros`.
    bytes: u64,
    micros: u64,
    /// The number of unsent bytes at which the socket is full. Zero before it is set.
    low_water: usize,
}

impl Pace {
    /// Records that `bytes` bytes were written.
    pub(crate) fn on_written(&mut self, bytes: usize) {
        self.since += bytes as i64;
        self.took = true;
    }

    /// Records that the socket was full at `now`, in microseconds.
    pub(crate) fn on_full(&mut self, now: u64) {
        if self.full_at.is_some() && !self.took {
            // It is still full.
            return;
        }
        self.took = false;
        let since = std::mem::take(&mut self.since);
        if let Some(before) = self.full_at.replace(now) {
            self.bytes += u64::try_from(since).unwrap_or(0);
            self.micros += now.saturating_sub(before);
            while self.micros > MEMORY {
                self.bytes /= 2;
                self.micros /= 2;
            }
        }
    }

    /// Records that nothing is left to write. The time until the next write is not part of a
    /// measurement.
    pub(crate) fn on_idle(&mut self) {
        self.full_at = None;
    }

    /// Returns the upper bound on the bytes of chunks in the next write.
    pub(crate) fn chunk_bytes(&self) -> usize {
        let unmeasured = || usize::try_from(self.since).unwrap_or(0).max(BYTES_UNMEASURED);
        let bytes = self.bytes_in(CHUNK_TIME).unwrap_or_else(unmeasured);
        bytes.clamp(BYTES_MIN, CHUNK_BYTES_MAX)
    }

    /// Returns the number of unsent bytes at which the socket should be full, if that number has
    /// changed. It is a power of two, so it changes rarely.
    pub(crate) fn change_low_water(&mut self) -> Option<usize> {
        let bytes = self.bytes_in(LOW_WATER_TIME).unwrap_or(BYTES_UNMEASURED);
        let bytes = bytes.clamp(BYTES_MIN, LOW_WATER_MAX).next_power_of_two();
        let before = std::mem::replace(&mut self.low_water, bytes);
        // Bytes that only fill the newly allowed space in the socket were not sent.
        self.since -= bytes as i64 - before as i64;
        (bytes != before).then_some(bytes)
    }

    /// Returns the number of bytes that the socket sends in `micros` microseconds, if that was measured.
    fn bytes_in(&self, micros: u64) -> Option<usize> {
        if self.micros < MEASURED_MIN {
            return None;
        }
        Some(usize::try_from(self.bytes * micros / self.micros).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that sends a number of bytes per second.
    #[derive(Default)]
    struct Socket {
        pace: Pace,
        now: u64,
        unsent: usize,
        low_water: usize,
    }

    impl Socket {
        /// Writes as much as the socket accepts for `millis` milliseconds, in steps of 10 ms. Returns
        /// the limits on chunks and on unsent bytes, in KiB.
        fn write(&mut self, per_second: usize, millis: u64) -> (usize, usize) {
            for _ in 0..millis / 10 {
                let room = self.low_water.saturating_sub(self.unsent);
                if room > 0 {
                    self.pace.on_written(room);
                }
                self.unsent = self.unsent.max(self.low_water);
                self.pace.on_full(self.now);
                if let Some(low_water) = self.pace.change_low_water() {
                    self.low_water = low_water;
                }
                self.now += 10_000;
                self.unsent -= self.unsent.min(per_second / 100);
            }
            (self.pace.chunk_bytes() >> 10, self.low_water >> 10)
        }
    }

    #[test]
    fn a_slow_socket_is_given_little_ahead_and_a_fast_one_much() {
        let mut socket = Socket::default();
        assert_eq!(socket.write(0, 10), (16, 16));
        assert_eq!(socket.write(100_000, 500), (4, 16));
        assert_eq!(socket.write(20_000, 1_000), (4, 4));
        assert_eq!(socket.write(1_000_000, 2_000), (48, 128));
        assert_eq!(socket.write(1_000_000_000, 500), (256, 128));
    }

    #[test]
    fn a_socket_is_not_taken_for_fast_because_it_may_hold_more() {
        let mut socket = Socket::default();
        socket.write(800_000, 1_000);
        for _ in 0..100 {
            let (chunk, _) = socket.write(100_000, 100);
            assert!(chunk <= 50, "{chunk}");
        }
        assert_eq!(socket.write(100_000, 10), (4, 16));
    }

    #[test]
    fn writes_grow_while_the_socket_takes_everything_at_once() {
        let mut pace = Pace::default();
        let written = [(); 7].map(|()| {
            let bytes = pace.chunk_bytes();
            pace.on_written(bytes);
            bytes >> 10
        });
        assert_eq!(written, [16, 16, 32, 64, 128, 256, 256]);
    }

    #[test]
    fn time_without_anything_to_write_is_not_counted() {
        let mut socket = Socket::default();
        let before = socket.write(10_000_000, 500);
        socket.pace.on_idle();
        socket.now += 60_000_000;
        assert_eq!(socket.write(10_000_000, 10), before);
    }

    #[test]
    fn a_stall_is_soon_forgotten() {
        let mut socket = Socket::default();
        let before = socket.write(10_000_000, 500);
        socket.write(0, 60_000);
        assert_eq!(socket.write(10_000_000, 2_000), before);
    }
}

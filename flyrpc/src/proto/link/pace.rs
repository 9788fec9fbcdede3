//! How fast the socket takes bytes, and how much to write ahead of that.
//!
//! Whatever was given to the socket goes before everything that is queued later, small calls included.
//! On a slow path, the chunks of one write and the bytes that the socket holds unsent are therefore
//! limited to what it takes in a short time.

/// Upper bound on the bytes of long bodies in one write.
const CHUNK_BYTES_MAX: usize = 256 << 10;

/// Upper bound on the unsent bytes that the socket should hold.
const LOW_WATER_MAX: usize = 128 << 10;

/// Lower bound on both, in bytes.
const BYTES_MIN: usize = 4 << 10;

/// Both at first. As long as the socket takes everything at once, writes grow.
const BYTES_UNMEASURED: usize = 16 << 10;

/// How long a write of chunks should take, in microseconds.
const CHUNK_TIME: u64 = 50_000;

/// How long the socket should take to send what it holds, in microseconds.
const LOW_WATER_TIME: u64 = 100_000;

/// Less time than this is not enough for a measurement, in microseconds.
const MEASURED_MIN: u64 = 20_000;

/// Earlier measurements count as much as this time, in microseconds.
const MEMORY: u64 = 200_000;

/// Measures how fast the socket takes bytes: between two times at which it was full, it sent as many as
/// it took.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When the socket was last full, unless everything was written since then.
    full_at: Option<u64>,
    /// The bytes that the socket sent since then, or, while it is not full, took.
    since: i64,
    /// Whether it has taken any since then.
    took: bool,
    /// What was measured: this many bytes in `micros`.
    bytes: u64,
    micros: u64,
    /// The unsent bytes with which the socket is full. Zero before it was set.
    low_water: usize,
}

impl Pace {
    /// Handles a write of that many bytes.
    pub(crate) fn on_written(&mut self, bytes: usize) {
        self.since += bytes as i64;
        self.took = true;
    }

    /// Handles that the socket was full at `now`, in microseconds.
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

    /// Handles that nothing is left to write. The time until the next write measures nothing.
    pub(crate) fn on_idle(&mut self) {
        self.full_at = None;
    }

    /// Returns the upper bound on the bytes of chunks in the next write.
    pub(crate) fn chunk_bytes(&self) -> usize {
        let unmeasured = || usize::try_from(self.since).unwrap_or(0).max(BYTES_UNMEASURED);
        let bytes = self.bytes_in(CHUNK_TIME).unwrap_or_else(unmeasured);
        bytes.clamp(BYTES_MIN, CHUNK_BYTES_MAX)
    }

    /// Returns the number of unsent bytes with which the socket should be full, if that has changed: a
    /// power of two, so that it rarely does.
    pub(crate) fn change_low_water(&mut self) -> Option<usize> {
        let bytes = self.bytes_in(LOW_WATER_TIME).unwrap_or(BYTES_UNMEASURED);
        let bytes = bytes.clamp(BYTES_MIN, LOW_WATER_MAX).next_power_of_two();
        let before = std::mem::replace(&mut self.low_water, bytes);
        // What only fills a socket that may hold more, it did not send.
        self.since -= bytes as i64 - before as i64;
        (bytes != before).then_some(bytes)
    }

    /// Returns the number of bytes that the socket takes in that time, if it was measured.
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
        /// Writes as much as it takes for that many milliseconds, in steps of 10 ms. Returns the bounds
        /// on chunks and unsent bytes, in KiB.
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

//! How many bytes of frames the socket has taken: what "the request surely did not start" rests on.

use std::sync::atomic::{AtomicU64, Ordering};

use super::outbox::Offset;

/// A watermark in the outbox's count of bytes of frames. The writer moves it; calls read it once the
/// link has ended.
///
/// Whoever finds that the link has ended relies on it. So the writer first raises it to what it is
/// about to hand to the socket, then looks for the end, and writes only then: either the writer sees
/// the end, or the reader of the watermark sees the raised one.
#[derive(Debug, Default)]
pub(crate) struct SentBytes(AtomicU64);

impl SentBytes {
    /// The watermark as it stands.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Moves the watermark: up before a write, to what was taken after it.
    pub(crate) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Release);
    }

    /// Whether the socket took the frame at `offset`. Final once the link has ended.
    pub(crate) fn covers(&self, offset: Offset) -> bool {
        offset.is_before(self.0.load(Ordering::Acquire))
    }
}

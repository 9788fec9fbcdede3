//! How many bytes of frames the socket has taken: what "the request surely did not start" rests on.

use std::sync::atomic::{AtomicU64, Ordering};

use super::outbox::Offset;

/// A watermark in the outbox's count of bytes of frames. The writer moves it; calls read it once the
/// link has ended.
///
/// A call that finds the link ended relies on it. So the writer first raises it to what it is about to
/// hand to the socket, then checks for the end, and writes only then: either the writer sees the end,
/// or the call sees the raised watermark.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{
        link::outbox::Outbox,
        wire::{
            frame::RequestHead,
            ids::{MethodIndex, RequestId},
        },
    };

    #[test]
    fn a_request_counts_as_sent_once_its_kind_byte_may_have_reached_the_socket() {
        let (id, method) = (RequestId(1), MethodIndex(0));
        let head = RequestHead { id, method, primary: false, attempt: 1, stamp: 0, timeout: 1 };
        let mut outbox = Outbox::default();
        outbox.request(&head, &mut b"first".to_vec());
        let before = outbox.frames().len() as u64;
        let offset = outbox.request(&head, &mut b"second".to_vec());
        let all = outbox.frames().len() as u64;

        let sent = SentBytes::default();
        assert!(!sent.covers(offset));
        sent.set(before);
        assert!(!sent.covers(offset));
        sent.set(all);
        assert!(sent.covers(offset));
        // The write that was announced did not happen.
        sent.set(before);
        assert!(!sent.covers(offset));
        assert_eq!(sent.get(), before);
    }
}

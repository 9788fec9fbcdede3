//! The number of bytes of frames that the socket has accepted. A request beyond them certainly did not
//! start.

use std::sync::atomic::{AtomicU64, Ordering};

use super::outbox::Offset;

/// A watermark in the stream of frames that the outbox produces, in bytes. The writer sets it; calls
/// read it after the link has ended.
///
/// A call that finds the link ended relies on the watermark. The writer therefore takes these steps in
/// order: it raises the watermark to the end of the bytes that it is about to write, checks whether the
/// link has ended, and only then writes. Either the writer detects the end, or the call reads the
/// raised watermark.
#[derive(Debug, Default)]
pub(crate) struct SentBytes(AtomicU64);

impl SentBytes {
    /// Returns the current watermark.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the watermark. The writer raises it before a write, and corrects it afterward to the bytes
    /// that the socket accepted.
    pub(crate) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Release);
    }

    /// Returns whether the socket may have accepted the kind byte at `offset`. Once the link has ended,
    /// `false` is final.
    pub(crate) fn covers(&self, offset: Offset) -> bool {
        offset.is_before(self.0.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::EncodedBody,
        proto::{
            link::outbox::Outbox,
            wire::{
                frame::RequestHead,
                ids::{MethodIndex, RequestId},
                request_fields::NO_FIELDS,
            },
        },
    };

    #[test]
    fn a_request_counts_as_sent_once_its_kind_byte_may_have_reached_the_socket() {
        let (id, method) = (RequestId(1), MethodIndex(0));
        let head = RequestHead { id, method, primary: false, attempt: 1, stamp: 0, timeout: 1 };
        let body = |bytes: &[u8]| EncodedBody::from(bytes.to_vec());
        let mut outbox = Outbox::default();
        outbox.request(&head, NO_FIELDS, &mut body(b"first"));
        let before = outbox.frames().len() as u64;
        let offset = outbox.request(&head, NO_FIELDS, &mut body(b"second"));
        let all = outbox.frames().len() as u64;

        let sent = SentBytes::default();
        assert!(!sent.covers(offset));
        sent.set(before);
        assert!(!sent.covers(offset));
        sent.set(all);
        assert!(sent.covers(offset));
        // The write for which the watermark was raised did not happen.
        sent.set(before);
        assert!(!sent.covers(offset));
        assert_eq!(sent.get(), before);
    }
}

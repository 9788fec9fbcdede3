//! A buffer per thread for bodies that are copied soon after they were encoded.

use std::cell::Cell;

use super::EncodedBody;

/// The initial capacity, in bytes.
const INITIAL: usize = 64;

/// A buffer with a larger capacity, in bytes, is not kept.
const MAX_RETAINED_CAPACITY: usize = 64 << 10;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Takes the buffer of this thread, which is empty, or a new one.
#[inline]
pub(crate) fn take() -> EncodedBody {
    let buffer = SCRATCH.with(Cell::take);
    EncodedBody::in_buffer(if buffer.capacity() == 0 {
        Vec::with_capacity(INITIAL)
    } else {
        buffer
    })
}

/// Keeps the buffer of `body` for the next [`take`] on this thread.
#[inline]
pub(crate) fn put(body: EncodedBody) {
    let mut buffer = body.into_buffer();
    if buffer.capacity() <= MAX_RETAINED_CAPACITY {
        buffer.clear();
        SCRATCH.with(|scratch| scratch.set(buffer));
    }
}

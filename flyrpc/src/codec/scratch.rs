//! A buffer per thread for bodies that are copied soon after they were encoded.

use std::cell::Cell;

use super::EncodedBody;

/// The initial capacity, in bytes.
const INITIAL: usize = 64;

/// A buffer with a larger capacity, in bytes, is not kept.
const MAX_RETAINED_CAPACITY: usize = 64 << 10;

thread_local! {
    static SCRATCH: Cell<EncodedBody> = const { Cell::new(EncodedBody::new()) };
}

/// Takes the buffer of this thread, which is empty, or a new one.
#[inline]
pub(crate) fn take() -> EncodedBody {
    let mut body = SCRATCH.with(Cell::take);
    if body.capacity() == 0 {
        body.buffer().reserve(INITIAL);
    }
    body
}

/// Keeps the buffer of `body` for the next [`take`] on this thread.
#[inline]
pub(crate) fn put(mut body: EncodedBody) {
    if body.capacity() <= MAX_RETAINED_CAPACITY {
        body.clear();
        SCRATCH.with(|scratch| scratch.set(body));
    }
}

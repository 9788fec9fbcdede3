//! Buffers of long bodies, which are used again for later bodies.
//!
//! The allocator returns memory of this size to the system when it is freed, and each of its pages is then
//! assigned and zeroed again. For bodies of 1 MiB, that takes a third of the time of a call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

/// Only buffers of at least this capacity are kept, in bytes.
const KEPT_MIN: usize = 64 << 10;

/// Upper bound on the total capacity of the buffers that are kept for one link, in bytes.
const KEPT_MAX: usize = 8 << 20;

/// The buffers of one link that are not in use.
#[derive(Debug, Default)]
pub(super) struct Buffers(Arc<Mutex<Free>>);

#[derive(Debug, Default)]
struct Free {
    /// The last one was used last.
    buffers: Vec<Vec<u8>>,
    /// The total capacity.
    bytes: usize,
    /// How many of them, at least, have not been used since the last heartbeat.
    unused: usize,
}

/// The bytes of a body. Returns the buffer when no part of the body is referred to anymore.
#[derive(Debug)]
struct Lent {
    body: Vec<u8>,
    to: Weak<Mutex<Free>>,
}

impl Buffers {
    /// Returns an empty buffer for a body of `size` bytes: a used one whose capacity fits, or one without
    /// capacity.
    pub(super) fn take(&self, size: u64) -> Vec<u8> {
        let Ok(size) = usize::try_from(size) else { return Vec::new() };
        if !(KEPT_MIN..=KEPT_MAX).contains(&size) {
            return Vec::new();
        }
        let mut free = lock(&self.0);
        // The body may be kept for long, and must not occupy much more memory than its size.
        let fits = |buffer: &Vec<u8>| (size..=size + size / 8).contains(&buffer.capacity());
        let Some(at) = free.buffers.iter().rposition(fits) else { return Vec::new() };
        let buffer = free.buffers.remove(at);
        free.bytes -= buffer.capacity();
        free.unused -= usize::from(at < free.unused);
        buffer
    }

    /// Shares a complete body.
    pub(super) fn share(&self, body: Vec<u8>) -> Bytes {
        if !(KEPT_MIN..=KEPT_MAX).contains(&body.capacity()) {
            return Bytes::from(body);
        }
        Bytes::from_owner(Lent { body, to: Arc::downgrade(&self.0) })
    }

    /// Frees the buffers that have not been used since the last heartbeat.
    pub(super) fn on_heartbeat(&self) {
        let unused: Vec<_> = {
            let mut free = lock(&self.0);
            let count = free.unused;
            let unused: Vec<_> = free.buffers.drain(..count).collect();
            free.bytes -= unused.iter().map(Vec::capacity).sum::<usize>();
            free.unused = free.buffers.len();
            free.buffers.shrink_to_fit();
            unused
        };
        drop(unused);
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(to) = self.to.upgrade() else { return };
        let mut free = lock(&to);
        if free.bytes + self.body.capacity() <= KEPT_MAX {
            self.body.clear();
            free.bytes += self.body.capacity();
            free.buffers.push(std::mem::take(&mut self.body));
        }
    }
}

fn lock(free: &Mutex<Free>) -> MutexGuard<'_, Free> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 1 << 20;

    fn kept(buffers: &Buffers) -> usize {
        let free = lock(&buffers.0);
        assert_eq!(free.bytes, free.buffers.iter().map(Vec::capacity).sum::<usize>());
        free.buffers.len()
    }

    #[test]
    fn a_buffer_is_used_again_once_no_part_of_its_body_is_left() {
        let buffers = Buffers::default();
        assert_eq!(buffers.take(SIZE as u64).capacity(), 0);
        let body = buffers.share(vec![7; SIZE]);
        let start = body.as_ptr();
        let part = body.slice(10..20);
        drop(body);
        assert_eq!(kept(&buffers), 0);
        assert_eq!(part[..], [7; 10]);
        drop(part);
        assert_eq!(kept(&buffers), 1);
        let again = buffers.take(SIZE as u64);
        assert_eq!((again.as_ptr(), again.len(), again.capacity()), (start, 0, SIZE));
        assert_eq!(kept(&buffers), 0);
    }

    #[test]
    fn a_body_gets_no_buffer_that_is_too_small_or_much_too_large() {
        let buffers = Buffers::default();
        drop(buffers.share(vec![0; SIZE]));
        for (size, capacity) in [(SIZE + 1, 0), (SIZE / 2, 0), (5, 0), (SIZE - SIZE / 10, SIZE)] {
            assert_eq!(buffers.take(size as u64).capacity(), capacity, "{size}");
        }
    }

    #[test]
    fn few_buffers_are_kept() {
        let buffers = Buffers::default();
        let bodies: Vec<_> = (0..10).map(|_| buffers.share(vec![0; SIZE])).collect();
        drop(bodies);
        drop(buffers.share(vec![0; KEPT_MIN - 1]));
        drop(buffers.share(vec![0; KEPT_MAX + 1]));
        assert_eq!(kept(&buffers), KEPT_MAX / SIZE);
    }

    #[test]
    fn buffers_that_are_not_used_between_two_heartbeats_are_freed() {
        let buffers = Buffers::default();
        let bodies: Vec<_> = (0..3).map(|_| buffers.share(vec![0; SIZE])).collect();
        drop(bodies);
        buffers.on_heartbeat();
        assert_eq!(kept(&buffers), 3);
        for _ in 0..5 {
            drop(buffers.share(buffers.take(SIZE as u64)));
        }
        buffers.on_heartbeat();
        assert_eq!(kept(&buffers), 1);
        buffers.on_heartbeat();
        assert_eq!(kept(&buffers), 0);
    }

    #[test]
    fn the_buffer_of_a_link_that_has_ended_is_freed() {
        let buffers = Buffers::default();
        let body = buffers.share(vec![7; SIZE]);
        drop(buffers);
        assert_eq!(body.len(), SIZE);
    }
}

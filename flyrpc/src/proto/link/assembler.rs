//! Bodies that arrive in chunks.

use std::{collections::BTreeMap, mem};

use bytes::{BufMut, buf::Limit};

use crate::{
    codec::bytes::Malformed,
    proto::wire::{frame::CHUNK, ids::RequestId},
};

/// Upper bound on the capacity of a buffer that is allocated for a body, as a multiple of the bytes received. It
/// applies regardless of the announced size. Only the body of the chunk that is being received, one for each
/// link, may have room for [`CHUNK`] more bytes.
const MAX_GROWTH: usize = 16;

/// The part of a body that has been received.
#[derive(Debug)]
pub(crate) struct PartialBody {
    bytes: Vec<u8>,
    size: u64,
}

impl PartialBody {
    /// Expects a body of `size` bytes, in `buffer`, which is empty. A buffer without capacity is allocated when
    /// bytes arrive.
    pub(crate) fn new(size: u64, buffer: Vec<u8>) -> Self {
        PartialBody { bytes: buffer, size }
    }

    /// Appends a part of a chunk. `rest` more bytes of the chunk follow.
    ///
    /// # Errors
    ///
    /// If the chunk exceeds the announced size.
    pub(crate) fn put(&mut self, part: &[u8], rest: usize) -> Result<(), Malformed> {
        let filled = self.bytes.len() + part.len();
        if (filled + rest) as u64 > self.size {
            return Err(Malformed::new("chunk beyond the announced size"));
        }
        if self.bytes.capacity() < filled {
            self.grow(MAX_GROWTH * filled);
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    /// Returns the destination for at least one and at most `at_most` of the next bytes, which must not exceed
    /// the rest of a chunk that [`put`](Self::put) has accepted.
    ///
    /// It is a [`BufMut`](bytes::BufMut) over uninitialized memory, into which a socket can be read. A
    /// `&mut [u8]` would have to be filled with zeros first.
    pub(crate) fn room(&mut self, at_most: usize) -> Limit<&mut Vec<u8>> {
        let filled = self.bytes.len();
        if self.bytes.capacity() == filled {
            self.grow((MAX_GROWTH * filled).max(filled + at_most.min(CHUNK)));
        }
        let room = self.bytes.capacity() - filled;
        (&mut self.bytes).limit(room.min(at_most))
    }

    /// Returns the buffer. [`Records`](crate::proto::seal::records::Records) puts the bytes of a record into it before it knows
    /// whether the record is authentic.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Makes the buffer hold `capacity` bytes, or the whole body if that is shorter. Growing copies the buffer,
    /// so it grows in large steps, but only in proportion to the bytes received.
    fn grow(&mut self, capacity: usize) {
        let capacity = usize::try_from(self.size).unwrap_or(usize::MAX).min(capacity);
        self.bytes.reserve_exact(capacity - self.bytes.len());
    }

    /// Returns whether all bytes have been put into their destination.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete_after(0)
    }

    /// Returns whether all bytes will have been put into their destination after `count` more.
    pub(crate) fn is_complete_after(&self, count: usize) -> bool {
        (self.bytes.len() + count) as u64 >= self.size
    }

    /// Returns the bytes received, in their buffer.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

/// Incomplete bodies, each with an item that is returned along with the complete body.
#[derive(Debug)]
pub(crate) struct Assembler<T> {
    bodies: BTreeMap<RequestId, Expected<T>>,
}

#[derive(Debug)]
struct Expected<T> {
    item: T,
    body: PartialBody,
    /// The time at which the caller has certainly given up, on this end's clock.
    deadline: u64,
    /// Whether a chunk has arrived since [`Assembler::take_stalled`] last looked.
    progressed: bool,
}

impl<T> Default for Assembler<T> {
    fn default() -> Self {
        Assembler { bodies: BTreeMap::new() }
    }
}

impl<T> Assembler<T> {
    /// Expects a body until `deadline`.
    pub(crate) fn begin(&mut self, id: RequestId, body: PartialBody, deadline: u64, item: T) {
        self.bodies.insert(id, Expected { item, body, deadline, progressed: true });
    }

    /// Appends a part of a chunk. `rest` more bytes of the chunk follow. Ignores the part if the body is not
    /// expected, or no longer expected.
    ///
    /// # Errors
    ///
    /// If the chunk exceeds the announced size.
    pub(crate) fn put(&mut self, id: RequestId, part: &[u8], rest: usize) -> Result<(), Malformed> {
        let Some(expected) = self.bodies.get_mut(&id) else { return Ok(()) };
        expected.progressed = true;
        expected.body.put(part, rest)
    }

    /// Takes a body, so that the next bytes of a chunk can be put into it. Returns `None` if the body is no longer
    /// expected.
    pub(crate) fn take_body(&mut self, id: RequestId) -> Option<PartialBody> {
        let body = &mut self.bodies.get_mut(&id)?.body;
        let empty = PartialBody::new(body.size, Vec::new());
        Some(mem::replace(body, empty))
    }

    /// Puts back the value that [`take_body`](Self::take_body) returned. Drops it if the body is no longer expected.
    pub(crate) fn put_body(&mut self, id: RequestId, body: PartialBody) {
        if let Some(expected) = self.bodies.get_mut(&id) {
            expected.body = body;
        }
    }

    /// Returns whether a body is expected.
    pub(crate) fn expects(&self, id: RequestId) -> bool {
        self.bodies.contains_key(&id)
    }

    /// Records that bytes of a body have been put into their destination.
    pub(crate) fn on_progress(&mut self, id: RequestId) {
        if let Some(expected) = self.bodies.get_mut(&id) {
            expected.progressed = true;
        }
    }

    /// Removes and returns a body, if all of its bytes have been put into their destination.
    pub(crate) fn take_complete(&mut self, id: RequestId) -> Option<(T, Vec<u8>)> {
        if !self.bodies.get(&id)?.body.is_complete() {
            return None;
        }
        let Expected { item, body, .. } = self.bodies.remove(&id)?;
        Some((item, body.into_buffer()))
    }

    /// Drops a body that is no longer wanted, and returns its item. Chunks of the body may still
    /// arrive.
    pub(crate) fn remove(&mut self, id: RequestId) -> Option<T> {
        self.bodies.remove(&id).map(|expected| expected.item)
    }

    /// Returns the earliest deadline of an incomplete body.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.bodies.values().map(|expected| expected.deadline).min()
    }

    /// Drops the bodies whose deadline has passed at `now`, and returns their items.
    pub(crate) fn take_expired(&mut self, now: u64) -> Vec<T> {
        self.take(|expected| expected.deadline <= now)
    }

    /// Drops the bodies that have received nothing since the last call, and returns their items.
    pub(crate) fn take_stalled(&mut self) -> Vec<T> {
        self.take(|expected| !mem::take(&mut expected.progressed))
    }

    fn take(&mut self, mut unwanted: impl FnMut(&mut Expected<T>) -> bool) -> Vec<T> {
        let taken = self.bodies.iter_mut().filter_map(|(&id, body)| unwanted(body).then_some(id));
        let taken: Vec<_> = taken.collect();
        taken.into_iter().filter_map(|id| self.remove(id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: RequestId = RequestId(1);
    const NEVER: u64 = u64::MAX;

    fn body(size: u64) -> PartialBody {
        PartialBody::new(size, Vec::new())
    }

    fn put(assembler: &mut Assembler<&'static str>, chunk: &[u8]) -> Result<bool, Malformed> {
        let expected = assembler.bodies.contains_key(&ID);
        assembler.put(ID, chunk, 0)?;
        Ok(expected)
    }

    #[test]
    fn a_body_is_complete_with_its_last_byte() {
        let mut assembler = Assembler::default();
        assembler.begin(ID, body(5), NEVER, "item");
        assert!(put(&mut assembler, b"abc").unwrap());
        assert!(assembler.take_complete(ID).is_none());
        assert!(put(&mut assembler, b"de").unwrap());
        assert_eq!(assembler.take_complete(ID), Some(("item", b"abcde".to_vec())));
        assert!(assembler.take_complete(ID).is_none());
    }

    #[test]
    fn a_chunk_beyond_the_announced_size_is_malformed() {
        let mut assembler = Assembler::default();
        assembler.begin(ID, body(2), NEVER, "item");
        assert!(put(&mut assembler, b"abc").is_err());
    }

    #[test]
    fn a_chunk_beyond_the_announced_size_is_malformed_before_all_of_it_arrives() {
        let mut assembler = Assembler::default();
        assembler.begin(ID, body(10), NEVER, "item");
        assert!(assembler.put(ID, b"abc", 8).is_err());
        assert!(assembler.put(ID, b"abc", 7).is_ok());
    }

    #[test]
    fn the_rest_of_a_chunk_is_read_into_a_buffer_that_grows_in_proportion() {
        let mut assembler = Assembler::default();
        assembler.begin(ID, body(1 << 20), NEVER, "item");
        assembler.put(ID, &[1; 100], (1 << 20) - 100).unwrap();
        let mut expected = vec![1; 100];
        while expected.len() < 1 << 20 {
            let mut body = assembler.take_body(ID).unwrap();
            let mut to = body.room((1 << 20) - expected.len());
            let count = to.remaining_mut();
            let most = (MAX_GROWTH - 1) * expected.len();
            assert!((1..=most.max(CHUNK)).contains(&count), "{count}");
            to.put_bytes(2, count);
            assembler.put_body(ID, body);
            expected.resize(expected.len() + count, 2);
        }
        assert_eq!(assembler.take_complete(ID), Some(("item", expected)));
        assert!(assembler.take_body(ID).is_none());
    }

    #[test]
    fn a_body_that_was_taken_is_dropped_if_it_is_no_longer_expected() {
        let mut assembler = Assembler::default();
        assembler.begin(ID, body(5), 100, "item");
        let taken = assembler.take_body(ID).unwrap();
        assert!(assembler.expects(ID));
        assert_eq!(assembler.take_expired(100), ["item"]);
        assembler.put_body(ID, taken);
        assert!(!assembler.expects(ID) && assembler.take_body(ID).is_none());
    }

    #[test]
    fn a_chunk_of_which_nothing_has_arrived_has_room_for_one_chunk() {
        let mut partial = body(1 << 20);
        partial.put(&[], 100).unwrap();
        assert_eq!(partial.room(100).remaining_mut(), 100);
        assert_eq!(partial.bytes.capacity(), 100);
        assert_eq!(body(1 << 20).room(1 << 20).remaining_mut(), CHUNK);
        assert_eq!(body(10).room(1 << 20).remaining_mut(), 10);
    }

    #[test]
    fn chunks_of_a_body_that_was_removed_are_skipped() {
        let mut assembler = Assembler::default();
        assembler.begin(ID, body(2), NEVER, "item");
        assert_eq!(assembler.remove(ID), Some("item"));
        assert!(!put(&mut assembler, b"a").unwrap());
    }

    #[test]
    fn an_announced_size_allocates_nothing_and_received_bytes_allocate_in_proportion() {
        let mut assembler = Assembler::default();
        assembler.begin(ID, body(u64::MAX), NEVER, "item");
        assert_eq!(assembler.bodies[&ID].body.bytes.capacity(), 0);
        put(&mut assembler, &[0; 100]).unwrap();
        assert!(assembler.bodies[&ID].body.bytes.capacity() <= 100 * MAX_GROWTH);
    }

    #[test]
    fn the_buffer_never_exceeds_the_announced_size() {
        let mut assembler = Assembler::default();
        assembler.begin(ID, body(150), NEVER, "item");
        put(&mut assembler, &[0; 100]).unwrap();
        assert_eq!(assembler.bodies[&ID].body.bytes.capacity(), 150);
    }

    #[test]
    fn a_buffer_that_fits_is_not_replaced() {
        let buffer = Vec::with_capacity(1 << 20);
        let start = buffer.as_ptr();
        let mut body = PartialBody::new(1 << 20, buffer);
        body.put(&[1; 10], 1 << 10).unwrap();
        body.room(1 << 10).put_bytes(2, 1 << 10);
        let buffer = body.into_buffer();
        assert_eq!(buffer.as_ptr(), start);
    }

    #[test]
    fn a_body_that_does_not_come_expires_with_its_deadline() {
        let mut assembler = Assembler::default();
        assembler.begin(RequestId(1), body(5), 300, "first");
        assembler.begin(RequestId(2), body(5), 100, "second");
        assert_eq!(assembler.next_deadline(), Some(100));
        assert!(assembler.take_expired(99).is_empty());
        assert_eq!(assembler.take_expired(100), ["second"]);
        assert_eq!(assembler.next_deadline(), Some(300));
        assert_eq!(assembler.take_expired(u64::MAX), ["first"]);
        assert_eq!(assembler.next_deadline(), None);
    }

    #[test]
    fn a_body_is_stalled_when_nothing_of_it_arrives_between_two_looks() {
        let mut assembler = Assembler::default();
        assembler.begin(ID, body(5), NEVER, "item");
        // The announcement itself is progress.
        assert!(assembler.take_stalled().is_empty());
        put(&mut assembler, b"a").unwrap();
        assert!(assembler.take_stalled().is_empty());
        assembler.on_progress(ID);
        assert!(assembler.take_stalled().is_empty());
        // Waiting for the rest of a chunk is no progress.
        let waiting = assembler.take_body(ID).unwrap();
        assembler.put_body(ID, waiting);
        assert_eq!(assembler.take_stalled(), ["item"]);
    }
}

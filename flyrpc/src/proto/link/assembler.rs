//! Bodies that arrive in chunks.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, buf::Limit};

use crate::{codec::bytes::Malformed, proto::wire::ids::RequestId};

/// Upper bound on the capacity of a body's buffer, as a multiple of the bytes received. It applies
/// regardless of the announced size.
const MAX_GROWTH: usize = 16;

/// Incomplete bodies, each with an item that is returned along with the complete body.
#[derive(Debug)]
pub(crate) struct Assembler<T> {
    bodies: BTreeMap<RequestId, Partial<T>>,
}

#[derive(Debug)]
struct Partial<T> {
    item: T,
    bytes: Vec<u8>,
    size: u64,
}

impl<T> Default for Assembler<T> {
    fn default() -> Self {
        Assembler { bodies: BTreeMap::new() }
    }
}

impl<T> Assembler<T> {
    /// Expects a body of `size` bytes. Does not allocate its buffer yet.
    pub(crate) fn begin(&mut self, id: RequestId, size: u64, item: T) {
        self.bodies.insert(id, Partial { item, bytes: Vec::new(), size });
    }

    /// Returns the destination for the next `length` bytes of a body. The caller must put exactly
    /// that many bytes into it. Returns `None` if the body is not expected, or no longer expected.
    ///
    /// The destination grows with the bytes received, so the memory of a body is proportional to them.
    /// It is a [`BufMut`] over uninitialized memory, into which a socket can be read. A `&mut [u8]`
    /// would have to be filled with zeros first.
    ///
    /// # Errors
    ///
    /// If the bytes exceed the announced size.
    pub(crate) fn destination(
        &mut self,
        id: RequestId,
        length: usize,
    ) -> Result<Option<Limit<&mut Vec<u8>>>, Malformed> {
        let Some(Partial { bytes, size, .. }) = self.bodies.get_mut(&id) else { return Ok(None) };
        let filled = bytes.len() + length;
        if filled as u64 > *size {
            return Err(Malformed::new("chunk beyond the announced size"));
        }
        if bytes.capacity() < filled {
            // Growing copies the buffer, so grow in large steps, but only in proportion to the bytes
            // received.
            let warranted = MAX_GROWTH * filled;
            let room = usize::try_from(*size).unwrap_or(usize::MAX).min(warranted);
            bytes.reserve_exact(room - bytes.len());
        }
        Ok(Some(bytes.limit(length)))
    }

    /// Removes and returns a body, if all of its bytes have been put into their destination.
    pub(crate) fn take_complete(&mut self, id: RequestId) -> Option<(T, Bytes)> {
        let partial = self.bodies.get(&id)?;
        if (partial.bytes.len() as u64) < partial.size {
            return None;
        }
        let Partial { item, bytes, .. } = self.bodies.remove(&id)?;
        Some((item, Bytes::from(bytes)))
    }

    /// Drops a body that is no longer wanted, and returns its item. Chunks of the body may still
    /// arrive.
    pub(crate) fn remove(&mut self, id: RequestId) -> Option<T> {
        self.bodies.remove(&id).map(|partial| partial.item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: RequestId = RequestId(1);

    fn put(assembler: &mut Assembler<&'static str>, chunk: &[u8]) -> Result<bool, Malformed> {
        let Some(mut to) = assembler.destination(ID, chunk.len())? else { return Ok(false) };
        to.put_slice(chunk);
        Ok(true)
    }

    #[test]
    fn a_body_is_complete_with_its_last_byte() {
        let mut assembler = Assembler::default();
        assembler.begin(ID, 5, "item");
        assert!(put(&mut assembler, b"abc").unwrap());
        assert!(assembler.take_complete(ID).is_none());
        assert!(put(&mut assembler, b"de").unwrap());
        assert_eq!(assembler.take_complete(ID), Some(("item", Bytes::from_static(b"abcde"))));
        assert!(assembler.take_complete(ID).is_none());
    }

    #[test]
    fn a_chunk_beyond_the_announced_size_is_malformed() {
        let mut assembler = Assembler::default();
        assembler.begin(ID, 2, "item");
        assert!(put(&mut assembler, b"abc").is_err());
    }

    #[test]
    fn chunks_of_a_body_that_was_removed_are_skipped() {
        let mut assembler = Assembler::default();
        assembler.begin(ID, 2, "item");
        assert_eq!(assembler.remove(ID), Some("item"));
        assert!(!put(&mut assembler, b"a").unwrap());
    }

    #[test]
    fn an_announced_size_allocates_nothing_and_received_bytes_allocate_in_proportion() {
        let mut assembler = Assembler::default();
        assembler.begin(ID, u64::MAX, "item");
        assert_eq!(assembler.bodies[&ID].bytes.capacity(), 0);
        put(&mut assembler, &[0; 100]).unwrap();
        assert!(assembler.bodies[&ID].bytes.capacity() <= 100 * MAX_GROWTH);
    }

    #[test]
    fn the_buffer_never_exceeds_the_announced_size() {
        let mut assembler = Assembler::default();
        assembler.begin(ID, 150, "item");
        put(&mut assembler, &[0; 100]).unwrap();
        assert_eq!(assembler.bodies[&ID].bytes.capacity(), 150);
    }
}

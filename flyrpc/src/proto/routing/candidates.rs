//! [`Candidates`]: the links that calls of one service are drawn from.

use std::sync::Arc;

use super::load::NodeLoad;

/// The number of links in a chunk.
const CHUNK: usize = 64;

/// A link to a node that serves the service.
#[derive(Debug, Clone)]
pub(super) struct Candidate<L> {
    pub(super) link: L,
    /// The link's [load](super::endpoint::Endpoint::load). A draw reads both, and neither is usually in the processor's
    /// cache. Here, the load can be read at the same time as the link instead of after it.
    pub(super) load: Arc<NodeLoad>,
}

/// A list in no particular order, in chunks. A clone shares the chunks, and each change then copies one or two of them.
#[derive(Debug)]
pub(super) struct Candidates<T> {
    /// All chunks except the last are full.
    chunks: Vec<Arc<Chunk<T>>>,
    len: usize,
}

type Chunk<T> = [Option<T>; CHUNK];

// Not derived, because that would require `T: Clone`.
impl<T> Clone for Candidates<T> {
    fn clone(&self) -> Self {
        Candidates { chunks: self.chunks.clone(), len: self.len }
    }
}

impl<T> Candidates<T> {
    pub(super) const fn new() -> Self {
        Candidates { chunks: Vec::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Returns the item at this position, if it is less than the [length](Self::len).
    #[inline]
    pub(super) fn get(&self, at: usize) -> Option<&T> {
        self.chunks.get(at / CHUNK)?[at % CHUNK].as_ref()
    }

    /// Returns all items.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().flatten())
    }
}

impl<T: Clone> Candidates<T> {
    /// Adds an item.
    pub(super) fn push(&mut self, item: T) {
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::new([const { None }; CHUNK]));
        }
        *self.slot(self.len) = Some(item);
        self.len += 1;
    }

    /// Removes the item at this position. The last item takes its place.
    pub(super) fn swap_remove(&mut self, at: usize) {
        self.len -= 1;
        let last = self.slot(self.len).take();
        if at < self.len {
            *self.slot(at) = last;
        }
        self.chunks.truncate(self.len.div_ceil(CHUNK));
    }

    fn slot(&mut self, at: usize) -> &mut Option<T> {
        &mut Arc::make_mut(&mut self.chunks[at / CHUNK])[at % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(candidates: &Candidates<Box<usize>>) -> Vec<usize> {
        assert_eq!(candidates.iter().count(), candidates.len());
        (0..candidates.len()).map(|at| **candidates.get(at).unwrap()).collect()
    }

    #[test]
    fn the_last_item_takes_the_place_of_a_removed_one() {
        let mut candidates = Candidates::new();
        (0..3).for_each(|item| candidates.push(Box::new(item)));
        candidates.swap_remove(0);
        assert_eq!(list(&candidates), [2, 1]);
        candidates.swap_remove(1);
        candidates.swap_remove(0);
        assert!(candidates.get(0).is_none() && candidates.chunks.is_empty());
    }

    #[test]
    fn a_changed_clone_shares_the_chunks_that_did_not_change() {
        let mut candidates = Candidates::new();
        (0..4 * CHUNK).for_each(|item| candidates.push(Box::new(item)));
        let mut copy = candidates.clone();
        copy.swap_remove(CHUNK);
        copy.push(Box::new(7));
        assert_eq!(list(&candidates), (0..4 * CHUNK).collect::<Vec<_>>());
        assert_eq!((copy.len(), list(&copy)[CHUNK]), (4 * CHUNK, 4 * CHUNK - 1));
        let shared = |at: usize| Arc::ptr_eq(&candidates.chunks[at], &copy.chunks[at]);
        assert_eq!([0, 1, 2, 3].map(shared), [true, false, true, false]);
    }
}

//! A map from the ids of requests.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use crate::proto::wire::ids::RequestId;

/// A map from the ids of requests in flight. Each call adds and removes an entry at both ends, which costs
/// several times as much in a `BTreeMap`.
///
/// A peer can choose ids whose hashes collide. Each of its requests may then be compared with all of its
/// requests in flight, which the limits of the node bound.
pub(crate) type IdMap<T> = HashMap<RequestId, T, BuildHasherDefault<IdHasher>>;

/// Multiplies the id by a constant, and folds the product. Maps iterate in the same order in each run.
#[derive(Debug, Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, id: u64) {
        // The golden ratio, as in Fibonacci hashing.
        let product = u128::from(id) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("ids are hashed as numbers");
    }
}

/// Returns the values in the order of their ids, which does not depend on the hashes.
pub(crate) fn in_order<T>(entries: impl IntoIterator<Item = (RequestId, T)>) -> Vec<T> {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_unstable_by_key(|(id, _)| *id);
    entries.into_iter().map(|(_, value)| value).collect()
}

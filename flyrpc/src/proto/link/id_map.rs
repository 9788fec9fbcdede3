//! A map from the ids of requests.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    mem,
};

use crate::proto::wire::ids::RequestId;

/// The initial number of slots.
const MIN_SLOTS: usize = 16;

/// A map from the ids of requests in flight. Each call adds, finds and removes an entry at both ends.
///
/// Ids are counted, so the low bits of an id are the index of its slot. Only a request that outlives so many
/// later ones that their ids wrap around shares its slot with another. The map then grows if it is more
/// than half full, and otherwise keeps the later request elsewhere.
///
/// A peer can choose ids that share a slot and whose hashes collide. Each of its requests may then be
/// compared with all of its requests in flight, which the limits of the node bound.
#[derive(Debug)]
pub(crate) struct IdMap<T> {
    /// A power of two of them, or none.
    slots: Vec<Option<(RequestId, T)>>,
    /// The entries whose slots are taken.
    others: HashMap<RequestId, T, BuildHasherDefault<IdHasher>>,
    len: usize,
}

impl<T> Default for IdMap<T> {
    fn default() -> Self {
        IdMap { slots: Vec::new(), others: HashMap::default(), len: 0 }
    }
}

impl<T> IdMap<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an entry. Returns false and adds nothing if there is one with the same id.
    #[inline]
    pub(crate) fn add(&mut self, id: RequestId, value: T) -> bool {
        let slot = self.slot(id);
        match self.slots.get_mut(slot) {
            Some(slot @ None) if self.others.is_empty() => *slot = Some((id, value)),
            _ => return self.add_elsewhere(id, value),
        }
        self.len += 1;
        true
    }

    /// Adds an entry whose slot may be taken.
    #[cold]
    fn add_elsewhere(&mut self, id: RequestId, value: T) -> bool {
        if self.get(id).is_some() {
            return false;
        }
        if self.slots.is_empty() || self.is_taken(id) && self.len * 2 > self.slots.len() {
            self.grow();
        }
        self.put(id, value);
        self.len += 1;
        true
    }

    #[inline]
    pub(crate) fn get(&self, id: RequestId) -> Option<&T> {
        match self.slots.get(self.slot(id)) {
            Some(Some((at, value))) if *at == id => Some(value),
            _ => self.others.get(&id),
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: RequestId) -> Option<&mut T> {
        let slot = self.slot(id);
        match self.slots.get_mut(slot) {
            Some(Some((at, value))) if *at == id => Some(value),
            _ => self.others.get_mut(&id),
        }
    }

    #[inline(always)]
    pub(crate) fn remove(&mut self, id: RequestId) -> Option<T> {
        let slot = self.slot(id);
        let removed = match self.slots.get_mut(slot) {
            Some(slot) if slot.as_ref().is_some_and(|(at, _)| *at == id) => slot.take(),
            _ => self.others.remove_entry(&id),
        };
        let (_, value) = removed?;
        self.len -= 1;
        Some(value)
    }

    /// Returns the entries in any order.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (RequestId, &mut T)> {
        let slots = self.slots.iter_mut().flatten().map(|(id, value)| (*id, value));
        slots.chain(self.others.iter_mut().map(|(id, value)| (*id, value)))
    }

    /// Removes and returns the entries in any order.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (RequestId, T)> + use<T> {
        let IdMap { slots, others, .. } = mem::take(self);
        slots.into_iter().flatten().chain(others)
    }

    /// Frees the memory of an empty map.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            *self = IdMap::default();
        }
    }

    /// Returns the index of the slot of an id. Without slots, returns one that does not exist.
    #[inline]
    fn slot(&self, id: RequestId) -> usize {
        id.0 as usize & self.slots.len().wrapping_sub(1)
    }

    fn is_taken(&self, id: RequestId) -> bool {
        matches!(self.slots.get(self.slot(id)), Some(Some(_)))
    }

    fn put(&mut self, id: RequestId, value: T) {
        let slot = self.slot(id);
        match &mut self.slots[slot] {
            slot @ None => *slot = Some((id, value)),
            Some(_) => _ = self.others.insert(id, value),
        }
    }

    fn grow(&mut self) {
        let slots = (self.slots.len() * 2).max(MIN_SLOTS);
        let len = self.len;
        let entries = self.drain();
        self.len = len;
        self.slots.resize_with(slots, || None);
        entries.for_each(|(id, value)| self.put(id, value));
    }
}

/// Multiplies the id by a constant, and folds the product. Maps iterate in the same order in each run.
#[derive(Debug, Default)]
struct IdHasher(u64);

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

/// Returns the values in the order of their ids.
pub(crate) fn in_order<T>(entries: impl IntoIterator<Item = (RequestId, T)>) -> Vec<T> {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_unstable_by_key(|(id, _)| *id);
    entries.into_iter().map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

    use super::*;

    #[test]
    fn it_agrees_with_an_ordered_map_for_counted_and_for_chosen_ids() {
        for seed in 0..200 {
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let (mut map, mut model) = (IdMap::default(), BTreeMap::new());
            let chosen_by_a_peer = seed % 2 == 0;
            for step in 1..2_000 {
                let any = match chosen_by_a_peer {
                    true => rng.random_range(0..64) << rng.random_range(0..50),
                    false => rng.random_range(step - step.min(300)..=step),
                };
                let (added, id) = (if chosen_by_a_peer { any } else { step }, RequestId(any));
                match rng.random_range(0..4) {
                    0 | 1 => {
                        let is_new = !model.contains_key(&added);
                        assert_eq!(map.add(RequestId(added), step), is_new, "seed {seed}");
                        model.entry(added).or_insert(step);
                    }
                    2 => assert_eq!(map.remove(id), model.remove(&any), "seed {seed}"),
                    _ => {
                        assert_eq!(map.get(id), model.get(&any), "seed {seed}");
                        assert_eq!(map.get_mut(id), model.get_mut(&any), "seed {seed}");
                    }
                }
                assert_eq!(map.len(), model.len(), "seed {seed}");
            }
            let found = in_order(map.iter_mut().map(|(id, value)| (id, *value)));
            assert!(found.iter().eq(model.values()), "seed {seed}");
            assert!(in_order(map.drain()).into_iter().eq(model.into_values()), "seed {seed}");
            assert!(map.is_empty());
        }
    }

    #[test]
    fn its_memory_depends_on_the_number_of_requests_and_not_on_their_ids() {
        let mut map = IdMap::default();
        for n in 0..100 {
            assert!(map.add(RequestId(n << 40), ()));
        }
        assert!(map.slots.len() <= 256, "{} slots", map.slots.len());
        (0..100).for_each(|n| assert!(map.remove(RequestId(n << 40)).is_some()));
        map.shrink();
        assert_eq!(map.slots.capacity(), 0);
    }
}

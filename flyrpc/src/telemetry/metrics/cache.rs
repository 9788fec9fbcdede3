//! A map that only grows, and is read without a lock.

use std::{borrow::Borrow, hash::Hash, sync::Arc};

use arc_swap::ArcSwap;
use rapidhash::RapidHashMap;

/// Values that are created when they are used for the first time, and never removed. There are few of them, so each
/// new one copies the map.
#[derive(Debug)]
pub(super) struct Cache<K, V>(ArcSwap<RapidHashMap<K, V>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Cache(ArcSwap::from_pointee(RapidHashMap::default()))
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    /// Uses the value of `key`, if there is one.
    pub(super) fn get<Q, T>(&self, key: &Q, run: impl FnOnce(&V) -> T) -> Option<T>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.0.load().get(key).map(run)
    }

    /// Uses the value of `key`, which `create` creates if there is none. Of several threads that create it at the same
    /// time, each may call `create`.
    pub(super) fn with<Q, T>(
        &self,
        key: &Q,
        create: impl Fn() -> (K, V),
        run: impl FnOnce(&V) -> T,
    ) -> T
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(value) = self.0.load().get(key) {
            return run(value);
        }
        let (owned, new) = create();
        self.0.rcu(|map| {
            let mut map = RapidHashMap::clone(map);
            map.entry(owned.clone()).or_insert_with(|| new.clone());
            Arc::new(map)
        });
        run(self.0.load().get(key).unwrap_or(&new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_created_once() {
        let cache: Cache<String, u32> = Cache::default();
        let get = |value| cache.with("a", || ("a".to_owned(), value), |value| *value);
        assert_eq!((get(1), get(2)), (1, 1));
        assert_eq!(
            (cache.get("a", |value| *value), cache.get("b", |value| *value)),
            (Some(1), None)
        );
    }
}

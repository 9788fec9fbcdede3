//! The median latencies of methods in one region.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::proto::routing::Median;

/// The median latencies of methods in one region, by the names of service and method. Only names that this program calls
/// are in it.
#[derive(Debug, Default)]
pub(super) struct Medians(Mutex<BTreeMap<(&'static str, &'static str), Arc<Median>>>);

impl Medians {
    /// Returns the median latency of a method.
    pub(super) fn get(&self, service: &'static str, method: &'static str) -> Arc<Median> {
        let mut medians = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(medians.entry((service, method)).or_default())
    }
}

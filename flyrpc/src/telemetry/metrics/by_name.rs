//! [`ByName`]: the metrics of methods, found by the addresses of their names.

use std::{
    ptr,
    sync::{Arc, OnceLock},
};

use super::method::MethodMetrics;

const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 8;

/// Metrics of methods, by the addresses of the names of service and method. The names that a client reports, and those that a
/// server reports, each have fixed addresses, so this finds the metrics without reading the names. Each slot keeps its first method. Other methods of that
/// slot are not found, and are looked up by their names.
#[derive(Debug)]
pub(super) struct ByName(Box<[OnceLock<Named>]>);

#[derive(Debug)]
struct Named {
    service: &'static str,
    method: &'static str,
    metrics: Arc<MethodMetrics>,
}

impl Default for ByName {
    fn default() -> Self {
        ByName((0..SLOTS).map(|_| OnceLock::new()).collect())
    }
}

impl ByName {
    #[inline]
    pub(super) fn get(
        &self,
        service: &'static str,
        method: &'static str,
    ) -> Option<&MethodMetrics> {
        let named = self.0[slot(service, method)].get()?;
        let is_found = ptr::eq(named.service, service) && ptr::eq(named.method, method);
        is_found.then_some(&*named.metrics)
    }

    pub(super) fn insert(
        &self,
        service: &'static str,
        method: &'static str,
        metrics: &Arc<MethodMetrics>,
    ) {
        let named = || Named { service, method, metrics: Arc::clone(metrics) };
        self.0[slot(service, method)].get_or_init(named);
    }
}

fn slot(service: &str, method: &str) -> usize {
    let addresses = service.as_ptr().addr().rotate_left(32) ^ method.as_ptr().addr();
    // The upper bits of the product depend on all bits of the addresses (Knuth's multiplicative hash).
    let hash = (addresses as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> (u64::BITS - SLOT_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_found_only_by_their_names() {
        let by_name = ByName::default();
        let (service, method) = ("Notes", "save");
        assert!(by_name.get(service, method).is_none());
        by_name.insert(service, method, &Arc::new(MethodMetrics::new(service, method)));
        assert!(by_name.get(service, method).is_some());
        // Other names at the same addresses.
        assert!(by_name.get(&service[..3], method).is_none());
        assert!(by_name.get(service, &method[..3]).is_none());
    }
}

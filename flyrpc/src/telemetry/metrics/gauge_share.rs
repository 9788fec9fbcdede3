//! [`GaugeShare`]: what one node adds to a gauge that the nodes of a process share.

use std::sync::atomic::{AtomicI64, Ordering};

use metrics::Gauge;

/// What one node adds to a gauge. Dropping it subtracts the same, so that a gauge does not count what has ended with
/// its node.
#[derive(Debug)]
pub(super) struct GaugeShare {
    gauge: Gauge,
    value: AtomicI64,
}

impl GaugeShare {
    pub(super) fn new(gauge: Gauge) -> Self {
        GaugeShare { gauge, value: AtomicI64::new(0) }
    }

    pub(super) fn add(&self, by: i64) {
        self.value.fetch_add(by, Ordering::Relaxed);
        self.gauge.increment(by as f64);
    }

    /// Sets what the node adds. Of several threads that set it at the same time, one wins.
    pub(super) fn set(&self, to: i64) {
        let before = self.value.swap(to, Ordering::Relaxed);
        self.gauge.increment((to - before) as f64);
    }

    #[cfg(test)]
    pub(super) fn value(&self) -> i64 {
        self.value.load(Ordering::Relaxed)
    }
}

impl Drop for GaugeShare {
    fn drop(&mut self) {
        self.gauge.decrement(*self.value.get_mut() as f64);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicU64};

    use super::*;

    #[test]
    fn a_gauge_no_longer_counts_what_a_dropped_share_added() {
        let bits = Arc::new(AtomicU64::new(0));
        let gauge = || Gauge::from_arc(Arc::clone(&bits));
        let value = || f64::from_bits(bits.load(Ordering::Relaxed));
        let (one, other) = (GaugeShare::new(gauge()), GaugeShare::new(gauge()));
        one.add(3);
        other.add(2);
        one.add(-1);
        assert_eq!(value(), 4.0);
        drop(one);
        assert_eq!(value(), 2.0);
    }
}

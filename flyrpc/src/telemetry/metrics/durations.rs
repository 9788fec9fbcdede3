//! [`Durations`]: the durations of the calls of one method.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use metrics::{Histogram, SharedString, histogram};

use super::{
    by_status::ByStatus,
    cache::Cache,
    names::{MAX_SERIES, OTHER_REGION},
};
use crate::{telemetry::status::CallStatus, types::Region};

const SLOTS: usize = 16;

/// The durations of the calls of one method, by region and status.
#[derive(Debug)]
pub(super) struct Durations {
    /// The name of the metric.
    name: &'static str,
    /// The first region of each slot. Its histograms are found without a lock and without a hash of its name.
    few: [OnceLock<(Region, Arc<ByStatus<Histogram>>)>; SLOTS],
    regions: Cache<Region, Arc<ByStatus<Histogram>>>,
    /// The number of histograms.
    series: AtomicUsize,
}

impl Durations {
    pub(super) fn new(name: &'static str) -> Self {
        Durations {
            name,
            few: [const { OnceLock::new() }; SLOTS],
            regions: Cache::default(),
            series: AtomicUsize::new(0),
        }
    }

    pub(super) fn record(
        &self,
        method: &SharedString,
        region: &Region,
        status: CallStatus,
        took: Duration,
    ) {
        let record = |statuses: &Arc<ByStatus<Histogram>>| {
            statuses.get(status).map(|histogram| histogram.record(took))
        };
        let recorded = match self.few[slot(region)].get() {
            Some((first, statuses)) if first == region => record(statuses),
            _ => self.regions.get(region, record).flatten(),
        };
        if recorded.is_none() {
            self.record_first(method, region, status, took);
        }
    }

    /// Records a duration in a histogram that may not be registered yet.
    #[cold]
    fn record_first(
        &self,
        method: &SharedString,
        region: &Region,
        status: CallStatus,
        took: Duration,
    ) {
        let is_full = self.series.load(Relaxed) >= MAX_SERIES;
        let region = if is_full { &Region::from(OTHER_REGION) } else { region };
        let create = || {
            self.series.fetch_add(1, Relaxed);
            histogram!(
                self.name,
                "rpc_system_name" => "flyrpc",
                "rpc_method" => method.clone(),
                "rpc_status_code" => status.as_str(),
                "server_address" => region.to_string(),
            )
        };
        self.regions.with(
            region,
            || (region.clone(), Arc::default()),
            |statuses| {
                statuses.get_or_create(status, create).record(took);
                self.few[slot(region)].get_or_init(|| (region.clone(), Arc::clone(statuses)));
            },
        );
    }
}

/// Returns the slot of a region. A cheap hash is enough: a region whose slot is taken is found in the cache.
fn slot(region: &Region) -> usize {
    let name = region.as_str().as_bytes();
    let [first, last] = [name.first(), name.last()].map(|byte| byte.copied().unwrap_or_default());
    (usize::from(first) + 5 * usize::from(last) + name.len()) % SLOTS
}

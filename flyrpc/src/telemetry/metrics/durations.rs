//! [`Durations`]: the durations of the calls of one method.

use std::{
    sync::{
        Arc,
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

/// The durations of the calls of one method, by region and status.
#[derive(Debug)]
pub(super) struct Durations {
    /// The name of the metric.
    name: &'static str,
    regions: Cache<Region, Arc<ByStatus<Histogram>>>,
    /// The number of histograms.
    series: AtomicUsize,
}

impl Durations {
    pub(super) fn new(name: &'static str) -> Self {
        Durations { name, regions: Cache::default(), series: AtomicUsize::new(0) }
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
        if self.regions.get(region, record).flatten().is_none() {
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
            },
        );
    }
}

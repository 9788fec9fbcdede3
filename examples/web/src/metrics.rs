//! The metrics of this process, for Prometheus. `grafana.json` shows them, and `alerts.yaml` checks them.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of the buckets of durations in seconds, as `flyrpc::Metrics` advises. Without buckets, the
/// exporter would render summaries, whose quantiles cannot be combined across machines.
const BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Time between two upkeeps. Without upkeep, durations accumulate in memory until the next scrape.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder of this process, and starts the task for its upkeep. Metrics that are registered
/// before that would be lost, so this precedes the start of a node.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let durations = Matcher::Suffix("_call_duration_seconds".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(durations, &BUCKETS)?;
    let handle = builder.install_recorder()?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(UPKEEP);
        loop {
            interval.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

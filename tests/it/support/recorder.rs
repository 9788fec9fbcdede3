//! A recorder of metrics, for tests of what a node records.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata,
    SharedString, Unit,
};

/// Keeps the values of all metrics: the sum of a counter, the value of a gauge, and the samples of a histogram.
#[derive(Clone, Default)]
pub(crate) struct TestRecorder(Arc<Mutex<BTreeMap<String, Vec<f64>>>>);

/// One metric.
struct Series {
    recorder: TestRecorder,
    name: String,
}

impl TestRecorder {
    /// Returns all metrics as lines such as `flyrpc_links{region=iad,state=open} [1.0]`, in the order of their names.
    pub(crate) fn lines(&self) -> Vec<String> {
        let all = self.0.lock().unwrap();
        all.iter().map(|(name, values)| format!("{name} {values:?}")).collect()
    }

    /// Returns the lines of the metrics whose names begin with `prefix`.
    pub(crate) fn lines_of(&self, prefix: &str) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.starts_with(prefix)).collect()
    }

    fn series(&self, key: &Key) -> Arc<Series> {
        let labels: Vec<_> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::new(Series { recorder: self.clone(), name })
    }
}

impl Series {
    fn update(&self, update: impl FnOnce(&mut Vec<f64>)) {
        update(self.recorder.0.lock().unwrap().entry(self.name.clone()).or_default());
    }

    /// Changes a value that is 0 at first.
    fn change(&self, change: impl FnOnce(f64) -> f64) {
        self.update(|values| *values = vec![change(values.first().copied().unwrap_or(0.0))]);
    }
}

impl CounterFn for Series {
    fn increment(&self, by: u64) {
        self.change(|value| value + by as f64);
    }

    fn absolute(&self, to: u64) {
        self.change(|_| to as f64);
    }
}

impl GaugeFn for Series {
    fn increment(&self, by: f64) {
        self.change(|value| value + by);
    }

    fn decrement(&self, by: f64) {
        self.change(|value| value - by);
    }

    fn set(&self, to: f64) {
        self.change(|_| to);
    }
}

impl HistogramFn for Series {
    fn record(&self, sample: f64) {
        self.update(|values| values.push(sample));
    }
}

impl metrics::Recorder for TestRecorder {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key))
    }
}

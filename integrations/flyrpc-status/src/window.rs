//! The calls of the last minute, by region and method.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use flyrpc::{
    NodeId, Region,
    operations::{CallCounts, MethodReport, WatchReport},
};
use tokio::time::Instant;

use crate::snapshot::MethodEntry;

/// The time that the figures cover.
const WINDOW: Duration = Duration::from_secs(60);

/// Upper bounds on what a report can add.
const MAX_METHODS: usize = 1_024;
const MAX_STATUSES: usize = 32;
const MAX_ROWS: usize = 4_096;

/// The service, the method and the region.
type Key = (String, String, Region);

/// The differences between successive readings of all nodes. The calls of the nodes of a region are added up at once, so the
/// size depends on the number of methods and regions, and only the last reading is kept for each node.
#[derive(Debug, Default)]
pub(crate) struct Window {
    last: BTreeMap<NodeId, Reading>,
    intervals: VecDeque<Interval>,
}

/// The last reading of a node.
#[derive(Debug)]
struct Reading {
    at: Instant,
    region: Region,
    methods: Vec<MethodReport>,
}

/// The calls between two readings.
#[derive(Debug)]
struct Interval {
    from: Instant,
    to: Instant,
    counts: BTreeMap<Key, CallCounts>,
}

impl Window {
    /// Adds the readings of all nodes that answered.
    pub(crate) fn record(&mut self, now: Instant, reports: Vec<WatchReport>) {
        let from = self.last.values().map(|reading| reading.at).max();
        let mut counts = BTreeMap::new();
        for report in reports {
            let region = report.node.region().clone();
            let methods: Vec<MethodReport> =
                report.methods.into_iter().take(MAX_METHODS).filter(is_plausible).collect();
            if let Some(last) = self.last.get(report.node.id()) {
                for method in &methods {
                    let since = since(&last.methods, method);
                    let key = (method.service.clone(), method.method.clone(), region.clone());
                    if counts.len() < MAX_ROWS || counts.contains_key(&key) {
                        counts.entry(key).or_insert_with(CallCounts::default).add(&since);
                    }
                }
            }
            self.last.insert(
                report.node.id().clone(),
                Reading { at: now, region: region.clone(), methods },
            );
        }
        let is_recent = |at: Instant| now.duration_since(at) <= WINDOW;
        // A node stops recording a minute after it was asked.
        self.last.retain(|_, reading| is_recent(reading.at));
        self.intervals.retain(|interval| is_recent(interval.from));
        if let Some(from) = from.filter(|from| is_recent(*from)) {
            self.intervals.push_back(Interval { from, to: now, counts });
        }
    }

    /// The time between the first and the last reading, in seconds. Zero if there is only one.
    pub(crate) fn seconds(&self) -> f64 {
        let both = self.intervals.front().zip(self.intervals.back());
        both.map_or(0.0, |(first, last)| last.to.duration_since(first.from).as_secs_f64())
    }

    /// The methods that nodes of each region serve, in order.
    pub(crate) fn methods(&self) -> Vec<MethodEntry> {
        let seconds = self.seconds();
        let mut sums = BTreeMap::<&Key, CallCounts>::new();
        for interval in &self.intervals {
            for (key, counts) in &interval.counts {
                sums.entry(key).or_default().add(counts);
            }
        }
        let in_flight = self.in_flight();
        let entry = |((service, method, region), counts): (&Key, CallCounts)| MethodEntry {
            service: service.clone(),
            method: method.clone(),
            region: region.clone(),
            calls: counts.calls(),
            errors: counts.errors(),
            calls_per_second: if seconds > 0.0 { counts.calls() as f64 / seconds } else { 0.0 },
            p50: counts.latencies.quantile(0.5).map(|time| time.as_secs_f64()),
            p99: counts.latencies.quantile(0.99).map(|time| time.as_secs_f64()),
            in_flight: in_flight.get(&(&**service, &**method, region)).copied().unwrap_or(0),
            by_status: counts.by_status,
        };
        sums.into_iter().map(entry).collect()
    }

    /// The numbers of running handlers in the newest readings.
    fn in_flight(&self) -> BTreeMap<(&str, &str, &Region), u64> {
        let newest = self.last.values().map(|reading| reading.at).max();
        let mut sums = BTreeMap::new();
        for reading in self.last.values().filter(|reading| Some(reading.at) == newest) {
            for method in &reading.methods {
                let key = (&*method.service, &*method.method, &reading.region);
                let sum: &mut u64 = sums.entry(key).or_default();
                *sum = sum.saturating_add(method.in_flight);
            }
        }
        sums
    }
}

/// A node of this version has a status for each kind of error.
fn is_plausible(method: &MethodReport) -> bool {
    method.counts.by_status.len() <= MAX_STATUSES
}

/// The calls since the last reading. None if the method is new in it, because its calls have no start.
fn since(last: &[MethodReport], now: &MethodReport) -> CallCounts {
    let is_same = |it: &&MethodReport| it.service == now.service && it.method == now.method;
    last.iter().find(is_same).map(|it| now.counts.since(&it.counts)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The reading of a node that has served this number of calls in 1 ms each, and as many with an error.
    fn reading(name: &str, region: &str, calls: u64) -> WatchReport {
        let mut buckets = vec![0; 41];
        buckets[40] = calls;
        serde_json::from_value::<WatchReport>(json!({
            "node": {"id": NodeId::new(name, 1), "region": region, "addr": "10.0.0.1:1"},
            "recording": 5.0,
            "methods": [{"service": "Notes", "method": "get", "in_flight": 2, "counts":
                {"by_status": {"OK": calls, "TIMEOUT": calls}, "latencies": buckets}}],
        }))
        .unwrap()
    }

    fn rows(window: &Window) -> Vec<Value> {
        let row = |it: MethodEntry| {
            json!([it.region, it.calls, it.errors, it.calls_per_second, it.in_flight])
        };
        window.methods().into_iter().map(row).collect()
    }

    #[test]
    fn calls_between_readings_are_added_by_region() {
        let (start, mut window) = (Instant::now(), Window::default());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        window.record(at(0), vec![reading("a", "iad", 1_000), reading("b", "iad", 50)]);
        assert_eq!((window.seconds(), rows(&window)), (0.0, Vec::new()));
        window.record(at(2), vec![reading("a", "iad", 1_010), reading("c", "hkg", 7)]);
        // The earlier calls of a node that is new here are not those of the window.
        assert_eq!(rows(&window), [json!(["iad", 20, 10, 10.0, 2])]);
        window.record(at(4), vec![reading("a", "iad", 1_010), reading("b", "iad", 60)]);
        assert_eq!((window.seconds(), rows(&window)), (4.0, vec![json!(["iad", 40, 20, 10.0, 4])]));
        let p50 = window.methods()[0].p50.unwrap();
        assert!((0.000_9..0.001_2).contains(&p50), "{p50}");
    }

    #[test]
    fn readings_older_than_a_minute_do_not_count() {
        let (start, mut window) = (Instant::now(), Window::default());
        for second in 0..100 {
            let now = start + Duration::from_secs(second);
            window.record(now, vec![reading("a", "iad", second * 10)]);
        }
        assert_eq!((window.seconds(), window.intervals.len()), (60.0, 60));
        assert_eq!(rows(&window), [json!(["iad", 1_200, 600, 20.0, 2])]);
        window.record(start + Duration::from_secs(200), vec![reading("a", "iad", 5_000)]);
        assert_eq!((window.seconds(), rows(&window)), (0.0, Vec::new()));
    }

    #[test]
    fn implausible_figures_do_no_harm() {
        let (start, mut window) = (Instant::now(), Window::default());
        for calls in [0, u64::MAX, 3, u64::MAX] {
            let nodes = ["a", "b"].map(|name| reading(name, "iad", calls));
            window.record(start, nodes.into());
        }
        assert_eq!(window.methods()[0].calls, u64::MAX);
    }
}

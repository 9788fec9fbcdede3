//! The calls between two readings, by region and method.

use std::{cmp::Reverse, collections::BTreeMap};

use flyrpc::{
    Region,
    operations::{CallCounts, MethodReport},
};
use serde::Serialize;

use super::reading::Reading;
use crate::output::time;

/// The calls of one method in one region.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) region: Region,
    /// The service and the method.
    pub(crate) method: String,
    /// The number of nodes that serve it.
    pub(crate) nodes: u64,
    pub(crate) calls_per_second: f64,
    /// In seconds. `None` if there were no calls.
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) errors_per_second: f64,
    pub(crate) in_flight: u64,
}

impl Row {
    pub(crate) const HEADER: [&'static str; 8] =
        ["REGION", "METHOD", "NODES", "CALLS/S", "P50", "P99", "ERRORS/S", "IN-FLIGHT"];

    pub(crate) fn cells(&self) -> [String; 8] {
        let latency = |seconds: Option<f64>| seconds.map(time).unwrap_or_else(|| "-".to_owned());
        [
            self.region.to_string(),
            self.method.clone(),
            self.nodes.to_string(),
            rate(self.calls_per_second),
            latency(self.p50),
            latency(self.p99),
            rate(self.errors_per_second),
            self.in_flight.to_string(),
        ]
    }
}

fn rate(per_second: f64) -> String {
    if per_second < 99.95 { format!("{per_second:.1}") } else { format!("{per_second:.0}") }
}

/// Returns the calls between two readings. A node that only one of them contains does not count.
pub(crate) fn between(earlier: &Reading, later: &Reading) -> Vec<Row> {
    let mut sums: BTreeMap<(Region, String), Sum> = BTreeMap::new();
    for (id, after) in &later.reports {
        let Some(before) = earlier.reports.get(id) else { continue };
        // If the node has restarted its recording, the counts are those of the new one.
        let elapsed = after.recording - before.recording;
        let elapsed = if elapsed > 0.0 { elapsed } else { after.recording };
        for method in &after.methods {
            let name = format!("{}.{}", method.service, method.method);
            let sum = sums.entry((after.node.region().clone(), name)).or_default();
            let is_same =
                |it: &&MethodReport| it.service == method.service && it.method == method.method;
            if let Some(before) = before.methods.iter().find(is_same) {
                sum.add(&method.counts.since(&before.counts), elapsed);
            }
            sum.nodes += 1;
            sum.in_flight = sum.in_flight.saturating_add(method.in_flight);
        }
    }
    sums.into_iter().map(|((region, method), sum)| sum.into_row(region, method)).collect()
}

#[derive(Default)]
struct Sum {
    nodes: u64,
    calls_per_second: f64,
    errors_per_second: f64,
    in_flight: u64,
    counts: CallCounts,
}

impl Sum {
    fn add(&mut self, calls: &CallCounts, elapsed: f64) {
        if elapsed > 0.0 {
            self.calls_per_second += calls.calls() as f64 / elapsed;
            self.errors_per_second += calls.errors() as f64 / elapsed;
        }
        self.counts.add(calls);
    }

    fn into_row(self, region: Region, method: String) -> Row {
        let quantile =
            |part| self.counts.latencies.quantile(part).map(|latency| latency.as_secs_f64());
        Row {
            region,
            method,
            nodes: self.nodes,
            calls_per_second: self.calls_per_second,
            p50: quantile(0.5),
            p99: quantile(0.99),
            errors_per_second: self.errors_per_second,
            in_flight: self.in_flight,
        }
    }
}

/// The order of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    #[default]
    Calls,
    P99,
    Errors,
    InFlight,
    Name,
}

impl Sort {
    pub(crate) fn next(self) -> Self {
        match self {
            Sort::Calls => Sort::P99,
            Sort::P99 => Sort::Errors,
            Sort::Errors => Sort::InFlight,
            Sort::InFlight => Sort::Name,
            Sort::Name => Sort::Calls,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Sort::Calls => "calls/s",
            Sort::P99 => "p99",
            Sort::Errors => "errors/s",
            Sort::InFlight => "in flight",
            Sort::Name => "region and method",
        }
    }

    /// Sorts rows, the largest first, and by region and method if they are equal.
    pub(crate) fn apply(self, rows: &mut [Row]) {
        let bits = |number: f64| number.to_bits();
        rows.sort_by_cached_key(|row| {
            // Numbers that are not negative compare like their bits.
            let largest = match self {
                Sort::Calls => bits(row.calls_per_second),
                Sort::P99 => bits(row.p99.unwrap_or(0.0)),
                Sort::Errors => bits(row.errors_per_second),
                Sort::InFlight => row.in_flight,
                Sort::Name => 0,
            };
            (Reverse(largest), row.region.clone(), row.method.clone())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(region: &str, calls_per_second: f64, p99: Option<f64>) -> Row {
        Row {
            region: region.into(),
            method: "S.m".to_owned(),
            nodes: 1,
            calls_per_second,
            p50: None,
            p99,
            errors_per_second: 0.0,
            in_flight: 0,
        }
    }

    #[test]
    fn rows_are_sorted_by_the_chosen_column_and_then_by_name() {
        let mut rows = [row("syd", 1.0, Some(0.5)), row("hkg", 2.0, None), row("ams", 1.0, None)];
        let mut order = |sort: Sort| {
            sort.apply(&mut rows);
            rows.iter().map(|row| row.region.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(order(Sort::Calls), ["hkg", "ams", "syd"]);
        assert_eq!(order(Sort::P99), ["syd", "ams", "hkg"]);
        assert_eq!(order(Sort::Name), ["ams", "hkg", "syd"]);
        let mut sort = Sort::default();
        for _ in 0..5 {
            sort = sort.next();
        }
        assert_eq!(sort, Sort::default());
    }
}

//! Checks `grafana.json` and `alerts.yaml` against the metrics that nodes export.

mod cluster;
mod exposition;
#[path = "../../src/metrics.rs"]
mod metrics;
mod promql;

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;

use self::{exposition::Series, promql::Selector};

const DASHBOARD: &str = include_str!("../../grafana.json");
const ALERTS: &str = include_str!("../../alerts.yaml");

/// The label that Prometheus adds to the series of one program.
const SCRAPE_LABEL: &str = "job";

/// Upper bound on the series of a method, region and status. A histogram has 17: its buckets, sum and count.
const MAX_SERIES: usize = 40;

/// An expression, and the labels of its result that a text refers to.
struct Query {
    expr: String,
    shown: BTreeSet<String>,
}

#[tokio::test]
async fn the_dashboard_and_the_alerts_use_exported_metrics() {
    let handle = metrics::install().expect("this process has no other recorder");
    let calls = tokio::time::timeout(Duration::from_secs(60), cluster::make_calls());
    let nodes = calls.await.expect("the calls end within 60 s");
    let series = exposition::parse(&handle.render());

    let (panels, alerts) = (dashboard_queries(), alert_queries());
    assert!(panels.len() > 15 && alerts.len() > 5, "queries are missing");
    let queries = panels.iter().chain(&alerts);
    let wrong: Vec<String> = queries.flat_map(|query| mistakes(query, &series)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");

    for node in &nodes {
        let boot = format!("{:016x}", node.id().boot());
        for part in [node.id().name().to_owned(), boot, node.addr().port().to_string()] {
            let found = series.iter().find(|one| one.labels.values().any(|v| v.contains(&part)));
            assert!(found.is_none(), "{found:?} contains {part}, a part of {}", node.info());
        }
    }
    check_bound(&series);
    for node in &nodes {
        node.shutdown().await;
    }
}

#[test]
fn the_dashboard_works_with_any_data_source() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("the dashboard is JSON");
    let mut uids = BTreeSet::new();
    visit(&dashboard, &mut |object| {
        uids.extend(object.pointer("/datasource/uid").and_then(Value::as_str).map(str::to_owned));
    });
    // The second one is the source of annotations that every Grafana has.
    assert_eq!(Vec::from_iter(uids), ["${datasource}", "-- Grafana --"]);
}

/// Returns the queries of all panels and variables.
fn dashboard_queries() -> Vec<Query> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("the dashboard is JSON");
    let mut queries = Vec::new();
    visit(&dashboard, &mut |object| {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        if let Some(expr) = text("expr") {
            let shown = text("legendFormat").map(|legend| between(legend, "{{", "}}"));
            queries.push(Query { expr: expr.to_owned(), shown: shown.unwrap_or_default() });
        }
        // The query of a variable: label_values(metric, label).
        let values = text("definition").and_then(|text| text.strip_prefix("label_values("));
        if let Some((metric, label)) = values.and_then(|values| values.rsplit_once(", ")) {
            let label = label.trim_end_matches(')');
            let expr = format!("max by ({label}) ({metric})");
            queries.push(Query { expr, shown: BTreeSet::new() });
        }
    });
    queries
}

/// Calls `run` with each object in a value.
fn visit(value: &Value, run: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(entries) => {
            run(value);
            entries.values().for_each(|value| visit(value, run));
        }
        Value::Array(values) => values.iter().for_each(|value| visit(value, run)),
        _ => {}
    }
}

/// Returns the queries of all rules. Each is on the line of its key, or in an indented block.
fn alert_queries() -> Vec<Query> {
    let rules = ALERTS.split("- alert: ").skip(1);
    let query = |rule: &str| {
        let (name, _) = rule.split_once('\n').expect("a rule has further lines");
        for key in ["for", "severity", "summary", "description", "first_steps"] {
            assert!(rule.contains(&format!(" {key}: ")), "{name} has no {key}");
        }
        let (_, expr) = rule.split_once("expr: ").expect("a rule has an expression");
        let (expr, _) = expr.split_once("for: ").expect("a rule states its duration");
        let expr = expr.strip_prefix('|').unwrap_or(expr).trim().to_owned();
        Query { expr, shown: between(rule, "$labels.", " ") }
    };
    rules.map(query).collect()
}

/// Returns the texts between a start and an end.
fn between(text: &str, start: &str, end: &str) -> BTreeSet<String> {
    let parts = text.split(start).skip(1).filter_map(|part| part.split_once(end));
    parts.map(|(part, _)| part.trim().to_owned()).collect()
}

/// Returns what a query refers to and the series do not have.
fn mistakes(Query { expr, shown }: &Query, series: &[Series]) -> Vec<String> {
    let groups = promql::groups(expr);
    let absent = shown.difference(&groups).map(|label| format!("no label {label} in a result"));
    let selectors = promql::selectors(expr);
    let selected = selectors.iter().flat_map(|selector| selector_mistakes(selector, series));
    absent.chain(selected).map(|mistake| format!("{mistake}: {expr}")).collect()
}

fn selector_mistakes(
    Selector { metric, labels, matchers }: &Selector,
    series: &[Series],
) -> Vec<String> {
    let exported: Vec<&Series> = series.iter().filter(|one| one.name == *metric).collect();
    if exported.is_empty() {
        return vec![format!("no metric {metric}")];
    }
    let exported_label = |label: &str| exported.iter().all(|one| one.labels.contains_key(label));
    let unknown = labels.iter().filter(|label| *label != SCRAPE_LABEL && !exported_label(label));
    let unknown = unknown.map(|label| format!("no label {label} of {metric}"));
    // The alternatives of a regular expression, but not those that a variable stands for.
    let values = matchers.iter().filter(|(_, values)| !values.contains('$'));
    let values = values.flat_map(|(label, values)| values.split('|').map(move |v| (label, v)));
    let exported_value = |label: &str, value: &str| {
        exported.iter().any(|one| one.labels.get(label).is_some_and(|exported| exported == value))
    };
    let unused = values.filter(|(label, value)| !value.is_empty() && !exported_value(label, value));
    let unused = unused.map(|(label, value)| format!("no {label}=\"{value}\" of {metric}"));
    unknown.chain(unused).collect()
}

/// Checks the number of series. One that lacks a label counts for each of its values.
fn check_bound(series: &[Series]) {
    let keys: BTreeSet<_> = series.iter().filter_map(key).collect();
    assert!(keys.len() > 5, "calls are missing: {keys:?}");
    for (method, region, status) in keys {
        let same = series.iter().filter(|one| {
            one.labels.get("rpc_method").is_some_and(|is| is == method)
                && one.has_or_lacks("server_address", region)
                && one.has_or_lacks("rpc_status_code", status)
                && one.has_or_lacks("outcome", status)
        });
        let count = same.count();
        assert!(count <= MAX_SERIES, "{method} in {region:?}, {status}: {count} series");
    }
}

/// Returns the method, region and status of a series that has all of them.
fn key(series: &Series) -> Option<(&String, &String, &String)> {
    let get = |label| series.labels.get(label);
    Some((get("rpc_method")?, get("server_address")?, get("rpc_status_code")?))
}

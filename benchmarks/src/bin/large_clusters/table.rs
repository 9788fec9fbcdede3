//! The results as a table in Markdown.

use std::{fmt::Write, time::Duration};

use flyrpc_examples::show;

use crate::{
    scenarios::{Changes, Idle, LIMIT, Partition, Restart, Results},
    stats::Spread,
};

/// One line of the table: its title, and the text of a cell.
type Line = (&'static str, fn(&Results) -> Option<String>);

const LINES: [Line; 21] = [
    ("**idle**, per node and second: datagrams sent", |all| {
        Some(format!("{:.2}", idle(all)?.datagrams))
    }),
    ("bytes sent, gossip + anti-entropy syncs", |all| {
        let idle = idle(all)?;
        Some(format!("{:.0} + {:.0}", idle.gossip, idle.syncs))
    }),
    ("bytes sent and received by the busiest node", |all| {
        Some(format!("{:.0}", idle(all)?.busiest))
    }),
    ("**crash** known to the first / median / last", |all| spread(changes(all)?.crash)),
    ("the last node, worst repetition", |all| Some(time(changes(all)?.crash_worst))),
    ("**leave** known to the first / median / last", |all| spread(changes(all)?.leave)),
    ("**join** known to the first / median / last", |all| spread(changes(all)?.join)),
    ("the joiner knows all nodes after", |all| {
        Some(changes(all)?.joiner.map_or("never".to_owned(), show::time))
    }),
    ("false downs, needless renewals", |all| {
        let changes = changes(all)?;
        Some(format!("{}, {}", changes.false_downs, changes.renewals))
    }),
    ("**rolling restart**: pairs unknown at its end", |all| percent(restart(all)?.missing)),
    ("all nodes know each other after", |all| Some(time(restart(all)?.agreed))),
    ("false downs, needless renewals", |all| {
        let restart = restart(all)?;
        Some(format!("{}, {}", restart.false_downs, restart.renewals))
    }),
    ("bytes sent per node and second", |all| bytes(restart(all)?.load.mean)),
    ("total sent and received by the busiest node", |all| bytes(restart(all)?.load.busiest as f64)),
    ("**partition** of 60 s: pairs across it that know each other at its end", |all| {
        percent(partition(all)?.unparted)
    }),
    ("healed: 99 % of pairs know each other after", |all| Some(time(partition(all)?.mostly))),
    ("all nodes know each other after", |all| Some(time(partition(all)?.agreed))),
    ("false downs after healing", |all| Some(partition(all)?.false_downs.to_string())),
    ("identity renewals per node", |all| Some(format!("{:.2}", partition(all)?.renewals))),
    ("bytes sent per node and second", |all| bytes(partition(all)?.load.mean)),
    ("total sent and received by the busiest node", |all| {
        bytes(partition(all)?.load.busiest as f64)
    }),
];

/// Formats the results with a column for each cluster. Lines without a value are left out.
pub(crate) fn markdown(results: &[Results]) -> String {
    let mut table = String::from("| nodes |");
    for all in results {
        write!(table, " {} |", thousands(all.nodes)).expect("writing to a string does not fail");
    }
    table.push_str("\n|---|");
    table.push_str(&"---:|".repeat(results.len()));
    table.push('\n');
    for (what, show) in LINES {
        let cells: Vec<_> = results.iter().map(show).collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let cells = cells.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>();
        writeln!(table, "| {what} | {} |", cells.join(" | "))
            .expect("writing to a string does not fail");
    }
    table
}

/// Formats a number with commas between thousands.
pub(crate) fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn idle(all: &Results) -> Option<Idle> {
    all.idle
}

fn changes(all: &Results) -> Option<Changes> {
    all.changes
}

fn restart(all: &Results) -> Option<Restart> {
    all.restart
}

fn partition(all: &Results) -> Option<Partition> {
    all.partition
}

fn spread(spread: Option<Spread>) -> Option<String> {
    let Some(Spread { first, median, last }) = spread else { return Some("never".to_owned()) };
    let [first, median, last] = [first, median, last].map(|time| time.as_secs_f64());
    Some(format!("{first:.1} / {median:.1} / {last:.1} s"))
}

fn time(time: Option<Duration>) -> String {
    match time {
        Some(time) => format!("{:.1} s", time.as_secs_f64()),
        None => format!("> {} s", LIMIT.as_secs()),
    }
}

fn percent(share: f64) -> Option<String> {
    Some(match share * 100.0 {
        0.0 => "none".to_owned(),
        ..0.01 => "< 0.01 %".to_owned(),
        percent => format!("{percent:.2} %"),
    })
}

fn bytes(bytes: f64) -> Option<String> {
    Some(match bytes {
        ..1e3 => format!("{bytes:.0} B"),
        ..1e6 => format!("{:.1} kB", bytes / 1e3),
        ..1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.1} GB", bytes / 1e9),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_column_for_each_cluster_and_no_line_without_a_figure() {
        let idle = Idle { gossip: 175.4, syncs: 38.0, datagrams: 1.184, busiest: 630.0 };
        let small = Results { nodes: 100, idle: Some(idle), ..Results::default() };
        let large = Results { nodes: 5_000, ..Results::default() };
        let expected = "\
            | nodes | 100 | 5,000 |\n\
            |---|---:|---:|\n\
            | **idle**, per node and second: datagrams sent | 1.18 |  |\n\
            | bytes sent, gossip + anti-entropy syncs | 175 + 38 |  |\n\
            | bytes sent and received by the busiest node | 630 |  |\n";
        assert_eq!(markdown(&[small, large]), expected);
    }

    #[test]
    fn the_unit_suits_the_size_of_the_figure() {
        assert_eq!(bytes(999.4).as_deref(), Some("999 B"));
        assert_eq!(bytes(12_340_000.0).as_deref(), Some("12.3 MB"));
        assert_eq!(time(None), "> 300 s");
        assert_eq!(percent(0.0).as_deref(), Some("none"));
        assert_eq!(percent(0.000_01).as_deref(), Some("< 0.01 %"));
        assert_eq!(percent(0.012_34).as_deref(), Some("1.23 %"));
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(100), "100");
    }
}

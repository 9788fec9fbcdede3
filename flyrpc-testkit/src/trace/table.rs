//! A trace as a table.

use std::fmt;

use super::{
    call::TracedCall,
    event::TracedEvent,
    execution::TracedExecution,
    time::{Stamp, millis},
};

/// The entries of a trace, each kind in the order of the run.
pub(super) struct Entries<'a> {
    pub(super) seed: u64,
    pub(super) calls: &'a [TracedCall],
    pub(super) executions: &'a [TracedExecution],
    pub(super) events: &'a [TracedEvent],
}

pub(super) fn print(entries: &Entries<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "seed {}", entries.seed)?;
    let rows = rows(entries);
    let [time, kind, node] = widths(rows.iter().map(|row| [&row.time, &row.kind, &row.node]));
    let calls = rows.iter().filter_map(|row| match &row.details {
        Details::Call { peer, method, bytes, took, .. } => Some([peer, method, bytes, took]),
        Details::Event(_) => None,
    });
    let [peer_width, method_width, bytes_width, took_width] = widths(calls);
    for row in &rows {
        write!(f, "{:>time$}  {:kind$}  ", row.time, row.kind)?;
        match &row.details {
            Details::Event(text) if row.node.is_empty() => writeln!(f, "{text}")?,
            Details::Event(text) => writeln!(f, "{:node$}  {text}", row.node)?,
            Details::Call { peer, method, bytes, took, outcome } => writeln!(
                f,
                "{:node$}  {peer:peer_width$}  {method:method_width$}  {bytes:bytes_width$}  \
                 {took:>took_width$}  {outcome}",
                row.node
            )?,
        }
    }
    Ok(())
}

struct Row {
    time: String,
    kind: String,
    node: String,
    details: Details,
}

enum Details {
    Event(String),
    /// An attempt or an execution.
    Call {
        /// An arrow, and the other node or the target.
        peer: String,
        method: String,
        bytes: String,
        took: String,
        outcome: String,
    },
}

/// Returns the rows in order. Each kind is already sorted, so the sort only merges them.
fn rows(entries: &Entries<'_>) -> Vec<Row> {
    let calls = entries.calls.iter().map(|call| (call.started, call_row(call)));
    let executions = entries.executions.iter();
    let executions = executions.map(|execution| (execution.started, execution_row(execution)));
    let events = entries.events.iter().map(|event| (event.stamp, event_row(event)));
    let mut rows: Vec<(Stamp, Row)> = calls.chain(executions).chain(events).collect();
    rows.sort_by_key(|(stamp, _)| *stamp);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn call_row(call: &TracedCall) -> Row {
    let to = match &call.request.node {
        Some(node) => format!("{} ({})", node.name(), node.region()),
        None => call.target().to_string(),
    };
    let details = Details::Call {
        peer: one_line(&format!("→ {to}")),
        method: one_line(&format!("{}.{} #{}", call.service(), call.method(), call.attempt())),
        bytes: bytes(call),
        took: call.took().map_or("-".to_owned(), millis),
        outcome: call
            .outcome()
            .map_or("in flight".to_owned(), |outcome| one_line(&outcome.to_string())),
    };
    Row {
        time: millis(call.start()),
        kind: format!("call {}", call.call()),
        node: one_line(&call.caller.to_string()),
        details,
    }
}

fn execution_row(execution: &TracedExecution) -> Row {
    let (caller, attempt) = (execution.caller(), execution.attempt());
    let method = format!("{}.{} #{attempt}", execution.service(), execution.method());
    let details = Details::Call {
        peer: one_line(&format!("← {caller} ({})", execution.caller_region())),
        method: one_line(&method),
        bytes: String::new(),
        took: execution.took().map_or("-".to_owned(), millis),
        outcome: execution.outcome().map_or("running".to_owned(), |outcome| outcome.to_string()),
    };
    Row {
        time: millis(execution.start()),
        kind: "run".to_owned(),
        node: one_line(&execution.node.to_string()),
        details,
    }
}

fn event_row(event: &TracedEvent) -> Row {
    Row {
        time: millis(event.at()),
        kind: event.occurrence.label().to_owned(),
        node: event.node.as_ref().map_or(String::new(), |node| one_line(&node.to_string())),
        details: Details::Event(one_line(&event.occurrence.to_string())),
    }
}

fn bytes(call: &TracedCall) -> String {
    match (call.request_bytes(), call.reply_bytes()) {
        (None, None) if call.is_local() => "in process".to_owned(),
        (None, None) => "-".to_owned(),
        (request, reply) => {
            let [request, reply] =
                [request, reply].map(|bytes| bytes.map_or("-".to_owned(), |n| format!("{n} B")));
            format!("{request} → {reply}")
        }
    }
}

/// Escapes control characters: panic messages and node names must not break the lines of the table.
fn one_line(text: &str) -> String {
    text.chars().flat_map(escaped).collect()
}

fn escaped(c: char) -> impl Iterator<Item = char> {
    let (plain, escape) =
        if c.is_control() { (None, Some(c.escape_default())) } else { (Some(c), None) };
    plain.into_iter().chain(escape.into_iter().flatten())
}

/// Returns the widths of columns in characters.
fn widths<'a, const N: usize>(rows: impl Iterator<Item = [&'a String; N]>) -> [usize; N] {
    rows.fold([0; N], |widths, cells| {
        let mut cells = cells.into_iter().map(|cell| cell.chars().count());
        widths.map(|width| width.max(cells.next().unwrap_or(0)))
    })
}

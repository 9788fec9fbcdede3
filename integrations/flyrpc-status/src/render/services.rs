//! Which node serves which method, and which nodes lack a method or an argument.

use std::fmt::{self, Write as _};

use super::{
    and_more, node_link,
    text::{name, reason},
};
use crate::snapshot::{
    NodeEntry, Snapshot,
    services::{Cell, Compared, MethodRow, compare},
};

/// Upper bounds on what is shown.
const MAX_COLUMNS: usize = 48;
const MAX_ROWS: usize = 150;

/// Writes the matrix.
pub(super) fn services(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let Compared { rows, left_out } = compare(snapshot);
    let nodes: Vec<&NodeEntry> = snapshot.live().collect();
    out.push_str("<section><h2>Services by node</h2>\n");
    if rows.is_empty() {
        out.push_str("<p class=\"muted\">No node serves anything.</p></section>\n");
        return Ok(());
    }
    let columns = columns(&rows, nodes.len());
    out.push_str("<div class=\"scroll\"><table class=\"matrix\"><thead><tr><th>Method");
    for at in &columns {
        let entry = nodes[*at];
        write!(out, "<th><span><small>{}</small> ", name(entry.node.region().as_str()))?;
        node_link(out, &entry.node, "")?;
        out.push_str("</span>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in rows.iter().take(MAX_ROWS) {
        let signature = row.spec.to_string();
        let (service, method) = (name(row.service), name(&row.spec.name));
        write!(out, "<tr><th title=\"{}\">{service}.<b>{method}</b>", reason(&signature))?;
        for at in &columns {
            cell(out, &row.cells[*at])?;
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    and_more(out, nodes.len(), columns.len(), "nodes")?;
    and_more(out, rows.len() + left_out, rows.len().min(MAX_ROWS), "methods")?;
    out.push_str(
        "<div class=\"legend matrix\"><span><b class=\"good\">✓</b>serves it</span>\
         <span><b class=\"lacks\">✗</b>serves the service without the method</span>\
         <span><b class=\"differs\">≠</b>other arguments or another type</span>\
         <span><b class=\"off\">off</b>stopped serving it</span>\
         <span><b>·</b>does not serve the service</span><span><b>?</b>unknown</span></div>\n",
    );
    differences(out, &rows, &nodes)?;
    out.push_str("</section>\n");
    Ok(())
}

/// Chooses the nodes that are shown: if there are too many, those that differ from the others come first.
fn columns(rows: &[MethodRow<'_>], nodes: usize) -> Vec<usize> {
    let differs = |at: usize| {
        let is_usual = |cell: &Cell| matches!(cell, Cell::Serves | Cell::Absent | Cell::Unknown);
        !rows.iter().all(|row| is_usual(&row.cells[at]))
    };
    let mut columns: Vec<usize> = (0..nodes).collect();
    if nodes > MAX_COLUMNS {
        columns.sort_by_cached_key(|at| !differs(*at));
        columns.truncate(MAX_COLUMNS);
        columns.sort();
    }
    columns
}

fn cell(out: &mut String, cell: &Cell) -> fmt::Result {
    match cell {
        Cell::Serves => write!(out, "<td class=\"good\">✓"),
        Cell::Withdrawn => write!(out, "<td class=\"off\">off"),
        Cell::Differs(how) => write!(out, "<td class=\"differs\" title=\"{}\">≠", name(how)),
        Cell::Lacks => write!(out, "<td class=\"lacks\">✗"),
        Cell::Absent => write!(out, "<td class=\"muted\">·"),
        Cell::Unknown => write!(out, "<td class=\"muted\">?"),
    }
}

/// Describes the arguments that differ, because a touch screen shows no titles.
fn differences(out: &mut String, rows: &[MethodRow<'_>], nodes: &[&NodeEntry]) -> fmt::Result {
    const MAX: usize = 30;
    let differing = rows.iter().flat_map(|row| {
        let pairs = row.cells.iter().zip(nodes);
        pairs.filter_map(move |(cell, entry)| match cell {
            Cell::Differs(how) => Some((row, entry, how)),
            _ => None,
        })
    });
    let differing: Vec<_> = differing.collect();
    if differing.is_empty() {
        return Ok(());
    }
    out.push_str("<h3>Other arguments</h3><ul>");
    for (row, entry, how) in differing.iter().take(MAX) {
        let (service, method) = (name(row.service), name(&row.spec.name));
        write!(out, "<li>{service}.{method} on {}: {}</li>", name(entry.node.name()), reason(how))?;
    }
    out.push_str("</ul>");
    and_more(out, differing.len(), MAX, "differences")
}

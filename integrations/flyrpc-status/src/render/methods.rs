//! The calls of the last minute, by method and region.

use std::fmt::{self, Write as _};

use super::{
    and_more,
    text::{Time, name},
};
use crate::snapshot::{MethodEntry, Snapshot};

/// Upper bounds on what is shown.
const MAX_ROWS: usize = 500;
const MAX_STATUSES: usize = 6;

/// Writes the table.
pub(super) fn methods(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    write!(
        out,
        "<section><h2>Methods by region</h2>\n<p class=\"muted\">The calls that the nodes served in the last {:.0} s. \
         Nodes record them only while this page is open.</p>\n",
        snapshot.window
    )?;
    if snapshot.window == 0.0 {
        out.push_str("<p>The nodes have begun to record. The next refresh shows their calls.</p></section>\n");
        return Ok(());
    }
    let is_active = |entry: &&MethodEntry| entry.calls > 0 || entry.in_flight > 0;
    let active: Vec<&MethodEntry> = snapshot.methods.iter().filter(is_active).collect();
    out.push_str(
        "<div class=\"scroll\"><table><thead><tr><th>Method<th>Region<th class=\"n\">Calls/s\
         <th class=\"n\">Errors<th class=\"n\">p50<th class=\"n\">p99<th class=\"n\">In flight<th>By status\
         </tr></thead><tbody>\n",
    );
    let mut last = None;
    for entry in active.iter().take(MAX_ROWS) {
        let method = (&entry.service, &entry.method);
        row(out, entry, last != Some(method))?;
        last = Some(method);
    }
    out.push_str("</tbody></table></div>");
    and_more(out, active.len(), MAX_ROWS, "rows")?;
    let idle = snapshot.methods.len() - active.len();
    if idle > 0 {
        write!(out, "<p class=\"muted\">Without calls: {idle} more methods in a region.</p>")?;
    }
    out.push_str("</section>\n");
    Ok(())
}

fn row(out: &mut String, entry: &MethodEntry, is_first: bool) -> fmt::Result {
    out.push_str("<tr><td>");
    if is_first {
        write!(out, "{}.<b>{}</b>", name(&entry.service), name(&entry.method))?;
    }
    let share = entry.errors as f64 / entry.calls.max(1) as f64;
    let class = match entry.errors {
        0 => "muted",
        _ if share < 0.01 => "warning",
        _ => "error",
    };
    let (region, rate) = (name(entry.region.as_str()), entry.calls_per_second);
    write!(out, "<td>{region}<td class=\"n\">{rate:.1}<td class=\"n {class}\">")?;
    match entry.errors {
        0 => out.push('0'),
        errors => write!(out, "{errors} ({:.1} %)", share * 100.0)?,
    }
    write!(
        out,
        "<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"muted\">",
        Time(entry.p50),
        Time(entry.p99),
        entry.in_flight
    )?;
    for (index, (status, count)) in entry.by_status.iter().take(MAX_STATUSES).enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        write!(out, "{comma}{} {count}", name(status))?;
    }
    out.push('\n');
    Ok(())
}

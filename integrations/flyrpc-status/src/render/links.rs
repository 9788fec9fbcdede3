//! The links between the nodes, as a heat map of round trips.

use std::fmt::{self, Write as _};

use flyrpc::NodeId;

use super::{
    and_more, node_link,
    text::{Time, name, reason},
};
use crate::snapshot::{Answer, Health, LinkEntry, NodeEntry, Snapshot};

/// Upper bound on the number of rows and of columns.
const MAX: usize = 40;

/// The round trips, in milliseconds, from which a cell has the next color.
const STEPS: [f64; 5] = [5.0, 30.0, 80.0, 150.0, 250.0];

/// Writes the heat map.
pub(super) fn links(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let all: Vec<&NodeEntry> =
        snapshot.nodes.iter().filter(|entry| entry.health != Health::Left).collect();
    let nodes = chosen(&all);
    out.push_str(
        "<section><h2>Round trips</h2>\n<p class=\"muted\">Each row is a node that reports, each column a peer of it. \
         In milliseconds: the shortest of the last round trips.</p>\n\
         <div class=\"scroll\"><table class=\"matrix\"><thead><tr><th>Reported by",
    );
    for entry in &nodes {
        write!(out, "<th><span><small>{}</small> ", name(entry.node.region().as_str()))?;
        node_link(out, &entry.node, "")?;
        out.push_str("</span>");
    }
    out.push_str("</tr></thead><tbody>\n");
    for from in &nodes {
        write!(out, "<tr><th><small>{}</small> ", name(from.node.region().as_str()))?;
        node_link(out, &from.node, "")?;
        if from.answer == Answer::Answered {
            for to in &nodes {
                cell(out, from, to)?;
            }
        } else {
            let text = match from.answer {
                Answer::Failed => "does not answer",
                Answer::Unsupported => "reports nothing",
                Answer::Answered | Answer::NotAsked => "not asked",
            };
            write!(out, "<td class=\"muted\" colspan=\"{}\">{text}", nodes.len())?;
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    and_more(out, all.len(), nodes.len(), "nodes")?;
    legend(out)?;
    out.push_str("</section>\n");
    Ok(())
}

/// Chooses the nodes that are shown: if there are too many, those with problems and those that answered come first, from each
/// region in turn.
fn chosen<'a>(all: &[&'a NodeEntry]) -> Vec<&'a NodeEntry> {
    if all.len() <= MAX {
        return all.to_vec();
    }
    let regions = all.chunk_by(|a, b| a.node.region() == b.node.region());
    let mut ranked: Vec<(bool, usize, usize)> = Vec::new();
    let mut first = 0;
    for nodes in regions {
        let order = nodes.iter().enumerate();
        let is_last =
            |entry: &NodeEntry| entry.health < Health::Warning && entry.answer != Answer::Answered;
        ranked.extend(order.map(|(rank, entry)| (is_last(entry), rank, first + rank)));
        first += nodes.len();
    }
    ranked.sort();
    let mut shown: Vec<usize> = ranked.into_iter().take(MAX).map(|(.., at)| at).collect();
    shown.sort();
    shown.into_iter().map(|at| all[at]).collect()
}

fn cell(out: &mut String, from: &NodeEntry, to: &NodeEntry) -> fmt::Result {
    let to_id: &NodeId = to.node.id();
    if from.node.id() == to_id {
        return write!(out, "<td>");
    }
    let Some(link) = from.links.get(to_id) else {
        return write!(out, "<td class=\"off\" title=\"not known\">?");
    };
    let (from, to) = (name(from.node.name()), name(to.node.name()));
    match (why_not(link), link.round_trip) {
        (Some(why), _) => {
            write!(out, "<td class=\"fail\" title=\"{from} to {to}: {}\">✗", reason(why))
        }
        (None, Some(time)) => {
            let (class, title) = (heat(time), Time(Some(time)));
            write!(out, "<td class=\"{class}\" title=\"{from} to {to}: {title}\">{}", millis(time))
        }
        (None, None) => {
            write!(out, "<td class=\"muted\" title=\"{from} to {to}: {}\">·", name(&link.state))
        }
    }
}

/// Why a peer cannot be called over a link. `None` if it can.
fn why_not(link: &LinkEntry) -> Option<&str> {
    match &*link.state {
        _ if link.supported == Some(false) => Some(&link.reason),
        "lost" | "unreached" | "left" => Some(&link.state),
        _ if link.ejected => Some("ejected"),
        _ => None,
    }
}

fn heat(seconds: f64) -> &'static str {
    const CLASSES: [&str; 6] = ["h0", "h1", "h2", "h3", "h4", "h5"];
    CLASSES[STEPS.iter().filter(|step| seconds * 1e3 >= **step).count()]
}

fn millis(seconds: f64) -> String {
    let millis = seconds * 1e3;
    if millis < 10.0 { format!("{millis:.1}") } else { format!("{:.0}", millis.min(99_999.0)) }
}

fn legend(out: &mut String) -> fmt::Result {
    out.push_str("<div class=\"legend matrix\">");
    let mut from = 0.0;
    for step in STEPS {
        write!(
            out,
            "<span><b class=\"{}\">&nbsp;</b>{from} to {step} ms</span>",
            heat(from / 1e3)
        )?;
        from = step;
    }
    writeln!(
        out,
        "<span><b class=\"h5\">&nbsp;</b>more</span><span><b class=\"fail\">✗</b>cannot be called</span>\
         <span><b class=\"muted\">·</b>no link open</span><span><b class=\"off\">?</b>not known to it</span></div>"
    )
}

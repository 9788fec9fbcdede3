//! The first page: what is wrong, where the nodes are, and what they disagree on.

use std::fmt::{self, Write as _};

use flyrpc::Region;

use super::{
    and_more, class, map, node_link,
    regions::place,
    subject_link,
    text::{count, name, reason},
};
use crate::snapshot::{Health, NodeEntry, Severity, Snapshot, keys, versions};

/// More nodes than this are below the map instead of beside it.
const MAX_BESIDE: usize = 60;

/// Upper bounds on what is shown.
const MAX_PROBLEMS: usize = 100;
const MAX_NODES: usize = 2_000;
const MAX_REGIONS: usize = 200;
const MAX_ROWS: usize = 20;

/// The nodes of a region.
#[derive(Debug)]
pub(super) struct RegionView<'a> {
    pub(super) region: &'a Region,
    /// The worst of its live nodes.
    pub(super) health: Health,
    pub(super) is_primary: bool,
    /// The number of nodes that may be running.
    pub(super) live: usize,
    nodes: Vec<&'a NodeEntry>,
}

/// Groups the nodes by region, in the order of the snapshot.
pub(super) fn regions(snapshot: &Snapshot) -> Vec<RegionView<'_>> {
    let groups = snapshot.nodes.chunk_by(|a, b| a.node.region() == b.node.region());
    groups.map(|nodes| region_view(nodes, &snapshot.primary_region)).collect()
}

/// Describes a region from its nodes. There is at least one.
fn region_view<'a>(entries: &'a [NodeEntry], primary: &Region) -> RegionView<'a> {
    let region = entries[0].node.region();
    let mut nodes: Vec<&NodeEntry> = entries.iter().collect();
    nodes.sort_by_key(|entry| entry.health == Health::Left);
    let health = nodes.iter().map(|entry| entry.health).filter(|health| *health != Health::Left);
    RegionView {
        region,
        health: health.max().unwrap_or(Health::Left),
        is_primary: region == primary,
        live: entries.iter().filter(|entry| entry.is_live()).count(),
        nodes,
    }
}

/// Writes the page.
pub(super) fn overview(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    problems(out, snapshot)?;
    let regions = regions(snapshot);
    let layout = if snapshot.nodes.len() <= MAX_BESIDE { "side" } else { "stacked" };
    writeln!(out, "<div class=\"{layout}\">")?;
    out.push_str("<section class=\"map\"><h2>Regions</h2>\n");
    map::map(out, &regions)?;
    let elsewhere: Vec<_> = regions.iter().filter(|it| place(it.region).is_none()).collect();
    if !elsewhere.is_empty() {
        out.push_str("<p class=\"muted\">Not on the map: ");
        for (index, view) in elsewhere.iter().take(MAX_REGIONS).enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let region = named(view.region);
            write!(
                out,
                "{comma}<b class=\"{}\">{}</b> {}",
                class(view.health),
                name(region),
                view.live
            )?;
        }
        out.push_str("</p>\n");
    }
    out.push_str("</section>\n");
    nodes(out, &regions)?;
    out.push_str("</div>\n<div class=\"two\">\n");
    primary(out, snapshot)?;
    deploy(out, snapshot)?;
    held_keys(out, snapshot)?;
    out.push_str("</div>\n");
    Ok(())
}

fn problems(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    out.push_str("<section><h2>Problems</h2>\n");
    if snapshot.problems.is_empty() {
        return writeln!(
            out,
            "<p class=\"good\">None: every node answers, and can be called.</p></section>"
        );
    }
    out.push_str("<ul class=\"problems\">\n");
    for problem in snapshot.problems.iter().take(MAX_PROBLEMS) {
        let class = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Notice => "notice",
        };
        write!(out, "<li class=\"{class}\">")?;
        subject_link(out, &problem.subject)?;
        writeln!(out, "<span>{}</span></li>", reason(&problem.text))?;
    }
    out.push_str("</ul>");
    and_more(out, snapshot.problems.len(), MAX_PROBLEMS, "problems")?;
    out.push_str("</section>\n");
    Ok(())
}

fn nodes(out: &mut String, regions: &[RegionView<'_>]) -> fmt::Result {
    out.push_str("<section><h2>Nodes by region</h2>\n<table><tbody>\n");
    let mut room = MAX_NODES;
    for view in regions.iter().take(MAX_REGIONS) {
        let city = place(view.region).map_or("", |place| place.city);
        let primary = if view.is_primary { "<br><span class=\"muted\">primary</span>" } else { "" };
        write!(
            out,
            "<tr><td><b>{}</b> <span class=\"city muted\">{city}</span>{primary}</td><td class=\"n\">{}</td>\
             <td><div class=\"chips\">",
            name(named(view.region)),
            view.live
        )?;
        for entry in view.nodes.iter().take(room) {
            node_link(out, &entry.node, class(entry.health))?;
        }
        out.push_str("</div>");
        and_more(out, view.nodes.len(), room, "nodes")?;
        room = room.saturating_sub(view.nodes.len());
        out.push_str("</td></tr>\n");
    }
    out.push_str("</tbody></table>");
    and_more(out, regions.len(), MAX_REGIONS, "regions")?;
    out.push_str("</section>\n");
    Ok(())
}

fn primary(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let known = || snapshot.live().filter_map(|entry| entry.primary_region.as_ref());
    let agree = known().filter(|region| **region == snapshot.primary_region).count();
    let (all, primary) = (known().count(), named(&snapshot.primary_region));
    write!(out, "<section><h2>Primary region</h2>\n<p><b>{}</b></p>", name(primary))?;
    if agree == all {
        writeln!(out, "<p class=\"good\">All {} agree.</p></section>", count(all, "node"))
    } else {
        let other = count(all - agree, "node");
        writeln!(
            out,
            "<p class=\"error\">{other} of {all} disagree: see the problems.</p></section>"
        )
    }
}

fn deploy(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let versions = versions(snapshot);
    out.push_str("<section><h2>Versions</h2>\n<table><tbody>");
    for (version, nodes) in versions.iter().take(MAX_ROWS) {
        let version = if version.is_empty() { "none" } else { version };
        write!(
            out,
            "<tr><td>{}</td><td class=\"n\">{}</td></tr>",
            name(version),
            count(*nodes, "node")
        )?;
    }
    out.push_str("</tbody></table>");
    and_more(out, versions.len(), MAX_ROWS, "versions")?;
    out.push_str(match versions.len() {
        0 | 1 => "<p class=\"good\">The deploy is complete.</p></section>\n",
        _ => "<p class=\"muted\">The deploy is not complete.</p></section>\n",
    });
    Ok(())
}

fn held_keys(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let keys = keys(snapshot);
    out.push_str("<section><h2>Keys</h2>\n");
    if keys.is_empty() {
        out.push_str(
            "<p class=\"muted\">No node has a secret: links are not encrypted.</p></section>\n",
        );
        return Ok(());
    }
    out.push_str("<table><tbody>");
    for (key, holders, without) in keys.iter().take(MAX_ROWS) {
        let (all, key) = (holders + without.len(), name(key));
        let class = if without.is_empty() { "good" } else { "warning" };
        write!(
            out,
            "<tr><td><code>{key}</code></td><td class=\"n {class}\">{holders} of {all} nodes</td></tr>"
        )?;
    }
    out.push_str("</tbody></table>");
    and_more(out, keys.len(), MAX_ROWS, "keys")?;
    out.push_str(match keys.len() {
        1 if keys[0].2.is_empty() => "<p class=\"good\">No rotation is in progress.</p></section>\n",
        _ if keys.iter().all(|(.., without)| without.is_empty()) => {
            "<p class=\"good\">Every node holds all keys, so an old one can be removed.</p></section>\n"
        }
        _ => "<p class=\"muted\">The rotation is not complete.</p></section>\n",
    });
    Ok(())
}

fn named(region: &Region) -> &str {
    if region.is_empty() { "(none)" } else { region.as_str() }
}

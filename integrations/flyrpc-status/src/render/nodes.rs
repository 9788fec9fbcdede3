//! The table of nodes, and the page of one node.

use std::fmt::{self, Write as _};

use flyrpc::operations::{NodeReport, PeerReport};

use super::{
    Chosen, and_more, class, node_link, state,
    text::{Age, Time, count, name, reason},
};
use crate::snapshot::{Answer, ITSELF, NodeEntry, Snapshot};

/// Upper bounds on what is shown.
const MAX_NODES: usize = 1_000;
const MAX_PEERS: usize = 1_000;
const MAX_SERVICES: usize = 50;
const MAX_METHODS: usize = 100;

/// Writes the table of nodes. The worst come first if there are too many.
pub(super) fn nodes(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    out.push_str(
        "<section><h2>Nodes</h2><div class=\"scroll\"><table><thead><tr><th>Node<th>Region<th>State\
         <th>Version<th class=\"n\">Round trip<th class=\"n\">In flight<th class=\"n\">Uptime<th>Link\
         <th>Why</tr></thead><tbody>\n",
    );
    let mut entries: Vec<&NodeEntry> = snapshot.nodes.iter().collect();
    if entries.len() > MAX_NODES {
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.health));
    }
    for entry in entries.iter().take(MAX_NODES) {
        row(out, entry)?;
    }
    out.push_str("</tbody></table></div>");
    and_more(out, snapshot.nodes.len(), MAX_NODES, "nodes")?;
    let not_asked =
        snapshot.live().filter(|entry| entry.answer == Answer::NotAsked && entry.reason.is_empty());
    let not_asked = not_asked.count();
    if not_asked > 0 {
        let count = count(not_asked, "node");
        write!(out, "<p class=\"muted\">The cluster is large: {count} were not asked.</p>")?;
    }
    out.push_str("</section>\n");
    Ok(())
}

fn row(out: &mut String, entry: &NodeEntry) -> fmt::Result {
    let class = class(entry.health);
    out.push_str("<tr><td>");
    node_link(out, &entry.node, class)?;
    writeln!(
        out,
        "<td>{}<td class=\"{class}\">{}<td>{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}<td>{}<td class=\"w\">{}",
        name(entry.node.region().as_str()),
        name(state(entry)),
        name(&entry.version),
        Time(entry.round_trip),
        entry.in_flight,
        Age(entry.uptime),
        name(&entry.security),
        reason(&entry.reason),
    )
}

/// Writes the page of the node that the viewer has chosen.
pub(super) fn node(out: &mut String, snapshot: &Snapshot, chosen: &Chosen) -> fmt::Result {
    let known = snapshot.nodes.iter().find(|it| it.node.id().to_string() == chosen.id);
    let title = known.map_or(&*chosen.id, |entry| entry.node.name());
    write!(out, "<section><h2>{}", name(title))?;
    if let Some(entry) = known {
        let (class, state) = (class(entry.health), name(state(entry)));
        write!(out, " <span class=\"{class}\">{state}</span>")?;
    }
    out.push_str("</h2>\n");
    match &chosen.report {
        Err(error) => {
            write!(out, "<p class=\"error\">No report of this node: {}</p>", reason(error))?;
            out.push_str("<p><a href=\"?page=nodes\">All nodes</a></p></section>\n");
        }
        Ok(report) => {
            out.push_str("<p class=\"muted\">As the node itself reports.</p>");
            facts(out, report)?;
            out.push_str("</section>\n");
            peers(out, report)?;
            services(out, report)?;
        }
    }
    Ok(())
}

fn facts(out: &mut String, report: &NodeReport) -> fmt::Result {
    out.push_str("<dl>");
    let mut fact = |key: &str, value: &str| {
        let value = if value.is_empty() { "–" } else { value };
        writeln!(out, "<dt>{key}<dd>{}", reason(value))
    };
    let calls = match (report.draining, report.accepting) {
        (true, _) => "refused: it is draining",
        (_, true) => "accepted",
        (_, false) => "refused: it is held",
    };
    let (first, last) = report.protocol;
    fact("Id", &report.node.id().to_string())?;
    fact("Region", report.node.region().as_str())?;
    fact("Address", &report.node.addr().to_string())?;
    fact("Cluster", &report.cluster)?;
    fact("Version", &report.version)?;
    fact("flyrpc", &format!("{}, protocol {first} to {last}", report.flyrpc))?;
    fact("Primary region", report.primary_region.as_str())?;
    fact("Calls of other nodes", calls)?;
    fact("Search for nodes", if report.ready { "complete" } else { "not complete" })?;
    fact("In flight", &report.in_flight.to_string())?;
    fact("Uptime", &Age(Some(report.uptime)).to_string())?;
    fact("Keys", &report.keys.join(", "))?;
    fact("Stopped serving", &report.withdrawn.join(", "))
}

fn peers(out: &mut String, report: &NodeReport) -> fmt::Result {
    out.push_str(
        "<section><h2>Other nodes, as it sees them</h2><div class=\"scroll\"><table><thead><tr>\
         <th>Node<th>Region<th>State<th>Can be called<th class=\"n\">Round trip<th class=\"n\">In flight\
         <th class=\"n\">Gossip<th>Version<th>Link</tr></thead><tbody>\n",
    );
    for peer in report.peers.iter().take(MAX_PEERS) {
        peer_row(out, peer)?;
    }
    out.push_str("</tbody></table></div>");
    and_more(out, report.peers.len(), MAX_PEERS, "addresses")?;
    out.push_str("</section>\n");
    Ok(())
}

fn peer_row(out: &mut String, peer: &PeerReport) -> fmt::Result {
    out.push_str("<tr><td>");
    match &peer.node {
        Some(node) => node_link(out, node, "")?,
        None => write!(out, "{}", peer.addr)?,
    }
    let (class, callable) = match peer.supported {
        _ if peer.state == "left" => ("left", "no"),
        Some(true) if !peer.accepting => ("warning", "it refuses calls"),
        Some(true) if peer.ejected => ("warning", "ejected: most calls failed"),
        Some(true) => ("good", "yes"),
        Some(false) if peer.reason.starts_with(ITSELF) => ("muted", &*peer.reason),
        Some(false) => ("error", &*peer.reason),
        None => ("muted", "unknown"),
    };
    let gossip = match (peer.gossip_missing, peer.gossip_age) {
        (true, _) => "missing".to_owned(),
        (false, Some(age)) => Age(Some(age)).to_string(),
        (false, None) => "–".to_owned(),
    };
    writeln!(
        out,
        "<td>{}<td>{}<td class=\"w {class}\">{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{gossip}<td>{}<td>{}",
        name(peer.node.as_ref().map_or("", |node| node.region().as_str())),
        name(&peer.state),
        reason(callable),
        Time(peer.round_trip),
        peer.in_flight,
        name(&peer.version),
        name(&peer.security),
    )
}

fn services(out: &mut String, report: &NodeReport) -> fmt::Result {
    out.push_str("<section><h2>Services</h2>\n");
    if report.services.is_empty() {
        out.push_str("<p class=\"muted\">It serves none.</p>");
    }
    for service in report.services.iter().take(MAX_SERVICES) {
        write!(out, "<h3>{}</h3><ul>", name(&service.name))?;
        for method in service.methods.iter().take(MAX_METHODS) {
            let flags = [
                (method.primary, "primary"),
                (method.idempotent, "idempotent"),
                (method.detached, "detached"),
            ];
            write!(out, "<li><code>{}</code>", reason(&method.to_string()))?;
            for (_, flag) in flags.iter().filter(|(is_set, _)| *is_set) {
                write!(out, " <span class=\"muted\">{flag}</span>")?;
            }
            out.push_str("</li>");
        }
        out.push_str("</ul>");
        and_more(out, service.methods.len(), MAX_METHODS, "methods")?;
    }
    and_more(out, report.services.len(), MAX_SERVICES, "services")?;
    out.push_str("</section>\n");
    Ok(())
}

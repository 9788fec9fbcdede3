//! `flyrpc nodes`

use flyrpc::operations::{NodeReport, PeerReport};
use serde_json::{Value, json};

use crate::{
    exit::{self, Failure},
    options::Options,
    output::{print, print_json, table, time},
    session::{Session, is_linked},
};

pub(crate) async fn run(options: &Options, keys: bool) -> Result<u8, Failure> {
    let session = Session::open(options).await?;
    let report = session.report().await?;
    let rows = rows(&report);
    if options.json {
        print_json(&rows.iter().map(Row::to_json).collect::<Vec<_>>())?;
    } else {
        print(&as_text(&report, &rows, keys))?;
    }
    Ok(exit::OK)
}

fn as_text(report: &NodeReport, rows: &[Row<'_>], keys: bool) -> String {
    let mut header = vec!["ID", "REGION", "VERSION", "STATE", "RTT", "IN-FLIGHT"];
    if keys {
        header.extend(["LINK", "KEYS"]);
    }
    header.push("SERVES");
    let mut cells = vec![header.into_iter().map(str::to_owned).collect()];
    cells.extend(rows.iter().map(|row| row.cells(keys)));
    let mut text = table(&cells);
    if keys {
        let counts = key_counts(rows);
        if counts.len() > 1 {
            text += &format!("\n{}", table(&counts));
            let unknown = rows.iter().filter(|row| row.is_node() && !row.is_linked()).count();
            if unknown > 0 {
                text += &format!("Nodes without a link, whose keys are unknown: {unknown}\n");
            }
        }
    }
    // With `keys`, a column shows the links of a node that has a secret.
    if let Some(open) = open_links(report).filter(|_| !keys || report.keys.is_empty()) {
        text += &format!("\n{open}\n");
    }
    text
}

/// Returns a line about the open links of the node that was asked, unless there are none, or they are as intended: nodes on
/// loopback need no secret.
fn open_links(report: &NodeReport) -> Option<String> {
    let linked: Vec<_> = report.peers.iter().filter(|peer| is_linked(peer)).collect();
    if report.keys.is_empty() {
        // Everything that reaches the node may call it, even if no node is linked.
        let mut addrs = linked.iter().map(|peer| peer.addr).chain([report.node.addr()]);
        let is_local = addrs.all(|addr| addr.ip().to_canonical().is_loopback());
        return (!is_local).then(|| "links: open".to_owned());
    }
    let open = linked.iter().filter(|peer| peer.security == "open").count();
    let of = linked.len();
    (open > 0).then(|| format!("links: open to {open} of {of} nodes; --keys shows which"))
}

/// Returns the number of linked nodes that hold each key, as the rows of a table. The keys of the node that was asked come first,
/// in the order of its keyring.
fn key_counts(rows: &[Row<'_>]) -> Vec<Vec<String>> {
    let nodes: Vec<_> = rows.iter().filter(|row| row.is_linked()).collect();
    let asked = rows.iter().filter(|row| matches!(row, Row::Asked(_)));
    let mut ids: Vec<&String> = Vec::new();
    for id in asked.chain(rows).flat_map(|row| row.keys()) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let count = |id| nodes.iter().filter(|node| node.keys().contains(id)).count();
    let held = ids.iter().map(|id| vec![(*id).clone(), format!("{}/{}", count(id), nodes.len())]);
    std::iter::once(vec!["KEY".to_owned(), "NODES".to_owned()]).chain(held).collect()
}

/// A node, or an address at which there is none.
enum Row<'a> {
    /// The node that was asked.
    Asked(&'a NodeReport),
    Peer(&'a PeerReport),
}

fn rows(report: &NodeReport) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = report.peers.iter().map(Row::Peer).collect();
    rows.push(Row::Asked(report));
    rows.sort_by_cached_key(|row| (row.region().is_empty(), row.region(), row.id()));
    rows
}

impl Row<'_> {
    fn id(&self) -> String {
        match self {
            Row::Asked(report) => report.node.id().to_string(),
            Row::Peer(peer) => match &peer.node {
                Some(node) => node.id().to_string(),
                None => peer.addr.to_string(),
            },
        }
    }

    /// Whether this is a node of the cluster, instead of an address without one.
    fn is_node(&self) -> bool {
        match self {
            Row::Asked(_) => true,
            Row::Peer(peer) => peer.node.is_some(),
        }
    }

    /// Whether the node that was asked is linked to it, or is it.
    fn is_linked(&self) -> bool {
        match self {
            Row::Asked(_) => true,
            Row::Peer(peer) => is_linked(peer),
        }
    }

    /// The ids of the keys that the node holds.
    fn keys(&self) -> &[String] {
        match self {
            Row::Asked(report) => &report.keys,
            Row::Peer(peer) => &peer.keys,
        }
    }

    fn region(&self) -> String {
        match self {
            Row::Asked(report) => report.node.region().to_string(),
            Row::Peer(peer) => {
                peer.node.as_ref().map(|node| node.region().to_string()).unwrap_or_default()
            }
        }
    }

    fn state(&self) -> String {
        match self {
            Row::Asked(report) if report.draining => "asked, draining".to_owned(),
            Row::Asked(report) if !report.accepting => "asked, held".to_owned(),
            Row::Asked(_) => "asked".to_owned(),
            Row::Peer(peer) => {
                let mut state = peer.state.clone();
                if self.is_linked() && !peer.accepting {
                    state += ", not accepting";
                }
                if peer.ejected {
                    state += ", ejected";
                }
                if peer.gossip_missing {
                    state += ", no gossip";
                }
                state
            }
        }
    }

    /// The services, or why the node cannot be called.
    fn serves(&self) -> String {
        let (services, withdrawn) = match self {
            Row::Asked(report) => (&report.services, &report.withdrawn),
            Row::Peer(peer) if !peer.reason.is_empty() => return format!("({})", peer.reason),
            Row::Peer(peer) => (&peer.services, &peer.withdrawn),
        };
        let names = services.iter().map(|service| {
            let is_withdrawn = withdrawn.contains(&service.name);
            let mark = if is_withdrawn { " (withdrawn)" } else { "" };
            format!("{}{mark}", service.name)
        });
        names.collect::<Vec<_>>().join(", ")
    }

    fn cells(&self, keys: bool) -> Vec<String> {
        let (version, round_trip, in_flight, link) = match self {
            Row::Asked(report) => (&report.version, None, Some(report.in_flight), ""),
            Row::Peer(peer) => {
                let in_flight = self.is_linked().then_some(peer.reported_in_flight);
                let in_flight = in_flight.map(u64::from);
                (&peer.version, peer.round_trip, in_flight, &*peer.security)
            }
        };
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let mut cells = vec![
            self.id(),
            or_dash(self.region()),
            or_dash(version.clone()),
            self.state(),
            or_dash(round_trip.map(time).unwrap_or_default()),
            or_dash(in_flight.map(|count| count.to_string()).unwrap_or_default()),
        ];
        if keys {
            cells.push(or_dash(link.to_owned()));
            cells.push(or_dash(self.keys().join(", ")));
        }
        cells.push(or_dash(self.serves()));
        cells
    }

    fn to_json(&self) -> Value {
        match self {
            Row::Asked(report) => json!({
                "asked": true,
                "id": report.node.id(),
                "region": report.node.region(),
                "addr": report.node.addr(),
                "version": report.version,
                "flyrpc": report.flyrpc,
                "cluster": report.cluster,
                "state": "asked",
                "accepting": report.accepting,
                "draining": report.draining,
                "primary_region": report.primary_region,
                "round_trip": null,
                "in_flight": report.in_flight,
                "serves": names(&report.services),
                "withdrawn": report.withdrawn,
                "keys": report.keys,
                "link": null,
                "reason": null,
            }),
            Row::Peer(peer) => json!({
                "asked": false,
                "id": peer.node.as_ref().map(|node| node.id()),
                "region": peer.node.as_ref().map(|node| node.region()),
                "addr": peer.addr,
                "version": peer.version,
                "state": peer.state,
                "accepting": peer.accepting,
                "primary_region": peer.primary_region,
                "round_trip": peer.round_trip,
                "in_flight": peer.reported_in_flight,
                "serves": names(&peer.services),
                "withdrawn": peer.withdrawn,
                "keys": peer.keys,
                "link": Some(&peer.security).filter(|link| !link.is_empty()),
                "reason": Some(&peer.reason).filter(|reason| !reason.is_empty()),
                "ejected": peer.ejected,
                "gossip_missing": peer.gossip_missing,
            }),
        }
    }
}

fn names(services: &[flyrpc::ServiceSpec]) -> Vec<&str> {
    services.iter().map(|service| &*service.name).collect()
}

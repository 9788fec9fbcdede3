//! The stages of a node that answered.

use flyrpc::operations::PeerReport;

use super::{
    cluster,
    failed::{SAME_CLUSTER, SHARED_VERSION},
    observe::{Advertised, Answered, Observed, is_first_dial, is_forward},
    stages::{FIRST_DIAL, Stage, view},
};
use crate::{commands::compat, output::time, session::is_linked};

/// The difference of two wall clocks from which on it is a failure, in seconds.
const MAX_CLOCK_DIFFERENCE: f64 = 1.0;

pub(super) fn stages_of_node(observed: &Observed, node: &Answered) -> Vec<Stage> {
    let report = &node.report;
    let addrs = observed.addrs.iter().flatten().map(ToString::to_string);
    let addrs = addrs.collect::<Vec<_>>().join(", ");
    let connected = match (&node.reached, observed.other()) {
        (None, Some(asked)) => format!("not from here, but from {}", asked.report.node.name()),
        _ => format!("answered in {}", time(node.took)),
    };
    let key = match &node.sealed {
        Some(key) => format!("sealed with {key}"),
        None if report.keys.is_empty() => "open: the node has no secret".to_owned(),
        None => format!("it holds {}", report.keys.join(", ")),
    };
    let flyrpc = format!("{} runs flyrpc {}", report.node, report.flyrpc);
    vec![
        Stage::passed("name", addrs),
        Stage::passed("connect", connected),
        Stage::passed("flyrpc", flyrpc),
        Stage::passed("key", key),
        cluster_name(observed, node),
        version(observed, node),
        clock(observed, node),
        udp(observed, node),
        address(observed, node),
        primary(observed, node),
        accepting(node),
        services(observed, node),
        listed(observed, node),
    ]
}

fn cluster_name(observed: &Observed, node: &Answered) -> Stage {
    let cluster = &node.report.cluster;
    match observed.other() {
        Some(asked) if asked.report.cluster != *cluster => {
            let by = asked.report.node.name();
            let detail =
                format!("it belongs to {cluster:?}, and {by} to {:?}", asked.report.cluster);
            Stage::failed("cluster", "other cluster", detail, SAME_CLUSTER)
        }
        _ => Stage::passed("cluster", format!("{cluster:?}")),
    }
}

fn version(observed: &Observed, node: &Answered) -> Stage {
    let (first, last) = node.report.protocol;
    let detail = format!("it speaks versions {first} to {last} of the protocol");
    match observed.other() {
        Some(asked) if asked.report.protocol.0 > last || asked.report.protocol.1 < first => {
            let (by, (first, last)) = (asked.report.node.name(), asked.report.protocol);
            let detail = format!("{detail}, and {by} {first} to {last}");
            Stage::failed("version", "other version", detail, SHARED_VERSION)
        }
        _ => Stage::passed("version", detail),
    }
}

fn clock(observed: &Observed, node: &Answered) -> Stage {
    let (reference, ahead, uncertain) = match observed.other() {
        Some(asked) => {
            let uncertain = node.clock_error() + asked.clock_error();
            (asked.report.node.name().to_owned(), node.clock - asked.clock, uncertain)
        }
        None => ("this machine".to_owned(), node.clock, node.clock_error()),
    };
    let direction = if ahead < 0.0 { "behind" } else { "ahead of" };
    let detail =
        format!("{} {direction} {reference}, give or take {}", time(ahead.abs()), time(uncertain));
    if ahead.abs() <= MAX_CLOCK_DIFFERENCE + uncertain {
        return Stage::passed("clock", detail);
    }
    let cause = if ahead < 0.0 { "clock behind" } else { "clock ahead" };
    let remedy = format!(
        "synchronize the clock of {} (NTP); that of a machine that was suspended may be stale",
        node.report.node.name()
    );
    Stage::failed("clock", cause, detail, remedy)
}

fn udp(observed: &Observed, node: &Answered) -> Stage {
    match observed.other() {
        Some(asked) => udp_between(observed.peer(), asked, node),
        None => udp_to_all(node),
    }
}

/// Whether gossip arrives at the node from any of its peers.
fn udp_to_all(node: &Answered) -> Stage {
    let linked: Vec<&PeerReport> = node.report.peers.iter().filter(|it| is_linked(it)).collect();
    let all = linked.len();
    if all == 0 {
        return Stage::unknown("udp", "it has no links");
    }
    match linked.iter().filter(|peer| !peer.gossip_missing).count() {
        0 => {
            let addr = node.report.node.addr();
            let remedy = format!("let UDP through to {addr}, from all nodes and back");
            let detail = format!("no gossip arrives from any of {all} linked peers");
            Stage::failed("udp", "UDP dropped", detail, remedy)
        }
        some => Stage::passed("udp", format!("gossip arrives from {some} of {all} peers")),
    }
}

/// Whether gossip arrives both ways between the node and the one that was asked, which knows it as `there`.
fn udp_between(there: Option<&PeerReport>, asked: &Answered, node: &Answered) -> Stage {
    let (by, name) = (asked.report.node.name(), node.report.node.name());
    let back = peer_of(node, asked);
    let age = |peer: &PeerReport| peer.gossip_age.map_or_else(|| "?".to_owned(), time);
    let (mut details, mut ends) = (Vec::new(), Vec::new());
    if let Some(there) = there.filter(|peer| peer.gossip_missing) {
        details.push(format!("none from {name} arrives at {by} for {}", age(there)));
        ends.push(asked.report.node.addr().to_string());
    }
    if let Some(back) = back.filter(|peer| peer.gossip_missing) {
        details.push(format!("none from {by} arrives at {name} for {}", age(back)));
        ends.push(node.report.node.addr().to_string());
    }
    if !details.is_empty() {
        let remedy = format!("let UDP through to {}, as well as TCP", ends.join(" and to "));
        return Stage::failed("udp", "UDP dropped", details.join("; "), remedy);
    }
    match there.filter(|there| is_linked(there)).zip(back) {
        Some((there, back)) => {
            let detail = format!("gossip {} ago at {by}, {} ago at {name}", age(there), age(back));
            Stage::passed("udp", detail)
        }
        None => Stage::unknown("udp", "no link is open"),
    }
}

/// What a node knows about the one that was asked.
pub(super) fn peer_of<'a>(node: &'a Answered, asked: &Answered) -> Option<&'a PeerReport> {
    let is_asked = |peer: &&PeerReport| {
        peer.node.as_ref().is_some_and(|peer| peer.id() == asked.report.node.id())
    };
    node.report.peers.iter().find(is_asked)
}

fn address(observed: &Observed, node: &Answered) -> Stage {
    let advertised = node.report.node.addr();
    let reached = match (node.reached, observed.other()) {
        (Some(reached), _) => reached,
        (None, Some(asked)) => {
            let by = asked.report.node.name();
            return Stage::passed("address", format!("advertises {advertised}; {by} has a link"));
        }
        (None, None) => return Stage::unknown("address", format!("advertises {advertised}")),
    };
    match &observed.advertised {
        _ if reached == advertised => Stage::passed("address", format!("advertises {advertised}")),
        Advertised::SameNode => {
            let detail = format!("reached at {reached}, and at {advertised}, which it advertises");
            Stage::passed("address", detail)
        }
        Advertised::NotTried if is_forward(reached, advertised) => {
            let detail = format!("advertises {advertised}; reached through a forward at {reached}");
            Stage::passed("address", detail)
        }
        Advertised::NotTried => {
            Stage::unknown("address", format!("advertises {advertised}; reached at {reached}"))
        }
        Advertised::Unreachable(why) if observed.has_link() != Some(false) => {
            let detail = format!(
                "advertises {advertised}, which this machine cannot reach: it may be outside of \
                    the network of the nodes ({why})"
            );
            Stage::unknown("address", detail)
        }
        Advertised::Other(why) | Advertised::Unreachable(why) => {
            let detail = format!("advertises {advertised}, where it is not reached: {why}");
            let remedy = format!(
                "set FLYRPC_ADVERTISE to an address that other nodes reach, such as \
                    {reached}: it is behind NAT"
            );
            Stage::failed("address", "wrong address advertised", detail, remedy)
        }
    }
}

fn primary(observed: &Observed, node: &Answered) -> Stage {
    let primary = &node.report.primary_region;
    let differing: Vec<String> = match observed.other() {
        Some(asked) => {
            let theirs = &asked.report.primary_region;
            let differs = theirs != primary;
            differs
                .then(|| format!("{} says {theirs}", asked.report.node.name()))
                .into_iter()
                .collect()
        }
        None => {
            let linked = node.report.peers.iter().filter(|peer| is_linked(peer));
            linked
                .filter_map(|peer| Some((peer.node.as_ref()?, peer.primary_region.as_ref()?)))
                .filter(|(_, theirs)| *theirs != primary)
                .map(|(peer, theirs)| format!("{} says {theirs}", peer.name()))
                .collect()
        }
    };
    if differing.is_empty() {
        return cluster::without_primary(observed, node)
            .unwrap_or_else(|| Stage::passed("primary", primary.to_string()));
    }
    let detail = format!("{primary}, but {}", differing.join(", "));
    Stage::failed(
        "primary",
        "primary differs",
        detail,
        "set PRIMARY_REGION to the same region on all nodes",
    )
}

fn accepting(node: &Answered) -> Stage {
    let name = node.report.node.name();
    if node.report.draining {
        let remedy = format!("{name} is about to shut down, or was drained: restart it");
        return Stage::failed("accepting", "draining", "it accepts no calls", remedy);
    }
    if !node.report.accepting {
        let remedy = format!("let it accept calls: `flyrpc accept {name}`, or `Node::accept`");
        return Stage::failed("accepting", "held", "it accepts no calls", remedy);
    }
    let detail = if node.report.ready { "" } else { "still searching for other nodes" };
    Stage::passed("accepting", detail)
}

fn services(observed: &Observed, node: &Answered) -> Stage {
    let (services, withdrawn) = (&node.report.services, &node.report.withdrawn);
    if !withdrawn.is_empty() {
        let detail = format!("withdrawn: {}", withdrawn.join(", "));
        let remedy = "the application serves them again with `Node::set_serving`: see its log";
        return Stage::failed("services", "withdrawn", detail, remedy);
    }
    if let Some(asked) = observed.other() {
        let misfits: Vec<String> = asked
            .report
            .services
            .iter()
            .filter_map(|ours| Some((ours, services.iter().find(|it| it.name == ours.name)?)))
            .flat_map(|(ours, theirs)| compat::misfits(ours, theirs))
            .collect();
        if !misfits.is_empty() {
            let (by, name) = (asked.report.node.name(), node.report.node.name());
            let detail = format!("from {by} to {name}: {}", misfits.join("; "));
            let remedy = "these calls go to other nodes until both run the same version: \
                complete the deploy";
            return Stage::failed("services", "services differ", detail, remedy);
        }
    }
    let names: Vec<&str> = services.iter().map(|service| &*service.name).collect();
    match &names[..] {
        [] => Stage::passed("services", "none: it only makes calls"),
        names => Stage::passed("services", names.join(", ")),
    }
}

fn listed(observed: &Observed, node: &Answered) -> Stage {
    if let Some(alone) = cluster::alone(observed, node) {
        return alone;
    }
    let asked = match (&observed.asked, observed.other()) {
        (Err(why), _) => return Stage::unknown("listed", format!("no node was asked: {why}")),
        (Ok(_), None) => {
            let linked = node.report.peers.iter().filter(|peer| is_linked(peer)).count();
            return Stage::passed("listed", format!("it is the node asked, with {linked} links"));
        }
        (Ok(_), Some(asked)) => asked,
    };
    let (name, by) = (node.report.node.name(), asked.report.node.name());
    let back = peer_of(node, asked);
    let back = match back {
        Some(peer) => format!("{name} lists {by} as {}", view(peer)),
        None => format!("{name} does not list {by}"),
    };
    match observed.peer() {
        None => {
            let addr = node.report.node.addr();
            let remedy = format!(
                "add {addr} to FLYRPC_SEEDS of {by}, or {} to those of {name}",
                asked.report.node.addr()
            );
            Stage::failed("listed", "unlisted", format!("{by} does not list it; {back}"), remedy)
        }
        Some(peer) if is_linked(peer) && peer.supported == Some(true) => {
            Stage::passed("listed", format!("{by} lists it as {}; {back}", view(peer)))
        }
        Some(peer) if is_first_dial(peer) => Stage::unknown("listed", FIRST_DIAL),
        Some(peer) => {
            let detail = format!("{by} lists it as {}; {back}", view(peer));
            let remedy = format!(
                "let TCP through from {by} to {}: it dials again, so check in a minute, \
                    then see its log",
                peer.addr
            );
            Stage::failed("listed", "unlinked", detail, remedy)
        }
    }
}

//! The stages of a check: pure functions of what was observed.

use flyrpc::operations::PeerReport;
use serde::Serialize;

use super::observe::{Advertised, Answer, Answered, Observed, is_forward};
use crate::{commands::compat, output::time, session::is_linked};

/// The difference of two wall clocks from which on it is a failure, in seconds.
const MAX_CLOCK_DIFFERENCE: f64 = 1.0;

/// The result of all stages.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) target: String,
    pub(crate) stages: Vec<Stage>,
    /// The last line: the first failure with its remedy.
    pub(crate) diagnosis: String,
}

/// A stage.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) result: StageResult,
    pub(crate) detail: String,
    /// What is wrong, in two or three words. Empty unless the stage failed.
    pub(crate) cause: &'static str,
    /// What to do about it. Empty unless the stage failed.
    pub(crate) remedy: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StageResult {
    Passed,
    Failed,
    /// It could not be observed.
    Unknown,
}

impl Check {
    /// The first stage that failed.
    pub(crate) fn failed(&self) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.result == StageResult::Failed)
    }
}

impl Stage {
    fn new(name: &'static str, result: StageResult, detail: impl Into<String>) -> Self {
        Stage { name, result, detail: detail.into(), cause: "", remedy: String::new() }
    }

    fn passed(name: &'static str, detail: impl Into<String>) -> Self {
        Stage::new(name, StageResult::Passed, detail)
    }

    fn unknown(name: &'static str, detail: impl Into<String>) -> Self {
        Stage::new(name, StageResult::Unknown, detail)
    }

    fn failed(
        name: &'static str,
        cause: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = remedy.into();
        Stage { cause, remedy, ..Stage::new(name, StageResult::Failed, detail) }
    }
}

/// Judges what was observed.
pub(crate) fn judge(observed: &Observed) -> Check {
    let stages = match &observed.answer {
        Answer::Node(node) => stages_of_node(observed, node),
        Answer::Failed { kind, message, keys } => {
            stages_until_failure(observed, kind, message, keys)
        }
    };
    let failed = stages.iter().find(|stage| stage.result == StageResult::Failed);
    let diagnosis = match (failed, &observed.asked) {
        (Some(stage), _) => format!("{}: {}", stage.cause, stage.remedy),
        (None, Ok(_)) => "ok: the node can be seen and called".to_owned(),
        (None, Err(_)) => {
            "ok: the node can be reached; it was not compared with another node".to_owned()
        }
    };
    Check { target: observed.target.clone(), stages, diagnosis }
}

/// The stages of a dial that failed. The last one is the one that failed.
fn stages_until_failure(
    observed: &Observed,
    kind: &str,
    message: &str,
    keys: &[String],
) -> Vec<Stage> {
    let addrs = match &observed.addrs {
        Ok(addrs) => addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Err(why) => {
            let remedy =
                format!("correct `{}`, or the name service of this machine", observed.target);
            return vec![Stage::failed("name", "name unknown", why, remedy)];
        }
    };
    let mut stages = vec![Stage::passed("name", addrs.clone())];
    let at = addrs.as_str();
    let failed = match kind {
        "CONNECT" | "CONNECT_TIMEOUT" | "TIMEOUT" => no_connection(kind, message, at),
        "OTHER_SECRET" | "UNKNOWN_KEY" | "SECRET_REQUIRED" | "NO_SECRET" | "OTHER_SUITE"
        | "NOT_AUTHENTIC" => {
            stages.extend([Stage::passed("connect", ""), Stage::passed("flyrpc", "")]);
            wrong_key(kind, message, &observed.keys, keys)
        }
        "OTHER_CLUSTER" => {
            let passed = ["connect", "flyrpc", "key"].map(|name| Stage::passed(name, ""));
            stages.extend(passed);
            let remedy = "set FLYRPC_CLUSTER to the same name on both nodes";
            Stage::failed("cluster", "other cluster", message, remedy)
        }
        "OTHER_VERSION" => {
            let passed = ["connect", "flyrpc", "key"].map(|name| Stage::passed(name, ""));
            stages.extend(passed);
            stages.push(Stage::unknown("cluster", ""));
            let remedy =
                "build both nodes with versions of flyrpc that share a version of the protocol";
            Stage::failed("version", "other version", message, remedy)
        }
        _ => {
            stages.push(Stage::passed("connect", ""));
            not_flyrpc(kind, message, at)
        }
    };
    stages.push(failed);
    with_view(observed, &mut stages);
    stages
}

fn no_connection(kind: &str, message: &str, at: &str) -> Stage {
    if kind == "CONNECT" {
        let remedy = format!(
            "nothing listens at {at}: start the node, or correct its FLYRPC_LISTEN or this address"
        );
        return Stage::failed("connect", "port closed", message, remedy);
    }
    let remedy = format!("let TCP through to {at}: a firewall drops it, or the machine is down");
    Stage::failed("connect", "no connection", message, remedy)
}

fn not_flyrpc(kind: &str, message: &str, at: &str) -> Stage {
    match kind {
        "NOT_FLYRPC" => {
            let remedy = format!(
                "another program listens at {at}, such as a web server: use the port of the node"
            );
            Stage::failed("flyrpc", "not flyrpc", message, remedy)
        }
        "STATUS" => {
            let remedy = "it takes 16 visitors at once: close others. A node of version 0.1 takes none: upgrade it";
            Stage::failed("flyrpc", "no answer", message, remedy)
        }
        "CLOSED" => {
            let remedy = "see the log of the node; a node of version 0.1 cannot seal: upgrade it";
            Stage::failed("flyrpc", "connection closed", message, remedy)
        }
        _ => {
            let remedy = format!("see the log of what listens at {at}: it is no healthy node");
            Stage::failed("flyrpc", "no handshake", message, remedy)
        }
    }
}

fn wrong_key(kind: &str, message: &str, ours: &[String], theirs: &[String]) -> Stage {
    let ids = |keys: &[String]| match keys {
        [] => "none".to_owned(),
        keys => keys.join(", "),
    };
    let detail = format!("{message}; keys here: {}; keys there: {}", ids(ours), ids(theirs));
    let unknown_there = format!("{message}; keys here: {}", ids(ours));
    match kind {
        "SECRET_REQUIRED" => {
            let remedy = "set FLYRPC_SECRET to the secret of the node, here and on every node";
            Stage::failed("key", "no key", "the node requires a secret; keys here: none", remedy)
        }
        "NO_SECRET" => {
            let remedy = "set FLYRPC_SECRET on the node: it has no secret, and this side has one";
            Stage::failed("key", "no key there", unknown_there, remedy)
        }
        "OTHER_SECRET" | "UNKNOWN_KEY" => {
            let remedy = "set FLYRPC_SECRET to the same secret on both sides: compare the ids with `flyrpc nodes --keys`";
            let detail = if theirs.is_empty() { unknown_there } else { detail };
            Stage::failed("key", "wrong key", detail, remedy)
        }
        "OTHER_SUITE" => {
            let remedy = "upgrade the older side: it seals links with another suite";
            Stage::failed("key", "other suite", message, remedy)
        }
        _ => {
            let remedy = "something on the path changes the traffic: connect without a proxy";
            Stage::failed("key", "traffic changed", message, remedy)
        }
    }
}

/// Adds the view of the node that was asked to the stage that failed.
fn with_view(observed: &Observed, stages: &mut [Stage]) {
    let (Some(asked), Some(last)) = (observed.other(), stages.last_mut()) else { return };
    let by = asked.report.node.name();
    last.detail += &match observed.peer() {
        Some(peer) => format!("; {by} lists it as {}", view(peer)),
        None => format!("; {by} does not list it"),
    };
}

/// The state of a peer, with the reason why it cannot be called.
fn view(peer: &PeerReport) -> String {
    if peer.reason.is_empty() {
        peer.state.clone()
    } else {
        format!("{} ({})", peer.state, peer.reason)
    }
}

fn stages_of_node(observed: &Observed, node: &Answered) -> Vec<Stage> {
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
        cluster(observed, node),
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

fn cluster(observed: &Observed, node: &Answered) -> Stage {
    let cluster = &node.report.cluster;
    match observed.other() {
        Some(asked) if asked.report.cluster != *cluster => {
            let by = asked.report.node.name();
            let detail =
                format!("it belongs to {cluster:?}, and {by} to {:?}", asked.report.cluster);
            let remedy = "set FLYRPC_CLUSTER to the same name on both nodes";
            Stage::failed("cluster", "other cluster", detail, remedy)
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
            let remedy =
                "build both nodes with versions of flyrpc that share a version of the protocol";
            Stage::failed("version", "other version", detail, remedy)
        }
        _ => Stage::passed("version", detail),
    }
}

fn clock(observed: &Observed, node: &Answered) -> Stage {
    let (reference, ahead, uncertain) = match observed.other() {
        Some(asked) => {
            let uncertain = (node.took + asked.took) / 2.0;
            (asked.report.node.name().to_owned(), node.clock - asked.clock, uncertain)
        }
        None => ("this machine".to_owned(), node.clock, node.took / 2.0),
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
    let name = node.report.node.name();
    let age = |peer: &PeerReport| peer.gossip_age.map(time).unwrap_or_else(|| "?".to_owned());
    let Some(asked) = observed.other() else {
        let linked: Vec<&PeerReport> =
            node.report.peers.iter().filter(|peer| is_linked(peer)).collect();
        let silent = linked.iter().filter(|peer| peer.gossip_missing).count();
        return match (linked.len(), silent) {
            (0, _) => Stage::unknown("udp", "it has no links"),
            (all, silent) if silent < all => {
                Stage::passed("udp", format!("gossip arrives from {} of {all} peers", all - silent))
            }
            (all, _) => {
                let remedy = format!(
                    "let UDP through to {}, from all nodes and back",
                    node.report.node.addr()
                );
                let detail = format!("no gossip arrives from any of {all} linked peers");
                Stage::failed("udp", "UDP dropped", detail, remedy)
            }
        };
    };
    let by = asked.report.node.name();
    let there = observed.peer();
    let back =
        node.report.peers.iter().find(|peer| {
            peer.node.as_ref().is_some_and(|peer| peer.id() == asked.report.node.id())
        });
    let to_asked = there.filter(|peer| peer.gossip_missing);
    let to_node = back.filter(|peer| peer.gossip_missing);
    let detail = match (to_asked, to_node) {
        (None, None) => {
            let linked = there.filter(|peer| is_linked(peer)).zip(back);
            return match linked {
                Some((there, back)) => {
                    let detail =
                        format!("gossip {} ago at {by}, {} ago here", age(there), age(back));
                    Stage::passed("udp", detail.replace("here", &format!("at {name}")))
                }
                None => Stage::unknown("udp", "no link is open"),
            };
        }
        (Some(there), None) => format!("none from {name} arrives at {by} for {}", age(there)),
        (None, Some(back)) => format!("none from {by} arrives at {name} for {}", age(back)),
        (Some(there), Some(back)) => {
            format!("none arrives at {by} for {}, nor at {name} for {}", age(there), age(back))
        }
    };
    let mut ends = Vec::new();
    if to_asked.is_some() {
        ends.push(asked.report.node.addr().to_string());
    }
    if to_node.is_some() {
        ends.push(node.report.node.addr().to_string());
    }
    let remedy = format!("let UDP through to {}, as well as TCP", ends.join(" and to "));
    Stage::failed("udp", "UDP dropped", detail, remedy)
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
        Advertised::Other(why) => {
            let detail = format!("advertises {advertised}, where it is not reached: {why}");
            let remedy = format!(
                "set FLYRPC_ADVERTISE to an address that other nodes reach, such as {reached}: it is behind NAT"
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
        return Stage::passed("primary", primary.to_string());
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
            let remedy = "these calls go to other nodes until both run the same version: complete the deploy";
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
    let asked = match (&observed.asked, observed.other()) {
        (Err(why), _) => return Stage::unknown("listed", format!("no node was asked: {why}")),
        (Ok(_), None) => {
            let linked = node.report.peers.iter().filter(|peer| is_linked(peer)).count();
            return Stage::passed("listed", format!("it is the node asked, with {linked} links"));
        }
        (Ok(_), Some(asked)) => asked,
    };
    let (name, by) = (node.report.node.name(), asked.report.node.name());
    let back =
        node.report.peers.iter().find(|peer| {
            peer.node.as_ref().is_some_and(|peer| peer.id() == asked.report.node.id())
        });
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
        Some(peer) => {
            let detail = format!("{by} lists it as {}; {back}", view(peer));
            let remedy = format!(
                "let TCP through from {by} to {}: it dials again, so check in a minute, then see its log",
                peer.addr
            );
            Stage::failed("listed", "unlinked", detail, remedy)
        }
    }
}

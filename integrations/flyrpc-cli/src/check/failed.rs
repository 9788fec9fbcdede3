//! The stages of a node that could not be reached.

use flyrpc::{NodeId, NodeInfo, operations::NodeReport};

use super::{
    observe::Observed,
    stages::{Stage, view},
};

/// Upper bound on the names of nodes in a message.
const MAX_NAMES: usize = 20;

/// The remedy for a node of another cluster.
pub(super) const SAME_CLUSTER: &str = "set FLYRPC_CLUSTER to the same name on both nodes";

/// The remedy for a node that speaks other versions of the protocol.
pub(super) const SHARED_VERSION: &str =
    "build both nodes with versions of flyrpc that share a version of the protocol";

/// The stages of a dial that failed. The last one is the one that failed.
pub(super) fn stages_until_failure(
    observed: &Observed,
    kind: &str,
    message: &str,
    keys: &[String],
) -> Vec<Stage> {
    let addrs = match &observed.addrs {
        Ok(addrs) => addrs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Err(why) => {
            let target = &observed.target;
            let remedy = format!("correct `{target}`, or the name service of this machine");
            let why = match observed.other() {
                Some(asked) if !target.contains(':') => {
                    format!("{}; {why}", known_names(&asked.report, target))
                }
                _ => why.clone(),
            };
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
            stages.extend(["connect", "flyrpc", "key"].map(|name| Stage::passed(name, "")));
            Stage::failed("cluster", "other cluster", message, SAME_CLUSTER)
        }
        "OTHER_VERSION" => {
            stages.extend(["connect", "flyrpc", "key"].map(|name| Stage::passed(name, "")));
            stages.push(Stage::unknown("cluster", ""));
            Stage::failed("version", "other version", message, SHARED_VERSION)
        }
        "OTHER_NODE" => {
            stages.extend(["connect", "flyrpc", "key"].map(|name| Stage::passed(name, "")));
            let remedy = format!(
                "check the node that answers with `flyrpc check {at}`: the one that was expected was restarted or moved, or \
                 {at} leads to another machine from here"
            );
            Stage::failed("listed", "other node", message, remedy)
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

/// The stage of a node that the one that was asked does not know.
pub(super) fn unknown_node(observed: &Observed) -> Stage {
    let detail = observed
        .other()
        .map(|asked| known_names(&asked.report, &observed.target))
        .unwrap_or_default();
    let remedy = "correct the name or the id; otherwise the node has stopped, is frozen or is cut off: see its logs. A node \
        leaves the lists some seconds after it stops responding; `flyrpc check HOST:PORT` dials it directly";
    Stage::failed("name", "unknown node", detail, remedy)
}

/// Describes that a node does not know another one, and which ones it knows.
fn known_names(report: &NodeReport, target: &str) -> String {
    let by = report.node.name();
    let peers = report.peers.iter().filter(|peer| peer.state != "left");
    let nodes: Vec<&NodeInfo> =
        peers.filter_map(|peer| peer.node.as_ref()).chain([&report.node]).collect();
    let mut names: Vec<&str> = nodes.iter().map(|node| node.name()).collect();
    names.sort_unstable();
    names.dedup();
    let more = match names.len().saturating_sub(MAX_NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.truncate(MAX_NAMES);
    let names = names.join(", ");
    let Ok(id) = target.parse::<NodeId>() else {
        return format!("{by} knows no node of the name `{target}`; it knows {names}{more}");
    };
    let namesakes: Vec<String> = nodes
        .iter()
        .filter(|node| node.name() == id.name())
        .map(|node| format!("; {} has this name", node.id()))
        .collect();
    format!("{by} knows no node with the id {id}; it knows {names}{more}{}", namesakes.concat())
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
            let remedy = "it takes 16 visitors at once: close others. A node of version \
                0.1 takes none: upgrade it";
            Stage::failed("flyrpc", "no answer", message, remedy)
        }
        "CLOSED" => {
            let remedy = "see the log of the node; a node of version 0.1 cannot seal: upgrade it";
            Stage::failed("flyrpc", "connection closed", message, remedy)
        }
        "HANDSHAKE_TIMEOUT" => {
            let remedy = format!(
                "continue or restart the process that listens at {at}: it accepts connections but sends nothing, \
                 like one that is stopped (SIGSTOP) or frozen"
            );
            Stage::failed("flyrpc", "no handshake", message, remedy)
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
            let remedy = "set FLYRPC_SECRET to the same secret on both sides: compare the \
                ids with `flyrpc nodes --keys`";
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

//! The stages of a node that could not be reached.

use super::{
    observe::Observed,
    stages::{Stage, view},
};

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
            stages.extend(["connect", "flyrpc", "key"].map(|name| Stage::passed(name, "")));
            Stage::failed("cluster", "other cluster", message, SAME_CLUSTER)
        }
        "OTHER_VERSION" => {
            stages.extend(["connect", "flyrpc", "key"].map(|name| Stage::passed(name, "")));
            stages.push(Stage::unknown("cluster", ""));
            Stage::failed("version", "other version", message, SHARED_VERSION)
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

//! The reports of a node about itself.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use crate::{
    proto::wire::VERSIONS,
    runtime::{
        server::Recorded,
        shared::{GossipAge, NodeShared, PeerSnapshot},
    },
    types::{KeyId, NodeId, NodeReport, Peer, PeerReport, Support, WatchReport},
};

/// The parts of a report that never change, besides those in [`NodeShared`].
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) cluster: String,
    pub(crate) version: String,
    pub(crate) keys: Vec<KeyId>,
}

/// Describes the node and its peers.
pub(super) fn node_report(
    node: &NodeShared,
    identity: &Identity,
    gossip: &BTreeMap<NodeId, GossipAge>,
) -> NodeReport {
    let server = node.server();
    let state = server.state();
    let unix_time = node.env().system_time().duration_since(UNIX_EPOCH).unwrap_or_default();
    NodeReport {
        node: node.me().clone(),
        cluster: identity.cluster.clone(),
        version: identity.version.clone(),
        flyrpc: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: VERSIONS,
        primary_region: node.primary_region().clone(),
        accepting: state.accepting && !state.draining,
        draining: state.draining,
        ready: node.table().ready,
        withdrawn: state.withdrawn.clone(),
        keys: texts(&identity.keys),
        unix_time: unix_time.as_secs_f64(),
        uptime: Duration::from_micros(node.micros_at(node.env().now())).as_secs_f64(),
        in_flight: server.in_flight(),
        // The first service is the internal one.
        services: server.specs().iter().skip(1).cloned().collect(),
        peers: node
            .peers()
            .iter()
            .map(PeerSnapshot::to_peer)
            .map(|it| report(it, gossip))
            .collect(),
    }
}

fn report(peer: Peer, gossip: &BTreeMap<NodeId, GossipAge>) -> PeerReport {
    let (supported, reason) = match &peer.support {
        Support::Unknown => (None, String::new()),
        Support::Supported => (Some(true), String::new()),
        Support::Unsupported(why) => (Some(false), why.to_string()),
    };
    let gossip = peer.node.as_ref().and_then(|node| gossip.get(node.id()));
    PeerReport {
        gossip_age: gossip.map(|gossip| gossip.age.as_secs_f64()),
        gossip_missing: gossip.is_some_and(|gossip| gossip.is_missing),
        addr: peer.addr,
        state: peer.state.to_string(),
        supported,
        reason,
        accepting: peer.accepting,
        primary_region: peer.primary_region,
        services: peer.services,
        withdrawn: peer.withdrawn,
        security: peer.security.map(|security| security.to_string()).unwrap_or_default(),
        keys: texts(&peer.keys),
        round_trip: peer.round_trip.map(|round_trip| round_trip.as_secs_f64()),
        in_flight: peer.in_flight,
        reported_in_flight: peer.reported_in_flight,
        ejected: peer.ejected,
        version: peer.version,
        node: peer.node,
    }
}

fn texts(keys: &[KeyId]) -> Vec<String> {
    keys.iter().map(ToString::to_string).collect()
}

/// Describes the calls that the node serves, and makes it record them for another minute.
pub(super) fn watch_report(node: &Arc<NodeShared>) -> WatchReport {
    let Recorded { methods, recording, is_new } = node.server().recorded();
    if is_new {
        let (server, stop) = (Arc::clone(node.server()), node.stop().clone());
        // The current task may run in another runtime, which may end before the node.
        let _entered = node.runtime().enter();
        node.spawn("recorder", async move {
            while let Some(pause) = server.stop_recording() {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        });
    }
    WatchReport { node: node.me().clone(), recording: recording.as_secs_f64(), methods }
}

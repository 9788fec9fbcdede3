//! The form in which a report is sent. Most nodes of a cluster serve the same services, so each list of services is sent
//! once.

use serde::{Deserialize, Serialize};

use super::node::NodeReport;
use crate::types::ServiceSpec;

/// Upper bound on the lists with which each list is compared.
const MAX_COMPARED: usize = 16;

/// Upper bound on the methods and arguments of all peers together. A peer may send a report in which many nodes refer to one
/// long list.
const MAX_METHODS: usize = 1 << 20;

/// A report without the services of its peers, and these services.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CompactReport {
    report: NodeReport,
    /// Lists that differ from each other.
    services: Vec<Vec<ServiceSpec>>,
    /// The position in `services` of the list of each peer.
    #[serde(default)]
    services_of_peers: Vec<usize>,
}

impl From<NodeReport> for CompactReport {
    fn from(mut report: NodeReport) -> Self {
        let mut services: Vec<Vec<ServiceSpec>> = Vec::new();
        let mut position = |list: Vec<ServiceSpec>| {
            let known = services.iter().take(MAX_COMPARED);
            known.into_iter().position(|known| *known == list).unwrap_or_else(|| {
                services.push(list);
                services.len() - 1
            })
        };
        let lists = report.peers.iter_mut().map(|peer| std::mem::take(&mut peer.services));
        let services_of_peers = lists.map(&mut position).collect();
        CompactReport { report, services, services_of_peers }
    }
}

impl From<CompactReport> for NodeReport {
    fn from(compact: CompactReport) -> Self {
        let CompactReport { mut report, services, services_of_peers } = compact;
        let sizes: Vec<usize> = services.iter().map(|list| size(list)).collect();
        let mut room = MAX_METHODS;
        for (peer, at) in report.peers.iter_mut().zip(services_of_peers) {
            let Some(list) = services.get(at).filter(|_| sizes[at] <= room) else { continue };
            room -= sizes[at];
            peer.services = list.clone();
        }
        report
    }
}

/// The number of services, methods and arguments in a list.
fn size(list: &[ServiceSpec]) -> usize {
    let methods = list.iter().flat_map(|service| &service.methods);
    list.len() + methods.map(|method| 1 + method.arguments.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec,
        types::{NodeId, NodeInfo, PeerReport, Region},
    };

    fn services(name: &str) -> Vec<ServiceSpec> {
        vec![ServiceSpec { name: name.to_owned(), methods: Vec::new() }]
    }

    fn peer(number: u16, services: Vec<ServiceSpec>) -> PeerReport {
        PeerReport {
            addr: ([10, 0, 0, 1], number).into(),
            node: None,
            version: String::new(),
            state: "linked".to_owned(),
            supported: Some(true),
            reason: String::new(),
            accepting: true,
            primary_region: None,
            services,
            withdrawn: Vec::new(),
            security: String::new(),
            keys: Vec::new(),
            round_trip: Some(0.01),
            in_flight: 0,
            reported_in_flight: 0,
            ejected: false,
            gossip_age: None,
            gossip_missing: false,
        }
    }

    fn report(peers: Vec<PeerReport>) -> NodeReport {
        NodeReport {
            node: NodeInfo::new(NodeId::new("n", 1), Region::LOCAL, ([10, 0, 0, 1], 1).into()),
            cluster: "app".to_owned(),
            version: String::new(),
            flyrpc: "0.2.0".to_owned(),
            protocol: (1, 1),
            primary_region: Region::LOCAL,
            accepting: true,
            draining: false,
            ready: true,
            withdrawn: Vec::new(),
            keys: Vec::new(),
            unix_time: 1.5,
            uptime: 2.5,
            in_flight: 3,
            services: services("A"),
            peers,
        }
    }

    #[test]
    fn each_list_of_services_is_sent_once() {
        let lists = [services("A"), services("B"), services("A"), Vec::new()];
        let peers = (1..).zip(lists).map(|(number, list)| peer(number, list)).collect();
        let report = report(peers);
        let compact = CompactReport::from(report.clone());
        assert_eq!(compact.services, [services("A"), services("B"), Vec::new()]);
        let mut bytes = Vec::new();
        codec::encode(&compact, &mut bytes).unwrap();
        assert_eq!(NodeReport::from(codec::decode::<CompactReport>(&bytes).unwrap()), report);
    }

    #[test]
    fn the_report_of_a_node_in_a_cluster_of_8000_fits_a_reply() {
        let peers = (1..=8_000).map(|number| peer(number, services("A"))).collect();
        let mut bytes = Vec::new();
        codec::encode(&CompactReport::from(report(peers)), &mut bytes).unwrap();
        // `INTERNAL_BODY_MAX`
        assert!(bytes.len() < 4 << 20, "{}", bytes.len());
    }
}

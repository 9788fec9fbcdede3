//! The services of the nodes in a report.

use flyrpc::{MethodSpec, NodeInfo, ServiceSpec, operations::NodeReport};
use serde::{Deserialize, Serialize};

use crate::session::is_linked;

/// The services of one node. `describe --json` writes them, and `compat` reads them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Services {
    pub(crate) node: NodeInfo,
    /// The version of its application.
    #[serde(default)]
    pub(crate) version: String,
    pub(crate) services: Vec<ServiceSpec>,
    /// The names of the services that it has temporarily stopped serving.
    #[serde(default)]
    pub(crate) withdrawn: Vec<String>,
}

impl Services {
    pub(crate) fn service(&self, name: &str) -> Option<&ServiceSpec> {
        self.services.iter().find(|service| service.name == name)
    }

    pub(crate) fn method(&self, service: &str, method: &str) -> Option<&MethodSpec> {
        self.service(service)?.methods.iter().find(|spec| spec.name == method)
    }
}

/// Returns the services of the node that reports, and of the nodes that it has links to, by region and name.
pub(crate) fn of_all_nodes(report: &NodeReport) -> Vec<Services> {
    let own = Services {
        node: report.node.clone(),
        version: report.version.clone(),
        services: report.services.clone(),
        withdrawn: report.withdrawn.clone(),
    };
    let linked = report.peers.iter().filter(|peer| is_linked(peer));
    let others = linked.filter_map(|peer| {
        Some(Services {
            node: peer.node.clone()?,
            version: peer.version.clone(),
            services: peer.services.clone(),
            withdrawn: peer.withdrawn.clone(),
        })
    });
    let mut all: Vec<Services> = std::iter::once(own).chain(others).collect();
    all.sort_by(|a, b| (a.node.region(), a.node.id()).cmp(&(b.node.region(), b.node.id())));
    all
}

/// Whether the declared return type is a `Result`.
pub(crate) fn returns_result(method: &MethodSpec) -> bool {
    let path = method.returns.split('<').next().unwrap_or_default();
    path.rsplit("::").next().is_some_and(|last| last.trim() == "Result")
}

/// The attributes of a method.
pub(crate) fn attributes(method: &MethodSpec) -> Vec<&'static str> {
    let attributes = [
        (method.primary, "primary"),
        (method.idempotent, "idempotent"),
        (method.detached, "detached"),
    ];
    attributes.into_iter().filter(|(is_set, _)| *is_set).map(|(_, name)| name).collect()
}

//! Links without nodes, for tests of routing.

use std::{sync::Arc, time::Duration};

use super::{
    compat::{CallerTrait, Compat, Compats},
    endpoint::{Endpoint, LinkStatus},
    load::{NodeLoad, RegionLoad},
};
use crate::{
    proto::wire::ids::MethodIndex,
    types::{NodeId, Region, ServiceSpec},
};

/// A link without a node.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) node: NodeId,
    pub(super) status: LinkStatus,
    pub(super) congested: bool,
    pub(super) load: Arc<NodeLoad>,
    pub(super) services: Vec<ServiceSpec>,
    pub(super) millis: u64,
    pub(super) compats: Arc<Compats>,
    pub(super) primary: &'static str,
}

impl Path {
    /// Returns a link to a node that can take calls, but serves nothing.
    pub(super) fn good() -> Self {
        let callable = Compat::Callable { method: MethodIndex(0), missing_args: [].into() };
        Path {
            node: NodeId::new("", 0),
            status: LinkStatus::Good,
            congested: false,
            load: Arc::new(NodeLoad::new(Arc::new(RegionLoad::new()))),
            services: Vec::new(),
            millis: 1,
            compats: [callable].into(),
            primary: "iad",
        }
    }

    /// Returns a link to this node.
    pub(super) fn to(self, node: NodeId) -> Self {
        Path { node, ..self }
    }

    /// Returns a link to a node that serves these services.
    pub(super) fn serving(self, services: &[&str]) -> Self {
        let spec = |name: &&str| ServiceSpec { name: (*name).to_owned(), methods: Vec::new() };
        Path { services: services.iter().map(spec).collect(), ..self }
    }
}

impl Endpoint for Path {
    fn is_same(&self, other: &Self) -> bool {
        let state = |path: &Self| (path.status, path.congested);
        Arc::ptr_eq(&self.load, &other.load) && state(self) == state(other)
    }

    fn node(&self) -> &NodeId {
        &self.node
    }

    fn status(&self, _service: &str) -> LinkStatus {
        self.status
    }

    fn is_congested(&self) -> bool {
        self.congested
    }

    fn load(&self) -> &Arc<NodeLoad> {
        &self.load
    }

    fn services(&self) -> &[ServiceSpec] {
        &self.services
    }

    fn compats(&self, _caller: &CallerTrait) -> &Compats {
        &self.compats
    }

    fn round_trip(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.millis))
    }

    fn considers_primary(&self, region: &Region) -> bool {
        region.as_str() == self.primary
    }
}

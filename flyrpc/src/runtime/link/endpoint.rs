//! A link, from the point of view of routing.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::handle::Link;
use crate::{
    error::Refusal,
    proto::routing::{CallerTrait, Compats, Endpoint, LinkStatus, NodeLoad},
    types::{NodeId, Region, ServiceSpec},
};

impl Endpoint for Arc<Link> {
    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(self, other)
    }

    fn node(&self) -> &NodeId {
        self.peer().id()
    }

    fn status(&self, service: &str) -> LinkStatus {
        if !self.is_open() {
            return LinkStatus::Disconnected;
        }
        if self.picked.restricted.load(Ordering::Acquire)
            && let Some(refusal) = self.refusal(service)
        {
            return LinkStatus::NotAccepting(refusal);
        }
        if self.is_quiet() { LinkStatus::Quiet } else { LinkStatus::Good }
    }

    fn is_congested(&self) -> bool {
        self.picked.congested.load(Ordering::Relaxed)
    }

    fn load(&self) -> &Arc<NodeLoad> {
        &self.load
    }

    fn services(&self) -> &[ServiceSpec] {
        self.user_services()
    }

    #[inline]
    fn compats(&self, caller: &CallerTrait) -> &Compats {
        self.picked.compats.get(caller, &self.peer.node)
    }

    fn round_trip(&self) -> Option<Duration> {
        Link::round_trip(self)
    }

    fn considers_primary(&self, region: &Region) -> bool {
        self.peer.state.load().primary_region == *region
    }
}

impl Link {
    /// Returns why the peer accepts no calls of `service`, if it does not.
    #[cold]
    fn refusal(&self, service: &str) -> Option<Refusal> {
        let state = self.peer.state.load();
        let internal = self.peer.services.first().is_some_and(|first| first.name == service);
        if internal {
            None
        } else if state.draining {
            Some(Refusal::Draining)
        } else {
            let withdrawn = state.withdrawn.iter().any(|name| name == service);
            (!state.accepting || withdrawn).then_some(Refusal::Held)
        }
    }
}

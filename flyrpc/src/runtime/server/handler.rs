//! The interface through which links admit and start requests.

use std::{borrow::Cow, sync::Arc};

use tokio::time::Instant;

use super::{
    admission::{PeerLoad, Permit},
    executor,
    serving::Server,
};
use crate::{
    proto::{
        link::gate::Gated,
        wire::{frame::RequestHead, request_fields::RequestFields, status::Status},
    },
    runtime::link::{Admitted, Link, RequestHandler},
    types::NodeInfo,
};

impl RequestHandler for Server {
    type Permit = Permit;
    type Peer = Arc<PeerLoad>;

    fn peer(&self, peer: &NodeInfo) -> Arc<PeerLoad> {
        self.peer_load(peer)
    }

    #[inline]
    fn admit(
        &self,
        caller: &NodeInfo,
        peer: &Arc<PeerLoad>,
        head: &RequestHead,
        fields: Option<&RequestFields>,
        size: u64,
    ) -> Result<Permit, Cow<'static, Status>> {
        Server::admit(self, caller, peer, head, fields, size)
    }

    fn in_flight(&self) -> u64 {
        Server::in_flight(self)
    }

    fn is_draining(&self) -> bool {
        self.state().draining
    }

    fn shrink(&self) {
        self.workers.shrink();
    }

    fn start_together(&self, requests: &[Gated<Admitted<Permit>>]) -> usize {
        executor::start_together(requests)
    }

    fn start(
        self: &Arc<Self>,
        link: &Arc<Link>,
        now: Instant,
        requests: Vec<Gated<Admitted<Permit>>>,
    ) {
        executor::start(self, link, now, requests);
    }
}

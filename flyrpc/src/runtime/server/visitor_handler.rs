//! The requests of a visitor, which may call only some methods of the internal service.

use std::{borrow::Cow, sync::Arc};

use tokio::time::Instant;

use super::{
    admission::{PeerLoad, Permit},
    serving::Server,
};
use crate::{
    proto::{
        link::gate::Gated,
        wire::{frame::RequestHead, request_fields::RequestFields, status::Status},
    },
    runtime::link::{Admitted, Link, RequestHandler},
    service::ServiceKind,
    types::NodeInfo,
};

/// Upper bound on the requests of a visitor in progress, including replies that it has not read.
const MAX_REQUESTS: usize = 32;

/// Serves the requests of visitors.
pub(crate) struct VisitorHandler {
    server: Arc<Server>,
    /// The wire names of the methods of the internal service that visitors may call.
    methods: &'static [&'static str],
}

impl VisitorHandler {
    pub(crate) fn new(server: Arc<Server>, methods: &'static [&'static str]) -> Self {
        VisitorHandler { server, methods }
    }
}

impl RequestHandler for VisitorHandler {
    type Permit = Permit;
    type Peer = Arc<PeerLoad>;

    fn peer(&self, peer: &NodeInfo) -> Arc<PeerLoad> {
        self.server.peer(peer)
    }

    fn admit(
        &self,
        caller: &NodeInfo,
        peer: &Arc<PeerLoad>,
        head: &RequestHead,
        fields: Option<&RequestFields>,
        size: u64,
    ) -> Result<Permit, Cow<'static, Status>> {
        match self.server.method_at(head.method) {
            Some((ServiceKind::Internal, name)) if self.methods.contains(&name) => {
                if peer.internal_requests() >= MAX_REQUESTS {
                    return Err(self.server.refuse(Status::Overloaded));
                }
                RequestHandler::admit(&*self.server, caller, peer, head, fields, size)
            }
            Some(_) => Err(self.server.refuse(Status::denied(
                "a visitor does not call this method itself, but asks the node to relay the call"
                    .to_owned(),
            ))),
            None => Err(self.server.refuse(Status::NoMethod)),
        }
    }

    fn in_flight(&self) -> u64 {
        RequestHandler::in_flight(&*self.server)
    }

    fn is_draining(&self) -> bool {
        self.server.is_draining()
    }

    fn shrink(&self) {
        self.server.shrink();
    }

    fn start_together(&self, requests: &[Gated<Admitted<Permit>>]) -> usize {
        self.server.start_together(requests)
    }

    fn start(
        self: &Arc<Self>,
        link: &Arc<Link>,
        now: Instant,
        requests: Vec<Gated<Admitted<Permit>>>,
    ) {
        self.server.start(link, now, requests);
    }
}

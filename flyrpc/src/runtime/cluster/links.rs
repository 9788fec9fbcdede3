//! The open links to one peer.

use std::{sync::Arc, time::Duration};

use super::internal_service::VISITOR_METHODS;
use crate::{
    proto::wire::frame::GoAway,
    runtime::{
        link::{
            self, EventSink, Handshaken, Link, LinkError, LinkParams, RegionCalls, RequestHandler,
        },
        server::VisitorHandler,
        shared::{Command, NodeShared},
    },
    types::NodeId,
};

/// How many older links to a node may stay open in addition to the newest while their calls are in
/// flight.
const MAX_OLDER_LINKS: usize = 8;

/// The links to one peer, newest first. All open links lead to the same boot. There are two if both
/// nodes dialed at the same time, and older links may still be draining.
#[derive(Debug, Default)]
pub(super) struct PeerLinks(Vec<Arc<Link>>);

impl PeerLinks {
    /// The link that new calls use.
    pub(super) fn open(&self) -> Option<&Arc<Link>> {
        self.0.iter().find(|link| link.is_open())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Arc<Link>> {
        self.0.iter()
    }

    pub(super) fn has_boot(&self, id: &NodeId) -> bool {
        self.0.iter().any(|link| link.peer().id() == id)
    }

    /// Returns whether the boot `id` announced on one of its links that it leaves the cluster. This may be
    /// true before the cluster task handles the link's event.
    pub(super) fn is_leaving(&self, id: &NodeId) -> bool {
        self.0.iter().any(|link| link.peer().id() == id && link.is_peer_leaving())
    }

    /// Returns whether a link ended before it was drained at both ends and idle.
    pub(super) fn is_lost(&self) -> bool {
        let expected = |error| matches!(error, LinkError::Drained | LinkError::PeerLeft);
        self.0.iter().filter_map(|link| link.error()).any(|error| !expected(error))
    }

    /// Adds a link of the node `local`, and ends or drains the links that it replaces.
    pub(super) fn add(&mut self, local: &NodeId, link: Arc<Link>) {
        let boot = link.peer().id();
        for older in self.0.iter().filter(|link| link.is_open()) {
            if older.peer().id() == boot && local < boot {
                // One of the two nodes decides, so that both use the same link.
                older.drain(GoAway::Replaced);
            }
        }
        if let Some(surplus) = self.0.get(MAX_OLDER_LINKS) {
            surplus.end(LinkError::Closed);
        }
        self.0.insert(0, link);
    }

    /// Adds the links of a rival, which takes over the address.
    pub(super) fn take_over(&mut self, rival: PeerLinks) {
        self.0.splice(0..0, rival.0);
    }

    /// Removes a link that has ended. Returns whether the link was present.
    pub(super) fn remove(&mut self, link: &Arc<Link>) -> bool {
        let before = self.0.len();
        self.0.retain(|other| !Arc::ptr_eq(other, link));
        self.0.len() < before
    }
}

/// Starts a link on a connection. The cluster task receives the link's events as commands.
pub(super) fn start(shared: &NodeShared, heartbeat: Duration, handshaken: Handshaken) -> Arc<Link> {
    let commands = shared.commands().clone();
    let events = Box::new(move |link: &Arc<Link>, event| {
        // An error means that the node has ended.
        let _ = commands.send(Command::Link { link: Arc::clone(link), event });
    });
    let (handler, region) = (Arc::clone(shared.server()), handshaken.peer().region());
    let region_calls = shared.region_calls(region);
    start_with(shared, heartbeat, handler, (events, region_calls), handshaken)
}

/// Starts the link of a visitor, whose events matter to nobody.
pub(super) fn start_visitor(
    shared: &NodeShared,
    heartbeat: Duration,
    handshaken: Handshaken,
) -> Arc<Link> {
    let handler = VisitorHandler::new(Arc::clone(shared.server()), VISITOR_METHODS);
    // Not those of a region, because visitors must not affect how nodes are picked.
    let now = shared.env().now().into_std();
    let region_calls = Arc::new(RegionCalls::new(now, now));
    start_with(
        shared,
        heartbeat,
        Arc::new(handler),
        (Box::new(|_, _| {}), region_calls),
        handshaken,
    )
}

fn start_with<H: RequestHandler>(
    shared: &NodeShared,
    heartbeat: Duration,
    handler: Arc<H>,
    (events, region_calls): (EventSink, Arc<RegionCalls>),
    handshaken: Handshaken,
) -> Arc<Link> {
    let params = LinkParams {
        env: Arc::clone(shared.env()),
        handler,
        events,
        heartbeat,
        max_body: shared.max_body(),
        region_calls,
    };
    link::start(handshaken, params)
}

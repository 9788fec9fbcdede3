//! What becomes of links: made, changed, lost, retired.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{Cluster, DIAL_TIEBREAK_DELAY, Leaving};
use crate::{
    proto::wire::frame::GoAway,
    runtime::{
        link::{self, Handshaken, Link, LinkError, LinkEventKind, LinkParams},
        shared::Command,
    },
    telemetry::Observed,
    types,
};

/// How many links of one node may be open besides the newest, as long as calls on them go on.
const LINKS: usize = 8;

impl Cluster {
    /// Makes a connection the link to its node, or one of two if both nodes dialled at once.
    pub(super) fn linked(&mut self, established: Handshaken) {
        let (addr, said) = (established.peer().addr(), Arc::clone(established.announced()));
        let (events, to) = (self.hub.commands().clone(), self.hub.env());
        let link = link::start(
            established,
            LinkParams {
                env: Arc::clone(to),
                handler: Arc::clone(self.hub.server()),
                events: Box::new(move |event| {
                    // The node is shut down if nobody receives it.
                    let _ = events.send(Command::Link(event));
                }),
                heartbeat: self.introduce.heartbeat,
                max_body: self.hub.max_body(),
            },
        );
        if self.leaving.is_some() {
            return link.end(LinkError::ShutDown);
        }
        self.hub.tell(&Observed::LinkOpened(link.peer()));
        // What this node accepts may have changed since it introduced itself.
        let state = self.hub.server().state();
        if !Arc::ptr_eq(&said, &state) {
            link.send_state(&state);
        }
        let now = self.now();
        let peer = self.peers.at(addr);
        let (boot, me) = (link.peer().id().clone(), self.hub.me().id());
        for former in peer.links.iter().filter(|link| link.is_open()) {
            if *former.peer().id() != boot {
                // That boot's process is gone, or another would not have its address.
                former.end(LinkError::Closed);
            } else if *me < boot {
                // One of the two nodes decides, so that both use the same link.
                former.drain(GoAway::Replaced);
            }
        }
        if let Some(surplus) = peer.links.get(LINKS) {
            surplus.end(LinkError::Closed);
        }
        let before = peer.support();
        // A member that gossip told of has nothing to tell that gossip does not: with all of them,
        // a joiner of a large cluster would compare its members as many times as there are.
        let compare = peer.seed || !peer.member || !self.ready;
        peer.linked(now, Arc::clone(&link));
        if before != types::Support::Supported {
            tracing::info!(node = %link.peer(), %addr, "linked");
            let (node, support) = (Some(link.peer().clone()), peer.support());
            self.news.push(types::Event::SupportChanged { addr, node, support });
        }
        self.compare_primary(&link);
        if compare {
            self.exchange_with(link.peer().clone());
        }
    }

    pub(super) fn link_event(&mut self, link: &Arc<Link>, kind: LinkEventKind) {
        let addr = link.peer().addr();
        let now = self.now();
        // Whatever it was, the link may be closed to new calls by now.
        let peer = self.peers.get_mut(addr);
        match kind {
            LinkEventKind::StateChanged => {
                link.look_at_state();
                self.compare_primary(link);
                self.tell_of_state(link);
            }
            LinkEventKind::QuietChanged => {}
            LinkEventKind::GoAway(GoAway::Replaced) => {}
            LinkEventKind::GoAway(GoAway::Leaving) => {
                if let Some(peer) = peer
                    && peer.info.as_ref() == Some(link.peer())
                {
                    peer.left = true;
                }
            }
            LinkEventKind::Ended(error) => {
                let Some(peer) = peer else { return };
                let random = self.hub.env().random();
                let before = peer.links.len();
                peer.links.retain(|other| !Arc::ptr_eq(other, link));
                // One that came while this node was leaving was never taken up.
                if peer.links.len() < before {
                    self.hub.tell(&Observed::LinkClosed(link.peer(), &error.to_string()));
                }
                if peer.links.iter().all(|other| other.peer().id() != link.peer().id()) {
                    self.disagreeing.remove(link.peer().id());
                }
                if peer.left && peer.links.is_empty() {
                    return peer.unlinked(now, DIAL_TIEBREAK_DELAY, random);
                }
                if matches!(error, LinkError::Drained) || peer.link().is_some() {
                    return;
                }
                tracing::warn!(node = %link.peer(), %error, "link lost");
                // Both ends lose a link at once, and one dials again.
                let first = *self.hub.me().id() < *link.peer().id();
                let courtesy = if first { Duration::ZERO } else { DIAL_TIEBREAK_DELAY };
                peer.unlinked(now, courtesy, random);
            }
        }
    }

    /// Tells what calls a peer accepts from now on.
    pub(super) fn tell_of_state(&self, link: &Link) {
        let (node, state) = (link.peer(), link.state());
        let accepting = state.accepting && !state.draining;
        tracing::info!(%node, accepting, withdrawn = ?state.withdrawn, "node accepts other calls");
        self.hub.emit(types::Event::SupportChanged {
            addr: node.addr(),
            node: Some(node.clone()),
            support: types::Support::Supported,
        });
    }

    pub(super) fn compare_primary(&mut self, link: &Link) {
        let (theirs, ours) =
            (link.state().primary_region.clone(), self.hub.primary_region().clone());
        let id = link.peer().id();
        if theirs == ours {
            self.disagreeing.remove(id);
            return;
        }
        if self.disagreeing.insert(id.clone(), theirs.clone()).as_ref() == Some(&theirs) {
            return;
        }
        tracing::warn!(node = %link.peer(), %theirs, %ours, "nodes disagree on the primary region");
        let node = link.peer().clone();
        self.news.push(types::Event::PrimaryDisagreement { node, theirs, ours });
    }

    pub(super) fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.peers.values().flat_map(|peer| &peer.links)
    }

    pub(super) fn leave(&mut self, within: Duration, at_most: Duration, done: oneshot::Sender<()>) {
        let now = self.now();
        self.membership.leave(now);
        self.drain_membership();
        self.links().for_each(|link| link.drain(GoAway::Leaving));
        self.leaving = Some(Leaving { until: now + within, at_most: now + at_most, done });
    }

    /// Stops once every link has ended, or the time for that is over.
    pub(super) fn finish_leaving(&mut self) {
        let Some(Leaving { until, at_most, .. }) = self.leaving else { return };
        let now = self.now();
        let delivering = now < at_most && self.links().any(|link| link.is_delivering());
        let over = until <= now && !delivering;
        if (over || self.links().next().is_none())
            && let Some(leaving) = self.leaving.take()
        {
            // Whoever shut the node down may have stopped waiting.
            let _ = leaving.done.send(());
            self.hub.stop().cancel();
        }
    }
}

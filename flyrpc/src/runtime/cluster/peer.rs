//! The cluster task's state for one address: the node there, the links to it, and when to dial it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{dial::DialSchedule, links::PeerLinks};
use crate::{
    proto::routing::Entry,
    runtime::{
        link::{DialError, Link},
        shared::PeerSnapshot,
    },
    types::{NoSupport, NodeId, NodeInfo, PeerState, Support},
};

/// The state of one address.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// The node at the address, as described by its link or else by the membership.
    info: Option<NodeInfo>,
    /// Whether the membership lists the node as live.
    is_member: bool,
    /// Whether discovery lists the address.
    is_seed: bool,
    /// The address that the node advertises, if it is not this one.
    alias_of: Option<SocketAddr>,
    links: PeerLinks,
    /// When the newest link was opened.
    linked_at: Duration,
    /// Whether the last link was lost or the last attempt to dial failed, and no link is open.
    disconnected: bool,
    /// Whether this boot announced that it is leaving.
    leaving: bool,
    /// When an anti-entropy sync with the peer first ended, successfully or not.
    synced: Option<Duration>,
    /// Why the peer cannot be called, if the last attempt to dial failed.
    support: Option<NoSupport>,
    dial: DialSchedule,
}

impl Peer {
    pub(super) fn info(&self) -> Option<&NodeInfo> {
        self.info.as_ref()
    }

    pub(super) fn is_member(&self) -> bool {
        self.is_member
    }

    pub(super) fn is_seed(&self) -> bool {
        self.is_seed
    }

    pub(super) fn alias_of(&self) -> Option<SocketAddr> {
        self.alias_of
    }

    pub(super) fn links(&self) -> &PeerLinks {
        &self.links
    }

    /// The link that new calls use.
    pub(super) fn link(&self) -> Option<&Arc<Link>> {
        self.links.open()
    }

    /// Why the peer cannot be called, if the last attempt to dial failed.
    pub(super) fn no_support(&self) -> Option<&NoSupport> {
        self.support.as_ref()
    }

    /// Whether the address is worth remembering: it is listed, or has a link.
    pub(super) fn is_known(&self) -> bool {
        self.is_member || self.is_seed || !self.links.is_empty()
    }

    /// Whether the node at this address is `node` and announced that it is leaving.
    pub(super) fn is_leaving(&self, node: &NodeInfo) -> bool {
        self.leaving && self.info.as_ref() == Some(node)
    }

    /// Whether the node announced that it is leaving, and has closed its links.
    pub(super) fn has_left(&self) -> bool {
        self.leaving && self.links.is_empty()
    }

    /// When to dial next, unless there is a link or an attempt in progress.
    pub(super) fn next_dial(&self) -> Option<Duration> {
        // A seed that left may be restarted without knowing this node, so it is still dialed.
        let wanted = if self.leaving {
            self.is_seed && self.links.is_empty()
        } else {
            self.is_seed || self.is_member
        };
        if wanted && self.link().is_none() { self.dial.next() } else { None }
    }

    /// Whether a call may dial the address, or wait for the attempt in progress.
    pub(super) fn awaits_dial(&self) -> bool {
        self.dial.is_open_to_calls()
    }

    /// When readiness stops waiting for the address, regardless of its state.
    pub(super) fn readiness_deadline(&self) -> Option<Duration> {
        self.dial.readiness_deadline()
    }

    /// When an anti-entropy sync with the peer first ended.
    pub(super) fn synced_at(&self) -> Option<Duration> {
        self.synced
    }

    /// Whether readiness no longer needs to wait for this address.
    pub(super) fn is_settled(&self, now: Duration) -> bool {
        let answered = match &self.support {
            None => self.synced.is_some(),
            Some(NoSupport::Unreachable(_)) => false,
            Some(_) => true,
        };
        answered || self.readiness_deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Returns the entry for the routing table, if the peer is a node that has not left and can be
    /// a target of calls.
    pub(super) fn entry(&self) -> Option<Entry<Arc<Link>>> {
        let info = self.info.clone()?;
        let link = self.link().cloned();
        let other_protocol = matches!(self.support, Some(NoSupport::Protocol { .. }));
        let candidate = !self.leaving && (self.is_member || link.is_some() || other_protocol);
        let disconnected = self.disconnected && link.is_none();
        let unreachable = disconnected && !self.awaits_dial();
        candidate.then_some(Entry { info, disconnected, unreachable, link, other_protocol })
    }

    pub(super) fn support(&self) -> Support {
        match &self.support {
            Some(why) => Support::Unsupported(why.clone()),
            None if self.links.is_empty() => Support::Unknown,
            None => Support::Supported,
        }
    }

    pub(super) fn snapshot(&self, addr: SocketAddr) -> PeerSnapshot {
        PeerSnapshot {
            addr,
            info: self.info.clone(),
            link: self.link().cloned(),
            state: self.state(),
            support: self.support(),
        }
    }

    pub(super) fn set_seed(&mut self, is_seed: bool) {
        self.is_seed = is_seed;
    }

    pub(super) fn set_alias_of(&mut self, addr: SocketAddr) {
        self.alias_of = Some(addr);
    }

    pub(super) fn on_synced(&mut self, now: Duration) {
        self.synced.get_or_insert(now);
    }

    /// Records that the membership lists `node` as live, and schedules a dial at `dial_at`.
    pub(super) fn on_member_up(&mut self, node: NodeInfo, dial_at: Duration) {
        self.is_member = true;
        if self.link().is_none() && self.info.as_ref() != Some(&node) {
            self.leaving = false;
            self.disconnected = false;
            self.info = Some(node);
        }
        self.dial.reset(dial_at);
    }

    /// Records that the membership no longer lists the node `id` as live.
    pub(super) fn on_member_down(&mut self, id: &NodeId) {
        // Another boot may have been linked at this address in the meantime.
        if self.info.as_ref().is_none_or(|info| info.id() == id) {
            self.is_member = false;
        }
    }

    /// Records that `node` announced that it is leaving.
    pub(super) fn on_leaving(&mut self, node: &NodeInfo) {
        if self.info.as_ref() == Some(node) {
            self.leaving = true;
        }
    }

    /// Records that a link was opened, by either end.
    pub(super) fn on_linked(&mut self, now: Duration, local: &NodeId, link: Arc<Link>) {
        if self.info.as_ref().is_none_or(|info| info.id() != link.peer().id()) {
            self.leaving = false;
        }
        self.info = Some(link.peer().clone());
        self.links.add(local, link);
        self.disconnected = false;
        self.support = None;
        self.alias_of = None;
        self.linked_at = now;
        self.dial.on_linked();
        self.dial.notify_waiters(true);
    }

    /// Removes a link that has ended. Returns whether the link was present.
    pub(super) fn remove_link(&mut self, link: &Arc<Link>) -> bool {
        self.links.remove(link)
    }

    /// Records that the last link was lost. Schedules the next attempt to dial, after `tiebreak` at
    /// the earliest.
    pub(super) fn on_disconnected(&mut self, now: Duration, tiebreak: Duration, random: u64) {
        self.disconnected = true;
        self.dial.reconnect(now, now.saturating_sub(self.linked_at), tiebreak, random);
    }

    /// Starts an attempt to dial. Returns false if one is in progress.
    pub(super) fn begin_dial(&mut self, now: Duration) -> bool {
        self.dial.begin(now)
    }

    /// Reports to `done` whether a link is open after the attempt in progress, or after the next
    /// one if none is in progress.
    pub(super) fn add_waiter(&mut self, done: oneshot::Sender<bool>) {
        self.dial.add_waiter(done);
    }

    /// Records that an attempt to dial succeeded. Call it after [`on_linked`](Self::on_linked).
    pub(super) fn on_dialed(&mut self) {
        self.dial.end();
    }

    /// Records that an attempt to dial failed. Returns the new support if it differs in kind from
    /// the previous one.
    pub(super) fn on_dial_failed(
        &mut self,
        now: Duration,
        error: &DialError,
        random: u64,
    ) -> Option<Support> {
        let before = self.support.as_ref().map(std::mem::discriminant);
        let support = NoSupport::from(error);
        self.dial.end();
        self.dial.back_off(now, &support, random);
        self.alias_of = None;
        let is_linked = self.link().is_some();
        if !is_linked {
            self.disconnected = true;
            self.support = Some(support);
            if let DialError::OtherVersions { node: Some(node), .. } = error {
                self.leaving = false;
                self.info = Some(node.clone());
            }
        }
        self.dial.notify_waiters(is_linked);
        let after = self.support.as_ref().map(std::mem::discriminant);
        (before != after).then(|| self.support())
    }

    fn state(&self) -> PeerState {
        if self.leaving {
            PeerState::Left
        } else if self.link().is_some() {
            PeerState::Linked
        } else if self.disconnected && self.info.is_none() {
            PeerState::Unreached
        } else if self.disconnected {
            PeerState::Lost
        } else {
            PeerState::Unlinked
        }
    }
}

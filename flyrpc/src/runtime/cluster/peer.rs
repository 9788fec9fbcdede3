//! One address as the cluster task knows it: the node there, the links to it, and when to dial it.

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

/// What is known of one address.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// The node there, as its link or else the membership describes it.
    info: Option<NodeInfo>,
    /// Whether the membership lists it as live.
    is_member: bool,
    /// Whether discovery lists it.
    is_seed: bool,
    /// The address where the node found here is reached, if it advertises another.
    alias_of: Option<SocketAddr>,
    links: PeerLinks,
    /// When the newest link was opened.
    linked_at: Duration,
    /// Whether the last link broke, or the last attempt to dial failed, and no link is open.
    disconnected: bool,
    /// Whether this boot announced that it leaves.
    leaving: bool,
    /// Whether memberships were compared with it since it was first dialed.
    synced: bool,
    /// Why it cannot be called, if the last attempt found that.
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

    /// Why it cannot be called, if the last attempt found that.
    pub(super) fn no_support(&self) -> Option<&NoSupport> {
        self.support.as_ref()
    }

    /// Whether there is anything here worth remembering.
    pub(super) fn is_known(&self) -> bool {
        self.is_member || self.is_seed || !self.links.is_empty()
    }

    /// Whether this boot of a node announced that it leaves.
    pub(super) fn is_leaving(&self, node: &NodeInfo) -> bool {
        self.leaving && self.info.as_ref() == Some(node)
    }

    /// Whether it announced that it leaves, and has closed its links.
    pub(super) fn has_left(&self) -> bool {
        self.leaving && self.links.is_empty()
    }

    /// When to dial next, unless there is a link or an attempt in progress.
    pub(super) fn next_dial(&self) -> Option<Duration> {
        // A seed that left may be started again, and need not know of this node then.
        let wanted = if self.leaving {
            self.is_seed && self.links.is_empty()
        } else {
            self.is_seed || self.is_member
        };
        if wanted && self.link().is_none() { self.dial.next() } else { None }
    }

    /// When readiness stops waiting for it, whatever its state.
    pub(super) fn readiness_deadline(&self) -> Option<Duration> {
        self.dial.readiness_deadline()
    }

    /// Whether readiness need not wait for this address any more.
    pub(super) fn is_settled(&self, now: Duration) -> bool {
        let answered = match &self.support {
            None => self.synced,
            Some(NoSupport::Unreachable(_)) => false,
            Some(_) => true,
        };
        answered || self.readiness_deadline().is_some_and(|deadline| deadline <= now)
    }

    /// The entry of the routing table: calls may be aimed there, as it is a node that has not left.
    pub(super) fn entry(&self) -> Option<Entry<Arc<Link>>> {
        let info = self.info.clone()?;
        let link = self.link().cloned();
        let other_protocol = matches!(self.support, Some(NoSupport::Protocol { .. }));
        let candidate = !self.leaving && (self.is_member || link.is_some() || other_protocol);
        let disconnected = self.disconnected && link.is_none();
        candidate.then_some(Entry { info, disconnected, link, other_protocol })
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

    pub(super) fn on_synced(&mut self) {
        self.synced = true;
    }

    /// The membership lists `node`, which is to be dialed at `dial_at`, as live.
    pub(super) fn on_member_up(&mut self, node: NodeInfo, dial_at: Duration) {
        self.is_member = true;
        if self.link().is_none() && self.info.as_ref() != Some(&node) {
            self.leaving = false;
            self.disconnected = false;
            self.info = Some(node);
        }
        self.dial.reset(dial_at);
    }

    /// The membership lists the node `id` as live no longer.
    pub(super) fn on_member_down(&mut self, id: &NodeId) {
        // Another boot may have been linked here meanwhile.
        if self.info.as_ref().is_none_or(|info| info.id() == id) {
            self.is_member = false;
        }
    }

    /// `node` announced that it leaves.
    pub(super) fn on_leaving(&mut self, node: &NodeInfo) {
        if self.info.as_ref() == Some(node) {
            self.leaving = true;
        }
    }

    /// A link was opened, by either end.
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
        self.dial.notify_waiters(true);
    }

    /// Removes a link that has ended. Returns whether it was there.
    pub(super) fn remove_link(&mut self, link: &Arc<Link>) -> bool {
        self.links.remove(link)
    }

    /// The last link broke. Schedules the next attempt, after `tiebreak` at the earliest.
    pub(super) fn on_disconnected(&mut self, now: Duration, tiebreak: Duration, random: u64) {
        self.disconnected = true;
        self.dial.reconnect(now, now.saturating_sub(self.linked_at), tiebreak, random);
    }

    /// Starts an attempt to dial. Returns false if one is in progress.
    pub(super) fn begin_dial(&mut self, now: Duration) -> bool {
        self.dial.begin(now)
    }

    /// Reports to `done` how the attempt in progress, or else the next, ends.
    pub(super) fn add_waiter(&mut self, done: oneshot::Sender<bool>) {
        self.dial.add_waiter(done);
    }

    /// An attempt to dial succeeded; [`on_linked`](Self::on_linked) came first.
    pub(super) fn on_dialed(&mut self) {
        self.dial.end();
    }

    /// An attempt to dial failed. Returns the new support if it differs in kind from that before.
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

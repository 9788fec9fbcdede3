//! The cluster task's state for one peer. A peer is the node at an address, with the links to it and the
//! time at which to dial the address. A peer can also be a rival: a node that claims the address of
//! another node, with its links.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{
    dial::{Balancing, DialSchedule},
    links::PeerLinks,
};
use crate::{
    proto::{routing::Entry, wire::state::State},
    runtime::{
        link::{DialError, Link},
        shared::{PeerKey, PeerSnapshot},
    },
    types::{NoSupport, NodeId, NodeInfo, PeerState, Support},
};

/// The number of consecutive attempts that must reach this node itself before readiness stops waiting
/// for the address. If another node is behind a load balancer, it is likely to be found earlier.
const SETTLED_SELF_CONNECTS: u32 = 4;

/// The minimum time between two listings of boots at one address that reset the backoff.
const MIN_LISTING_INTERVAL: Duration = Duration::from_secs(1);

/// The state of one peer.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// The node at the address, as described by its link or else by the membership.
    info: Option<NodeInfo>,
    /// The boot that the membership lists as live at the address. It can differ from `info`, which is
    /// the node described by a link.
    member: Option<NodeInfo>,
    /// When the membership last listed a boot and thereby reset the backoff.
    listed_at: Option<Duration>,
    /// The boot that was last linked, or that was suspected because it could not be dialed.
    verified: Option<NodeId>,
    /// Whether discovery lists the address.
    is_seed: bool,
    /// The peer to which this address led, if its node advertises another address.
    alias_of: Option<PeerKey>,
    /// Whether the address has led to several nodes, as the address of a load balancer does.
    is_balancer: bool,
    /// When to dial an alias again to find other nodes, although its node is linked.
    next_ask: Duration,
    /// The number of consecutive attempts that reached this node itself.
    self_connects: u32,
    /// Whether this is a rival that waits until it is known whether the other boot is alive.
    awaits_verdict: bool,
    /// Whether this boot is being pinged because another boot claims its address.
    is_questioned: bool,
    links: PeerLinks,
    /// Which calls the node accepted when that was last observed.
    state: Option<Arc<State>>,
    /// When the newest link was opened.
    linked_at: Duration,
    /// Whether the last link was lost or the last attempt to dial failed, and no link is open.
    disconnected: bool,
    /// Whether this boot announced that it is leaving, on a link.
    leaving: bool,
    /// Whether the membership reported that this boot left, and no link was opened or lost since.
    reported_left: bool,
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

    /// Returns the boot that the membership lists as live at the address.
    pub(super) fn member(&self) -> Option<&NodeInfo> {
        self.member.as_ref()
    }

    /// Returns whether the membership lists the node as live.
    pub(super) fn is_member(&self) -> bool {
        self.member.is_some() && self.member.as_ref().map(NodeInfo::id) == self.boot()
    }

    pub(super) fn is_seed(&self) -> bool {
        self.is_seed
    }

    /// The peer to which this address led, if its node advertises another address.
    pub(super) fn alias_of(&self) -> Option<&PeerKey> {
        self.alias_of.as_ref()
    }

    /// Returns whether this is a rival that waits until it is known whether the other boot is alive.
    pub(super) fn awaits_verdict(&self) -> bool {
        self.awaits_verdict
    }

    /// When the newest link was opened.
    pub(super) fn linked_at(&self) -> Duration {
        self.linked_at
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
        self.member.is_some() || self.is_seed || !self.links.is_empty()
    }

    /// Whether the node at this address is `node` and is leaving. A linked node announces that on its link,
    /// unless it is draining that link because it has opened another one, which has not arrived here yet. Then the
    /// report of the membership counts.
    pub(super) fn is_leaving(&self, node: &NodeInfo) -> bool {
        let reported = self.reported_left && !self.links.is_lost();
        let is_leaving = self.leaving || reported || self.links.is_leaving(node.id());
        is_leaving && self.info.as_ref() == Some(node)
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
            self.is_seed || self.member.is_some()
        };
        if wanted && self.link().is_none() { self.dial.next() } else { None }
    }

    /// Returns when to dial an alias next, although its node is linked. Other nodes may be behind it.
    pub(super) fn next_ask(&self) -> Option<Duration> {
        let idle = self.dial.next().is_some();
        (self.is_seed && idle).then_some(self.next_ask)
    }

    /// Returns whether a call may dial the address, or wait for the attempt in progress.
    pub(super) fn awaits_dial(&self) -> bool {
        self.dial.is_open_to_calls()
    }

    /// Whether the last link was lost or the last attempt to dial failed, and no link is open.
    pub(super) fn is_disconnected(&self) -> bool {
        self.disconnected && self.link().is_none()
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
            Some(NoSupport::Oneself) => self.self_connects >= SETTLED_SELF_CONNECTS,
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
        let candidate = !self.leaving && (self.is_member() || link.is_some() || other_protocol);
        let disconnected = self.is_disconnected();
        let unreachable = disconnected && !self.awaits_dial();
        (candidate && !self.awaits_verdict).then_some(Entry {
            info,
            disconnected,
            unreachable,
            link,
            other_protocol,
        })
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

    /// Records that the address led to the node of another peer. `next_ask` is when to dial it again to
    /// find other nodes. If it has led to several nodes, it is dialed earlier, as given by `interval`.
    pub(super) fn set_alias_of(
        &mut self,
        target: PeerKey,
        next_ask: impl FnOnce(Balancing) -> Duration,
    ) {
        self.is_balancer |= self.alias_of.as_ref().is_some_and(|before| *before != target);
        self.alias_of = Some(target);
        self.support = None;
        self.disconnected = false;
        self.self_connects = 0;
        self.next_ask = next_ask(self.balancing());
    }

    /// Records that the address led to this node itself. `next_ask` is when to dial an alias again to
    /// find other nodes. `random` determines the jitter of the backoff.
    pub(super) fn on_self_connect(&mut self, now: Duration, next_ask: Duration, random: u64) {
        self.is_balancer = true;
        self.self_connects += 1;
        self.next_ask = next_ask;
        self.dial.end();
        self.dial.back_off(now, &NoSupport::Oneself, random);
        if self.link().is_none() && self.alias_of.is_none() {
            self.support = Some(NoSupport::Oneself);
        }
        self.dial.notify_waiters(self.links.open().is_some());
    }

    fn balancing(&self) -> Balancing {
        if self.is_balancer { Balancing::Observed } else { Balancing::Possible }
    }

    fn boot(&self) -> Option<&NodeId> {
        self.info.as_ref().map(NodeInfo::id)
    }

    pub(super) fn on_synced(&mut self, now: Duration) {
        self.synced.get_or_insert(now);
    }

    /// Records that the membership lists `node` as live, and schedules a dial at `dial_at`. If boots are
    /// listed in quick succession, only the first one resets the backoff.
    pub(super) fn on_member_up(&mut self, now: Duration, node: NodeInfo, dial_at: Duration) {
        if self.link().is_none() {
            self.describe(node.clone());
        }
        self.member = Some(node);
        self.reported_left = false;
        if self.listed_at.is_none_or(|listed_at| listed_at + MIN_LISTING_INTERVAL <= now) {
            self.listed_at = Some(now);
            self.dial.reset(dial_at);
        }
    }

    /// Records that the membership no longer lists the node `id` as live.
    pub(super) fn on_member_down(&mut self, id: &NodeId) {
        self.member.take_if(|member| member.id() == id);
    }

    /// Records that `node` left, according to the membership.
    pub(super) fn on_member_left(&mut self, node: &NodeInfo) {
        if self.info.as_ref() == Some(node) {
            self.reported_left = true;
        }
    }

    /// Returns the member that could not be dialed, if it was never linked. Each boot is returned
    /// once.
    pub(super) fn take_unverified(&mut self) -> Option<NodeInfo> {
        let member = self.member.as_ref()?;
        if self.is_seed || self.dial.is_outdated() || self.verified.as_ref() == Some(member.id()) {
            return None;
        }
        self.verified = Some(member.id().clone());
        Some(member.clone())
    }

    /// Records `node`, which is not linked, as the node at the address.
    fn describe(&mut self, node: NodeInfo) {
        if self.info.as_ref() != Some(&node) {
            self.leaving = false;
            self.reported_left = false;
            self.disconnected = false;
            self.info = Some(node);
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
        if self.boot() != Some(link.peer().id()) {
            self.leaving = false;
        }
        self.reported_left = false;
        self.info = Some(link.peer().clone());
        self.verified = Some(link.peer().id().clone());
        self.state = Some(link.state());
        self.links.add(local, link);
        self.disconnected = false;
        self.support = None;
        self.alias_of = None;
        self.linked_at = now;
        self.dial.on_linked();
        self.dial.notify_waiters(true);
    }

    /// Records which calls the node accepts, and returns the state that was recorded before.
    pub(super) fn observe_state(&mut self, state: &Arc<State>) -> Option<Arc<State>> {
        self.state.replace(Arc::clone(state))
    }

    /// Makes this a rival that waits until it is known whether the other boot is alive.
    pub(super) fn await_verdict(&mut self) {
        self.awaits_verdict = true;
    }

    /// Allows calls to a rival, because both boots are alive. Returns its link, unless it has ended.
    pub(super) fn admit(&mut self) -> Option<Arc<Link>> {
        self.awaits_verdict = false;
        self.link().cloned()
    }

    /// Starts to ping the boot, because another boot claims its address. Returns false if a ping is
    /// already in progress.
    pub(super) fn begin_question(&mut self) -> bool {
        !std::mem::replace(&mut self.is_questioned, true)
    }

    /// Ends the ping of the boot.
    pub(super) fn end_question(&mut self) {
        self.is_questioned = false;
    }

    /// Gives the address to a rival, after the last link of the boot that had it was lost. Returns
    /// the rival's link, unless it has ended.
    pub(super) fn take_over(&mut self, rival: Peer) -> Option<Arc<Link>> {
        self.info = rival.info;
        self.verified = rival.verified;
        self.linked_at = rival.linked_at;
        self.leaving = rival.leaving;
        self.reported_left = false;
        self.synced = self.synced.or(rival.synced);
        self.links.take_over(rival.links);
        self.disconnected = false;
        self.support = None;
        self.dial.notify_waiters(true);
        self.link().cloned()
    }

    /// Removes a link that has ended. Returns whether the link was present.
    pub(super) fn remove_link(&mut self, link: &Arc<Link>) -> bool {
        self.links.remove(link)
    }

    /// Records that the last link was lost. Schedules the next attempt to dial, after `tiebreak` at
    /// the earliest.
    pub(super) fn on_disconnected(&mut self, now: Duration, tiebreak: Duration, random: u64) {
        self.disconnected = true;
        self.reported_left = false;
        if let Some(member) = self.member.clone() {
            // The boot listed at the address may differ from the linked one.
            self.describe(member);
        }
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

    /// Dials the address as soon as another attempt ends. If the address is not worth dialing, notifies
    /// the waiters immediately.
    pub(super) fn queue_dial(&mut self, now: Duration) {
        self.dial.hasten(now);
        if self.next_dial().is_none() {
            self.dial.notify_waiters(false);
        }
    }

    /// Records that an attempt to dial succeeded. Call it after [`on_linked`](Self::on_linked).
    pub(super) fn on_dialed(&mut self) {
        self.dial.end();
    }

    /// Records that an attempt to dial failed. Returns the new support if it differs in kind from
    /// the previous one. If the membership has listed a boot since the attempt began, the failure reveals nothing about
    /// that boot, which is dialed as scheduled.
    pub(super) fn on_dial_failed(
        &mut self,
        now: Duration,
        error: &DialError,
        random: u64,
    ) -> Option<Support> {
        if self.dial.is_outdated() {
            self.dial.end();
            self.dial.notify_waiters(self.links.open().is_some());
            return None;
        }
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

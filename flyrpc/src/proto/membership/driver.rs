//! Drives foca: validates its inputs and collects its outputs.

use std::{collections::VecDeque, fmt, net::SocketAddr, time::Duration};

use foca::{Incarnation, Member, State, Timer};

use super::{
    clock::Clock,
    diagnostics::{Counters, Diagnostic, Diagnostics},
    digest,
    effects::{Effects, Gossip, new_gossip},
    envelope::{self, Channel, Envelope},
    identity::{Identity, InvalidIdentity},
    limits::{Feeds, Renewals},
    member_state::{Claim, MemberState},
    members::{Event, MemberList},
    reconcile::{LocalView, Plan},
    settings::Settings,
    timers::Timers,
};
use crate::types::NodeInfo;

/// How long a member must have been down before a peer that considers it alive is assumed to be
/// from the other side of a partition. Before that, the update may simply not have reached the peer
/// yet.
const DOWN_SETTLE_TIME: Duration = Duration::from_secs(15);

/// Upper bound on the suspects that are warned at a time.
const MAX_WARNINGS: usize = 16;

/// Additional rounds of gossip that announce a leave. A single datagram is easily lost.
const LEAVE_ROUNDS: usize = 2;

/// Additional transmissions of each update by a node that leaves.
const LEAVE_TRANSMISSIONS: u8 = 20;

/// The members of a cluster as seen by one node.
///
/// After every other call that takes `&mut self`, drain [`poll_transmit`](Self::poll_transmit) and
/// [`poll_event`](Self::poll_event).
pub(crate) struct Membership {
    pub(super) gossip: Gossip,
    /// Seeds foca's random choices.
    seed: u64,
    settings: Settings,
    pub(super) envelope: Envelope,
    pub(super) timers: Timers,
    pub(super) members: MemberList,
    outbox: VecDeque<(SocketAddr, Vec<u8>)>,
    diagnostics: Diagnostics,
    pub(super) clock: Clock,
    pub(super) renewals: Renewals,
    pub(super) feeds: Feeds,
    /// The size of the cluster that foca is configured for.
    configured_for: usize,
    has_left: bool,
}

impl Membership {
    /// Creates the membership of the node `local`, with no other members yet. Here and in all other
    /// calls, `now` is the time since an arbitrary fixed moment.
    ///
    /// # Errors
    ///
    /// Returns an error if the node or its cluster cannot be gossiped about.
    pub(crate) fn new(
        local: &NodeInfo,
        settings: Settings,
        seed: u64,
        now: Duration,
    ) -> Result<Self, InvalidIdentity> {
        let identity = Identity::new(local, settings.protocol)?;
        let Settings { cluster, sealing, max_members, .. } = &settings;
        let envelope = Envelope::new(cluster, &sealing.mode, sealing.salt, *max_members)?;
        let config = settings.config(1, envelope.overhead());
        Ok(Membership {
            gossip: new_gossip(identity, config, seed),
            seed,
            settings,
            envelope,
            timers: Timers::default(),
            members: MemberList::new(local.id().clone()),
            outbox: VecDeque::new(),
            diagnostics: Diagnostics::default(),
            clock: Clock::new(now),
            renewals: Renewals::default(),
            feeds: Feeds::default(),
            configured_for: 1,
            has_left: false,
        })
    }

    /// Handles a datagram from the network. Its content may be arbitrary. The datagram is ignored unless
    /// its sender is a member or `is_linked` returns true for the sender. Returns the sender, unless the
    /// datagram was ignored.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Duration,
        datagram: &[u8],
        is_linked: impl FnOnce(&NodeInfo) -> bool,
    ) -> Option<NodeInfo> {
        self.advance(now);
        if self.has_left {
            return None;
        }
        let handled = self
            .envelope
            .unwrap(datagram)
            .and_then(|(packet, channel)| self.handle_packet(&packet, channel, is_linked));
        match handled {
            Ok(sender) => Some(sender),
            Err(rejected) => {
                self.diagnostics.push(Diagnostic::DatagramIgnored(rejected));
                None
            }
        }
    }

    /// Records how the link to the node at `addr` is protected. Gossip to the node is protected alike.
    pub(crate) fn on_linked(&mut self, addr: SocketAddr, channel: Channel) {
        self.envelope.set_channel(addr, channel);
    }

    /// Records that no node is linked or alive at `addr`.
    pub(crate) fn on_gone(&mut self, addr: SocketAddr) {
        self.envelope.forget_channel(addr);
    }

    /// Handles the timers that are due at `now`.
    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        self.advance(now);
        while let Some(timer) = self.timers.pop(self.clock.now()) {
            if matches!(timer, Timer::PeriodicGossip(_)) {
                self.warn_suspects();
            }
            if self.is_current(&timer) {
                self.step(|gossip, effects| gossip.handle_timer(timer, effects));
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), unless another call happens first.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        self.timers.next().map(|due| self.clock.to_caller(due))
    }

    /// The next datagram to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outbox.pop_front()
    }

    /// The next change of the live members.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.members.pop_event()
    }

    /// The next diagnostic. If the caller does not poll, only the last 32 are kept.
    pub(crate) fn poll_diagnostic(&mut self) -> Option<Diagnostic> {
        self.diagnostics.pop()
    }

    /// The live members except this node, ordered by address.
    #[cfg(test)]
    pub(crate) fn members(&self) -> impl Iterator<Item = &NodeInfo> {
        self.members.listed()
    }

    /// Whether this node knows no other live member. If so, nothing happens until a datagram
    /// arrives or a sync adds members.
    pub(crate) fn is_alone(&self) -> bool {
        self.gossip.num_members() == 0
    }

    /// Totals since the start of this membership.
    pub(crate) fn counters(&self) -> Counters {
        self.diagnostics.counters()
    }

    /// A summary of the live members, which a peer [compares](Self::difference) with its own.
    pub(crate) fn digests(&self) -> Vec<u64> {
        let mut digests = self.members.digests().clone();
        let local = self.gossip.identity();
        digests.toggle(local.node(), local.bump());
        digests.to_vec()
    }

    /// The members, including this node, in the buckets for which this node's digests differ from a
    /// peer's digests `theirs`.
    pub(crate) fn difference(&self, theirs: &[u64]) -> Vec<MemberState> {
        let ours = self.digests();
        if ours == theirs {
            return Vec::new();
        }
        let local = self.gossip.identity();
        let local_state = if self.has_left { State::Down } else { State::Alive };
        let local_member = MemberState::new(local, 0, local_state);
        self.gossip
            .iter_membership_state()
            .filter(|member| member.id().addr() != local.addr())
            .map(|member| (member.id(), member.incarnation(), member.state()))
            .filter(|(id, ..)| digest::differs(id.addr(), &ours, theirs))
            .map(|(id, incarnation, state)| MemberState::new(id, incarnation, state))
            .chain(digest::differs(local.addr(), &ours, theirs).then_some(local_member))
            .collect()
    }

    /// Applies a peer's [`difference`](Self::difference), except claims that [`Plan`] rejects.
    pub(crate) fn apply(&mut self, now: Duration, states: &[MemberState]) {
        self.advance(now);
        if self.has_left || states.is_empty() {
            return;
        }
        let local = self.gossip.identity().clone();
        let claims = states.iter().filter_map(|state| state.check().ok());
        let claims = claims.filter(|claim| self.is_plausible(&claim.id));
        let (local_claims, mut claims): (Vec<_>, Vec<_>) = claims
            .take(self.settings.max_members)
            .partition(|claim: &Claim| claim.id.addr() == local.addr());

        // The cluster that this node joins has the updates already, but a cluster that was joined
        // does not.
        let spread = !self.is_alone();
        if self.is_alone() {
            self.reset_gossip();
        }
        self.claim_address(local_claims.iter().map(|claim| &claim.id));
        let mut view = self.local_view(&claims);
        claims.retain(|claim| view.is_news(claim));
        if view.room < view.added_by(&claims) {
            self.forget_down();
            view = self.local_view(&claims);
        }
        let plan = Plan::new(&claims, view, |id| self.is_settled(id));
        plan.forget.into_iter().for_each(|id| self.forget(id));
        // When foca applies a claim that this node is down, it renews this node's identity.
        let held_down = local_claims.iter().any(|claim| claim.down && claim.id == local)
            && self.renewals.is_due(self.clock.now());
        let local = (held_down && *self.gossip.identity() == local).then(|| Member::down(local));
        let updates = plan.updates.into_iter().chain(local);
        self.step(|gossip, effects| gossip.apply_many(updates, spread, effects));
        for (member_id, incarnation) in plan.suspects {
            self.end_suspicion(member_id, incarnation);
        }
        for id in plan.call {
            self.step(|gossip, effects| gossip.announce(id, effects));
        }
    }

    /// Suspects a member that this node could not reach. If the member is alive, it refutes the
    /// suspicion.
    pub(crate) fn suspect(&mut self, now: Duration, node: &NodeInfo) {
        self.advance(now);
        let member = self.held_at(node.addr()).filter(|member| {
            member.id().node().id() == node.id() && member.state() == State::Alive
        });
        let Some(member) = member.filter(|_| !self.has_left) else { return };
        let (id, incarnation) = (member.id().clone(), member.incarnation());
        let suspicion = Member::new(id.clone(), incarnation, State::Suspect);
        self.step(|gossip, effects| gossip.apply_many(std::iter::once(suspicion), true, effects));
        self.end_suspicion(id, incarnation);
    }

    /// Announces that this node leaves. From then on, this node ignores all input, and emits
    /// nothing beyond what can be polled when this returns.
    pub(crate) fn leave(&mut self, now: Duration) {
        self.advance(now);
        if self.has_left {
            return;
        }
        // foca limits how often each update is transmitted, and all of these rounds count toward
        // the limit.
        let mut config = self.config();
        config.max_transmissions = config.max_transmissions.saturating_add(LEAVE_TRANSMISSIONS);
        self.step(|gossip, _| gossip.set_config(config));
        self.step(|gossip, effects| gossip.leave_cluster(effects));
        for _ in 0..LEAVE_ROUNDS {
            self.step(|gossip, effects| gossip.gossip(effects));
        }
        self.timers.clear();
        self.has_left = true;
    }

    fn advance(&mut self, now: Duration) {
        self.clock.advance(now, self.timers.next(), self.settings.probe_rtt);
    }

    /// Runs one step of foca and collects its effects.
    pub(super) fn step(
        &mut self,
        step: impl FnOnce(&mut Gossip, &mut Effects<'_>) -> Result<(), foca::Error>,
    ) {
        let bump = self.gossip.identity().bump();
        let mut effects = Effects {
            local_addr: self.gossip.identity().addr(),
            now: self.clock.now(),
            envelope: &mut self.envelope,
            timers: &mut self.timers,
            members: &mut self.members,
            outbox: &mut self.outbox,
            diagnostics: &mut self.diagnostics,
        };
        if let Err(error) = step(&mut self.gossip, &mut effects) {
            effects.diagnostics.push(Diagnostic::StepRefused(error));
        }
        // A renewed identity starts out disconnected, and foca revises that only when it applies
        // updates. Without this call, foca would stop probing if the last packet that it ever
        // receives declares this node down.
        let no_updates = std::iter::empty();
        let _ = self.gossip.apply_many(no_updates, false, &mut effects);
        if self.gossip.identity().bump() != bump {
            self.renewals.on_renewed(self.clock.now());
        }
        self.members.emit_changes(&mut self.diagnostics);
        self.reconfigure();
    }

    /// Adapts foca's configuration to the size of the cluster.
    fn reconfigure(&mut self) {
        let nodes = self.gossip.num_members() + 1;
        if self.configured_for != nodes && !self.has_left {
            self.configured_for = nodes;
            // This fails only if the new configuration changes a setting that must stay constant. No
            // such setting depends on the size of the cluster.
            let _ = self.gossip.set_config(self.config());
        }
    }

    /// Upper bound on the bytes of a packet that foca sends or accepts.
    pub(super) fn max_packet(&self) -> usize {
        self.config().max_packet_size.get()
    }

    fn config(&self) -> foca::Config {
        self.settings.config(self.gossip.num_members() + 1, self.envelope.overhead())
    }

    /// Whether a timer is still relevant. foca checks timers too, but it declares a suspect down
    /// even if the suspect refuted in time, which makes the suspect renew its identity.
    fn is_current(&self, timer: &Timer<Identity>) -> bool {
        let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = timer else { return true };
        self.is_suspect(member_id, *incarnation)
    }

    fn is_suspect(&self, id: &Identity, incarnation: Incarnation) -> bool {
        let suspicion = Member::new(id.clone(), incarnation, State::Suspect);
        self.gossip.iter_members().any(|member| *member == suspicion)
    }

    /// Warns the members that this node is about to declare down, so that they can refute.
    ///
    /// foca relies on gossip for this. But the fault that made the probe fail may also have lost
    /// the gossip, and each update is transmitted a limited number of times. A suspect that
    /// recovers after a few seconds would then acknowledge every probe and still be declared down.
    /// Lifeguard calls this warning the buddy system.
    fn warn_suspects(&mut self) {
        let local = self.gossip.identity();
        let suspects = self.timers.suspects().filter(|(id, at)| self.is_suspect(id, *at));
        let warn = |(suspect, at): (&Identity, Incarnation)| {
            let packet = envelope::warning(local, suspect, at).ok()?;
            Some((suspect.addr(), packet))
        };
        let warnings: Vec<_> = suspects.take(MAX_WARNINGS).filter_map(warn).collect();
        for (to, packet) in warnings {
            self.outbox.push_back((to, self.envelope.wrap(to, &packet)));
        }
    }

    /// Sets a timer that declares a suspect down unless it refutes first. foca sets this timer only
    /// for suspicions that it raised itself.
    fn end_suspicion(&mut self, member_id: Identity, incarnation: Incarnation) {
        let Some(token) = self.timers.token() else { return };
        let due = self.clock.now() + self.settings.suspicion_among(self.configured_for);
        self.timers.set(Timer::ChangeSuspectToDown { member_id, incarnation, token }, due);
    }

    /// Renews this node's identity if one of `rivals`, which are identities at its address,
    /// outranks it. Usually the rival is an earlier boot.
    pub(super) fn claim_address<'a>(&mut self, rivals: impl Iterator<Item = &'a Identity>) {
        let local = self.gossip.identity();
        let Some(bump) = rivals.filter(|rival| rival.outranks(local)).map(Identity::bump).max()
        else {
            return;
        };
        // At the maximum bump, renewal is impossible. No correct node comes near it.
        let Some(bump) = bump.checked_add(1) else { return };
        if !self.renewals.is_due(self.clock.now()) {
            return;
        }
        let renewed = local.with_bump(bump);
        self.diagnostics.push(Diagnostic::AddressReclaimed { bump });
        self.step(|gossip, effects| gossip.change_identity(renewed, effects));
    }

    /// Whether there is room for `more` members. Forgets down members if necessary.
    pub(super) fn make_room(&mut self, more: usize) -> bool {
        if self.room() < more {
            self.forget_down();
        }
        self.room() >= more
    }

    fn forget_down(&mut self) {
        let members = self.gossip.iter_membership_state();
        let down = members.filter(|member| member.state() == State::Down);
        let down: Vec<_> = down.map(|member| member.id().clone()).collect();
        down.into_iter().for_each(|id| self.forget(id));
    }

    fn room(&self) -> usize {
        self.settings.max_members.saturating_sub(self.gossip.iter_membership_state().len())
    }

    /// Forgets the members that are down, before a node that was alone adds other members. Such a node
    /// was itself cut off. If it gossiped that the others are down, each of them would have to renew its
    /// identity.
    pub(super) fn reset_gossip(&mut self) {
        if self.gossip.iter_membership_state().len() == 0 {
            return;
        }
        let identity = self.gossip.identity().clone();
        self.seed = self.seed.wrapping_add(1);
        self.gossip = new_gossip(identity, self.config(), self.seed);
        self.timers.clear();
    }

    fn forget(&mut self, down: Identity) {
        self.step(|gossip, effects| gossip.handle_timer(Timer::RemoveDown(down), effects));
    }

    /// The member at `addr`, which may be down.
    pub(super) fn held_at(&self, addr: SocketAddr) -> Option<&Member<Identity>> {
        self.gossip.iter_membership_state().find(|member| member.id().addr() == addr)
    }

    fn local_view(&self, claims: &[Claim]) -> LocalView {
        let members = self.gossip.iter_membership_state();
        LocalView::of(claims, members, self.gossip.num_members(), self.room())
    }

    /// Whether the member `down` has been down for so long that all nodes connected to it or to
    /// this node know about it.
    pub(super) fn is_settled(&self, down: &Identity) -> bool {
        let Some(forgotten) = self.timers.forgets_at(down.addr()) else { return true };
        forgotten.saturating_sub(self.settings.keep_down) + DOWN_SETTLE_TIME <= self.clock.now()
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("local", self.gossip.identity())
            .field("alive", &self.gossip.num_members())
            .field("counters", &self.diagnostics.counters())
            .finish_non_exhaustive()
    }
}

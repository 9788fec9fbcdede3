//! Who is up: SWIM, by way of foca, as a state machine without clock, sockets or tasks.
//!
//! Datagrams, the time and a seed come in; datagrams and [`Event`]s come out. Whoever drives it
//! also carries exchanges of [`MemberState`] over links: on joining, while alone, and every now and
//! then, since gossip alone does not give everyone everyone. It does not look for seeds, open
//! links, or know whether a member supports anything.
//!
//! Where it differs from bare foca:
//!
//! - [`Event`]s tell of boots of nodes, each listed once; a renewed identity of a boot makes none.
//! - Each timer has its place, so that nothing a peer sends makes them pile up (`timers`).
//! - A suspect is told of the suspicion until it refutes, and then left alone. foca leaves the
//!   telling to gossip, and tells even a suspect that refuted that it is down: it renews its
//!   identity for nothing.
//! - A standstill of this node (a frozen process, a suspended machine) stops its clock, rather than
//!   that the members appear to have been silent.
//! - It recovers from partitions with few renewals (`sync`).

mod datagram;
mod identity;
mod listing;
mod settings;
mod sync;
mod timers;

#[cfg(any(test, feature = "unstable"))]
pub(crate) mod sim;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, fmt, net::SocketAddr, time::Duration};

use foca::{
    Foca, Incarnation, Member, NoCustomBroadcast, Notification, PostcardCodec, State, Timer,
};
use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};

use self::{
    datagram::{Envelope, Packet, Rejected},
    identity::Identity,
    listing::Listing,
    sync::{Claim, Known, Plan},
    timers::Timers,
};
use crate::types::NodeInfo;

pub(crate) use self::{identity::Unfit, listing::Event, settings::Settings, sync::MemberState};

type Gossip = Foca<Identity, PostcardCodec, Xoshiro256PlusPlus, NoCustomBroadcast>;

/// For how long a member must have been down before a peer that holds it alive can be one from
/// the far side of a partition, rather than one that the news is still on its way to.
const SETTLED: Duration = Duration::from_secs(15);

/// How many suspects are warned at a time.
const MAX_WARNINGS: usize = 16;

/// How many further rounds of gossip tell of a leave. One datagram alone is easily lost.
const LEAVE_ROUNDS: usize = 2;

/// What happened so far, for telemetry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Datagrams ignored because they are no gossip of this cluster and version.
    pub(crate) foreign: u64,
    /// Datagrams ignored because they were malformed, this node's own, or one member too many.
    pub(crate) ignored: u64,
    /// Steps that foca refused.
    pub(crate) errors: u64,
    /// How often this node had to renew its identity.
    pub(crate) renewals: u64,
}

/// The members of a cluster as one node sees them.
///
/// Drain [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event) after every
/// other call that takes `&mut self`.
pub(crate) struct Membership {
    gossip: Gossip,
    /// The seed of the gossip's random choices.
    seed: u64,
    settings: Settings,
    envelope: Envelope,
    timers: Timers,
    listing: Listing,
    outbox: VecDeque<(SocketAddr, Vec<u8>)>,
    counters: Counters,
    /// Time on this node's own clock, which stands still when the node does.
    now: Duration,
    /// For how long this node stood still.
    stalled: Duration,
    /// The size of the cluster that foca is configured for.
    configured_for: usize,
    left: bool,
}

impl Membership {
    /// The membership of `me`, which knows nobody yet. `now` is the time since any fixed moment, as
    /// in all other calls.
    ///
    /// # Errors
    ///
    /// A node that could not be gossiped about: see [`Unfit`].
    pub(crate) fn new(
        me: &NodeInfo,
        settings: Settings,
        seed: u64,
        now: Duration,
    ) -> Result<Self, Unfit> {
        let identity = Identity::new(me, settings.protocol)?;
        let envelope = Envelope::new(&settings.cluster)?;
        let config = settings.config(1, envelope.overhead());
        Ok(Membership {
            gossip: gossip(identity, config, seed),
            seed,
            settings,
            envelope,
            timers: Timers::default(),
            listing: Listing::new(me.id().clone()),
            outbox: VecDeque::new(),
            counters: Counters::default(),
            now,
            stalled: Duration::ZERO,
            configured_for: 1,
            left: false,
        })
    }

    /// Takes a datagram from the network, whatever it is.
    pub(crate) fn handle_datagram(&mut self, now: Duration, datagram: &[u8]) {
        self.advance(now);
        if self.left {
            return;
        }
        match self.envelope.unwrap(datagram) {
            Ok(packet) => self.handle_packet(packet),
            Err(rejected) => self.reject(rejected),
        }
    }

    /// Does what is due at `now`.
    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        self.advance(now);
        while let Some(timer) = self.timers.pop(self.now) {
            if matches!(timer, Timer::PeriodicGossip(_)) {
                self.warn_suspects();
            }
            if self.is_current(&timer) {
                self.step(|gossip, effects| gossip.handle_timer(timer, effects));
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), unless something else happens before.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        self.timers.next().map(|due| due + self.stalled)
    }

    /// The next datagram to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outbox.pop_front()
    }

    /// The next change of [`members`](Self::members).
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.listing.pop()
    }

    /// The live members without this node, in order of their addresses.
    #[cfg(test)]
    pub(crate) fn members(&self) -> impl Iterator<Item = &NodeInfo> {
        self.listing.members()
    }

    /// Whether no other member is known alive. Then nothing happens until a datagram arrives or an
    /// exchange brings members.
    pub(crate) fn is_alone(&self) -> bool {
        self.gossip.num_members() == 0
    }

    /// What happened so far.
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// A summary of the live members, for a peer to [compare](Self::difference) with its own.
    pub(crate) fn digests(&self) -> Vec<u64> {
        let mut digests = self.listing.digests().clone();
        let me = self.gossip.identity();
        digests.toggle(me.node(), me.bump());
        digests.to_vec()
    }

    /// The members, this node included, that a peer with the digests `theirs` may see otherwise.
    pub(crate) fn difference(&self, theirs: &[u64]) -> Vec<MemberState> {
        let ours = self.digests();
        if ours == theirs {
            return Vec::new();
        }
        let own = self.gossip.identity();
        let myself = MemberState::new(own, 0, if self.left { State::Down } else { State::Alive });
        self.gossip
            .iter_membership_state()
            .filter(|member| member.id().addr() != own.addr())
            .map(|member| (member.id(), member.incarnation(), member.state()))
            .filter(|(id, ..)| sync::differs(id.addr(), &ours, theirs))
            .map(|(id, incarnation, state)| MemberState::new(id, incarnation, state))
            .chain(sync::differs(own.addr(), &ours, theirs).then_some(myself))
            .collect()
    }

    /// Takes over what a peer's [`difference`](Self::difference) says, as far as it can be
    /// believed.
    pub(crate) fn apply(&mut self, now: Duration, states: &[MemberState]) {
        self.advance(now);
        if self.left || states.is_empty() {
            return;
        }
        let me = self.gossip.identity().clone();
        let claims = states.iter().filter_map(|state| state.check().ok());
        let (about_me, mut claims): (Vec<_>, Vec<_>) = claims
            .take(self.settings.max_members)
            .partition(|claim: &Claim| claim.id.addr() == me.addr());

        // A cluster to join knows the news already; one that is joined by others does not.
        let spread = !self.is_alone();
        if self.is_alone() {
            self.start_afresh();
        }
        self.claim_address(about_me.iter().map(|claim| &claim.id));
        let mut known = self.known(&claims);
        claims.retain(|claim| known.is_news(claim));
        if known.room < known.strangers(&claims) {
            self.forget_down();
            known = self.known(&claims);
        }
        let plan = Plan::new(&claims, known, |id| self.is_settled(id));
        plan.forget.into_iter().for_each(|id| self.forget(id));
        // A peer that holds this node down is told otherwise by a renewed identity.
        let held_down = about_me.iter().any(|claim| claim.down && claim.id == me);
        let me = (held_down && *self.gossip.identity() == me).then(|| Member::down(me));
        let updates = plan.updates.into_iter().chain(me);
        self.step(|gossip, effects| gossip.apply_many(updates, spread, effects));
        for (member_id, incarnation) in plan.suspects {
            self.end_suspicion(member_id, incarnation);
        }
        for id in plan.call {
            self.step(|gossip, effects| gossip.announce(id, effects));
        }
    }

    /// Tells members that this node leaves. Afterwards it takes part no more: it ignores what comes
    /// in, and emits nothing after what is to be polled now.
    pub(crate) fn leave(&mut self, now: Duration) {
        self.advance(now);
        if self.left {
            return;
        }
        // News is passed on a number of times only, and here that must do for all farewells.
        let mut config = self.config();
        config.max_transmissions = config.max_transmissions.saturating_add(20);
        self.step(|gossip, _| gossip.set_config(config));
        self.step(|gossip, effects| gossip.leave_cluster(effects));
        for _ in 0..LEAVE_ROUNDS {
            self.step(|gossip, effects| gossip.gossip(effects));
        }
        self.timers.clear();
        self.left = true;
    }

    fn handle_packet(&mut self, packet: &[u8]) {
        let read = match Packet::read(packet) {
            Ok(read) => read,
            Err(rejected) => return self.reject(rejected),
        };
        let own_addr = self.gossip.identity().addr();
        if read.from.addr() == own_addr {
            return self.reject(Rejected::Malformed);
        }
        if self.is_alone() {
            // A node that has just left, or an earlier boot of it, may have datagrams under way.
            let held = self.held_at(read.from.addr()).map(Member::id);
            if held.is_some_and(|held| !read.from.outranks(held) && !self.is_settled(held)) {
                return;
            }
            self.start_afresh();
        }
        let packet = if self.make_room(read.news.len() + 1) {
            packet
        } else if self.held_at(read.from.addr()).is_some() {
            read.bare
        } else {
            return self.reject(Rejected::Malformed);
        };
        self.step(|gossip, effects| gossip.handle_data(packet, effects));
        self.claim_address(read.news.iter().map(Member::id).filter(|id| id.addr() == own_addr));
    }

    fn reject(&mut self, rejected: Rejected) {
        tracing::trace!(?rejected, "datagram ignored");
        match rejected {
            Rejected::Foreign | Rejected::Cluster => self.counters.foreign += 1,
            Rejected::Field | Rejected::Malformed => self.counters.ignored += 1,
        }
    }

    /// Moves the clock on to `now`. If a timer is overdue by more than a moment then this node
    /// stood still, and its clock did too: what the others sent meanwhile is yet to be read.
    fn advance(&mut self, now: Duration) {
        let now = now.saturating_sub(self.stalled);
        let late = self.timers.next().map_or(Duration::ZERO, |due| now.saturating_sub(due));
        let stall = if late > self.settings.probe_rtt { late } else { Duration::ZERO };
        self.stalled += stall;
        self.now = self.now.max(now - stall);
    }

    /// One step of foca's, its errors logged and its effects taken.
    fn step(
        &mut self,
        step: impl FnOnce(&mut Gossip, &mut Effects<'_>) -> Result<(), foca::Error>,
    ) {
        let mut effects = Effects {
            own_addr: self.gossip.identity().addr(),
            now: self.now,
            envelope: &self.envelope,
            timers: &mut self.timers,
            listing: &mut self.listing,
            outbox: &mut self.outbox,
            counters: &mut self.counters,
        };
        if let Err(error) = step(&mut self.gossip, &mut effects) {
            tracing::debug!(%error, "gossip step refused");
            effects.counters.errors += 1;
        }
        // A renewed identity starts out disconnected. foca reconsiders that when it applies
        // updates, and not otherwise: a node told that it is down by the last packet to come would
        // stop probing.
        let nothing = std::iter::empty();
        let _ = self.gossip.apply_many(nothing, false, &mut effects);
        self.listing.settle();
        self.fit_to_size();
    }

    fn fit_to_size(&mut self) {
        let nodes = self.gossip.num_members() + 1;
        if self.configured_for != nodes && !self.left {
            self.configured_for = nodes;
            // Fails only if what must stay the same changes, and that depends on no size.
            let _ = self.gossip.set_config(self.config());
        }
    }

    fn config(&self) -> foca::Config {
        self.settings.config(self.gossip.num_members() + 1, self.envelope.overhead())
    }

    /// Whether a timer still has a purpose. foca would find that out for itself, except that it
    /// tells even a suspect that refuted in time that it is down, and makes it renew its identity.
    fn is_current(&self, timer: &Timer<Identity>) -> bool {
        let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = timer else { return true };
        self.is_suspect(member_id, *incarnation)
    }

    fn is_suspect(&self, id: &Identity, incarnation: Incarnation) -> bool {
        let suspicion = Member::new(id.clone(), incarnation, State::Suspect);
        self.gossip.iter_members().any(|member| *member == suspicion)
    }

    /// Tells those that this node is about to declare down, so that they can refute.
    ///
    /// foca counts on gossip for that. But whatever made the probe fail may have lost the gossip
    /// too, and each piece of news is passed on a number of times only: then the suspect, back
    /// after a few seconds, would answer every probe and go down all the same. Lifeguard calls this
    /// the buddy system.
    fn warn_suspects(&mut self) {
        let me = self.gossip.identity();
        let suspects = self.timers.suspects().filter(|(id, at)| self.is_suspect(id, *at));
        let warn = |(suspect, at): (&Identity, Incarnation)| {
            let packet = datagram::warning(me, suspect, at).ok()?;
            Some((suspect.addr(), self.envelope.wrap(&packet)))
        };
        let warnings: Vec<_> = suspects.take(MAX_WARNINGS).filter_map(warn).collect();
        self.outbox.extend(warnings);
    }

    /// Declares a suspect down, unless it refutes in time. foca does so only for those that it came
    /// to suspect itself.
    fn end_suspicion(&mut self, member_id: Identity, incarnation: Incarnation) {
        let Some(token) = self.timers.token() else { return };
        let due = self.now + self.settings.suspicion_among(self.configured_for);
        self.timers.set(Timer::ChangeSuspectToDown { member_id, incarnation, token }, due);
    }

    /// Renews this node's identity if one of `rivals`, identities at its address, would win over
    /// it: an earlier boot, most often.
    fn claim_address<'a>(&mut self, rivals: impl Iterator<Item = &'a Identity>) {
        let me = self.gossip.identity();
        let Some(bump) = rivals.filter(|rival| rival.outranks(me)).map(Identity::bump).max() else {
            return;
        };
        // At the last bump there is nothing left to try. No honest node comes near it.
        let Some(bump) = bump.checked_add(1) else { return };
        let renewed = me.with_bump(bump);
        tracing::debug!(?renewed, "another boot held this node's address");
        self.counters.renewals += 1;
        self.step(|gossip, effects| gossip.change_identity(renewed, effects));
    }

    /// Whether `more` members could be taken in, after forgetting those that are down if need be.
    fn make_room(&mut self, more: usize) -> bool {
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

    /// Forgets who is down, for a node that is alone and hears of others. It was cut off: to tell
    /// the others that they are down would make each of them renew its identity.
    fn start_afresh(&mut self) {
        if self.gossip.iter_membership_state().len() == 0 {
            return;
        }
        let identity = self.gossip.identity().clone();
        self.seed = self.seed.wrapping_add(1);
        self.gossip = gossip(identity, self.config(), self.seed);
        self.timers.clear();
    }

    fn forget(&mut self, down: Identity) {
        self.step(|gossip, effects| gossip.handle_timer(Timer::RemoveDown(down), effects));
    }

    /// The member, perhaps down, at `addr`.
    fn held_at(&self, addr: SocketAddr) -> Option<&Member<Identity>> {
        self.gossip.iter_membership_state().find(|member| member.id().addr() == addr)
    }

    fn known(&self, claims: &[Claim]) -> Known {
        let members = self.gossip.iter_membership_state();
        Known::of(claims, members, self.gossip.num_members(), self.room())
    }

    fn is_settled(&self, down: &Identity) -> bool {
        let Some(forgotten) = self.timers.forgets_at(down.addr()) else { return true };
        forgotten.saturating_sub(self.settings.keep_down) + SETTLED <= self.now
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("me", self.gossip.identity())
            .field("alive", &self.gossip.num_members())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

fn gossip(identity: Identity, config: foca::Config, seed: u64) -> Gossip {
    Foca::new(identity, config, Xoshiro256PlusPlus::seed_from_u64(seed), PostcardCodec)
}

/// Where foca's effects go.
struct Effects<'a> {
    own_addr: SocketAddr,
    now: Duration,
    envelope: &'a Envelope,
    timers: &'a mut Timers,
    listing: &'a mut Listing,
    outbox: &'a mut VecDeque<(SocketAddr, Vec<u8>)>,
    counters: &'a mut Counters,
}

impl foca::Runtime<Identity> for Effects<'_> {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        if let Notification::Rejoin(renewed) = notification {
            tracing::debug!(?renewed, "was held down by others");
            self.counters.renewals += 1;
        }
        self.listing.note(&notification);
    }

    fn send_to(&mut self, to: Identity, packet: &[u8]) {
        // An earlier boot at this address is a member that is down, and those are called.
        if to.addr() != self.own_addr {
            self.outbox.push_back((to.addr(), self.envelope.wrap(packet)));
        }
    }

    fn submit_after(&mut self, timer: Timer<Identity>, after: Duration) {
        self.timers.set(timer, self.now + after);
    }
}

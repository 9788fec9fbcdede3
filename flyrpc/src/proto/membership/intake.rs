//! Decides which gossip reaches foca. Its sender must be known, and must not ask for too much.

use std::borrow::Cow;

use foca::{Incarnation, Member, Message, State};

use super::{
    driver::Membership,
    envelope::{self, Channel, Packet, Rejected},
    identity::Identity,
};
use crate::types::{NodeId, NodeInfo};

/// Upper bound on the renewals by which an identity may be ahead of the known identity at its address.
/// Correct nodes renew theirs at most once per second, and rarely.
const MAX_BUMP_LEAP: u32 = 4096;

impl Membership {
    /// Handles a packet of foca, unless its sender is neither a member nor linked. Returns the sender.
    pub(super) fn handle_packet(
        &mut self,
        packet: &[u8],
        channel: Channel,
        is_linked: impl FnOnce(&NodeInfo) -> bool,
    ) -> Result<NodeInfo, Rejected> {
        let mut read = Packet::read(packet)?;
        let local_addr = self.gossip.identity().addr();
        if read.from.addr() == local_addr {
            return Err(Rejected::Malformed);
        }
        let sender = read.from.node().clone();
        if !is_linked(&sender) && !self.is_held(&read.from) {
            return Err(Rejected::Stranger);
        }
        // Before foca answers.
        self.envelope.on_datagram(sender.addr(), channel);
        self.check_requests(&read)?;
        let packet = self.without_refused_updates(packet, &mut read)?;
        if self.is_alone() {
            // Datagrams from a node that has just left, or from an earlier boot of it, may still be
            // in flight.
            let held = self.held_at(read.from.addr()).map(Member::id);
            if held.is_some_and(|held| !read.from.outranks(held) && !self.is_settled(held)) {
                return Ok(sender);
            }
            self.reset_gossip();
        }
        let packet = if self.make_room(read.updates.len() + 1) {
            &packet
        } else if self.held_at(read.from.addr()).is_some() {
            read.bare
        } else {
            return Err(Rejected::Malformed);
        };
        let leaving = self.leaving_boots(&read.updates);
        if packet.len() <= self.max_packet() {
            self.members.expect_leaves(leaving);
            self.step(|gossip, effects| gossip.handle_data(packet, effects));
        } else {
            // foca refuses packets that are longer than those that it sends. Peers that do not seal send longer ones.
            self.step(|gossip, effects| gossip.handle_data(read.bare, effects));
            // As foca does, unless the packet is for an earlier identity of this node.
            if read.to == *self.gossip.identity() && self.members.contains(&sender) {
                let updates = read.updates.clone().into_iter();
                self.members.expect_leaves(leaving);
                self.step(|gossip, effects| gossip.apply_many(updates, true, effects));
            }
        }
        self.claim_address(
            read.updates.iter().map(Member::id).filter(|id| id.addr() == local_addr),
        );
        Ok(sender)
    }

    /// Returns the boots that leave according to `updates`. A member that fails is suspected before it is
    /// declared down, and the suspicion spreads first. So a member that is declared down while this node considers
    /// it alive has left, unless this node missed the suspicion because it was cut off or stopped.
    fn leaving_boots(&self, updates: &[Member<Identity>]) -> Vec<NodeId> {
        let is_alive = |id: &Identity| {
            let held = self.held_at(id.addr());
            held.is_some_and(|held| held.id() == id && held.state() == State::Alive)
        };
        let down = updates.iter().filter(|update| update.state() == State::Down);
        let leaving = down.map(Member::id).filter(|id| is_alive(id));
        leaving.map(|id| id.node().id().clone()).collect()
    }

    /// Rejects requests that the sender may not make yet: a renewal of this node's identity, or the
    /// members.
    fn check_requests(&mut self, packet: &Packet<'_>) -> Result<(), Rejected> {
        let now = self.clock.now();
        let is_allowed = match packet.message {
            Message::TurnUndead => self.renewals.is_due(now),
            Message::Announce => self.feeds.take(now),
            _ => true,
        };
        if is_allowed && self.is_plausible(&packet.from) {
            Ok(())
        } else {
            Err(Rejected::Excessive)
        }
    }

    /// Returns the packet without the updates that must not reach foca: implausible updates, and updates
    /// that would make this node renew its identity too soon.
    fn without_refused_updates<'a>(
        &self,
        packet: &'a [u8],
        read: &mut Packet<'_>,
    ) -> Result<Cow<'a, [u8]>, Rejected> {
        let local = self.gossip.identity();
        let may_renew = self.renewals.is_due(self.clock.now());
        let is_accepted = |update: &Member<Identity>| {
            let is_fatal = match update.state() {
                State::Alive => false,
                State::Suspect => update.incarnation() == Incarnation::MAX,
                State::Down => true,
            };
            let renews = is_fatal && update.id().is_same_boot(local);
            (may_renew || !renews) && self.is_plausible(update.id())
        };
        if read.updates.iter().all(is_accepted) {
            return Ok(Cow::Borrowed(packet));
        }
        read.updates.retain(is_accepted);
        envelope::with_updates(read.bare, &read.updates)
            .map(Cow::Owned)
            .map_err(|_| Rejected::Malformed)
    }

    /// Returns whether an identity can have been renewed as often as it claims. No identity could
    /// outrank one with the highest number.
    pub(super) fn is_plausible(&self, id: &Identity) -> bool {
        if id.bump() <= MAX_BUMP_LEAP {
            return true;
        }
        let local = self.gossip.identity();
        let known = if id.addr() == local.addr() {
            local.bump()
        } else {
            self.held_at(id.addr()).map_or(0, |member| member.id().bump())
        };
        id.bump() <= known.saturating_add(MAX_BUMP_LEAP)
    }

    /// Returns whether this boot is a member, or was one until it went down.
    fn is_held(&self, id: &Identity) -> bool {
        let is_boot = |member: &Member<Identity>| member.id().is_same_boot(id);
        self.members.contains(id.node()) || self.held_at(id.addr()).is_some_and(is_boot)
    }
}

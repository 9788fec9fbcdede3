//! Decides which of a peer's claims about members to accept when two nodes sync.
//!
//! Nodes first compare digests of buckets of members, and then exchange the members of the buckets
//! that differ. This module decides which of the peer's claims to accept, and foca then applies
//! them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use foca::{Incarnation, Member, State};

use super::{identity::Identity, member_state::Claim};

/// Upper bound on the members that one sync puts under suspicion. A peer that missed a death names
/// few. A peer from the other side of a healed partition names half of the cluster. If all of those
/// members refuted at once, the refutations would be lost in the traffic.
const MAX_SUSPICIONS: usize = 4;

/// Upper bound on the members that one sync contacts because this node considers them down and the
/// peer considers them alive.
const MAX_CALLS: usize = 16;

/// This node's view of the claimed members at the time when a peer's claims arrive.
#[derive(Debug)]
pub(super) struct LocalView {
    /// The members that the claims are about, and possibly others.
    pub(super) members: BTreeMap<SocketAddr, Member<Identity>>,
    /// The total number of live members.
    pub(super) alive: usize,
    /// How many more members this node may track.
    pub(super) room: usize,
}

impl LocalView {
    /// Creates the view from the part of `members` that `claims` are about.
    pub(super) fn of<'a>(
        claims: &[Claim],
        members: impl Iterator<Item = &'a Member<Identity>>,
        alive: usize,
        room: usize,
    ) -> Self {
        let claimed: BTreeSet<SocketAddr> = claims.iter().map(|claim| claim.id.addr()).collect();
        let members = members.filter(|member| claimed.contains(&member.id().addr()));
        let members = members.map(|member| (member.id().addr(), member.clone())).collect();
        LocalView { members, alive, room }
    }

    /// Whether a claim adds information to this view. Most claims only repeat that a live member is
    /// alive. foca would also detect this, but it searches all members for each claim.
    pub(super) fn is_news(&self, claim: &Claim) -> bool {
        let repeats = self.members.get(&claim.id.addr()).is_some_and(|member| {
            member.state() != State::Down
                && *member.id() == claim.id
                && member.incarnation() >= claim.incarnation
        });
        claim.down || !repeats
    }

    /// How many of `claims` would add a member.
    pub(super) fn added_by(&self, claims: &[Claim]) -> usize {
        let is_new = |claim: &&Claim| !claim.down && !self.members.contains_key(&claim.id.addr());
        claims.iter().filter(is_new).count()
    }
}

/// The actions to take on a peer's claims.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Members that this node considers down and must forget, because this node was the one cut
    /// off.
    pub(super) forget: Vec<Identity>,
    /// Members that this node considers down and must contact, so that they are notified and rejoin
    /// with a renewed identity.
    pub(super) call: Vec<Identity>,
    /// The accepted claims, for foca to apply.
    pub(super) updates: Vec<Member<Identity>>,
    /// Members among `updates` for which this node must set the timer that ends the suspicion.
    pub(super) suspects: Vec<(Identity, Incarnation)>,
}

impl Plan {
    /// Evaluates `claims` about members other than this node. `is_settled` returns whether a member
    /// has been down for so long that all nodes connected to it or to this node know about it.
    pub(super) fn new(
        claims: &[Claim],
        mut view: LocalView,
        is_settled: impl Fn(&Identity) -> bool,
    ) -> Self {
        let mut plan = Plan { forget: mistaken(claims, &view, is_settled), ..Plan::default() };
        for id in &plan.forget {
            view.members.remove(&id.addr());
            view.room += 1;
        }
        for claim in claims {
            plan.judge(claim, &mut view);
        }
        plan
    }

    fn judge(&mut self, claim: &Claim, view: &mut LocalView) {
        let claimed = |state| Member::new(claim.id.clone(), claim.incarnation, state);
        let Some(member) = view.members.get(&claim.id.addr()) else {
            // Nodes forget down members after a while. If a node that has forgotten such a member
            // adopted it again from a node that has not, the member would circulate forever.
            if !claim.down && view.room > 0 {
                view.room -= 1;
                self.updates.push(claimed(State::Alive));
            }
            return;
        };
        let is_down = member.state() == State::Down;
        match (is_down, claim.down) {
            (false, true) if claim.id.is_same_boot(member.id()) => self.suspect(claim, member),
            (true, _) | (false, true) if claim.id.outranks(member.id()) => {
                self.updates.push(claimed(if claim.down { State::Down } else { State::Alive }));
            }
            (true, false) if claim.id == *member.id() && self.call.len() < MAX_CALLS => {
                self.call.push(claim.id.clone());
            }
            // foca would also ignore repeated claims, but only after a search through all members.
            (false, false) if claim.is_news_of(member) => self.updates.push(claimed(State::Alive)),
            _ => {}
        }
    }

    /// Handles a claim that a member is down, while this node considers it alive. Down is final,
    /// and after a partition the peer may be wrong, so the member gets the chance to refute, as in
    /// HashiCorp's memberlist.
    fn suspect(&mut self, claim: &Claim, member: &Member<Identity>) {
        if member.id().outranks(&claim.id) || self.suspects.len() >= MAX_SUSPICIONS {
            return;
        }
        let incarnation = if claim.id == *member.id() {
            claim.incarnation.max(member.incarnation())
        } else {
            claim.incarnation
        };
        self.updates.push(Member::new(claim.id.clone(), incarnation, State::Suspect));
        self.suspects.push((claim.id.clone(), incarnation));
    }
}

/// Returns the members that this node considers down by mistake, because it was the one cut off.
///
/// They are mistaken if the peer considers more of them alive than the total number of members that
/// this node considers alive. In that case this node was in the smaller part of a partitioned
/// cluster. Otherwise those members must rejoin with a renewed identity.
fn mistaken(
    claims: &[Claim],
    view: &LocalView,
    is_settled: impl Fn(&Identity) -> bool,
) -> Vec<Identity> {
    let mut mistaken = BTreeMap::new();
    for claim in claims.iter().filter(|claim| !claim.down) {
        let Some(member) = view.members.get(&claim.id.addr()) else { continue };
        let held_down = member.state() == State::Down && *member.id() == claim.id;
        if held_down && is_settled(&claim.id) {
            mistaken.insert(claim.id.addr(), claim.id.clone());
        }
    }
    if mistaken.len() > view.alive { mistaken.into_values().collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        proto::membership::identity::Parts,
        types::{NodeId, NodeInfo, Region},
    };

    fn identity(n: u8) -> Identity {
        let addr = SocketAddr::from(([10, 0, 0, n], 80));
        let node = NodeInfo::new(NodeId::new("a", u64::from(n)), Region::LOCAL, addr);
        Identity::new(&node, 1).unwrap()
    }

    fn alive(id: Identity) -> Claim {
        Claim { id, incarnation: 0, down: false }
    }

    fn down(id: Identity) -> Claim {
        Claim { down: true, ..alive(id) }
    }

    fn view(members: &[(Identity, State)]) -> LocalView {
        let member =
            |(id, state): &(Identity, State)| (id.addr(), Member::new(id.clone(), 3, *state));
        LocalView {
            members: members.iter().map(member).collect(),
            alive: members.iter().filter(|(_, state)| *state != State::Down).count(),
            room: 2,
        }
    }

    #[track_caller]
    fn check(claims: &[Claim], view: LocalView, updates: &[(Identity, State)]) -> Plan {
        let plan = Plan::new(claims, view, |_| true);
        let planned: Vec<_> =
            plan.updates.iter().map(|update| (update.id().clone(), update.state())).collect();
        assert_eq!(planned, updates, "{claims:?}");
        plan
    }

    #[test]
    fn live_members_are_adopted_up_to_the_bound_and_unknown_down_members_are_not() {
        check(
            &[down(identity(1)), alive(identity(2)), alive(identity(3)), alive(identity(4))],
            view(&[]),
            &[(identity(2), State::Alive), (identity(3), State::Alive)],
        );
    }

    #[test]
    fn a_live_member_claimed_down_is_suspected_under_its_current_incarnation() {
        let plan = check(
            &[down(identity(1))],
            view(&[(identity(1), State::Alive)]),
            &[(identity(1), State::Suspect)],
        );
        assert_eq!(plan.suspects, [(identity(1), 3)]);
    }

    #[test]
    fn a_peer_that_considers_all_members_down_raises_few_suspicions() {
        let members: Vec<_> = (0..50).map(|n| (identity(n), State::Alive)).collect();
        let claims: Vec<_> = members.iter().map(|(id, _)| down(id.clone())).collect();
        assert_eq!(Plan::new(&claims, view(&members), |_| true).suspects.len(), MAX_SUSPICIONS);
    }

    #[test]
    fn a_later_boot_that_is_down_also_marks_the_earlier_boot_down() {
        let later = Parts { boot: 9u64.to_le_bytes(), ..identity(1).parts() }.check().unwrap();
        check(
            &[down(later.clone())],
            view(&[(identity(1), State::Alive)]),
            &[(later.clone(), State::Down)],
        );
        check(&[down(identity(1))], view(&[(later, State::Alive)]), &[]);
    }

    #[test]
    fn the_smaller_side_forgets_its_down_members_and_the_larger_side_contacts_them() {
        let few = view(&[(identity(1), State::Down), (identity(2), State::Down)]);
        let claims = [alive(identity(1)), alive(identity(2))];
        let plan = check(&claims, few, &[(identity(1), State::Alive), (identity(2), State::Alive)]);
        assert_eq!(plan.forget, [identity(1), identity(2)]);

        let many = view(&[(identity(1), State::Down), (identity(2), State::Alive)]);
        let plan = check(&claims, many, &[]);
        assert_eq!((plan.forget, plan.call), (vec![], vec![identity(1)]));
    }

    #[test]
    fn only_claims_that_add_to_the_local_view_are_applied() {
        let later = Claim { incarnation: 4, ..alive(identity(1)) };
        let renewed = alive(identity(1).with_bump(1));
        check(&[alive(identity(1))], view(&[(identity(1), State::Alive)]), &[]);
        for claim in [later, renewed] {
            let expected = (claim.id.clone(), State::Alive);
            check(&[claim], view(&[(identity(1), State::Alive)]), &[expected]);
        }
    }
}

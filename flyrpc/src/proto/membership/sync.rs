//! What two nodes tell each other when they compare their members over a link, and what is made of
//! it.
//!
//! Gossip alone does not give a joiner everyone, so nodes exchange digests of buckets of members,
//! and then the members of the buckets that differ. This decides what to believe of a peer's
//! members; foca then applies it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
};

use foca::{Incarnation, Member, State};
use serde::{Deserialize, Serialize};

use super::identity::{Identity, Parts, Unfit};
use crate::types::NodeInfo;

/// How many digests summarize the members.
const BUCKETS: usize = 64;

/// How many members one exchange may put under suspicion. A peer that missed a death names few; one
/// from the far side of a healed partition names half of the cluster, and all of it refuting at
/// once would drown the refutations.
const MAX_SUSPICIONS: usize = 4;

/// How many members one exchange may call because they are held down here, and alive there.
const MAX_CALLS: usize = 16;

/// What a node says of one member. Fields of later versions are ignored; absent ones have defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberState {
    name: String,
    boot: u64,
    region: String,
    addr: SocketAddr,
    #[serde(default)]
    bump: u32,
    #[serde(default)]
    incarnation: u16,
    #[serde(default)]
    protocol: u32,
    /// A suspect is told as alive: whoever is told starts no timer that would end the suspicion.
    #[serde(default, skip_serializing_if = "is_false")]
    down: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    extra: Vec<u8>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl MemberState {
    pub(super) fn new(id: &Identity, incarnation: Incarnation, state: State) -> Self {
        let parts = id.parts();
        MemberState {
            name: parts.name.to_owned(),
            boot: id.boot(),
            region: parts.region.to_owned(),
            addr: parts.addr,
            bump: parts.bump,
            incarnation,
            protocol: parts.protocol,
            down: state == State::Down,
            extra: parts.extra.to_vec(),
        }
    }

    pub(super) fn check(&self) -> Result<Claim, Unfit> {
        let parts = Parts {
            addr: self.addr,
            boot: self.boot.to_le_bytes(),
            bump: self.bump,
            protocol: self.protocol,
            name: &self.name,
            region: &self.region,
            extra: &self.extra,
        };
        Ok(Claim { id: parts.check()?, incarnation: self.incarnation, down: self.down })
    }
}

/// A member as a peer sees it.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) id: Identity,
    pub(super) incarnation: Incarnation,
    pub(super) down: bool,
}

impl Claim {
    /// Whether this claim that a member is alive says more than that `member`, at its address, is.
    fn is_news_of(&self, member: &Member<Identity>) -> bool {
        self.id != *member.id() || self.incarnation > member.incarnation()
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.down { "down" } else { "alive" };
        write!(f, "{:?} {state}@{}", self.id, self.incarnation)
    }
}

/// One digest for each bucket of live members, kept up to date as they come and go.
///
/// Only who is alive counts. Members that are down are forgotten at different times by different
/// nodes, and suspicions are over before the next exchange: digests of them would never agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digests([u64; BUCKETS]);

impl Digests {
    /// Of nobody.
    pub(super) fn new() -> Self {
        Digests([0; BUCKETS])
    }

    /// Takes in the identity of `node` renewed `bump` times, or takes it out again. Any order gives
    /// the same digests.
    pub(super) fn toggle(&mut self, node: &NodeInfo, bump: u32) {
        let place = fnv(FNV, addr_bytes(node.addr()));
        let boot = node.id().boot().to_le_bytes();
        let digest = fnv(place, boot.into_iter().chain(bump.to_le_bytes()));
        self.0[bucket(place)] ^= scatter(digest);
    }

    pub(super) fn to_vec(&self) -> Vec<u64> {
        self.0.to_vec()
    }
}

/// Whether the member at `addr` is in a bucket in which `ours` and `theirs` differ.
pub(super) fn differs(addr: SocketAddr, ours: &[u64], theirs: &[u64]) -> bool {
    let bucket = bucket(fnv(FNV, addr_bytes(addr)));
    ours.len() != theirs.len() || ours[bucket] != theirs[bucket]
}

fn bucket(place: u64) -> usize {
    (scatter(place) % BUCKETS as u64) as usize
}

const FNV: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: the same on every node and in every version, unlike the standard library's hash.
fn fnv(state: u64, bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes
        .into_iter()
        .fold(state, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The finalizer of MurmurHash3. FNV's low bits alone are poor, and its values xor badly.
fn scatter(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

fn addr_bytes(addr: SocketAddr) -> impl Iterator<Item = u8> {
    let ip = match addr {
        SocketAddr::V4(addr) => addr.ip().to_ipv6_mapped(),
        SocketAddr::V6(addr) => *addr.ip(),
    };
    ip.octets().into_iter().chain(addr.port().to_be_bytes())
}

/// What is known here, when a peer's claims arrive.
#[derive(Debug)]
pub(super) struct Known {
    /// Those that are claimed something about, perhaps with others.
    pub(super) members: BTreeMap<SocketAddr, Member<Identity>>,
    /// How many of the members are alive.
    pub(super) alive: usize,
    /// How many more members may be known.
    pub(super) room: usize,
}

impl Known {
    /// What is known here of the members that `claims` are about.
    pub(super) fn of<'a>(
        claims: &[Claim],
        members: impl Iterator<Item = &'a Member<Identity>>,
        alive: usize,
        room: usize,
    ) -> Self {
        let claimed: BTreeSet<SocketAddr> = claims.iter().map(|claim| claim.id.addr()).collect();
        let members = members.filter(|member| claimed.contains(&member.id().addr()));
        let members = members.map(|member| (member.id().addr(), member.clone())).collect();
        Known { members, alive, room }
    }

    /// Whether a claim says anything but that a live member is alive. foca would find so, too, but
    /// looks for each among all members.
    pub(super) fn is_news(&self, claim: &Claim) -> bool {
        let known = self.members.get(&claim.id.addr()).is_some_and(|member| {
            member.state() != State::Down
                && *member.id() == claim.id
                && member.incarnation() >= claim.incarnation
        });
        claim.down || !known
    }

    /// How many of `claims` bring a member that is not known yet.
    pub(super) fn strangers(&self, claims: &[Claim]) -> usize {
        let is_stranger =
            |claim: &&Claim| !claim.down && !self.members.contains_key(&claim.id.addr());
        claims.iter().filter(is_stranger).count()
    }
}

/// What to do about a peer's claims.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Members held down that are to be forgotten, since it was this node that was cut off.
    pub(super) forget: Vec<Identity>,
    /// Members held down that are to be called, so that they learn of it and come back renewed.
    pub(super) call: Vec<Identity>,
    /// What is to be believed.
    pub(super) updates: Vec<Member<Identity>>,
    /// Members among `updates` whose suspicion must end here.
    pub(super) suspects: Vec<(Identity, Incarnation)>,
}

impl Plan {
    /// Decides on `claims` about other members than this node. `is_settled` says whether a member
    /// has been down for so long that everyone in touch with it or this node knows.
    pub(super) fn new(
        claims: &[Claim],
        mut known: Known,
        is_settled: impl Fn(&Identity) -> bool,
    ) -> Self {
        let mut plan = Plan { forget: mistaken(claims, &known, is_settled), ..Plan::default() };
        for id in &plan.forget {
            known.members.remove(&id.addr());
            known.room += 1;
        }
        for claim in claims {
            plan.judge(claim, &mut known);
        }
        plan
    }

    fn judge(&mut self, claim: &Claim, known: &mut Known) {
        let claimed = |state| Member::new(claim.id.clone(), claim.incarnation, state);
        let Some(member) = known.members.get(&claim.id.addr()) else {
            // Members that are down are forgotten after a while. Taking them over from those who
            // have not forgotten yet would keep them going round for ever.
            if !claim.down && known.room > 0 {
                known.room -= 1;
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
            // foca would find that out for itself, but only after a look through all members.
            (false, false) if claim.is_news_of(member) => self.updates.push(claimed(State::Alive)),
            _ => {}
        }
    }

    /// A peer says that a member is down which is alive as far as is known here. Down is final, so
    /// the member is given the chance to refute, as in HashiCorp's memberlist: after a partition
    /// the peer knows no better.
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

/// The members that are held down here by mistake, since it was this node that was cut off.
///
/// They are if the peer sees more of them alive than are alive in this node's view: then this node
/// was in the smaller part of a cluster cut in two. Otherwise it is they who must come back under a
/// renewed identity.
fn mistaken(
    claims: &[Claim],
    known: &Known,
    is_settled: impl Fn(&Identity) -> bool,
) -> Vec<Identity> {
    let mut mistaken = BTreeMap::new();
    for claim in claims.iter().filter(|claim| !claim.down) {
        let Some(member) = known.members.get(&claim.id.addr()) else { continue };
        let held_down = member.state() == State::Down && *member.id() == claim.id;
        if held_down && is_settled(&claim.id) {
            mistaken.insert(claim.id.addr(), claim.id.clone());
        }
    }
    if mistaken.len() > known.alive { mistaken.into_values().collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{NodeId, Region};

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

    fn known(members: &[(Identity, State)]) -> Known {
        let member =
            |(id, state): &(Identity, State)| (id.addr(), Member::new(id.clone(), 3, *state));
        Known {
            members: members.iter().map(member).collect(),
            alive: members.iter().filter(|(_, state)| *state != State::Down).count(),
            room: 2,
        }
    }

    #[track_caller]
    fn check(claims: &[Claim], known: Known, updates: &[(Identity, State)]) -> Plan {
        let plan = Plan::new(claims, known, |_| true);
        let planned: Vec<_> =
            plan.updates.iter().map(|update| (update.id().clone(), update.state())).collect();
        assert_eq!(planned, updates, "{claims:?}");
        plan
    }

    #[test]
    fn live_members_are_taken_over_up_to_the_bound_and_dead_strangers_are_not() {
        check(
            &[down(identity(1)), alive(identity(2)), alive(identity(3)), alive(identity(4))],
            known(&[]),
            &[(identity(2), State::Alive), (identity(3), State::Alive)],
        );
    }

    #[test]
    fn a_live_member_claimed_down_is_suspected_under_its_present_incarnation() {
        let plan = check(
            &[down(identity(1))],
            known(&[(identity(1), State::Alive)]),
            &[(identity(1), State::Suspect)],
        );
        assert_eq!(plan.suspects, [(identity(1), 3)]);
    }

    #[test]
    fn a_far_side_that_holds_everyone_down_raises_few_suspicions() {
        let members: Vec<_> = (0..50).map(|n| (identity(n), State::Alive)).collect();
        let claims: Vec<_> = members.iter().map(|(id, _)| down(id.clone())).collect();
        assert_eq!(Plan::new(&claims, known(&members), |_| true).suspects.len(), MAX_SUSPICIONS);
    }

    #[test]
    fn a_later_boot_that_is_down_takes_the_earlier_one_with_it() {
        let later = Parts { boot: 9u64.to_le_bytes(), ..identity(1).parts() }.check().unwrap();
        check(
            &[down(later.clone())],
            known(&[(identity(1), State::Alive)]),
            &[(later.clone(), State::Down)],
        );
        check(&[down(identity(1))], known(&[(later, State::Alive)]), &[]);
    }

    #[test]
    fn one_that_was_cut_off_forgets_whom_it_held_down_and_the_many_call_the_few() {
        let few = known(&[(identity(1), State::Down), (identity(2), State::Down)]);
        let claims = [alive(identity(1)), alive(identity(2))];
        let plan = check(&claims, few, &[(identity(1), State::Alive), (identity(2), State::Alive)]);
        assert_eq!(plan.forget, [identity(1), identity(2)]);

        let many = known(&[(identity(1), State::Down), (identity(2), State::Alive)]);
        let plan = check(&claims, many, &[]);
        assert_eq!((plan.forget, plan.call), (vec![], vec![identity(1)]));
    }

    #[test]
    fn only_what_says_more_than_is_known_is_applied() {
        let later = Claim { incarnation: 4, ..alive(identity(1)) };
        let renewed = alive(identity(1).with_bump(1));
        check(&[alive(identity(1))], known(&[(identity(1), State::Alive)]), &[]);
        for claim in [later, renewed] {
            let expected = (claim.id.clone(), State::Alive);
            check(&[claim], known(&[(identity(1), State::Alive)]), &[expected]);
        }
    }

    fn digests<'a>(live: impl IntoIterator<Item = &'a Identity>) -> Vec<u64> {
        let mut digests = Digests::new();
        live.into_iter().for_each(|id| digests.toggle(id.node(), id.bump()));
        digests.to_vec()
    }

    #[test]
    fn digests_ignore_order_and_show_every_change() {
        let ids: Vec<_> = (0..200).map(identity).collect();
        let all = digests(&ids);
        assert_eq!(all, digests(ids.iter().rev()));
        for (n, id) in ids.iter().enumerate() {
            let without = digests(ids.iter().filter(|other| *other != id));
            assert_eq!(without, digests(ids.iter().chain([id])));
            let bumped = digests(ids.iter().take(n).chain([&id.with_bump(1)]).chain(&ids[n + 1..]));
            for other in [without, bumped] {
                assert_eq!(all.iter().zip(&other).filter(|(a, b)| a != b).count(), 1);
                assert!(differs(id.addr(), &all, &other));
            }
            assert!(!differs(id.addr(), &all, &all));
            assert!(differs(id.addr(), &all, &[]));
        }
    }

    #[test]
    fn a_state_survives_the_wire_and_skips_fields_of_later_versions() {
        let state = MemberState::new(&identity(1).with_bump(2), 3, State::Down);
        let bytes = rmp_serde::to_vec_named(&state).unwrap();
        assert_eq!(rmp_serde::from_slice::<MemberState>(&bytes).unwrap(), state);
        assert_eq!(state.check().unwrap().id, identity(1).with_bump(2));

        #[derive(Serialize)]
        struct Later<'a> {
            name: &'a str,
            boot: u64,
            region: &'a str,
            addr: SocketAddr,
            mood: &'a str,
        }
        let addr = identity(1).addr();
        let later = Later { name: "a", boot: 1, region: "local", addr, mood: "good" };
        let bytes = rmp_serde::to_vec_named(&later).unwrap();
        let read: MemberState = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(read.check().unwrap().id, identity(1));
    }
}

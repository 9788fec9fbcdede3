//! Malformed and malicious input from peers, which must do no harm.

use std::{net::SocketAddr, time::Duration};

use foca::{Header, Member, Message, State};
use rand::{Rng, RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use crate::{
    proto::membership::{
        Event, MemberState, Membership, Settings,
        envelope::Envelope,
        identity::{Identity, Parts},
        sim::secs,
    },
    types::{NodeId, NodeInfo, Region},
};

const ME: u16 = 1;

fn node(n: u16) -> NodeInfo {
    let addr = SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 4000));
    NodeInfo::new(NodeId::new(format!("node-{n}"), u64::from(n)), Region::LOCAL, addr)
}

fn identity(n: u16) -> Identity {
    Identity::new(&node(n), 1).unwrap()
}

fn alone(settings: Settings) -> Membership {
    Membership::new(&node(ME), settings, 1, Duration::ZERO).unwrap()
}

fn datagram(from: &Identity, message: Message<Identity>, news: &[Member<Identity>]) -> Vec<u8> {
    let header = Header { src: from.clone(), src_incarnation: 0, dst: identity(ME), message };
    let mut packet = postcard::to_stdvec(&header).unwrap();
    packet.extend((news.len() as u16).to_be_bytes());
    for member in news {
        packet = postcard::to_extend(member, packet).unwrap();
    }
    Envelope::new("app").unwrap().wrap(&packet)
}

fn states(ids: impl IntoIterator<Item = Identity>) -> Vec<MemberState> {
    ids.into_iter().map(|id| MemberState::new(&id, 0, State::Alive)).collect()
}

fn members(membership: &Membership) -> Vec<NodeInfo> {
    membership.members().cloned().collect()
}

/// Drains all datagrams and events.
fn drain(membership: &mut Membership) -> (Vec<(SocketAddr, Vec<u8>)>, Vec<Event>) {
    (
        std::iter::from_fn(|| membership.poll_transmit()).collect(),
        std::iter::from_fn(|| membership.poll_event()).collect(),
    )
}

#[test]
fn arbitrary_bytes_change_nothing() {
    let mut membership = alone(Settings::new("app"));
    let prefix = Envelope::new("app").unwrap().wrap(&[]);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    for round in 0..20_000 {
        let mut data = vec![0; rng.random_range(0..200)];
        rng.fill_bytes(&mut data);
        if round % 2 == 0 {
            data.splice(0..0, prefix.iter().copied());
        }
        membership.handle_datagram(secs(1.0), &data);
    }
    assert!(membership.is_alone());
    assert_eq!(drain(&mut membership), (vec![], vec![]));
    assert_eq!(membership.counters().foreign + membership.counters().ignored, 20_000);
}

#[test]
fn mutated_and_truncated_datagrams_never_panic() {
    let news: Vec<_> = (3..12).map(|n| Member::new(identity(n), n, State::Suspect)).collect();
    let (target, origin) = (identity(5), identity(6));
    let samples = [
        Message::Ping(1),
        Message::Ack(1),
        Message::PingReq { target: target.clone(), probe_number: 1 },
        Message::IndirectPing { origin: origin.clone(), probe_number: 1 },
        Message::IndirectAck { target, probe_number: 1 },
        Message::ForwardedAck { origin, probe_number: 1 },
        Message::Announce,
        Message::Feed,
        Message::Gossip,
        Message::Broadcast,
        Message::TurnUndead,
    ]
    .map(|message| datagram(&identity(2), message, &news));
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
    let mut membership = alone(Settings { max_members: 50, ..Settings::new("app") });
    for round in 0..30_000 {
        let now = Duration::from_millis(round * 5);
        let mut data = samples[rng.random_range(0..samples.len())].clone();
        for _ in 0..rng.random_range(0..4) {
            let at = rng.random_range(0..data.len());
            data[at] = rng.random();
        }
        if rng.random_bool(0.2) {
            data.truncate(rng.random_range(0..data.len()));
        }
        membership.handle_datagram(now, &data);
        if membership.next_timeout().is_some_and(|due| due <= now) {
            membership.handle_timeout(now);
        }
        drain(&mut membership);
        assert!(membership.members().count() <= 50);
        assert!(membership.timers.len() <= 5 + 2 * 50);
    }
}

#[test]
fn invented_members_are_bounded() {
    let mut membership = alone(Settings { max_members: 20, ..Settings::new("app") });
    membership.apply(secs(1.0), &states([identity(2)]));
    for n in 10..1_000 {
        let news = [Member::alive(identity(n)), Member::down(identity(n + 1_000))];
        membership.handle_datagram(secs(1.0), &datagram(&identity(n), Message::Gossip, &news));
    }
    membership.apply(secs(1.0), &states((2_000..9_000).map(identity)));
    assert!(membership.gossip.iter_membership_state().len() <= 20);
    drain(&mut membership);

    // A full node still responds to the members that it knows.
    let news = [Member::alive(identity(500))];
    membership.handle_datagram(secs(1.0), &datagram(&identity(2), Message::Ping(7), &news));
    let (sent, events) = drain(&mut membership);
    assert_eq!((sent.len(), sent[0].0, events), (1, node(2).addr(), vec![]));
}

#[test]
fn a_member_that_flaps_leaves_no_timers_behind() {
    let mut membership = alone(Settings::new("app"));
    for bump in 0..1_000 {
        let from = identity(2).with_bump(bump);
        membership.handle_datagram(secs(1.0), &datagram(&from, Message::Gossip, &[]));
        membership.apply(secs(1.0), &states([identity(3).with_bump(bump)]));
        let down = [Member::down(identity(3).with_bump(bump)), Member::down(from.clone())];
        membership.handle_datagram(secs(1.0), &datagram(&from, Message::Gossip, &down));
        drain(&mut membership);
    }
    assert!(membership.timers.len() <= 9, "{} timers", membership.timers.len());
}

#[test]
fn datagrams_of_this_node_and_claims_to_be_it_are_harmless() {
    let mut membership = alone(Settings::new("app"));
    membership.apply(secs(1.0), &states([identity(2)]));
    drain(&mut membership);
    let impostor = NodeInfo::new(node(ME).id().clone(), Region::LOCAL, node(9).addr());
    let impostor = Identity::new(&impostor, 1).unwrap();

    for message in [Message::Ping(1), Message::Announce, Message::TurnUndead] {
        membership.handle_datagram(secs(1.0), &datagram(&identity(ME), message, &[]));
    }
    membership.apply(secs(1.0), &states([identity(ME), impostor.clone()]));
    membership.handle_datagram(secs(1.0), &datagram(&impostor, Message::Gossip, &[]));
    assert_eq!(members(&membership), [node(2)]);
    assert_eq!(drain(&mut membership).1, []);
    assert_eq!(membership.counters().renewals, 0);
}

#[test]
fn claims_on_this_nodes_address_are_outranked_unless_the_bump_is_at_its_maximum() {
    let mut membership = alone(Settings::new("app"));
    let before = |bump| {
        let boot = 77u64.to_le_bytes();
        Parts { boot, bump, ..identity(ME).parts() }.check().unwrap()
    };
    membership.apply(secs(1.0), &states([identity(2), before(40)]));
    assert_eq!(*membership.gossip.identity(), identity(ME).with_bump(41));
    let news = [Member::alive(before(50))];
    let gossip = datagram(&identity(2), Message::Announce, &[]);
    membership.handle_datagram(secs(1.0), &gossip);
    let mut gossip = datagram(&identity(2), Message::Gossip, &news);
    membership.handle_datagram(secs(1.0), &gossip);
    assert_eq!(*membership.gossip.identity(), identity(ME).with_bump(51));

    membership.apply(secs(1.0), &states([before(u32::MAX)]));
    gossip.truncate(gossip.len() - 1);
    membership.handle_datagram(secs(1.0), &gossip);
    assert_eq!(*membership.gossip.identity(), identity(ME).with_bump(51));
    assert_eq!(members(&membership), [node(2)]);
}

#[test]
fn invalid_states_are_skipped_and_the_others_applied() {
    let mut membership = alone(Settings::new("app"));
    let mut claims = states([identity(2), identity(3), identity(4)]);
    let mut value = rmp_serde::to_vec_named(&claims[1]).unwrap();
    let at = value.windows(6).position(|window| window == b"node-3").unwrap();
    value.splice(at - 1..at + 6, [&[0xd9, 100][..], &[b'n'; 100]].concat());
    claims[1] = rmp_serde::from_slice(&value).unwrap();
    membership.apply(secs(1.0), &claims);
    assert_eq!(members(&membership), [node(2), node(4)]);
}

#[test]
fn a_member_with_a_field_that_must_be_understood_is_passed_on_but_not_listed() {
    let mut membership = alone(Settings::new("app"));
    let later = Parts { extra: &[3, 1, 1], ..identity(3).parts() }.check().unwrap();
    membership.apply(secs(1.0), &states([identity(2), later.clone()]));
    assert_eq!(members(&membership), [node(2)]);
    let passed_on = MemberState::new(&later, 0, State::Alive);
    assert!(membership.difference(&[]).contains(&passed_on));
}

#[test]
fn a_suspect_adopted_from_a_peer_is_alive_until_probed() {
    let mut membership = alone(Settings::new("app"));
    let suspect = MemberState::new(&identity(2), 0, State::Suspect);
    membership.apply(secs(1.0), &[suspect]);
    let states: Vec<_> = membership.gossip.iter_members().map(Member::state).collect();
    assert_eq!(states, [State::Alive]);
}

#[test]
fn a_node_that_left_no_longer_participates() {
    let mut membership = alone(Settings::new("app"));
    membership.apply(secs(1.0), &states([identity(2)]));
    membership.leave(secs(2.0));
    assert!(!drain(&mut membership).0.is_empty());

    membership.handle_datagram(secs(3.0), &datagram(&identity(2), Message::TurnUndead, &[]));
    membership.handle_datagram(secs(3.0), &datagram(&identity(2), Message::Ping(1), &[]));
    membership.apply(secs(3.0), &states([identity(3)]));
    membership.handle_timeout(secs(60.0));
    assert_eq!(drain(&mut membership), (vec![], vec![]));
    assert_eq!(membership.next_timeout(), None);
}

//! Malformed and malicious input from peers, which must do no harm.

use std::{net::SocketAddr, time::Duration};

use foca::{Header, Member, Message, State};
use rand::{Rng, RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use crate::{
    config::Sealing,
    proto::membership::{
        Event, MemberState, Membership, Settings,
        envelope::Envelope,
        identity::{Identity, Parts},
        sim::secs,
    },
    proto::seal::replay::Salt,
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

fn wrap(packet: &[u8]) -> Vec<u8> {
    let mut envelope = Envelope::new("app", &Sealing::Open, Salt::default(), 1).unwrap();
    envelope.wrap(node(ME).addr(), packet)
}

fn datagram(from: &Identity, message: Message<Identity>, news: &[Member<Identity>]) -> Vec<u8> {
    let header = Header { src: from.clone(), src_incarnation: 0, dst: identity(ME), message };
    let mut packet = postcard::to_stdvec(&header).unwrap();
    packet.extend((news.len() as u16).to_be_bytes());
    for member in news {
        packet = postcard::to_extend(member, packet).unwrap();
    }
    wrap(&packet)
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
    let prefix = wrap(&[]);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    for round in 0..20_000 {
        let mut data = vec![0; rng.random_range(0..200)];
        rng.fill_bytes(&mut data);
        if round % 2 == 0 {
            data.splice(0..0, prefix.iter().copied());
        }
        membership.handle_datagram(secs(1.0), &data, |_| true);
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
        membership.handle_datagram(now, &data, |_| true);
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
        membership.handle_datagram(
            secs(1.0),
            &datagram(&identity(n), Message::Gossip, &news),
            |_| true,
        );
    }
    membership.apply(secs(1.0), &states((2_000..9_000).map(identity)));
    assert!(membership.gossip.iter_membership_state().len() <= 20);
    drain(&mut membership);

    // A full node still responds to the members that it knows.
    let news = [Member::alive(identity(500))];
    membership
        .handle_datagram(secs(1.0), &datagram(&identity(2), Message::Ping(7), &news), |_| true);
    let (sent, events) = drain(&mut membership);
    assert_eq!((sent.len(), sent[0].0, events), (1, node(2).addr(), vec![]));
}

#[test]
fn a_member_that_flaps_leaves_no_timers_behind() {
    let mut membership = alone(Settings::new("app"));
    for bump in 0..1_000 {
        let from = identity(2).with_bump(bump);
        membership.handle_datagram(secs(1.0), &datagram(&from, Message::Gossip, &[]), |_| true);
        membership.apply(secs(1.0), &states([identity(3).with_bump(bump)]));
        let down = [Member::down(identity(3).with_bump(bump)), Member::down(from.clone())];
        membership.handle_datagram(secs(1.0), &datagram(&from, Message::Gossip, &down), |_| true);
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
        membership.handle_datagram(secs(1.0), &datagram(&identity(ME), message, &[]), |_| true);
    }
    membership.apply(secs(1.0), &states([identity(ME), impostor.clone()]));
    membership.handle_datagram(secs(1.0), &datagram(&impostor, Message::Gossip, &[]), |_| true);
    assert_eq!(members(&membership), [node(2)]);
    assert_eq!(drain(&mut membership).1, []);
    assert_eq!(membership.counters().renewals, 0);
}

/// The identity of another boot at this node's address.
fn rival(bump: u32) -> Identity {
    let boot = 77u64.to_le_bytes();
    Parts { boot, bump, ..identity(ME).parts() }.check().unwrap()
}

#[test]
fn claims_on_this_nodes_address_are_outranked_at_most_once_a_second() {
    let mut membership = alone(Settings::new("app"));
    membership.apply(secs(1.0), &states([identity(2), rival(40)]));
    assert_eq!(*membership.gossip.identity(), identity(ME).with_bump(41));
    let news = [Member::alive(rival(50))];
    let gossip = datagram(&identity(2), Message::Gossip, &news);
    membership.handle_datagram(secs(1.9), &gossip, |_| true);
    assert_eq!(*membership.gossip.identity(), identity(ME).with_bump(41));
    membership.handle_datagram(secs(2.0), &gossip, |_| true);
    assert_eq!(*membership.gossip.identity(), identity(ME).with_bump(51));
    let mut truncated = datagram(&identity(2), Message::Gossip, &[Member::alive(rival(60))]);
    truncated.truncate(truncated.len() - 1);
    membership.handle_datagram(secs(100.0), &truncated, |_| true);
    assert_eq!(*membership.gossip.identity(), identity(ME).with_bump(51));
    assert_eq!(members(&membership), [node(2)]);
}

#[test]
fn an_identity_that_claims_far_more_renewals_than_the_known_one_is_refused() {
    let mut membership = alone(Settings::new("app"));
    membership.apply(secs(1.0), &states([identity(2), identity(3).with_bump(4_000)]));
    let far = [u32::MAX, u32::MAX - 1, 1 << 20];
    let mut at = 2.0;
    for bump in far {
        at += 10.0;
        let ids = [identity(2).with_bump(bump), identity(4).with_bump(bump), rival(bump)];
        membership.apply(secs(at), &states(ids.clone()));
        let down = MemberState::new(&identity(3).with_bump(bump), 0, State::Down);
        membership.apply(secs(at), &[down]);
        let news = ids.map(Member::down);
        let gossip = datagram(&identity(3).with_bump(4_000), Message::Gossip, &news);
        membership.handle_datagram(secs(at), &gossip, |_| true);
        let from = datagram(&identity(2).with_bump(bump), Message::Ping(1), &[]);
        assert_eq!(membership.handle_datagram(secs(at), &from, |_| true), None);
    }
    assert_eq!(members(&membership), [node(2), node(3)]);
    assert_eq!(membership.counters().renewals, 0);
    // A plausible number of renewals is accepted.
    membership.apply(secs(at), &states([identity(3).with_bump(8_000)]));
    let held = membership.gossip.iter_members().find(|member| member.id().addr() == node(3).addr());
    assert_eq!(held.unwrap().id().bump(), 8_000);
}

#[test]
fn no_peer_makes_this_node_renew_its_identity_more_than_once_a_second() {
    for attack in 0..4 {
        let mut membership = alone(Settings::new("app"));
        membership.apply(secs(1.0), &states([identity(2)]));
        drain(&mut membership);
        // Receives a datagram and a sync every 10 ms for 20 s.
        for tick in 0..2_000 {
            let at = secs(1.0 + f64::from(tick) / 100.0);
            let me = membership.gossip.identity().clone();
            let (message, news) = match attack {
                0 => (Message::TurnUndead, None),
                1 => (Message::Gossip, Some(Member::down(me.clone()))),
                2 => (Message::Gossip, Some(Member::new(me.clone(), u16::MAX, State::Suspect))),
                _ => (Message::Gossip, Some(Member::alive(rival(me.bump() + 1)))),
            };
            let header = Header { src: identity(2), src_incarnation: 0, dst: me.clone(), message };
            let packet = postcard::to_stdvec(&header).unwrap();
            let news: Vec<_> = news.into_iter().collect();
            let packet = crate::proto::membership::envelope::with_updates(&packet, &news).unwrap();
            let gossip = wrap(&packet);
            membership.handle_datagram(at, &gossip, |_| true);
            membership.apply(at, &[MemberState::new(&me, 0, State::Down)]);
            membership.apply(at, &states([rival(me.bump() + 1)]));
            if membership.next_timeout().is_some_and(|due| due <= at) {
                membership.handle_timeout(at);
            }
            drain(&mut membership);
        }
        let renewals = membership.counters().renewals;
        assert!((1..=20).contains(&renewals), "attack {attack}: {renewals} renewals");
        assert!(members(&membership).contains(&node(2)), "attack {attack}");
    }
}

#[test]
fn gossip_of_a_node_that_is_neither_a_member_nor_linked_is_ignored() {
    let mut membership = alone(Settings::new("app"));
    membership.apply(secs(1.0), &states([identity(2)]));
    drain(&mut membership);
    let news = [Member::alive(identity(4))];
    for message in [Message::Announce, Message::Ping(1), Message::Gossip, Message::TurnUndead] {
        let news = if message == Message::Announce { &[][..] } else { &news };
        let gossip = datagram(&identity(3), message, news);
        assert_eq!(membership.handle_datagram(secs(1.0), &gossip, |_| false), None);
    }
    // Another boot at the address of a member is also a stranger.
    let other = Parts { boot: 9u64.to_le_bytes(), ..identity(2).parts() }.check().unwrap();
    let gossip = datagram(&other, Message::Gossip, &news);
    assert_eq!(membership.handle_datagram(secs(1.0), &gossip, |_| false), None);
    assert_eq!(members(&membership), [node(2)]);
    assert_eq!(drain(&mut membership), (vec![], vec![]));

    let gossip = datagram(&identity(2), Message::Gossip, &news);
    assert_eq!(membership.handle_datagram(secs(1.0), &gossip, |_| false), Some(node(2)));
    let ping = datagram(&identity(3), Message::Ping(1), &[]);
    let is_linked = |other: &NodeInfo| *other == node(3);
    assert_eq!(membership.handle_datagram(secs(1.0), &ping, is_linked), Some(node(3)));
    assert_eq!(members(&membership), [node(2), node(3), node(4)]);
}

#[test]
fn requests_for_members_are_answered_at_a_bounded_rate() {
    let mut membership = alone(Settings::new("app"));
    membership.apply(secs(1.0), &states((2..100).map(identity)));
    drain(&mut membership);
    let header = Header {
        src: identity(2),
        src_incarnation: 0,
        dst: identity(ME),
        message: Message::Announce,
    };
    let announce = wrap(&postcard::to_stdvec(&header).unwrap());
    for _ in 0..1_000 {
        membership.handle_datagram(secs(5.0), &announce, |_| false);
    }
    let answers = drain(&mut membership).0.into_iter().filter(|(to, _)| *to == node(2).addr());
    assert_eq!(answers.count(), 32);
}

#[test]
fn a_member_that_cannot_be_reached_is_suspected_and_refutes_that_or_goes_down() {
    for refutes in [true, false] {
        let mut membership = alone(Settings::new("app"));
        membership.apply(secs(2.0), &states([identity(2), identity(3)]));
        membership.suspect(secs(2.0), &node(3));
        // Another boot at the address is not affected.
        let other = NodeInfo::new(NodeId::new("other", 9), Region::LOCAL, node(2).addr());
        membership.suspect(secs(2.0), &other);
        if refutes {
            let header = Header {
                src: identity(3),
                src_incarnation: 1,
                dst: identity(ME),
                message: Message::Gossip,
            };
            let packet = postcard::to_stdvec(&header).unwrap();
            let gossip = wrap(&packet);
            membership.handle_datagram(secs(2.4), &gossip, |_| false);
        }
        for tick in 25..59 {
            membership.handle_timeout(secs(f64::from(tick) / 10.0));
        }
        assert_eq!(members(&membership).contains(&node(3)), refutes);
        assert!(members(&membership).contains(&node(2)));
    }
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

    membership.handle_datagram(
        secs(3.0),
        &datagram(&identity(2), Message::TurnUndead, &[]),
        |_| true,
    );
    membership.handle_datagram(secs(3.0), &datagram(&identity(2), Message::Ping(1), &[]), |_| true);
    membership.apply(secs(3.0), &states([identity(3)]));
    membership.handle_timeout(secs(60.0));
    assert_eq!(drain(&mut membership), (vec![], vec![]));
    assert_eq!(membership.next_timeout(), None);
}

//! Tests of the membership in simulated clusters, in virtual time.

mod golden;
mod hostile;

use std::time::Duration;

use super::{
    Event, Membership, Settings,
    diagnostics::Counters,
    sim::{Sim, addr, secs},
};
use crate::types::{MAX_LABEL, NodeId, NodeInfo, Region};

/// The time within which all of `nodes` learn of a crash.
///
/// In each probe period, each member is probed by another with a probability of 1 - 1/e, so five
/// periods miss one member in 150. The failed probe takes one more period. The suspicion and ten
/// rounds of gossip follow. At 100 nodes, the sum is 23 s. Usually the first node learns of the
/// crash after 9.5 s and the last after 13.3 s.
fn crash_bound(nodes: usize) -> Duration {
    let settings = Settings::new("app");
    6 * settings.probe_period + settings.suspicion_among(nodes) + 10 * settings.gossip_period
}

fn downs_since(sim: &Sim, since: Duration) -> usize {
    sim.events_since(since)
        .iter()
        .filter(|(_, event)| matches!(event, Event::Down(_) | Event::Left(_)))
        .count()
}

#[test]
fn nodes_started_at_the_same_moment_find_each_other() {
    for seed in 0..10 {
        let mut sim = Sim::empty(2, seed);
        sim.start_seeded(0, seed + 1, &[0, 1]);
        sim.start_seeded(1, 5, &[0, 1]);
        sim.time_until(secs(1.0), Sim::agrees);
        sim.pass(secs(60.0));
        assert_eq!(sim.events_since(Duration::ZERO).len(), 2);
        assert_eq!(sim.renewals(), 0);
    }
}

#[test]
fn a_joining_node_lists_all_after_one_sync_and_soon_all_list_it() {
    for size in [30, 200] {
        let mut sim = Sim::cluster(size, 1);
        sim.start_seeded(size, 1, &[size / 2]);
        // One round trip between the most distant regions, with the maximum jitter.
        sim.time_until(secs(0.5), |sim| sim.listed(size) == size);
        let joiner = sim.id(size);
        sim.time_until(secs(5.0), |sim| {
            let knowing = sim.running().filter(|by| sim.lists(*by, &joiner));
            knowing.count() >= size * 9 / 10
        });
        // Nodes that gossip missed are updated by the next sync.
        sim.time_until(secs(40.0), Sim::agrees);
    }
}

#[test]
fn after_a_rolling_restart_all_nodes_list_each_other() {
    let mut sim = Sim::cluster(50, 1);
    for node in 0..50 {
        sim.leave(node);
        sim.pass(secs(0.2));
        sim.start_seeded(node, 1_000 + node as u64, &[(node + 1) % 50, (node + 7) % 50]);
    }
    // Nodes that gossip missed are updated by the next sync.
    sim.time_until(secs(40.0), Sim::agrees);
    // Boots with lower ids than the previous boots have to outrank them once.
    assert!(sim.renewals() <= 50, "{} renewals", sim.renewals());
}

#[test]
fn a_crash_is_known_to_all_in_time_and_reported_once() {
    for (size, seed) in [(3, 1), (30, 2), (30, 3), (100, 4)] {
        let mut sim = Sim::cluster(size, seed);
        sim.network.loss = 0.01;
        let (dead, start) = (sim.id(1), sim.now());
        sim.crash(1);
        sim.time_until(crash_bound(size), |sim| sim.is_unlisted(&dead));
        sim.pass(secs(30.0));
        let events = sim.events_since(start);
        assert_eq!(events.len(), size - 1);
        assert!(events.iter().all(|(_, event)| matches!(event, Event::Down(_))), "{events:?}");
        assert!(sim.agrees());
    }
}

#[test]
fn a_leave_is_known_to_all_within_seconds() {
    for size in [2, 30, 100] {
        let mut sim = Sim::cluster(size, 1);
        let (gone, start) = (sim.id(1), sim.now());
        sim.leave(1);
        sim.time_until(secs(3.0), |sim| sim.is_unlisted(&gone));
        let events = sim.events_since(start);
        assert!(events.iter().all(|(_, event)| matches!(event, Event::Left(_))), "{events:?}");
    }
}

#[test]
fn a_node_restarted_at_its_address_is_listed_once_without_a_storm() {
    for (boot, seed) in [(1, 1), (u64::MAX, 2), (1, 3), (u64::MAX, 4)] {
        let mut sim = Sim::cluster(20, seed);
        let (old, start) = (sim.id(5), sim.now());
        sim.crash(5);
        sim.pass(secs(0.2));
        sim.start_seeded(5, boot, &[0]);
        let new = sim.id(5);
        sim.time_until(secs(5.0), Sim::agrees);
        sim.pass(secs(60.0));

        assert!(sim.agrees());
        assert!(sim.renewals() <= 2, "{} renewals", sim.renewals());
        for by in sim.running().map(|node| sim.id(node)).filter(|by| *by != new) {
            let events = sim.events_of(&by, start);
            let [Event::Down(down), Event::Up(up)] = events[..] else {
                panic!("{events:?}");
            };
            assert_eq!((down.id(), up.id()), (&old, &new));
        }
    }
}

#[test]
fn silence_shorter_than_the_suspicion_causes_no_events_or_renewals() {
    for seed in 0..4 {
        let mut sim = Sim::cluster(30, seed);
        let start = sim.now();
        sim.network.loss = 1.0;
        sim.pass(secs(3.5));
        sim.network.loss = 0.0;
        sim.pass(secs(60.0));
        assert_eq!(sim.events_since(start), []);
        assert_eq!(sim.renewals(), 0);
    }
}

#[test]
fn lost_datagrams_cause_no_events_or_renewals() {
    for (loss, seed) in [(0.05, 1), (0.10, 2)] {
        let mut sim = Sim::cluster(30, seed);
        let start = sim.now();
        sim.network.loss = loss;
        sim.pass(secs(100.0));
        assert_eq!(sim.events_since(start), []);
        assert_eq!(sim.renewals(), 0);
    }
}

#[test]
fn a_node_cut_off_for_a_while_comes_back_under_the_same_boot() {
    for (node, seed) in [(0, 1), (3, 2), (3, 3)] {
        let mut sim = Sim::cluster(10, seed);
        let cut_off = sim.id(node);
        sim.cut(|other| other == node);
        sim.time_until(secs(120.0), |sim| sim.membership(node).is_alone());
        sim.pass(secs(10.0));
        assert!(sim.is_unlisted(&cut_off));

        sim.heal();
        let start = sim.now();
        // The node dials its seed every 5 s. The seed itself has no seeds, and waits to be
        // contacted.
        sim.time_until(secs(40.0), Sim::agrees);
        sim.pass(secs(60.0));
        assert_eq!(downs_since(&sim, start), 0);
        assert_eq!(sim.id(node), cut_off);
        assert!(sim.renewals() <= 3, "{} renewals", sim.renewals());
    }
}

#[test]
fn a_cluster_cut_in_two_becomes_one_again() {
    for (size, cut, seed) in [(12, 2, 1), (20, 8, 2), (40, 20, 3)] {
        let mut sim = Sim::cluster(size, seed);
        sim.cut(|node| node < cut);
        sim.pass(secs(90.0));
        assert!(sim.running().all(|node| [cut, size - cut].contains(&(sim.listed(node) + 1))));

        sim.heal();
        let start = sim.now();
        // Members that are considered down are contacted every 30 s, and the results spread by
        // gossip.
        sim.time_until(secs(60.0), Sim::agrees);
        sim.pass(secs(60.0));
        assert!(sim.agrees());
        // Every node was considered down by some other node, so every node may have to renew its
        // identity once or twice.
        assert!(sim.renewals() <= 2 * size as u64, "{} renewals", sim.renewals());
        assert!(downs_since(&sim, start) <= size / 10, "{} downs", downs_since(&sim, start));
    }
}

#[test]
fn a_thawed_node_reports_no_other_node_down() {
    for (time, seed) in [(4.0, 1), (30.0, 2)] {
        let mut sim = Sim::cluster(20, seed);
        let (frozen, start) = (sim.id(7), sim.now());
        sim.freeze(7, secs(time));
        sim.pass(secs(time));
        sim.time_until(secs(5.0), Sim::agrees);
        sim.pass(secs(30.0));
        let events = sim.events_since(start);
        assert!(events.iter().all(|(at, _)| *at != frozen), "{events:?}");
        assert!(time > 5.0 || events.is_empty(), "{events:?}");
    }
}

#[test]
fn clusters_of_different_names_never_mix() {
    let mut sim = Sim::cluster(6, 1);
    sim.crash(1);
    sim.crash(2);
    for node in [1, 2, 7] {
        sim.start_with(node, node as u64, &[0, 1, 2, 3], Settings::new("app2"));
    }
    sim.pass(secs(120.0));
    let listed: Vec<_> = sim.running().map(|node| sim.listed(node)).collect();
    assert_eq!(listed, [3, 2, 2, 3, 3, 3, 2]);
    let foreign: u64 = sim.running().map(|node| sim.membership(node).counters().foreign).sum();
    assert!(foreign > 0, "the clusters received no datagrams of each other");
}

#[test]
fn the_longest_names_leave_room_for_updates() {
    let long = |first: char| first.to_string() + &"x".repeat(MAX_LABEL - 1);
    let start = |n: usize, now| {
        let id = NodeId::new(long(char::from(b'a' + n as u8)), 1);
        let info = NodeInfo::new(id, Region::from(long('r')), addr(n));
        Membership::new(&info, Settings::new(long('c')), 1, now).unwrap()
    };
    let mut nodes: Vec<_> = (0..8).map(|n| start(n, Duration::ZERO)).collect();
    let all: Vec<_> = nodes.iter().flat_map(|node| node.difference(&[])).collect();
    nodes.iter_mut().for_each(|node| node.apply(Duration::ZERO, &all));
    for now in (0..300).map(|tick| tick * Duration::from_millis(100)) {
        for node in 0..nodes.len() {
            nodes[node].handle_timeout(now);
            while let Some((to, data)) = nodes[node].poll_transmit() {
                assert!(data.len() <= 1200, "{} bytes", data.len());
                let to = (0..nodes.len()).find(|n| addr(*n) == to).unwrap();
                nodes[to].handle_datagram(now, &data, |_| true);
            }
        }
    }
    for node in &nodes {
        assert_eq!((node.members().count(), node.counters()), (7, Counters::default()));
    }
}

#[test]
fn equal_seeds_give_equal_traces() {
    let trace = |seed| {
        let mut sim = Sim::cluster(12, seed);
        sim.network.loss = 0.1;
        sim.crash(3);
        sim.pass(secs(30.0));
        sim.start_seeded(3, 9, &[0]);
        sim.pass(secs(30.0));
        sim.trace()
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}

use std::{net::SocketAddr, time::Duration};

use super::seeds::{Discovery, Due};
use crate::config::Seed;

const NAME: &str = "app.internal:1";

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The address of node `n`.
fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 1))
}

fn addrs(list: impl IntoIterator<Item = u8>) -> Vec<SocketAddr> {
    list.into_iter().map(addr).collect()
}

/// Returns the discovery of a node at `addr(9)`.
fn discovery(seeds: &str) -> Discovery {
    Discovery::new(Seed::parse_list(seeds).unwrap(), [addr(9)])
}

fn check_known(discovery: &Discovery, expected: impl IntoIterator<Item = u8>) {
    assert_eq!(discovery.addresses().collect::<Vec<_>>(), addrs(expected));
}

fn check_initial_addresses(discovery: &Discovery, expected: impl IntoIterator<Item = u8>) {
    let first = discovery.initial_addresses().expect("the initial addresses are not complete");
    assert_eq!(first.iter().copied().collect::<Vec<_>>(), addrs(expected));
}

/// Starts the lookup that is due at `at`, and passes its result `answer` immediately.
fn ask(discovery: &mut Discovery, at: u64, answer: Result<&[u8], &str>) -> Vec<SocketAddr> {
    assert_eq!(discovery.next_due(), Some(secs(at)));
    assert_eq!(discovery.due(secs(at)).resolve, [NAME]);
    answered(discovery, at, answer)
}

fn answered(discovery: &mut Discovery, at: u64, answer: Result<&[u8], &str>) -> Vec<SocketAddr> {
    let answer = answer.map(|list| addrs(list.iter().copied())).map_err(str::to_owned);
    discovery.on_resolved(secs(at), NAME, answer)
}

/// Runs the next `count` lookups, each with the result `answer`. Returns the seconds between them.
fn gaps(discovery: &mut Discovery, count: usize, answer: Result<&[u8], &str>) -> Vec<u64> {
    let mut before = discovery.next_due().unwrap().as_secs();
    (0..count)
        .map(|_| {
            ask(discovery, before, answer);
            let next = discovery.next_due().unwrap().as_secs();
            std::mem::replace(&mut before, next).abs_diff(next)
        })
        .collect()
}

#[test]
fn without_seeds_there_is_nothing_to_do_or_to_wait_for() {
    let mut discovery = discovery("");
    assert_eq!(discovery.next_due(), None);
    assert_eq!(discovery.due(secs(0)), Due::default());
    check_initial_addresses(&discovery, []);
    check_known(&discovery, []);
}

#[test]
fn literal_seeds_are_known_without_a_lookup_and_never_forgotten() {
    let mut discovery = discovery("10.0.0.2:1 10.0.0.1:1 10.0.0.2:1");
    check_initial_addresses(&discovery, [1, 2]);
    assert_eq!(discovery.next_due(), None);
    assert_eq!(discovery.due(secs(100_000)), Due::default());
    check_known(&discovery, [1, 2]);
}

#[test]
fn a_node_that_is_its_own_seed_ignores_itself() {
    let discovery = discovery("10.0.0.9:1 10.0.0.1:1");
    check_initial_addresses(&discovery, [1]);
    check_known(&discovery, [1]);
}

#[test]
fn a_local_address_among_the_results_is_ignored() {
    let mut discovery = discovery(NAME);
    assert_eq!(ask(&mut discovery, 0, Ok(&[9, 1])), addrs([1]));
    check_initial_addresses(&discovery, [1]);
    check_known(&discovery, [1]);
}

#[test]
fn an_address_that_proves_to_be_this_node_is_ignored_from_then_on() {
    let mut discovery = discovery(NAME);
    ask(&mut discovery, 0, Ok(&[1, 2]));
    discovery.on_self(addr(2));
    check_initial_addresses(&discovery, [1]);
    assert_eq!(ask(&mut discovery, 5, Ok(&[1, 2])), []);
    check_known(&discovery, [1]);
}

#[test]
fn addresses_that_cannot_be_a_node_are_ignored() {
    let mut discovery = discovery(NAME);
    discovery.due(secs(0));
    let answer = vec!["0.0.0.0:1".parse().unwrap(), "[::]:1".parse().unwrap(), addr(1)];
    discovery.on_resolved(secs(0), NAME, Ok(answer));
    check_known(&discovery, [1]);
}

#[test]
fn each_name_has_one_lookup_in_progress() {
    let mut discovery = discovery("b:1 a:1 a:1");
    assert_eq!(discovery.due(secs(0)).resolve, ["a:1", "b:1"]);
    assert_eq!(discovery.due(secs(100)).resolve, [""; 0]);
    discovery.on_resolved(secs(100), "a:1", Ok(Vec::new()));
    assert_eq!(discovery.due(secs(105)).resolve, ["a:1"]);
}

#[test]
fn names_only_add_addresses() {
    let mut discovery = discovery(NAME);
    assert_eq!(ask(&mut discovery, 0, Ok(&[1, 2])), addrs([1, 2]));
    assert_eq!(ask(&mut discovery, 5, Ok(&[3, 2])), addrs([3]));
    check_known(&discovery, [1, 2, 3]);
}

#[test]
fn the_result_of_an_unknown_name_is_ignored() {
    let mut discovery = discovery(NAME);
    assert_eq!(discovery.on_resolved(secs(0), "other:1", Ok(addrs([1]))), []);
    check_known(&discovery, []);
}

#[test]
fn a_node_that_is_alone_looks_up_every_five_seconds() {
    assert_eq!(gaps(&mut discovery(NAME), 4, Ok(&[])), [5, 5, 5, 5]);
}

#[test]
fn a_node_that_knows_others_backs_off_to_a_minute() {
    let mut discovery = discovery(NAME);
    ask(&mut discovery, 0, Ok(&[1]));
    discovery.set_alone(false);
    assert_eq!(gaps(&mut discovery, 6, Ok(&[1])), [10, 20, 40, 60, 60, 60]);
}

#[test]
fn a_node_that_becomes_alone_looks_up_soon() {
    let mut discovery = discovery(NAME);
    discovery.set_alone(false);
    gaps(&mut discovery, 8, Ok(&[1]));
    let last = discovery.last_result(NAME);
    discovery.set_alone(true);
    assert_eq!(discovery.next_due(), Some(last + secs(5)));
    assert_eq!(gaps(&mut discovery, 3, Ok(&[1])), [5, 5, 5]);
}

#[test]
fn initial_failures_are_retried_every_second() {
    let mut discovery = discovery(NAME);
    assert_eq!(gaps(&mut discovery, 7, Err("no route")), [1, 1, 1, 1, 1, 5, 5]);
}

#[test]
fn the_initial_addresses_wait_for_every_name() {
    let mut discovery = discovery("a:1 b:1 10.0.0.7:1");
    discovery.due(secs(0));
    discovery.on_resolved(secs(1), "a:1", Ok(addrs([1])));
    assert_eq!(discovery.initial_addresses(), None);
    discovery.on_resolved(secs(2), "b:1", Ok(addrs([2])));
    check_initial_addresses(&discovery, [1, 2, 7]);
}

#[test]
fn the_initial_addresses_do_not_grow() {
    let mut discovery = discovery(NAME);
    ask(&mut discovery, 0, Ok(&[1]));
    ask(&mut discovery, 5, Ok(&[1, 2]));
    check_initial_addresses(&discovery, [1]);
}

#[test]
fn the_initial_addresses_are_complete_without_a_name_that_fails_for_five_seconds() {
    let mut discovery = discovery(&format!("{NAME} 10.0.0.7:1"));
    for at in 0..5 {
        ask(&mut discovery, at, Err("no route"));
        assert_eq!(discovery.initial_addresses(), None, "at {at} s");
    }
    ask(&mut discovery, 5, Err("no route"));
    check_initial_addresses(&discovery, [7]);
}

#[test]
fn the_initial_addresses_are_complete_without_a_name_that_has_no_result_for_five_seconds() {
    let mut discovery = discovery(NAME);
    discovery.due(secs(0));
    assert_eq!(discovery.next_due(), Some(secs(5)));
    assert_eq!(discovery.due(secs(5)), Due::default());
    check_initial_addresses(&discovery, []);
    assert_eq!(discovery.next_due(), None);
}

#[test]
fn an_unlisted_address_is_forgotten_after_ten_minutes() {
    let mut discovery = discovery(NAME);
    ask(&mut discovery, 0, Ok(&[1, 2]));
    ask(&mut discovery, 5, Ok(&[2]));
    ask(&mut discovery, 10, Ok(&[2]));
    assert_eq!(discovery.due(secs(604)).forgotten, []);
    assert_eq!(discovery.next_due(), Some(secs(605)), "ten minutes after it was no longer listed");
    assert_eq!(discovery.due(secs(605)).forgotten, addrs([1]));
    check_known(&discovery, [2]);
}

#[test]
fn an_unlisted_address_is_kept_while_it_is_reached() {
    let mut discovery = discovery(NAME);
    ask(&mut discovery, 0, Ok(&[1]));
    ask(&mut discovery, 5, Ok(&[]));
    discovery.on_reached(secs(500), addr(1));
    assert_eq!(discovery.due(secs(1_099)).forgotten, []);
    assert_eq!(discovery.due(secs(1_100)).forgotten, addrs([1]));
}

#[test]
fn an_address_that_is_listed_again_is_kept() {
    let mut discovery = discovery(NAME);
    ask(&mut discovery, 0, Ok(&[1]));
    ask(&mut discovery, 5, Ok(&[]));
    ask(&mut discovery, 10, Ok(&[1]));
    assert_eq!(discovery.due(secs(10_000)).forgotten, []);
}

#[test]
fn an_address_that_another_name_lists_is_kept() {
    let mut discovery = discovery("a:1 b:1");
    discovery.due(secs(0));
    discovery.on_resolved(secs(0), "a:1", Ok(addrs([1])));
    discovery.on_resolved(secs(0), "b:1", Ok(addrs([1])));
    discovery.due(secs(5));
    discovery.on_resolved(secs(5), "a:1", Ok(Vec::new()));
    assert_eq!(discovery.due(secs(10_000)).forgotten, []);
}

#[test]
fn no_address_is_forgotten_while_the_resolver_fails() {
    let mut discovery = discovery(NAME);
    ask(&mut discovery, 0, Ok(&[1]));
    gaps(&mut discovery, 200, Err("no route"));
    assert_eq!(discovery.due(secs(10_000)).forgotten, []);
    check_known(&discovery, [1]);
}

#[test]
fn a_forgotten_address_that_is_listed_again_is_new() {
    let mut discovery = discovery(NAME);
    ask(&mut discovery, 0, Ok(&[1]));
    ask(&mut discovery, 5, Ok(&[]));
    assert_eq!(discovery.due(secs(605)).forgotten, addrs([1]));
    assert_eq!(answered(&mut discovery, 606, Ok(&[1])), addrs([1]));
}

#[test]
fn a_name_is_failing_until_it_resolves() {
    let mut discovery = discovery(NAME);
    ask(&mut discovery, 0, Err("no route"));
    ask(&mut discovery, 1, Err("no such name"));
    assert!(discovery.is_failing(NAME));
    assert!(discovery.failures().eq([(NAME, "no such name")]));
    ask(&mut discovery, 2, Ok(&[]));
    assert!(!discovery.is_failing(NAME));
    assert_eq!(discovery.failures().count(), 0);
}

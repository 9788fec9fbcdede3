use super::*;

const SECOND: u64 = 1_000_000;

fn load() -> NodeLoad {
    NodeLoad::new(Arc::new(RegionLoad::new()))
}

/// Makes a call at `now`, whose latency has this ratio.
fn call(load: &NodeLoad, ratio: f32, now: u64) {
    load.on_start();
    load.on_reply(ratio, now);
}

#[track_caller]
fn assert_cost(load: &NodeLoad, now: u64, expected: f32) {
    let cost = load.cost(now);
    assert!((cost - expected).abs() < 0.1, "{cost} instead of {expected}");
}

#[test]
fn a_newcomer_is_neutral_until_its_first_call_waits() {
    let load = load();
    assert_cost(&load, 5 * SECOND, 1.0);
    load.on_start();
    assert_cost(&load, 5 * SECOND, 20.0);
    load.on_reply(1.0, 5 * SECOND);
    assert_cost(&load, 5 * SECOND, 1.0);
}

#[test]
fn the_first_replies_of_many_calls_do_not_show_how_slow_a_newcomer_is() {
    let load = load();
    (0..10).for_each(|_| load.on_start());
    (0..4).for_each(|_| assert!(!load.on_reply(1.0, SECOND)));
    assert_cost(&load, SECOND, 10.0 * 7.0);
    load.on_reply(1.0, SECOND);
    assert_cost(&load, SECOND, 6.0);
    (0..11).for_each(|_| call(&load, 1.0, SECOND));
    (0..100).for_each(|_| load.on_start());
    assert_cost(&load, SECOND, 106.0);
}

#[test]
fn a_peak_counts_at_once_and_fades_with_time() {
    let load = load();
    call(&load, 1.0, SECOND);
    call(&load, 9.0, SECOND);
    assert_cost(&load, SECOND, 9.0);
    (1..=1000).for_each(|turn| call(&load, 1.0, SECOND + turn * SECOND / 100));
    assert_cost(&load, 11 * SECOND, 1.0 + 8.0 / std::f32::consts::E);
}

#[test]
fn without_samples_a_node_becomes_a_newcomer_again() {
    let load = load();
    call(&load, 10.0, SECOND);
    assert_cost(&load, 8 * SECOND + SECOND / 2, 5.5);
    assert_cost(&load, 16 * SECOND, 1.0);
    load.on_start();
    assert_cost(&load, 16 * SECOND + 20_000, 20.0);
}

#[test]
fn a_reply_at_the_usual_time_does_not_make_a_node_more_expensive() {
    for (peak, seconds) in [(10.0, 12), (10.0, 15), (100.0, 14), (100.0, 60)] {
        let load = load();
        call(&load, peak, SECOND);
        let later = (1 + seconds) * SECOND;
        let before = load.cost(later);
        call(&load, 1.0, later);
        assert!(load.cost(later) <= before, "{peak} {seconds}: {} {before}", load.cost(later));
    }
}

#[test]
fn calls_in_flight_count_and_those_of_others_count_a_quarter() {
    let load = load();
    (0..5).for_each(|_| call(&load, 2.0, SECOND));
    (0..3).for_each(|_| load.on_start());
    assert_cost(&load, SECOND, 2.0 * 4.0);
    // Three of these are this node's own.
    load.on_report(11);
    assert_eq!((load.in_flight(), load.reported()), (3, 11));
    assert_cost(&load, SECOND, 2.0 * (1.0 + 3.0 + 2.0));
    load.on_canceled();
    assert_eq!(load.in_flight(), 2);
    assert_eq!(load.replies(), 5);
}

#[test]
fn a_failure_counts_as_ten_times_the_median_or_what_it_took() {
    for (ratio, expected) in [(0.1, 10.0), (50.0, 50.0)] {
        let load = load();
        call(&load, 1.0, SECOND);
        load.on_start();
        load.on_failure(ratio, SECOND);
        assert_cost(&load, SECOND, expected);
        assert!(load.on_reply(1.0, SECOND));
    }
}

#[test]
fn one_call_probes_an_ejected_node_and_a_canceled_probe_is_repeated() {
    let load = load();
    load.region.set_nodes(2, 1);
    load.set_probe_at(Some(10));
    assert_eq!(load.standing(9), Standing::Ejected);
    assert!(!load.claim_probe(9));
    assert_eq!(load.standing(10), Standing::ProbeDue);
    assert!(load.claim_probe(10) && !load.claim_probe(10));
    // A call that was sent before the node was ejected.
    load.release_probe(5);
    assert_eq!(load.standing(20), Standing::Ejected);
    load.release_probe(11);
    let next = 10 + PROBE_PAUSE;
    assert!(!load.claim_probe(next - 1) && load.claim_probe(next));
    assert!(!load.claim_probe(next + PROBE_LEASE) && load.claim_probe(next + 1 + PROBE_LEASE));
    load.set_probe_at(None);
    assert_eq!(load.standing(30), Standing::Open);
}

#[test]
fn ejections_are_ignored_past_half_of_a_region() {
    let region = RegionLoad::new();
    for (nodes, ejected, ignored) in
        [(1, 1, true), (2, 1, false), (2, 2, true), (3, 1, false), (3, 2, true), (10, 5, false)]
    {
        region.set_nodes(nodes, ejected);
        assert_eq!(region.ignores_ejections(), ignored, "{ejected} of {nodes}");
    }
}

#[test]
fn times_that_wrap_or_run_backwards_are_harmless() {
    let load = load();
    let wrap = 1 << (32 + UNIT_BITS);
    call(&load, 4.0, wrap - 1);
    assert_cost(&load, wrap + 1, 4.0);
    call(&load, 1.0, wrap - 2 * SECOND);
    assert_cost(&load, wrap - 3 * SECOND, 4.0);
    // More than half of the range of the times later.
    assert_cost(&load, wrap + wrap / 2 + SECOND, 1.0);
}

#[test]
fn a_call_without_a_reply_raises_the_cost_and_never_lowers_it() {
    let load = load();
    (0..20).for_each(|_| call(&load, 2.0, SECOND));
    load.on_start();
    load.on_canceled();
    load.on_no_reply_within(1.5, SECOND);
    assert_cost(&load, SECOND, 2.0);
    load.on_no_reply_within(7.0, SECOND);
    assert_cost(&load, SECOND, 7.0);
}

#[test]
fn absurd_reports_are_limited() {
    let load = load();
    load.on_report(u64::MAX);
    assert_eq!(load.reported(), MAX_REPORTED);
    assert_cost(&load, SECOND, 1.0 + MAX_REPORTED as f32 / 4.0);
}

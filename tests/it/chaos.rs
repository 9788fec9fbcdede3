//! Randomized fault testing (`flyrpc_tests::chaos`) with a few seeds. The program `chaos` runs
//! thousands of seeds.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use flyrpc_tests::chaos::{Attempt, AttemptEnd, Plan, over_budget, run};

/// Seeds that every test run uses.
const FIXED_SEEDS: std::ops::Range<u64> = 0..8;

/// Number of additional random seeds in each test run.
const RANDOM_SEEDS: usize = 3;

/// Seeds whose plans, without scenarios, once revealed a bug in flyrpc or in a check.
const REGRESSION_SEEDS: [u64; 5] = [422, 1978, 900_000_156, 900_000_162, 1_100_011_062];

/// Seeds that, with their scenarios, once revealed a bug in flyrpc or in a check.
const SCENARIO_SEEDS: [u64; 11] = [
    1_100_020_376,
    1_100_022_232,
    1_100_030_216,
    1_100_032_749,
    1_100_033_879,
    1_100_041_542,
    1_100_050_742,
    1_300_001_701,
    1_300_001_803,
    1_300_005_995,
    1_900_000_635,
];

#[track_caller]
fn check(seed: u64) {
    check_plan(seed, Plan::new(seed), "");
}

#[track_caller]
fn check_without_scenario(seed: u64) {
    check_plan(seed, Plan::without_scenario(seed), " --without-scenarios");
}

#[track_caller]
fn check_plan(seed: u64, plan: Plan, option: &str) {
    let report = run(plan);
    assert!(
        report.violations.is_empty(),
        "seed {seed}: {:#?}\nto repeat it and print its plan and trace:\n    \
         cargo run --release --package flyrpc-tests --bin chaos -- --seed {seed} --trace{option}",
        report.violations
    );
}

#[test]
fn fixed_seeds_violate_nothing() {
    FIXED_SEEDS.for_each(check);
}

#[test]
fn seeds_that_found_bugs_violate_nothing() {
    REGRESSION_SEEDS.into_iter().for_each(check_without_scenario);
    SCENARIO_SEEDS.into_iter().for_each(check);
}

#[test]
fn a_machine_that_is_suspended_while_it_is_down_starts_no_handler_late() {
    // In these plans, a fault suspends a machine that has crashed. It must start again with a running
    // clock.
    [77_002_655, 500_009_747].into_iter().for_each(check_without_scenario);
}

#[test]
fn random_seeds_violate_nothing() {
    // The only source of random numbers in the standard library.
    (0..RANDOM_SEEDS).for_each(|_| check(RandomState::new().hash_one(())));
}

#[test]
fn equal_seeds_give_equal_runs() {
    let text = |seed| run(Plan::new(seed)).trace.map(|trace| trace.to_string());
    // In the later two plans, many calls wait for the same change of the known nodes.
    for seed in [21, 1_100_020_379, 1_100_020_469] {
        let first = text(seed);
        assert!(first.is_some());
        assert_eq!(first, text(seed), "seed {seed}");
    }
}

/// Returns the attempts of `calls` calls in 1 s. Each call fails at once and is repeated once.
fn repeated_calls(calls: u64, end: AttemptEnd) -> Vec<Attempt> {
    let start = |call: u64| Duration::from_secs(20) + Duration::from_millis(call * 1_000 / calls);
    let attempt = |call, end| Attempt {
        caller: "iad-0".to_owned(),
        boot: 1,
        call,
        region: "hkg".to_owned(),
        target: "hkg".to_owned(),
        is_remote: true,
        is_hedged: false,
        start: start(call),
        end: Some((start(call), end)),
    };
    let both = |call| [attempt(call, end), attempt(call, AttemptEnd::Replied)];
    (0..calls).flat_map(both).collect()
}

#[test]
fn the_check_of_budgets_finds_retries_that_no_budget_pays_for() {
    // 120 calls allow 124 retries, and 150 calls allow 130, both with the allowance of the check.
    assert_eq!(over_budget(repeated_calls(120, AttemptEnd::Failed)), Vec::<String>::new());
    let found = over_budget(repeated_calls(150, AttemptEnd::Failed));
    assert_eq!(found.len(), 1, "{found:?}");
    // Retries after a lost link are free.
    assert_eq!(over_budget(repeated_calls(150, AttemptEnd::Lost)), Vec::<String>::new());
}

//! Randomized fault testing of flyrpc: runs thousands of seeds, or one seed in detail.
//!
//! ```text
//! cargo run --release --package flyrpc-tests --bin chaos -- --seeds 1000
//! cargo run --release --package flyrpc-tests --bin chaos -- --seed 7 --trace
//! ```

use std::{
    collections::BTreeMap,
    ops::Range,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use flyrpc_tests::chaos::{Plan, Report, run};
use indicatif::{ProgressBar, ProgressStyle};

/// Runs seeds in virtual time. Each seed determines a cluster, its calls and its faults.
#[derive(Debug, Parser)]
struct Options {
    /// The number of seeds to run.
    #[arg(long, default_value_t = 1000, conflicts_with = "seed")]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    from: u64,
    /// Runs each seed twice and compares the two runs.
    #[arg(long, conflicts_with = "seed")]
    twice: bool,
    /// Runs only this seed, twice, and compares the two runs. Prints its plan, outcomes and
    /// violations.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs the plans without scenarios, which the seeds had before there were scenarios.
    #[arg(long)]
    without_scenarios: bool,
    /// With --seed: also prints the trace of the run.
    #[arg(long, requires = "seed")]
    trace: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let plan = if options.without_scenarios { Plan::without_scenario } else { Plan::new };
    let passed = match options.seed {
        Some(seed) => one(&plan(seed), options.trace),
        None => many(options.from..options.from.saturating_add(options.seeds), plan, options.twice),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(plan: &Plan, trace: bool) -> bool {
    let first = run_twice(plan);
    println!("{:#?}", first.plan);
    if let (true, Some(trace)) = (trace, &first.trace) {
        println!("{trace}");
    }
    println!("{}", outcomes(&first.outcomes));
    for violation in &first.violations {
        println!("VIOLATION: {violation}");
    }
    first.violations.is_empty()
}

/// Runs a plan twice. Adds a violation if the two runs differ.
fn run_twice(plan: &Plan) -> Report {
    let (mut first, second) = (run(plan.clone()), run(plan.clone()));
    let text = |report: &Report| report.trace.as_ref().map(ToString::to_string);
    if text(&first) != text(&second) {
        first.violations.push("two runs of the seed differ".to_owned());
    }
    first
}

fn many(seeds: Range<u64>, plan: fn(u64) -> Plan, twice: bool) -> bool {
    let count = seeds.end - seeds.start;
    let bar = ProgressBar::new(count).with_style(
        ProgressStyle::with_template("{wide_bar} {pos}/{len} seeds, {msg} ({eta} left)")
            .expect("the template is valid"),
    );
    bar.enable_steady_tick(Duration::from_millis(200));
    let (start, mut failed) = (Instant::now(), 0);
    let mut total = BTreeMap::new();
    for seed in seeds {
        let plan = plan(seed);
        let report = if twice { run_twice(&plan) } else { run(plan) };
        if let Some(first) = report.violations.first() {
            failed += 1;
            bar.suspend(|| println!("seed {seed}: {first}"));
        }
        for (outcome, count) in report.outcomes {
            *total.entry(outcome).or_default() += count;
        }
        bar.inc(1);
        bar.set_message(format!("{failed} failed"));
    }
    bar.finish_and_clear();
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    println!("{count} seeds, {failed} failed, {:.0} seeds per minute", count as f64 / minutes);
    println!("{}", outcomes(&total));
    failed == 0
}

fn outcomes(counts: &BTreeMap<&'static str, usize>) -> String {
    let calls: usize = counts.values().sum();
    let counts: Vec<_> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    format!("{calls} calls: {}", counts.join(", "))
}

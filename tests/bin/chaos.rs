//! Randomized fault testing of flyrpc: runs thousands of seeds, or one seed in detail.
//!
//! ```text
//! cargo run --release --package flyrpc-tests --bin chaos -- --seeds 1000
//! cargo run --release --package flyrpc-tests --bin chaos -- --seed 7 --trace
//! ```

use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use flyrpc_tests::chaos::{Report, run};
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
    /// With --seed: also prints the trace of the run.
    #[arg(long, requires = "seed")]
    trace: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let passed = match options.seed {
        Some(seed) => one(seed, options.trace),
        None => many(options.from, options.seeds, options.twice),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(seed: u64, trace: bool) -> bool {
    let first = run_twice(seed);
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

/// Runs a seed twice. Adds a violation if the two runs differ.
fn run_twice(seed: u64) -> Report {
    let (mut first, second) = (run(seed), run(seed));
    let text = |report: &Report| report.trace.as_ref().map(ToString::to_string);
    if text(&first) != text(&second) {
        first.violations.push("two runs of the seed differ".to_owned());
    }
    first
}

fn many(from: u64, seeds: u64, twice: bool) -> bool {
    let bar = ProgressBar::new(seeds).with_style(
        ProgressStyle::with_template("{wide_bar} {pos}/{len} seeds, {msg} ({eta} left)")
            .expect("the template is valid"),
    );
    bar.enable_steady_tick(Duration::from_millis(200));
    let (start, mut failed) = (Instant::now(), 0);
    let mut total = BTreeMap::new();
    for seed in from..from.saturating_add(seeds) {
        let report = if twice { run_twice(seed) } else { run(seed) };
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
    println!("{seeds} seeds, {failed} failed, {:.0} seeds per minute", seeds as f64 / minutes);
    println!("{}", outcomes(&total));
    failed == 0
}

fn outcomes(counts: &BTreeMap<&'static str, usize>) -> String {
    let calls: usize = counts.values().sum();
    let counts: Vec<_> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    format!("{calls} calls: {}", counts.join(", "))
}

//! Drives real nodes through generated clients on the simulated network, and measures how their calls find a node.
//!
//! The program does not pick nodes itself, except for comparison: `random` and `round-robin` call the node that this program
//! chooses, with `on_node`. Times are virtual, so equal seeds give equal figures.

mod choice;
mod failures;
mod figure;
mod load;
mod plot;
mod policy;
mod service;

use std::{
    env, fs,
    future::Future,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use self::{choice::BlackHole, figure::Figure, policy::Policy};

/// The rows that this program measures.
const ROWS: [&str; 8] = ["R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8"];

/// The arguments of this program.
#[derive(Debug)]
struct Flags {
    seed: u64,
    /// The directory for the table and the plot.
    out: Option<PathBuf>,
    /// The rows to measure. All if there are none.
    rows: Vec<String>,
}

/// Runs the scenarios. Fails if a figure misses its bound.
fn main() -> Result<ExitCode> {
    let flags = flags()?;
    let (seed, mut all, mut times) = (flags.seed, Vec::new(), Vec::new());
    for policy in Policy::ALL {
        if flags.wants("R1") {
            let (figures, of_policy) = simulate("R1", choice::endpoints(policy, seed))?;
            times.push((policy, of_policy));
            show(&figures, &mut all);
        }
        if flags.wants("R2") {
            show(&simulate("R2", choice::slow_node(policy, seed))?, &mut all);
        }
        if flags.wants("R3") {
            for how in [BlackHole::Panics, BlackHole::Refuses] {
                for (healed, back_within) in [(8, 15), (300, 35)] {
                    let (healed, back) =
                        (Duration::from_secs(healed), Duration::from_secs(back_within));
                    let figures = choice::black_hole(policy, how, healed, back, seed);
                    show(&simulate("R3", figures)?, &mut all);
                }
            }
        }
        if flags.wants("R4") {
            show(&simulate("R4", choice::frozen_node(policy, seed))?, &mut all);
        }
        if flags.wants("R6") {
            show(&simulate("R6", failures::overload(policy, seed))?, &mut all);
        }
    }
    if flags.wants("R5") {
        show(&simulate("R5", failures::lost_region(seed))?, &mut all);
    }
    if flags.wants("R7") {
        show(&simulate("R7", failures::chain(seed))?, &mut all);
    }
    if flags.wants("R8") {
        show(&simulate("R8", failures::each(seed))?, &mut all);
    }
    // By row, and within a row in the order of the policies.
    all.sort_by_key(|figure| figure.row);
    println!("\n{}", figure::table(&all));
    if let Some(directory) = &flags.out {
        write(directory, &all, &times)?;
    }
    let missed: Vec<_> = all.iter().filter(|figure| !figure.is_kept()).collect();
    for figure in &missed {
        eprintln!("missed: {figure}, which must be {}", figure.bound);
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a scenario in virtual time.
fn simulate<T>(row: &str, scenario: impl Future<Output = T>) -> Result<T> {
    let start = Instant::now();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let result = runtime.block_on(scenario);
    eprintln!("{row} took {:.1} s", start.elapsed().as_secs_f64());
    Ok(result)
}

fn show(figures: &[Figure], all: &mut Vec<Figure>) {
    figures.iter().for_each(|figure| println!("{figure}"));
    all.extend_from_slice(figures);
}

fn write(directory: &Path, figures: &[Figure], times: &[(Policy, Vec<Duration>)]) -> Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join("table.md"), figure::table(figures))?;
    if !times.is_empty() {
        fs::write(directory.join("plot.svg"), plot::svg(times)?)?;
    }
    Ok(())
}

impl Flags {
    fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| wanted == row)
    }
}

fn flags() -> Result<Flags> {
    let mut flags = Flags { seed: 1, out: None, rows: Vec::new() };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} requires a value"));
        match argument.as_str() {
            "--seed" => flags.seed = value()?.parse()?,
            "--out" => flags.out = Some(value()?.into()),
            row if ROWS.contains(&row) => flags.rows.push(row.to_owned()),
            _ => bail!("usage: routing [--seed N] [--out DIR] [R1 … R8], not {argument}"),
        }
    }
    Ok(flags)
}

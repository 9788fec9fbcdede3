//! The command line.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand, builder::PossibleValuesParser};

use crate::{
    bench::Bench,
    child::{self, Role},
    report,
    workloads::{self, Workload},
};

/// Compares the cost of a call with flyrpc, raw TCP, tarpc, tonic and a direct call of the function.
///
/// Prints figures to standard output, one per line: `figure <name> <value> <unit>`, or
/// `ratio <name> <value>`.
#[derive(Debug, Parser)]
struct Flags {
    #[command(subcommand)]
    role: Option<Hidden>,

    #[command(flatten)]
    options: Options,
}

/// The options of a run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Measures briefly, to check that everything works. The figures are not meaningful.
    #[arg(long)]
    pub(crate) quick: bool,

    /// Number of times that each figure is measured, for the median. [default: 5, or 1 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,

    /// Runs only these workloads, which are separated by commas.
    #[arg(long, value_name = "WORKLOAD", value_delimiter = ',', value_parser = names())]
    only: Vec<String>,

    /// Another build of this program. Its flyrpc is added as the contender `beside`, interleaved with
    /// the others, and each of flyrpc's figures is compared with it.
    #[arg(long, value_name = "PATH", conflicts_with = "write")]
    pub(crate) beside: Option<PathBuf>,

    /// Replaces the tables in README.md and benchmarks/README.md, and the plots.
    #[arg(long)]
    write: bool,
}

impl Options {
    pub(crate) fn runs(&self) -> u32 {
        self.runs.unwrap_or(if self.quick { 1 } else { 5 })
    }
}

#[derive(Debug, Subcommand)]
enum Hidden {
    /// A child process, which receives commands on standard input.
    #[command(hide = true)]
    Child(Role),
}

/// Runs the command line. `allocations` returns the number of allocations of this process so far.
pub(crate) fn run(allocations: fn() -> u64) -> Result<()> {
    let Flags { role, options } = Flags::parse();
    if let Some(Hidden::Child(role)) = role {
        return child::run(&role, allocations);
    }
    let chosen = choose(&options.only);
    let (figures, failed) = Bench::new(options.clone())?.run(&chosen);
    if options.write {
        report::write(&figures)?;
    }
    ensure!(failed == 0, "{failed} of {} workloads failed", chosen.len());
    Ok(())
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(workloads::ALL.iter().map(|workload| workload.name))
}

fn choose(only: &[String]) -> Vec<&'static Workload> {
    let chosen =
        |workload: &&Workload| only.is_empty() || only.iter().any(|name| name == workload.name);
    workloads::ALL.iter().filter(chosen).collect()
}

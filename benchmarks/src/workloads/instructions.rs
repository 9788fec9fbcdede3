//! Instructions in user mode per call, counted by callgrind if it is installed. Other load on the machine
//! does not affect the counts.
//!
//! Each count is the difference between a process that makes `2 * calls` calls and one that makes `calls`
//! calls, so that startup and warm-up cancel out.

use std::{collections::BTreeMap, path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};

use super::{Comparison, Workload, local::LOCAL_PATHS};
use crate::{
    bench::Bench,
    child::{Call, Child, Command, Pair, Plan},
    contenders::{Name, Setup},
    tool::{Scratch, Tool},
};

pub(crate) const WORKLOAD: Workload =
    Workload { name: "instructions", seconds: 300, run, comparisons };

const CALLERS: [usize; 3] = [1, 64, 256];

/// Number of calls, a multiple of each number of callers.
const CALLS: u64 = 6_400;

/// The same, for contenders whose calls take longer.
const FEW_CALLS: u64 = 2_560;

const LOCAL_CALLS: u64 = 20_000;

/// The number of callers for which the instructions of the two sides of a pair are counted separately.
const SPLIT_CALLERS: usize = 64;

/// Upper bound on the number of runs, because a count varies little and takes long.
const MAX_RUNS: u32 = 3;

const UNIT: &str = "instructions";

fn run(bench: &mut Bench) -> Result<()> {
    if !Tool::Callgrind.is_installed() {
        bench.note("skipped: instructions are not counted, because valgrind is not on PATH");
        return Ok(());
    }
    let scratch = Scratch::new()?;
    between_processes(bench, &scratch)?;
    local(bench, &scratch)?;
    pair(bench, &scratch)
}

/// Counts instructions of the client and of the server, which are separate processes.
fn between_processes(bench: &mut Bench, scratch: &Scratch) -> Result<()> {
    let runs = bench.runs().min(MAX_RUNS);
    bench.interleave_times(runs, &Name::WITH_BATCHED, |bench, contender| {
        let tool = Some((Tool::Callgrind, scratch.outputs()));
        // Under callgrind, it varies from call to call whether a handler is quick enough to run inline.
        let setup = Setup { never_inline: true, ..Setup::default() };
        let plan = Plan { tool, setup, ..bench.plan(contender) };
        let calls = match contender {
            Name::Tarpc | Name::Tonic => FEW_CALLS,
            _ => CALLS,
        };
        for callers in CALLERS {
            let short = Pair::counts(&plan, Call::Upcase, callers, calls)?;
            let long = Pair::counts(&plan, Call::Upcase, callers, 2 * calls)?;
            let [server, client] = [0, 1].map(|of| (long[of] - short[of]) / calls as f64);
            for (side, count) in [("client", client), ("server", server), ("both", client + server)]
            {
                let name = format!("instructions-{callers}-callers-{side}-{contender}");
                bench.figures.add(name, count, UNIT);
            }
        }
        Ok(())
    })
}

/// Counts instructions of calls that stay in the process.
fn local(bench: &mut Bench, scratch: &Scratch) -> Result<()> {
    let runs = bench.runs().min(MAX_RUNS);
    bench.interleave_times(runs, &[Name::Flyrpc], |bench, contender| {
        let tool = Some((Tool::Callgrind, scratch.outputs()));
        let plan = Plan { tool, ..bench.plan(contender) };
        let suffix = contender.suffix();
        let mut direct = None;
        for (name, way) in LOCAL_PATHS {
            let count = |calls| Child::count_of(&plan, &Command::Local { way, calls });
            let count = (count(2 * LOCAL_CALLS)? - count(LOCAL_CALLS)?) / LOCAL_CALLS as f64;
            bench.figures.add(format!("instructions-local-{name}{suffix}"), count, UNIT);
            let direct = *direct.get_or_insert(count);
            if name != "direct" {
                let figure = format!("instructions-local-{name}-more-than-direct{suffix}");
                bench.figures.add(figure, count - direct, UNIT);
            }
        }
        Ok(())
    })
}

/// Counts instructions of both nodes of a pair in one thread, on the simulated network. The runs are
/// deterministic, so one is enough.
fn pair(bench: &mut Bench, scratch: &Scratch) -> Result<()> {
    let companion = bench.companion("flyrpc-benchmarks-pair", "pair")?;
    bench.interleave_times(1, &[Name::Flyrpc], |bench, contender| {
        let Some(program) = companion.of(contender) else { return Ok(()) };
        let suffix = contender.suffix();
        let mut by_server = BTreeMap::new();
        for mode in ["inline", "task", "sealed", "refused"] {
            let both = CALLERS.map(|callers| (callers, None));
            let sides = ["server", "client"].map(|side| (SPLIT_CALLERS, Some(side)));
            for (callers, side) in both.into_iter().chain(sides) {
                let count = |calls| count_pair(program, scratch, callers, calls, mode, side);
                let count = (count(2 * CALLS)? - count(CALLS)?) / CALLS as f64;
                let side = side.map(|side| format!("-{side}")).unwrap_or_default();
                let name = format!("instructions-pair-{callers}-{mode}{side}{suffix}");
                // The time of day affects the count by a hundredth of an instruction per call.
                bench.figures.add(name, count.round(), UNIT);
                if side == "-server" {
                    by_server.insert(mode, count);
                }
            }
        }
        let share = by_server["refused"] / by_server["inline"];
        let name =
            format!("instructions-pair-{SPLIT_CALLERS}-refused-share-of-inline-server{suffix}");
        bench.figures.add(name, share, "×");
        Ok(())
    })
}

/// Returns the instructions of a process that makes `calls` calls, or only those of the tasks of one side.
fn count_pair(
    program: &Path,
    scratch: &Scratch,
    callers: usize,
    calls: u64,
    mode: &str,
    side: Option<&str>,
) -> Result<f64> {
    let [output, _] = scratch.outputs();
    // The functions of the program that poll the tasks of one side.
    let function = side.map(|side| format!("*::poll_{side}*"));
    let status = Tool::callgrind(function.as_deref(), &output, program)
        .args([&callers.to_string(), &calls.to_string(), mode])
        // The size of the environment affects the alignment of the stack, and so the code path of copies.
        .env_clear()
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(status.success(), "{} failed: {status}", program.display());
    Tool::Callgrind.total(&output)
}

fn comparisons() -> Vec<Comparison> {
    let sides = ["client", "server", "both"];
    let figures = CALLERS
        .iter()
        .flat_map(|callers| sides.map(|side| format!("instructions-{callers}-callers-{side}")));
    figures
        .flat_map(|figure| {
            Comparison::with_flyrpc(&figure, &["raw", "raw-batched", "tarpc", "tonic"])
        })
        .collect()
}

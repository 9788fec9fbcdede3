//! What calls ask of the system, counted by strace where there is one. It slows both processes down,
//! so that calls are batched otherwise than without it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::{Comparison, Workload};
use crate::{
    bench::Bench,
    child::{Call, Pair, Plan},
    contenders::Name,
};

pub(crate) const WORKLOAD: Workload = Workload { name: "syscalls", seconds: 60, run, comparisons };

const CALLERS: [usize; 2] = [1, 64];

fn run(bench: &mut Bench) -> Result<()> {
    let on_path = env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .any(|dir| dir.join("strace").is_file());
    if !on_path {
        bench.note("strace is not on PATH: system calls are not counted");
        return Ok(());
    }
    let dir = Scratch::new()?;
    bench.interleave(&Name::ALL, |bench, contender| {
        let calls = bench.scaled(3_200);
        for callers in CALLERS {
            let with = count(&dir, contender, callers, 64 + calls)?;
            let without = count(&dir, contender, callers, 64)?;
            for (side, of) in [("server", 0), ("client", 1)] {
                let per_thousand = (with[of] - without[of]) * 1e3 / calls as f64;
                let name = format!("syscalls-{callers}-callers-{side}-{contender}");
                bench.figures.add(name, per_thousand, "syscalls/1000-calls");
            }
        }
        Ok(())
    })
}

/// All system calls of the server and the client, if so many calls are made.
fn count(dir: &Scratch, contender: Name, callers: usize, calls: u64) -> Result<[f64; 2]> {
    let traces = ["server", "client"].map(|side| dir.0.join(side));
    let plan = Plan { traces: Some(traces.clone()), ..Plan::default() };
    let mut pair = Pair::planned(contender, &plan)?;
    pair.count(Call::Upcase, callers, calls)?;
    pair.end()?;
    let [server, client] = traces.map(|trace| total(&trace));
    Ok([server?, client?])
}

/// The sum of what strace wrote, in lines such as `59.38  0.000171  85  2  1 futex`: a share of the time,
/// seconds, microseconds a call, calls, and errors if there were any.
fn total(trace: &Path) -> Result<f64> {
    let text =
        fs::read_to_string(trace).with_context(|| format!("no trace at {}", trace.display()))?;
    let calls = |line: &str| line.split_whitespace().nth(3)?.parse::<f64>().ok();
    let total = text.lines().filter(|line| !line.ends_with(" total")).filter_map(calls).sum();
    ensure!(total > 0.0, "strace has counted nothing: {text}");
    Ok(total)
}

/// A directory that is removed when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let dir = env::temp_dir().join(format!("flyrpc-benchmarks-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Scratch(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is small, and where such things are.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn comparisons() -> Vec<Comparison> {
    let sides = ["server", "client"];
    let figures = CALLERS
        .iter()
        .flat_map(|callers| sides.map(|side| format!("syscalls-{callers}-callers-{side}")));
    figures
        .flat_map(|figure| Comparison::with_flyrpc(&figure, &["raw", "tarpc", "tonic"]))
        .collect()
}

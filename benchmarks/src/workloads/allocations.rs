//! Allocations per call, on each side and of calls that stay in the process, in a program with an
//! allocator that counts.

use std::{
    path::{Path, PathBuf},
    process::{Command as Program, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::{Comparison, Workload, local::WAYS};
use crate::{
    bench::Bench,
    child::{Call, Child, Command, Pair, Plan},
    contenders::Name,
};

pub(crate) const WORKLOAD: Workload =
    Workload { name: "allocations", seconds: 25, run, comparisons };

/// Enough for calls to wait for each other, as in earnest.
const CALLERS: usize = 16;

fn run(bench: &mut Bench) -> Result<()> {
    let plan = Plan { program: Some(build()?), ..Plan::default() };
    bench.interleave(&Name::ALL, |bench, contender| {
        let calls = bench.scaled(100_000);
        let mut pair = Pair::planned(contender, &plan)?;
        pair.count(Call::Upcase, CALLERS, calls / 10)?;
        let before = pair.snapshots()?;
        pair.count(Call::Upcase, CALLERS, calls)?;
        let after = pair.snapshots()?;
        let per_call = |of: usize| (after[of] - before[of]).allocations as f64 / calls as f64;
        for (side, count) in [("server", per_call(0)), ("client", per_call(1))] {
            bench.figures.add(format!("allocations-{side}-{contender}"), count, "allocations/call");
        }
        Ok(())
    })?;
    bench.interleave(&[Name::Flyrpc], |bench, contender| {
        let calls = bench.scaled(100_000);
        let mut child = Child::of(contender, &plan)?;
        let mut direct = None;
        for (name, way) in WAYS {
            let mut count = |calls| {
                let before = child.snapshot()?;
                child.time(&Command::Local { way, calls })?;
                anyhow::Ok((child.snapshot()? - before).allocations as f64)
            };
            // The first calls allocate once for all, and so does the start of a node.
            count(1)?;
            let start = count(1)?;
            let count = (count(calls + 1)? - start) / calls as f64;
            bench.figures.add(format!("allocations-local-{name}"), count, "allocations/call");
            let direct = *direct.get_or_insert(count);
            if name != "direct" {
                let name = format!("allocations-local-{name}-more-than-direct");
                bench.figures.add(name, count - direct, "allocations/call");
            }
        }
        Ok(())
    })
}

/// Builds the program with the allocator that counts, as this one was built, and says where it is.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let this = std::env::current_exe()?;
    let target = this.ancestors().nth(2).context("this program is in no target directory")?;
    let status = Program::new(cargo)
        .args(["build", "--release", "--quiet", "--bin", "counting", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(target)
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo, which builds the program that counts allocations")?;
    ensure!(status.success(), "the program that counts allocations was not built");
    Ok(target.join("release/counting"))
}

fn comparisons() -> Vec<Comparison> {
    let figures = ["allocations-server", "allocations-client"];
    figures.iter().flat_map(|figure| Comparison::with_flyrpc(figure, &["tarpc", "tonic"])).collect()
}

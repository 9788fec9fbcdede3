//! The workloads, with a module for each.

mod allocations;
mod async_wait;
mod cpu_bound;
mod echo;
mod fan_out;
mod first_call;
mod head_of_line;
mod instructions;
mod local;
mod memory;
mod routing;
mod sealed;
mod single_core;
mod syscalls;
mod throughput;
mod wire;

use anyhow::Result;

pub(crate) use self::throughput::CALLERS;
use crate::{bench::Bench, figures::Figures};

/// A workload, which measures one or more figures.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// Approximate time with five runs, in seconds, for the progress bar.
    pub(crate) seconds: u32,
    pub(crate) run: fn(&mut Bench) -> Result<()>,
    pub(crate) comparisons: fn() -> Vec<Comparison>,
}

/// One figure divided by another.
#[derive(Debug, Clone)]
pub(crate) struct Comparison {
    pub(crate) name: String,
    pub(crate) over: String,
    pub(crate) under: String,
}

impl Comparison {
    /// Compares flyrpc's value of `figure` with the value of each of `others`.
    pub(crate) fn with_flyrpc(figure: &str, others: &[&str]) -> Vec<Self> {
        let comparison = |other: &&str| Comparison {
            name: format!("{figure}-flyrpc-over-{other}"),
            over: format!("{figure}-flyrpc"),
            under: format!("{figure}-{other}"),
        };
        others.iter().map(comparison).collect()
    }

    /// Compares flyrpc's value of a figure with the value `under` of its other build. Returns `None` if
    /// `under` is not a figure of the other build.
    pub(crate) fn with_beside(under: &str, figures: &Figures) -> Option<Self> {
        let figure = under.strip_suffix("-beside")?;
        let over = [format!("{figure}-flyrpc"), figure.to_owned()];
        let over = over.into_iter().find(|over| figures.get(over).is_some())?;
        let name = format!("{figure}-flyrpc-over-beside");
        Some(Comparison { name, over, under: under.to_owned() })
    }
}

/// All workloads, in the order in which they run.
pub(crate) const ALL: &[Workload] = &[
    throughput::WORKLOAD,
    single_core::WORKLOAD,
    sealed::WORKLOAD,
    echo::WORKLOAD,
    async_wait::WORKLOAD,
    cpu_bound::WORKLOAD,
    head_of_line::WORKLOAD,
    fan_out::WORKLOAD,
    routing::WORKLOAD,
    local::WORKLOAD,
    first_call::WORKLOAD,
    wire::WORKLOAD,
    memory::WORKLOAD,
    allocations::WORKLOAD,
    instructions::WORKLOAD,
    syscalls::WORKLOAD,
];

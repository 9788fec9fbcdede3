//! One run of the benchmark, which runs the workloads one after another and shows a progress bar.

use std::{env, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    child::{Call, Load, Plan},
    cli::Options,
    companion::Companion,
    contenders::Name,
    figures::Figures,
    report::lines,
    workloads::Workload,
};

/// The state of a run, which the workloads use to measure.
#[derive(Debug)]
pub(crate) struct Bench {
    options: Options,
    /// This program, and the other build of it if one is measured too.
    program: PathBuf,
    beside: Option<PathBuf>,
    bar: ProgressBar,
    /// The running workload, and the position of the bar at its end.
    running: (&'static str, u64),
    pub(crate) figures: Figures,
}

impl Bench {
    /// Creates a run.
    ///
    /// # Errors
    ///
    /// Returns an error if one of the programs to run is missing.
    pub(crate) fn new(options: Options) -> Result<Self> {
        let program = env::current_exe()?;
        let found = options.beside.as_ref().map(|beside| {
            beside.canonicalize().with_context(|| format!("no program at {}", beside.display()))
        });
        let beside = found.transpose()?;
        let bar = ProgressBar::new(0);
        let style = "{elapsed_precise} {bar:30} {percent:>3} %  {msg}";
        bar.set_style(ProgressStyle::with_template(style).expect("the template is valid"));
        bar.enable_steady_tick(Duration::from_millis(500));
        let running = ("", 0);
        Ok(Bench { options, program, beside, bar, running, figures: Figures::default() })
    }

    /// Runs the workloads, and prints the figures of each. Returns all figures and the number of workloads
    /// that failed.
    pub(crate) fn run(mut self, workloads: &[&'static Workload]) -> (Figures, usize) {
        let mut failed = 0;
        self.bar.set_length(workloads.iter().map(|workload| u64::from(workload.seconds)).sum());
        for workload in workloads {
            let known = self.figures.len();
            self.running = (workload.name, self.running.1 + u64::from(workload.seconds));
            self.bar.set_message(workload.name);
            if let Err(error) = (workload.run)(&mut self) {
                // The other workloads are independent of this one.
                self.note(&format!("error: in workload {}: {error:#}", workload.name));
                failed += 1;
            }
            self.bar.set_position(self.running.1);
            self.bar.suspend(|| lines::print(&self.figures, known, workload));
        }
        self.bar.finish_and_clear();
        (self.figures, failed)
    }

    /// Runs `measure` for each of the contenders in turn, and repeats that for the number of runs of the
    /// command line. If flyrpc is a contender, so is its other build, if there is one.
    pub(crate) fn interleave(
        &mut self,
        contenders: &[Name],
        measure: impl FnMut(&mut Bench, Name) -> Result<()>,
    ) -> Result<()> {
        let runs = self.options.runs();
        self.interleave_times(runs, contenders, measure)
    }

    /// Same as [`interleave`](Self::interleave), with the given number of runs.
    pub(crate) fn interleave_times(
        &mut self,
        runs: u32,
        contenders: &[Name],
        mut measure: impl FnMut(&mut Bench, Name) -> Result<()>,
    ) -> Result<()> {
        let (workload, end) = self.running;
        let mut contenders = contenders.to_vec();
        if self.beside.is_some() && contenders.contains(&Name::Flyrpc) {
            contenders.push(Name::Beside);
        }
        let start = self.bar.position();
        let steps = u64::from(runs) * contenders.len() as u64;
        for step in 0..steps {
            let run = step / contenders.len() as u64 + 1;
            let contender = contenders[step as usize % contenders.len()];
            self.bar.set_message(format!("{workload}: {contender}, run {run} of {runs}"));
            self.bar.set_position(start + (end - start) * step / steps);
            measure(self, contender)?;
        }
        Ok(())
    }

    /// Prints a note to standard error, for example why something is skipped.
    pub(crate) fn note(&self, what: &str) {
        self.bar.suspend(|| eprintln!("{what}"));
    }

    /// Returns how the processes of a contender are started by default.
    pub(crate) fn plan(&self, contender: Name) -> Plan {
        let program = match (&self.beside, contender) {
            (Some(beside), Name::Beside) => beside,
            _ => &self.program,
        };
        Plan::new(contender, program.clone())
    }

    /// Builds another program of this workspace, and looks for the same program of the other build.
    pub(crate) fn companion(&self, package: &str, name: &str) -> Result<Companion> {
        let companion = Companion::build(package, name, &self.program, self.beside.as_deref())?;
        if self.beside.is_some() && companion.of(Name::Beside).is_none() {
            self.note(&format!("the other build is skipped: no program `{name}` next to it"));
        }
        Ok(companion)
    }

    pub(crate) fn runs(&self) -> u32 {
        self.options.runs()
    }

    /// Returns a load of `callers` callers.
    pub(crate) fn load(&self, call: Call, callers: usize) -> Load {
        let (warm_up, time) = if self.options.quick { (50, 150) } else { (150, 700) };
        let [warm_up, time] = [warm_up, time].map(Duration::from_millis);
        Load { call, callers, beside: None, warm_up, time }
    }

    /// Returns `count`, or a tenth of it with `--quick`.
    pub(crate) fn scaled(&self, count: u64) -> u64 {
        if self.options.quick { count / 10 } else { count }
    }
}

//! One run of the benchmark: its workloads one after the other, with a bar that shows how far it is.

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

/// What workloads measure with.
#[derive(Debug)]
pub(crate) struct Bench {
    options: Options,
    /// This program, and another build of it if one is measured too.
    program: PathBuf,
    beside: Option<PathBuf>,
    bar: ProgressBar,
    /// The workload that is running, and where the bar is to be when it is done.
    running: (&'static str, u64),
    pub(crate) figures: Figures,
}

impl Bench {
    /// # Errors
    ///
    /// If one of the programs to run is missing.
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

    /// Runs the workloads, and prints what each has measured. Says how many of them failed.
    pub(crate) fn run(mut self, workloads: &[&'static Workload]) -> (Figures, usize) {
        let mut failed = 0;
        self.bar.set_length(workloads.iter().map(|workload| u64::from(workload.seconds)).sum());
        for workload in workloads {
            let known = self.figures.len();
            self.running = (workload.name, self.running.1 + u64::from(workload.seconds));
            self.bar.set_message(workload.name);
            if let Err(error) = (workload.run)(&mut self) {
                // The others can be measured all the same.
                self.note(&format!("error: in workload {}: {error:#}", workload.name));
                failed += 1;
            }
            self.bar.set_position(self.running.1);
            self.bar.suspend(|| lines::print(&self.figures, known, workload));
        }
        self.bar.finish_and_clear();
        (self.figures, failed)
    }

    /// Runs `measure` for each of the contenders in turn, and that as often as was asked for. Where
    /// flyrpc is one of them, so is its other build, if there is one.
    pub(crate) fn interleave(
        &mut self,
        contenders: &[Name],
        measure: impl FnMut(&mut Bench, Name) -> Result<()>,
    ) -> Result<()> {
        let runs = self.options.runs();
        self.interleave_times(runs, contenders, measure)
    }

    /// The same `runs` times.
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

    /// Says why something is left out.
    pub(crate) fn note(&self, what: &str) {
        self.bar.suspend(|| eprintln!("{what}"));
    }

    /// How the processes of a contender are started, unless a workload says otherwise.
    pub(crate) fn plan(&self, contender: Name) -> Plan {
        let program = match (&self.beside, contender) {
            (Some(beside), Name::Beside) => beside,
            _ => &self.program,
        };
        Plan::new(contender, program.clone())
    }

    /// Builds another program of this workspace, and finds the one of the other build.
    pub(crate) fn companion(&self, package: &str, name: &str) -> Result<Companion> {
        let companion = Companion::build(package, name, &self.program, self.beside.as_deref())?;
        if self.beside.is_some() && companion.of(Name::Beside).is_none() {
            self.note(&format!("there is no `{name}` next to the other build, which is left out"));
        }
        Ok(companion)
    }

    pub(crate) fn runs(&self) -> u32 {
        self.options.runs()
    }

    /// A load of `callers`.
    pub(crate) fn load(&self, call: Call, callers: usize) -> Load {
        let (warm_up, time) = if self.options.quick { (50, 150) } else { (150, 700) };
        let [warm_up, time] = [warm_up, time].map(Duration::from_millis);
        Load { call, callers, beside: None, warm_up, time }
    }

    /// `count`, or a tenth of it if all is to be quick.
    pub(crate) fn scaled(&self, count: u64) -> u64 {
        if self.options.quick { count / 10 } else { count }
    }
}

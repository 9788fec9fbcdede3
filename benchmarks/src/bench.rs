//! One run of the benchmark: its workloads one after the other, with a bar that shows how far it is.

use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    child::{Call, Load},
    cli::Options,
    contenders::Name,
    figures::Figures,
    report::lines,
    workloads::Workload,
};

/// What workloads measure with.
#[derive(Debug)]
pub(crate) struct Bench {
    options: Options,
    bar: ProgressBar,
    pub(crate) figures: Figures,
}

impl Bench {
    pub(crate) fn new(options: Options) -> Self {
        let bar = ProgressBar::new(0);
        let style = "{elapsed_precise} {bar:30} {percent:>3} %  {msg}";
        bar.set_style(ProgressStyle::with_template(style).expect("the template is valid"));
        bar.enable_steady_tick(Duration::from_millis(500));
        Bench { options, bar, figures: Figures::default() }
    }

    /// Runs the workloads, and prints what each has measured.
    pub(crate) fn run(mut self, workloads: &[&Workload]) -> Result<Figures> {
        self.bar.set_length(workloads.iter().map(|workload| u64::from(workload.seconds)).sum());
        let mut done = 0;
        for workload in workloads {
            let known = self.figures.len();
            self.bar.set_message(workload.name);
            (workload.run)(&mut self).with_context(|| format!("in workload {}", workload.name))?;
            done += u64::from(workload.seconds);
            self.bar.set_position(done);
            self.bar.suspend(|| lines::print(&self.figures, known));
        }
        self.bar.finish_and_clear();
        Ok(self.figures)
    }

    /// Runs `measure` for each of the contenders in turn, and that as often as was asked for.
    pub(crate) fn interleave(
        &mut self,
        contenders: &[Name],
        mut measure: impl FnMut(&mut Bench, Name) -> Result<()>,
    ) -> Result<()> {
        let message = self.bar.message();
        for run in 1..=self.options.runs() {
            for &contender in contenders {
                let runs = self.options.runs();
                self.bar.set_message(format!("{message}: {contender}, run {run} of {runs}"));
                measure(self, contender)?;
            }
        }
        Ok(())
    }

    /// Whether all is to be quick.
    pub(crate) fn is_quick(&self) -> bool {
        self.options.quick
    }

    /// Says why something is left out.
    pub(crate) fn note(&self, what: &str) {
        self.bar.suspend(|| eprintln!("{what}"));
    }

    /// A load of `callers`.
    pub(crate) fn load(&self, call: Call, callers: usize) -> Load {
        let (warm_up, time) = if self.options.quick { (50, 150) } else { (250, 1000) };
        let [warm_up, time] = [warm_up, time].map(Duration::from_millis);
        Load { call, callers, beside: None, warm_up, time }
    }

    /// `count`, or a tenth of it if all is to be quick.
    pub(crate) fn scaled(&self, count: u64) -> u64 {
        if self.options.quick { count / 10 } else { count }
    }
}

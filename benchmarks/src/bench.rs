//! One run of the benchmark: its workloads one after the other, with a bar that shows how far it is.

use std::time::Duration;

use anyhow::Result;
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
    /// The workload that is running, and where the bar is to be when it is done.
    running: (&'static str, u64),
    pub(crate) figures: Figures,
}

impl Bench {
    pub(crate) fn new(options: Options) -> Self {
        let bar = ProgressBar::new(0);
        let style = "{elapsed_precise} {bar:30} {percent:>3} %  {msg}";
        bar.set_style(ProgressStyle::with_template(style).expect("the template is valid"));
        bar.enable_steady_tick(Duration::from_millis(500));
        Bench { options, bar, running: ("", 0), figures: Figures::default() }
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

    /// Runs `measure` for each of the contenders in turn, and that as often as was asked for.
    pub(crate) fn interleave(
        &mut self,
        contenders: &[Name],
        mut measure: impl FnMut(&mut Bench, Name) -> Result<()>,
    ) -> Result<()> {
        let ((workload, end), runs) = (self.running, self.options.runs());
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

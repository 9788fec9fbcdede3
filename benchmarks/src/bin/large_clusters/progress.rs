//! Progress bars of the simulations.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// The progress bars of all simulations, on standard error if that is a terminal.
#[derive(Debug, Default)]
pub(crate) struct Bars(MultiProgress);

impl Bars {
    /// Adds the bar of a cluster of `nodes` nodes, which is expected to take `steps` of virtual time.
    pub(crate) fn add(&self, nodes: usize, steps: Duration) -> Progress {
        let bar = self.0.add(ProgressBar::new(steps.as_secs()));
        let style = "{prefix:>12} {bar:30} {percent:>3} %  {elapsed_precise}  {msg}";
        bar.set_style(ProgressStyle::with_template(style).expect("the template is valid"));
        bar.set_prefix(format!("{nodes} nodes"));
        Progress { bar, done: Duration::ZERO, step: Duration::ZERO, gone: Duration::ZERO }
    }
}

/// The progress bar of one simulation.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Expected time of all completed steps.
    done: Duration,
    /// Expected and elapsed time of the current step.
    step: Duration,
    gone: Duration,
}

impl Progress {
    /// Starts a step that is expected to take `expected` of virtual time.
    pub(crate) fn begin(&mut self, what: impl Into<String>, expected: Duration) {
        self.done += self.step;
        (self.step, self.gone) = (expected, Duration::ZERO);
        self.bar.set_message(what.into());
        self.show();
    }

    /// Records that `time` of the current step has passed.
    pub(crate) fn advance(&mut self, time: Duration) {
        self.gone += time;
        self.show();
    }

    pub(crate) fn end(self) {
        self.bar.finish_with_message("done");
    }

    fn show(&self) {
        self.bar.set_position((self.done + self.gone.min(self.step)).as_secs());
    }
}

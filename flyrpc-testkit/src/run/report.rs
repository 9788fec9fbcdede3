//! What a failed run prints: the failure, the calls in flight, the command that repeats it, and its traces.

use std::{any::Any, fmt::Write as _, panic::resume_unwind};

use super::body::{Ended, RunResult};
use crate::{
    panic_text::panic_text,
    seed::TestName,
    trace::{Trace, TracedCall},
};

/// Upper bound on the number of calls that a report lists.
const MAX_LISTED: usize = 20;

/// A failed run.
pub(super) struct Failure {
    cause: Cause,
    traces: Vec<Trace>,
}

enum Cause {
    Panicked(Box<dyn Any + Send>),
    Other(String),
}

impl Failure {
    pub(super) fn new(message: String, traces: Vec<Trace>) -> Self {
        Failure { cause: Cause::Other(message), traces }
    }

    /// Returns the value of a run, or its failure. `failure_of` returns the failure that a value stands for.
    pub(super) fn of<T>(
        result: RunResult<T>,
        limit: std::time::Duration,
        failure_of: impl Fn(&T) -> Option<String>,
    ) -> Result<(T, Vec<Trace>), (Self, Option<T>)> {
        let traces = result.traces;
        let failed = |message, traces| Failure::new(message, traces);
        match result.ended {
            Ended::Returned(value) => match failure_of(&value) {
                Some(message) => Err((failed(message, traces), Some(value))),
                None => Ok((value, traces)),
            },
            Ended::Panicked(panic) => {
                Err((Failure { cause: Cause::Panicked(panic), traces }, None))
            }
            Ended::TimeLimit => {
                let message = format!("the test has not ended after {limit:?} of virtual time");
                Err((failed(message, traces), None))
            }
            Ended::Failed(message) => Err((failed(message, traces), None)),
        }
    }

    /// Prints the report, and writes the traces to files.
    pub(super) fn print(&self, test: &TestName, seed: u64) {
        let cause = match &self.cause {
            Cause::Panicked(panic) => panic_text(&**panic),
            Cause::Other(message) => message,
        };
        let mut report = format!("flyrpc-testkit: {test} failed with seed {seed}: {cause}\n");
        let calls = in_flight(&self.traces);
        if !calls.is_empty() {
            let _ = writeln!(report, "calls in flight:\n{calls}");
        }
        let _ = writeln!(report, "to reproduce:\n    {}", test.repeat_command(seed));
        for trace in &self.traces {
            let _ = writeln!(report, "{}", test.write_trace(seed, trace));
        }
        eprint!("{report}");
    }

    /// Continues the panic of the run, or panics with its failure.
    #[track_caller]
    pub(super) fn panic(self, seed: u64) -> ! {
        match self.cause {
            Cause::Panicked(panic) => resume_unwind(panic),
            Cause::Other(message) => panic!("failed with seed {seed}: {message}"),
        }
    }
}

/// Lists the calls that have not ended, one in each line.
fn in_flight(traces: &[Trace]) -> String {
    let calls: Vec<&TracedCall> =
        traces.iter().flat_map(|trace| trace.calls().under_way()).collect();
    let mut lines: Vec<String> = calls.iter().take(MAX_LISTED).map(|call| line(call)).collect();
    if let Some(more @ 1..) = calls.len().checked_sub(MAX_LISTED) {
        lines.push(format!("    and {more} more"));
    }
    lines.join("\n")
}

fn line(call: &TracedCall) -> String {
    let to = call.node().map_or_else(|| call.target().to_string(), str::to_owned);
    let (service, method) = (call.service(), call.method());
    let (caller, attempt, start) = (call.caller(), call.attempt(), call.start());
    format!("    {caller} → {to}  {service}.{method} #{attempt}, since {start:?}")
}

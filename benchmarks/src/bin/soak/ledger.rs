//! Compares the calls that executed with the outcomes that their callers received.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// The record of one call of a method that is not idempotent.
#[derive(Debug, Default, Clone, Copy)]
struct Call {
    executions: u32,
    /// The caller received its reply.
    succeeded: bool,
    /// The caller received an error that guarantees that the call did not execute.
    excluded: bool,
}

/// The calls of all workers, by id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    calls: BTreeMap<u128, Call>,
    /// Number of calls of all kinds by outcome, as counted by the workers.
    outcomes: BTreeMap<String, u64>,
    /// Number of lines that could not be parsed.
    unknown: u64,
}

/// The result of the comparison.
#[derive(Debug)]
pub(crate) struct Verdict {
    calls: usize,
    executed: usize,
    twice: usize,
    excluded_but_executed: usize,
    succeeded_but_not_executed: usize,
    unknown: u64,
    outcomes: BTreeMap<String, u64>,
}

impl Ledger {
    /// Records a line of a worker: `ran ID`, `ok ID`, `excluded ID`, `maybe ID` or `count WHAT N`.
    pub(crate) fn record(&self, line: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut words = line.split_whitespace();
        let (kind, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if kind == "count" {
            let count: u64 = words.next().and_then(|count| count.parse().ok()).unwrap_or_default();
            *state.outcomes.entry(rest.to_owned()).or_default() += count;
            return;
        }
        let Ok(id) = u128::from_str_radix(rest, 16) else {
            state.unknown += 1;
            return;
        };
        let call = state.calls.entry(id).or_default();
        match kind {
            "ran" => call.executions += 1,
            "ok" => call.succeeded = true,
            "excluded" => call.excluded = true,
            "maybe" => {}
            _ => state.unknown += 1,
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let count =
            |check: fn(&Call) -> bool| state.calls.values().filter(|call| check(call)).count();
        Verdict {
            calls: state.calls.len(),
            executed: count(|call| call.executions > 0),
            twice: count(|call| call.executions > 1),
            excluded_but_executed: count(|call| call.excluded && call.executions > 0),
            succeeded_but_not_executed: count(|call| call.succeeded && call.executions == 0),
            unknown: state.unknown,
            outcomes: state.outcomes.clone(),
        }
    }
}

impl Verdict {
    /// Returns whether at least one call executed, every execution matches the outcome of its call, and all
    /// lines were parsed.
    pub(crate) fn is_clean(&self) -> bool {
        let wrong = self.twice + self.excluded_but_executed + self.succeeded_but_not_executed;
        wrong == 0 && self.unknown == 0 && self.executed > 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "checked calls: {}, executed: {}", self.calls, self.executed)?;
        writeln!(f, "executed twice: {}", self.twice)?;
        writeln!(f, "executed although reported as not executed: {}", self.excluded_but_executed)?;
        writeln!(f, "succeeded without execution: {}", self.succeeded_but_not_executed)?;
        writeln!(f, "unrecognized lines: {}", self.unknown)?;
        write!(f, "outcomes:")?;
        for (what, count) in &self.outcomes {
            write!(f, " {what} {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(lines: &[&str]) -> Verdict {
        let ledger = Ledger::default();
        lines.iter().for_each(|line| ledger.record(line));
        ledger.verdict()
    }

    #[test]
    fn each_kind_of_wrong_execution_is_counted() {
        assert!(verdict(&["ran a", "ok a", "maybe b", "excluded c"]).is_clean());
        assert_eq!(verdict(&["ran a", "ran a"]).twice, 1);
        assert_eq!(verdict(&["ran a", "excluded a"]).excluded_but_executed, 1);
        assert_eq!(verdict(&["ran b", "ok a"]).succeeded_but_not_executed, 1);
        assert!(!verdict(&["ran a", "thread panicked"]).is_clean());
    }
}

//! The output of the tour, and the checks that failed.

use std::{
    fmt::Display,
    future::Future,
    time::{Duration, Instant},
};

use flyrpc::RpcError;
use flyrpc_examples::show;

/// Width of a printed line, in characters.
const WIDTH: usize = 92;

/// Widths of the two columns between the mark and the time, in characters.
const WHAT: usize = 48;
const OUTCOME: usize = 28;

pub(crate) struct Report {
    start: Instant,
    lessons: usize,
    checks: usize,
    broken: Vec<String>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Report { start: Instant::now(), lessons: 0, checks: 0, broken: Vec::new() }
    }

    /// Prints the title of the next lesson.
    pub(crate) fn lesson(&mut self, title: &str) {
        self.lessons += 1;
        println!("\n{:>2}  {title}", self.lessons);
    }

    /// Prints a line that is not checked.
    pub(crate) fn note(&self, text: &str) {
        println!("        {text}");
    }

    /// Prints the outcome of a check. `kept` is true if the outcome is the expected one.
    pub(crate) fn check(&mut self, kept: bool, what: &str, outcome: impl Display, took: Duration) {
        self.checks += 1;
        let (outcome, took) = (outcome.to_string(), show::time(took));
        let mark = if kept { "ok" } else { "FAILED" };
        let beside = if outcome.chars().count() < OUTCOME { outcome.as_str() } else { "" };
        println!("{mark:>6}  {what:<WHAT$}{beside:<OUTCOME$}{took:>8}");
        if beside.is_empty() {
            wrap(&outcome, WIDTH - 12).iter().for_each(|line| println!("            {line}"));
        }
        if !kept {
            self.broken.push(format!("{what}: {outcome}"));
        }
    }

    /// Records a failed check.
    pub(crate) fn broken(&mut self, promise: &str) {
        self.checks += 1;
        self.broken.push(promise.to_owned());
    }

    /// Makes a call that should return a value for which `right` is true. Prints the value as `shown`
    /// formats it.
    pub(crate) async fn succeeds<T>(
        &mut self,
        what: &str,
        call: impl Future<Output = Result<T, RpcError>>,
        right: impl FnOnce(&T) -> bool,
        shown: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        let start = Instant::now();
        let response = call.await;
        let took = start.elapsed();
        match response {
            Ok(value) => {
                self.check(right(&value), what, shown(&value), took);
                Some(value)
            }
            Err(error) => {
                self.check(false, what, show::rpc_error(&error), took);
                None
            }
        }
    }

    /// Makes a call that should fail, with an error and after a time for which `right` is true.
    pub(crate) async fn fails<T>(
        &mut self,
        what: &str,
        call: impl Future<Output = Result<T, RpcError>>,
        right: impl FnOnce(&RpcError, Duration) -> bool,
    ) {
        let start = Instant::now();
        let response = call.await;
        let took = start.elapsed();
        match response {
            Ok(_) => self.check(false, what, "the call succeeded", took),
            Err(error) => self.check(right(&error, took), what, show::rpc_error(&error), took),
        }
    }

    /// Prints a summary. Returns true if all checks passed.
    pub(crate) fn sum_up(&self) -> bool {
        let took = show::time(self.start.elapsed());
        if self.broken.is_empty() {
            println!("\nAll {} checks passed in {took}.", self.checks);
            return true;
        }
        println!("\n{} of {} checks failed in {took}:", self.broken.len(), self.checks);
        self.broken.iter().for_each(|promise| println!("  {promise}"));
        false
    }
}

/// Breaks `text` at spaces into lines of at most `width` characters. A longer word is a line by itself.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

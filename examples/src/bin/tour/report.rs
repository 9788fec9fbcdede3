//! What the tour prints, and which promises were broken.

use std::{
    fmt::Display,
    future::Future,
    time::{Duration, Instant},
};

use flyrpc::RpcError;
use flyrpc_examples::show;

/// How wide a printed line is.
const WIDTH: usize = 92;

/// How wide the two columns before the time are, after the mark.
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

    /// Begins a lesson.
    pub(crate) fn lesson(&mut self, title: &str) {
        self.lessons += 1;
        println!("\n{:>2}  {title}", self.lessons);
    }

    /// Shows something that is not checked.
    pub(crate) fn note(&self, text: &str) {
        println!("        {text}");
    }

    /// Shows what came of something, and whether that is as promised.
    pub(crate) fn check(&mut self, kept: bool, what: &str, outcome: impl Display, took: Duration) {
        self.checks += 1;
        let (outcome, took) = (outcome.to_string(), show::time(took));
        let mark = if kept { "ok" } else { "BROKEN" };
        let beside = if outcome.chars().count() < OUTCOME { outcome.as_str() } else { "" };
        println!("{mark:>6}  {what:<WHAT$}{beside:<OUTCOME$}{took:>8}");
        if beside.is_empty() {
            wrap(&outcome, WIDTH - 12).iter().for_each(|line| println!("            {line}"));
        }
        if !kept {
            self.broken.push(format!("{what}: {outcome}"));
        }
    }

    /// Notes a promise that was broken.
    pub(crate) fn broken(&mut self, promise: &str) {
        self.checks += 1;
        self.broken.push(promise.to_owned());
    }

    /// Makes a call that ought to be answered, by a value that is `right`, shown as `shown` says.
    pub(crate) async fn answered<T>(
        &mut self,
        what: &str,
        call: impl Future<Output = Result<T, RpcError>>,
        right: impl FnOnce(&T) -> bool,
        shown: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        let start = Instant::now();
        let answer = call.await;
        let took = start.elapsed();
        match answer {
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

    /// Makes a call that ought to fail, with an error and in a time that are `right`.
    pub(crate) async fn fails<T>(
        &mut self,
        what: &str,
        call: impl Future<Output = Result<T, RpcError>>,
        right: impl FnOnce(&RpcError, Duration) -> bool,
    ) {
        let start = Instant::now();
        let answer = call.await;
        let took = start.elapsed();
        match answer {
            Ok(_) => self.check(false, what, "it was answered", took),
            Err(error) => self.check(right(&error, took), what, show::rpc_error(&error), took),
        }
    }

    /// Says how it all turned out. True if every promise was kept.
    pub(crate) fn sum_up(&self) -> bool {
        let took = show::time(self.start.elapsed());
        if self.broken.is_empty() {
            println!("\nAll {} promises were kept, in {took}.", self.checks);
            return true;
        }
        println!("\n{} of {} promises were broken, in {took}:", self.broken.len(), self.checks);
        self.broken.iter().for_each(|promise| println!("  {promise}"));
        false
    }
}

/// Breaks `text` at spaces into lines of at most `width` characters, where that is possible.
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

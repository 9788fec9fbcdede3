//! Checks that the retries of each node stay within the budget of each region.

use std::{collections::BTreeMap, time::Duration};

use super::attempts::{Attempt, AttemptsByCall, CallAttempts, by_call};

/// The retries of this period count. The budget counts those of 10 s, in steps of 1 s.
const RETRY_WINDOW: Duration = Duration::from_secs(9);

/// The calls of this period count at least.
const CALL_WINDOW: Duration = Duration::from_secs(10);

/// The retries allowed regardless of the number of calls.
const RESERVE: usize = 100;

/// The number of calls that allow one retry more.
const CALLS_PER_RETRY: f64 = 5.0;

/// The retries that calls which are not traced may allow: those of flyrpc itself.
const ALLOWANCE: f64 = 5.0;

/// The retries and the other attempts of one boot of a node in one region, with the times of their starts.
#[derive(Debug, Default)]
struct Spending {
    retries: Vec<Duration>,
    calls: Vec<Duration>,
}

/// Returns descriptions of the retries that exceed the budgets of the nodes that made these attempts.
pub fn over_budget(attempts: Vec<Attempt>) -> Vec<String> {
    check(&by_call(attempts), |_| true)
}

/// Checks the budgets of the callers for which `has_clock` returns true: those whose clocks do not jump.
pub(super) fn check(calls: &AttemptsByCall, has_clock: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for ((caller, boot, region), spending) in spendings(calls, |call| !call.may_wait()) {
        if let Some((made, allowed)) = spending.excess().filter(|_| has_clock(caller)) {
            found.push(format!(
                "boot {boot} of {caller} made {made} retries to {region} within \
                 {RETRY_WINDOW:?}, but {allowed} are allowed"
            ));
        }
    }
    found
}

/// The times of the retries of each node that budgets may have paid for.
pub(super) fn retries_of(calls: &AttemptsByCall) -> BTreeMap<&str, Vec<Duration>> {
    let mut retries: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for ((caller, _, _), spending) in spendings(calls, |_| true) {
        retries.entry(caller).or_default().extend(spending.retries);
    }
    retries
}

/// Returns what each boot of a node spent in each region. Only the calls for which `retries` returns true count as
/// repeated.
fn spendings(
    calls: &AttemptsByCall,
    retries: impl Fn(&CallAttempts) -> bool,
) -> BTreeMap<(&str, u32, &str), Spending> {
    let mut spendings: BTreeMap<(&str, u32, &str), Spending> = BTreeMap::new();
    for ((caller, boot, _), call) in calls {
        let charged = if retries(call) { call.charged() } else { Vec::new() };
        for attempt in call.all().iter().filter(|attempt| attempt.is_remote) {
            let spending = spendings.entry((caller, *boot, &attempt.region)).or_default();
            if charged.iter().any(|charged| std::ptr::eq(*charged, attempt)) {
                spending.retries.push(attempt.start);
            } else {
                spending.calls.push(attempt.start);
            }
        }
    }
    for spending in spendings.values_mut() {
        spending.retries.sort();
        spending.calls.sort();
    }
    spendings
}

impl Spending {
    /// Returns the retries within one window, and how many are allowed, if there are too many.
    fn excess(&self) -> Option<(usize, usize)> {
        self.retries.iter().enumerate().find_map(|(last, at)| {
            let since = at.saturating_sub(RETRY_WINDOW);
            let first = self.retries.partition_point(|retry| *retry <= since);
            let made = last + 1 - first;
            (made > RESERVE).then(|| (made, self.allowed(*at))).filter(|(made, most)| made > most)
        })
    }

    /// Upper bound on the retries that the budget allows at `now`: the calls count with their highest average
    /// rate over a period that ends now. flyrpc knows how many calls there were only at heartbeats and at the times
    /// of earlier retries.
    fn allowed(&self, now: Duration) -> usize {
        let calls = &self.calls[..self.calls.partition_point(|call| *call <= now)];
        let rate = |index: usize| {
            let period = now.saturating_sub(calls[index]).max(CALL_WINDOW);
            (calls.len() - index) as f64 / period.as_secs_f64()
        };
        let rate = (0..calls.len()).map(rate).fold(0.0, f64::max);
        RESERVE + (rate * CALL_WINDOW.as_secs_f64() / CALLS_PER_RETRY + ALLOWANCE) as usize
    }
}

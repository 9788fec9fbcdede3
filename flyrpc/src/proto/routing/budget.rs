//! The budget for retries on the nodes of one region.
//!
//! When a region fails or refuses calls, retries multiply the load on it. The budget bounds the retries:
//! within any 10 s, it allows 100 retries, plus one for every five calls.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The period over which calls and retries count.
const WINDOW: Duration = Duration::from_secs(10);

/// The retries allowed within a window regardless of the number of calls.
const RESERVE: u64 = 100;

/// The number of calls within a window that allow one additional retry.
const CALLS_PER_RETRY: u64 = 5;

/// The time resolution with which calls and retries are counted.
const STEP: Duration = Duration::from_secs(1);

/// The budget for retries on the nodes of one region.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    /// The total number of calls made so far, at times within the window and at the last time before it.
    calls: VecDeque<(Instant, u64)>,
    /// The retries of each step within the window, with the start of the step.
    retries: VecDeque<(Instant, u64)>,
    /// When a retry was last refused.
    refused: Option<Instant>,
}

/// The budget does not allow a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BudgetExhausted {
    /// Whether no other retry was refused within the last window.
    pub(crate) is_news: bool,
}

impl RetryBudget {
    /// Creates the budget of a region that has not been called yet.
    pub(crate) fn new(now: Instant) -> Self {
        RetryBudget { calls: VecDeque::from([(now, 0)]), retries: VecDeque::new(), refused: None }
    }

    /// Pays for one retry. `calls` is the number of all calls to the region so far.
    ///
    /// # Errors
    ///
    /// Returns an error if the budget does not allow the retry.
    pub(crate) fn try_spend(&mut self, now: Instant, calls: u64) -> Result<(), BudgetExhausted> {
        let allowed = RESERVE + self.recent_calls(now, calls) / CALLS_PER_RETRY;
        let expired = |at: Instant| now.saturating_duration_since(at) >= WINDOW;
        while self.retries.front().is_some_and(|&(at, _)| expired(at)) {
            self.retries.pop_front();
        }
        if self.retries.iter().map(|&(_, count)| count).sum::<u64>() >= allowed {
            let last = self.refused.replace(now);
            return Err(BudgetExhausted { is_news: last.is_none_or(expired) });
        }
        match self.retries.back_mut() {
            Some((at, count)) if now.saturating_duration_since(*at) < STEP => *count += 1,
            _ => self.retries.push_back((now, 1)),
        }
        Ok(())
    }

    /// Records at `now` that there have been this many `calls` so far. The more often this is called, the more exact
    /// is the number of calls within a window, up to once per [`STEP`].
    pub(crate) fn sample(&mut self, now: Instant, calls: u64) {
        let age = |at: Instant| now.saturating_duration_since(at);
        if self.calls.back().is_some_and(|&(at, _)| age(at) >= STEP) {
            self.calls.push_back((now, calls));
        }
        while self.calls.get(1).is_some_and(|&(at, _)| age(at) >= WINDOW) {
            self.calls.pop_front();
        }
    }

    /// Returns the number of calls within the last window. It is computed from samples, so that calls need not be
    /// counted by time.
    fn recent_calls(&mut self, now: Instant, calls: u64) -> u64 {
        self.sample(now, calls);
        let age = |at: Instant| now.saturating_duration_since(at);
        let &(since, before) = self.calls.front().expect("one sample is always kept");
        let recent = calls.saturating_sub(before);
        if age(since) <= WINDOW {
            return recent;
        }
        // The sample is older than the window. Assume that the calls since then were spread evenly.
        (recent as f64 * WINDOW.as_secs_f64() / age(since).as_secs_f64()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// Spends as much as `budget` allows.
    fn spend_all(budget: &mut RetryBudget, now: Instant, calls: u64) -> u64 {
        (0..).take_while(|_| budget.try_spend(now, calls).is_ok()).count() as u64
    }

    #[test]
    fn a_hundred_retries_are_allowed_without_any_calls() {
        let start = Instant::now();
        let mut budget = RetryBudget::new(start);
        assert_eq!(spend_all(&mut budget, start, 0), 100);
        assert_eq!(spend_all(&mut budget, start + secs(9), 0), 0);
        assert_eq!(spend_all(&mut budget, start + secs(10), 0), 100);
    }

    #[test]
    fn a_burst_after_a_quiet_period_allows_as_many_retries_as_any_other() {
        let start = Instant::now();
        let mut budget = RetryBudget::new(start);
        (1..=600).for_each(|second| budget.sample(start + secs(second), 0));
        assert_eq!(spend_all(&mut budget, start + secs(600), 1_000), 300);
        assert!(budget.calls.len() <= 12, "{}", budget.calls.len());
    }

    #[test]
    fn every_five_calls_of_the_last_ten_seconds_allow_one_retry_more() {
        let start = Instant::now();
        let mut budget = RetryBudget::new(start);
        assert_eq!(spend_all(&mut budget, start + secs(1), 1_000), 300);
        assert_eq!(spend_all(&mut budget, start + secs(5), 2_000), 200);
        // The first thousand calls, and the retries that they allowed, are outside the window.
        assert_eq!(spend_all(&mut budget, start + secs(11), 2_000), 100);
    }

    #[test]
    fn calls_long_before_the_first_retry_count_by_their_average_rate() {
        let start = Instant::now();
        let mut budget = RetryBudget::new(start);
        assert_eq!(spend_all(&mut budget, start + secs(1_000), 100_000), 100 + 200);
    }

    #[test]
    fn a_refusal_is_news_if_there_was_none_for_ten_seconds() {
        let start = Instant::now();
        let mut budget = RetryBudget::new(start);
        (0..100).for_each(|_| budget.try_spend(start, 0).unwrap());
        let refused = |is_news| Err(BudgetExhausted { is_news });
        assert_eq!(budget.try_spend(start, 0), refused(true));
        assert_eq!(budget.try_spend(start + secs(9), 0), refused(false));
        assert_eq!(spend_all(&mut budget, start + secs(15), 0), 100);
        assert_eq!(budget.try_spend(start + secs(15), 0), refused(false));
        assert_eq!(spend_all(&mut budget, start + secs(40), 0), 100);
        assert_eq!(budget.try_spend(start + secs(50), 0), Ok(()));
    }

    #[test]
    fn samples_do_not_accumulate() {
        let start = Instant::now();
        let mut budget = RetryBudget::new(start);
        for second in 0..1_000 {
            budget.try_spend(start + secs(second), second).unwrap();
        }
        assert!(budget.calls.len() <= 12 && budget.retries.len() <= 11, "{budget:?}");
    }
}

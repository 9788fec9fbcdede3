//! The seeds of a simulation.

use std::{
    collections::BTreeMap,
    fmt,
    ops::{Range, RangeInclusive},
    panic::resume_unwind,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// A sequence of seeds: ranges, in order.
///
/// ```
/// use flyrpc_testkit::Seeds;
///
/// let seeds: Seeds = "7, 100..103, 200..=201".parse().unwrap();
/// assert_eq!(seeds.iter().collect::<Vec<_>>(), [7, 100, 101, 102, 200, 201]);
/// assert_eq!(Seeds::from(0..1_000).len(), 1_000);
/// assert!("1..".parse::<Seeds>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds(Vec<RangeInclusive<u64>>);

impl Seeds {
    /// Returns the seeds in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().cloned().flatten()
    }

    /// Returns the number of seeds.
    pub fn len(&self) -> u64 {
        let lengths = self.0.iter().map(|range| (range.end() - range.start()).saturating_add(1));
        lengths.fold(0, u64::saturating_add)
    }

    /// Returns whether there is no seed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the seed at `index`.
    fn get(&self, mut index: u64) -> Option<u64> {
        for range in &self.0 {
            let last = range.end() - range.start();
            if index <= last {
                return Some(range.start() + index);
            }
            index -= last + 1;
        }
        None
    }
}

impl From<u64> for Seeds {
    fn from(seed: u64) -> Self {
        Seeds(vec![seed..=seed])
    }
}

impl From<Range<u64>> for Seeds {
    fn from(range: Range<u64>) -> Self {
        Seeds(if range.is_empty() { Vec::new() } else { vec![range.start..=range.end - 1] })
    }
}

impl From<RangeInclusive<u64>> for Seeds {
    fn from(range: RangeInclusive<u64>) -> Self {
        Seeds(if range.is_empty() { Vec::new() } else { vec![range] })
    }
}

/// The error for a text that lists no seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseSeedsError(String);

impl fmt::Display for ParseSeedsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is neither a seed such as 7 nor a range such as 0..1000", self.0)
    }
}

impl std::error::Error for ParseSeedsError {}

impl std::str::FromStr for Seeds {
    type Err = ParseSeedsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut ranges = Vec::new();
        for part in text.split(',').map(str::trim) {
            let parsed = parse_range(part).filter(|seeds| !seeds.is_empty());
            ranges.extend(parsed.ok_or_else(|| ParseSeedsError(part.to_owned()))?.0);
        }
        Ok(Seeds(ranges))
    }
}

fn parse_range(text: &str) -> Option<Seeds> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    if let Some((first, last)) = text.split_once("..=") {
        return Some(Seeds::from(number(first)?..=number(last)?));
    }
    if let Some((first, end)) = text.split_once("..") {
        return Some(Seeds::from(number(first)?..number(end)?));
    }
    number(text).map(Seeds::from)
}

/// Bounds the runs of the process at the same time: the tests of a program run in parallel, too.
static PERMITS: Permits = Permits { taken: Mutex::new(0), released: Condvar::new() };

struct Permits {
    taken: Mutex<usize>,
    released: Condvar,
}

/// Returns its permit when dropped.
struct Permit;

impl Permits {
    fn acquire(&self) -> Permit {
        let all = thread::available_parallelism().map_or(1, usize::from);
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = self.released.wait_while(taken, |taken| *taken >= all);
        *taken.unwrap_or_else(PoisonError::into_inner) += 1;
        Permit
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *PERMITS.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        PERMITS.released.notify_one();
    }
}

/// Calls `run` for each seed, until one returns a failure: as many at the same time as the machine has processors, counted
/// for the whole process, and each in a thread of its own, whose thread-local values are new. Threads are called `name`.
/// Returns the failure of the first failed seed, which does not depend on the number of threads.
pub(super) fn first_failure<E: Send>(
    seeds: &Seeds,
    name: &str,
    run: impl Fn(u64) -> Result<(), E> + Sync,
) -> Option<(u64, E)> {
    if seeds.len() <= 1 {
        let seed = seeds.iter().next()?;
        return run(seed).err().map(|failure| (seed, failure));
    }
    let (next, first_failed) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let failures = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(seed) = seeds.get(index) else { return };
            if index > first_failed.load(Ordering::Relaxed) {
                return;
            }
            let _permit = PERMITS.acquire();
            let alone = thread::scope(|scope| {
                let thread = thread::Builder::new().name(name.to_owned());
                let started = thread.spawn_scoped(scope, || run(seed));
                started.expect("the operating system provides a thread").join()
            });
            let result = alone.unwrap_or_else(|panic| {
                first_failed.fetch_min(index, Ordering::Relaxed);
                resume_unwind(panic)
            });
            if let Err(failure) = result {
                first_failed.fetch_min(index, Ordering::Relaxed);
                let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                failures.insert(index, (seed, failure));
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(usize::try_from(seeds.len()).unwrap_or(usize::MAX));
    thread::scope(|scope| {
        for _ in 1..threads {
            // With fewer threads, the others do more.
            let _ = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
        }
        work();
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.into_iter().next().map(|(_, failed)| failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_numbers_and_ranges() {
        let seeds: Seeds = "3, 5..8,9..=10".parse().unwrap();
        let all: Vec<u64> = seeds.iter().collect();
        assert_eq!(all, [3, 5, 6, 7, 9, 10]);
        assert_eq!(seeds.len(), 6);
        let got: Vec<u64> = (0..7).filter_map(|index| seeds.get(index)).collect();
        assert_eq!(got, all);
        let last = u64::MAX;
        assert_eq!(format!("{last}").parse::<Seeds>().unwrap().iter().next(), Some(last));
        for wrong in ["", "a", "1..", "..3", "3..3", "5..2", "1,,2", "-1", "1..=-3"] {
            let error = wrong.parse::<Seeds>().unwrap_err().to_string();
            assert!(error.contains("0..1000"), "{error}");
        }
    }

    #[test]
    fn the_first_failure_is_that_of_the_lowest_failing_seed() {
        let failing = |seed| if seed >= 40 { Err(seed * 2) } else { Ok(()) };
        for _ in 0..20 {
            assert_eq!(first_failure(&(0..10_000).into(), "seeds", failing), Some((40, 80)));
        }
        assert_eq!(first_failure(&(0..40).into(), "seeds", failing), None);
        assert_eq!(first_failure(&Seeds::from(41), "seeds", failing), Some((41, 82)));
    }

    #[test]
    fn no_further_seeds_are_tried_after_a_failure() {
        let tried = AtomicU64::new(0);
        first_failure(&(0..1_000_000).into(), "seeds", |_| {
            tried.fetch_add(1, Ordering::Relaxed);
            Err::<(), ()>(())
        });
        assert!(tried.load(Ordering::Relaxed) < 1_000, "{tried:?} seeds were tried");
    }
}

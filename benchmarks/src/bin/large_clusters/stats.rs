//! Statistics over many measurements.

use std::time::Duration;

/// The times at which the first, the median and the last of many nodes learned of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spread {
    pub(crate) first: Duration,
    pub(crate) median: Duration,
    pub(crate) last: Duration,
}

impl Spread {
    /// Returns the spread of `times`, or `None` if there are none.
    pub(crate) fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let (first, last) = (*times.first()?, *times.last()?);
        Some(Spread { first, median: median(&mut times)?, last })
    }

    /// Returns the medians of the first, the median and the last times of several spreads.
    pub(crate) fn typical(spreads: &[Spread]) -> Option<Self> {
        let median_of =
            |of: fn(&Spread) -> Duration| median(&mut spreads.iter().map(of).collect::<Vec<_>>());
        Some(Spread {
            first: median_of(|spread| spread.first)?,
            median: median_of(|spread| spread.median)?,
            last: median_of(|spread| spread.last)?,
        })
    }
}

/// Returns the middle one of `values` (the lower of two), or `None` if there are none.
pub(crate) fn median<T: Copy + Ord>(values: &mut [T]) -> Option<T> {
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(times: &[u64]) -> Option<Spread> {
        Spread::of(times.iter().copied().map(Duration::from_secs).collect())
    }

    #[test]
    fn a_spread_is_the_first_the_middle_and_the_last() {
        let [first, median, last] = [1, 3, 9].map(Duration::from_secs);
        assert_eq!(spread(&[9, 1, 3]), Some(Spread { first, median, last }));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn a_typical_spread_consists_of_medians() {
        let spreads =
            [spread(&[1, 2, 9]), spread(&[3, 4, 5]), spread(&[2, 6, 7])].map(Option::unwrap);
        assert_eq!(Spread::typical(&spreads), spread(&[2, 4, 7]));
        assert_eq!(Spread::typical(&[]), None);
    }
}

//! The measured figures: samples by name, and comparisons of them.

use std::collections::BTreeMap;

/// The samples of one figure, one for each run.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) unit: &'static str,
    samples: Vec<f64>,
}

impl Figure {
    pub(crate) fn median(&self) -> f64 {
        median(&self.samples)
    }

    pub(crate) fn min(&self) -> f64 {
        self.samples.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// One figure divided by another. `median` is the ratio of the medians. `min` and `max` are the
/// extremes of the ratios of the single runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// All figures, by name.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    figures: BTreeMap<String, Figure>,
    /// The names, in the order in which the figures were added.
    names: Vec<String>,
}

impl Figures {
    /// Adds a sample.
    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        let name = name.into();
        if !self.figures.contains_key(&name) {
            self.names.push(name.clone());
        }
        let figure = self.figures.entry(name).or_insert(Figure { unit, samples: Vec::new() });
        figure.samples.push(value);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Figure> {
        self.figures.get(name)
    }

    /// Returns all figures after the first `known`, in the order in which they were added.
    pub(crate) fn since(&self, known: usize) -> impl Iterator<Item = (&str, &Figure)> {
        self.names[known..].iter().map(|name| (&**name, &self.figures[name]))
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns `over` divided by `under`, if both were measured.
    pub(crate) fn ratio(&self, over: &str, under: &str) -> Option<Ratio> {
        let (over, under) = (self.get(over)?, self.get(under)?);
        let of_runs = over.samples.iter().zip(&under.samples).map(|(over, under)| over / under);
        let of_runs = Figure { unit: "", samples: of_runs.collect() };
        let median = over.median() / under.median();
        Some(Ratio { median, min: of_runs.min(), max: of_runs.max() })
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_of_medians_and_its_spread_is_of_runs() {
        let mut figures = Figures::default();
        for (over, under) in [(8.0, 4.0), (3.0, 3.0), (6.0, 2.0)] {
            figures.add("over", over, "calls");
            figures.add("under", under, "calls");
        }
        let ratio = figures.ratio("over", "under").expect("both were measured");
        assert_eq!((ratio.median, ratio.min, ratio.max), (2.0, 1.0, 3.0));
        assert!(figures.ratio("over", "nothing").is_none());
    }
}

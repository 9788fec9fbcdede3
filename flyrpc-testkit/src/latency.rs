//! Round trips between regions: a table of measured values, estimates by distance for other known
//! regions, and values that a test sets.

use std::{collections::BTreeMap, time::Duration};

use flyrpc::Region;

/// The default round trip between two hosts of one region.
const INTRA_REGION: Duration = Duration::from_millis(1);

/// Earth's mean radius in kilometers.
const EARTH_KM: f64 = 6371.0;

/// Measured round trips in milliseconds. The columns are the regions in [`COLUMNS`]. Each row starts
/// at the column after its own region.
///
/// Sources:
///
/// - Pairs of iad, lhr, fra, gru, nrt and syd: IBM Cloud's averages of September 2024.
/// - Pairs with hkg or jnb: cloudping.co's matrix for AWS (Cape Town for jnb).
/// - Pairs with sjc, and sin to iad, gru and nrt: a table of AWS round trips from 2017.
/// - sjc to lhr, and sin to lhr, fra and syd: estimates.
const MEASURED: [(&str, &[u64]); 9] = [
    ("iad", &[72, 76, 91, 118, 227, 217, 202, 166, 214]),
    ("sjc", &[140, 167, 193, 287, 174, 155, 103, 158]),
    ("lhr", &[13, 186, 150, 165, 199, 243, 261]),
    ("fra", &[196, 155, 160, 199, 228, 250]),
    ("gru", &[337, 328, 312, 284, 328]),
    ("jnb", &[205, 238, 286, 295]),
    ("sin", &[34, 74, 92]),
    ("hkg", &[53, 125]),
    ("nrt", &[115]),
];

const COLUMNS: [&str; 9] = ["sjc", "lhr", "fra", "gru", "jnb", "sin", "hkg", "nrt", "syd"];

/// Latitude and longitude, in degrees, of the regions for which round trips can be estimated.
const COORDINATES: [(&str, f64, f64); 19] = [
    ("ams", 52.3, 4.8),
    ("arn", 59.7, 17.9),
    ("bom", 19.1, 72.9),
    ("cdg", 49.0, 2.6),
    ("dfw", 32.9, -97.0),
    ("ewr", 40.7, -74.2),
    ("fra", 50.0, 8.6),
    ("gru", -23.4, -46.5),
    ("hkg", 22.3, 114.2),
    ("iad", 38.9, -77.5),
    ("jnb", -26.1, 28.3),
    ("lax", 33.9, -118.4),
    ("lhr", 51.5, -0.5),
    ("nrt", 35.8, 140.4),
    ("ord", 42.0, -87.9),
    ("sin", 1.4, 104.0),
    ("sjc", 37.4, -121.9),
    ("syd", -34.0, 151.2),
    ("yyz", 43.7, -79.6),
];

/// Round trips between regions, in whole milliseconds, the resolution of tokio's timers.
///
/// The defaults are:
///
/// - 1 ms within a region.
/// - Measured averages between `iad`, `sjc`, `lhr`, `fra`, `gru`, `jnb`, `sin`, `hkg`, `nrt` and `syd`.
/// - An estimate of `4 ms + km / 75`, from the distance, for pairs with `ams`, `arn`, `bom`, `cdg`,
///   `dfw`, `ewr`, `lax`, `ord` or `yyz`. Between Europe and Tokyo or Brazil the estimate is about a
///   third too low.
///
/// All other pairs must be [set](RoundTrips::set).
///
/// ```
/// use std::time::Duration;
/// use flyrpc::Region;
/// use flyrpc_testkit::RoundTrips;
///
/// let trips = RoundTrips::default();
/// let (iad, hkg, lab) = (Region::from("iad"), Region::from("hkg"), Region::from("lab"));
/// assert_eq!(trips.between(&iad, &hkg), Some(Duration::from_millis(202)));
/// assert_eq!(trips.between(&iad, &lab), None);
/// ```
#[derive(Debug, Clone, Default)]
pub struct RoundTrips {
    overrides: BTreeMap<(Region, Region), Duration>,
}

impl RoundTrips {
    /// Sets the round trip between `a` and `b`, or within one region if they are the same.
    ///
    /// # Panics
    ///
    /// If `round_trip` is not a whole number of milliseconds.
    #[track_caller]
    pub fn set(&mut self, a: impl Into<Region>, b: impl Into<Region>, round_trip: Duration) {
        assert_whole_milliseconds(round_trip);
        self.overrides.insert(ordered(&a.into(), &b.into()), round_trip);
    }

    /// Returns the round trip between `a` and `b`, or `None` if it was neither set nor measured and
    /// cannot be estimated.
    pub fn between(&self, a: &Region, b: &Region) -> Option<Duration> {
        if let Some(round_trip) = self.overrides.get(&ordered(a, b)) {
            return Some(*round_trip);
        }
        if a == b {
            return Some(INTRA_REGION);
        }
        measured(a.as_str(), b.as_str())
            .or_else(|| estimated(a.as_str(), b.as_str()))
            .map(Duration::from_millis)
    }
}

/// # Panics
///
/// If `time` is not a whole number of milliseconds. Tokio's timers would round it.
#[track_caller]
pub(crate) fn assert_whole_milliseconds(time: Duration) {
    assert!(
        time.subsec_nanos().is_multiple_of(1_000_000),
        "simulated delays must be whole milliseconds, the resolution of tokio's timers: \
         got {time:?}"
    );
}

fn ordered(a: &Region, b: &Region) -> (Region, Region) {
    if a <= b { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) }
}

fn measured(a: &str, b: &str) -> Option<u64> {
    let cell = |row: &str, column: &str| {
        let row = MEASURED.iter().position(|(region, _)| *region == row)?;
        let column = COLUMNS.iter().position(|region| *region == column)?;
        MEASURED[row].1.get(column.checked_sub(row)?).copied()
    };
    cell(a, b).or_else(|| cell(b, a))
}

fn estimated(a: &str, b: &str) -> Option<u64> {
    let coordinates = |name: &str| COORDINATES.iter().find(|(region, ..)| *region == name);
    let (_, lat_a, lon_a) = coordinates(a)?;
    let (_, lat_b, lon_b) = coordinates(b)?;
    let half_chord = ((lat_b - lat_a).to_radians() / 2.0).sin().powi(2)
        + lat_a.to_radians().cos()
            * lat_b.to_radians().cos()
            * ((lon_b - lon_a).to_radians() / 2.0).sin().powi(2);
    let km = 2.0 * EARTH_KM * half_chord.sqrt().asin();
    Some((4.0 + km / 75.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(a: &str, b: &str, expected: Option<u64>) {
        let trips = RoundTrips::default();
        let (a, b) = (Region::from(a), Region::from(b));
        let expected = expected.map(Duration::from_millis);
        assert_eq!(trips.between(&a, &b), expected, "{a} to {b}");
        assert_eq!(trips.between(&b, &a), expected, "{b} to {a}");
    }

    #[test]
    fn measured_pairs_come_from_the_table() {
        check("iad", "hkg", Some(202));
        check("iad", "sjc", Some(72));
        check("lhr", "fra", Some(13));
        check("gru", "syd", Some(328));
        check("nrt", "syd", Some(115));
        check("sin", "hkg", Some(34));
    }

    #[test]
    fn every_pair_of_measured_regions_is_in_the_table() {
        for (row, cells) in &MEASURED {
            let first = COLUMNS.len() - cells.len();
            for (column, cell) in COLUMNS[first..].iter().zip(*cells) {
                check(row, column, Some(*cell));
            }
        }
    }

    #[test]
    fn other_known_pairs_are_estimated_by_distance() {
        // Haversine distances: 5,850 km and 360 km.
        check("cdg", "ewr", Some(82));
        check("lhr", "ams", Some(9));
    }

    #[test]
    fn a_region_is_a_millisecond_from_itself() {
        check("iad", "iad", Some(1));
        check("lab", "lab", Some(1));
    }

    #[test]
    fn unknown_pairs_have_no_round_trip_until_set() {
        check("iad", "lab", None);
        let mut trips = RoundTrips::default();
        trips.set("LAB", "iad", Duration::from_millis(3));
        let (iad, lab) = (Region::from("iad"), Region::from("lab"));
        assert_eq!(trips.between(&iad, &lab), Some(Duration::from_millis(3)));
    }

    #[test]
    #[should_panic(expected = "whole milliseconds")]
    fn fractions_of_a_millisecond_are_rejected() {
        RoundTrips::default().set("iad", "lab", Duration::from_micros(1_500));
    }
}

//! Where the regions of Fly.io are.

use flyrpc::Region;

/// The place of a region.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) city: &'static str,
    pub(super) latitude: f64,
    pub(super) longitude: f64,
}

/// Returns the place of a region, or `None` if its name is not one of Fly.io's.
pub(super) fn place(region: &Region) -> Option<Place> {
    let (_, city, latitude, longitude) =
        PLACES.iter().find(|(code, ..)| *code == region.as_str())?;
    Some(Place { city, latitude: *latitude, longitude: *longitude })
}

/// The code, the city, the latitude and the longitude.
pub(super) const PLACES: [(&str, &str, f64, f64); 19] = [
    ("ams", "Amsterdam", 52.3, 4.8),
    ("arn", "Stockholm", 59.7, 17.9),
    ("bom", "Mumbai", 19.1, 72.9),
    ("cdg", "Paris", 49.0, 2.6),
    ("dfw", "Dallas", 32.9, -97.0),
    ("ewr", "Secaucus", 40.7, -74.2),
    ("fra", "Frankfurt", 50.0, 8.6),
    ("gru", "São Paulo", -23.4, -46.5),
    // Retired, and still common in examples.
    ("hkg", "Hong Kong", 22.3, 114.2),
    ("iad", "Ashburn", 38.9, -77.5),
    ("jnb", "Johannesburg", -26.1, 28.3),
    ("lax", "Los Angeles", 33.9, -118.4),
    ("lhr", "London", 51.5, -0.5),
    ("nrt", "Tokyo", 35.8, 140.4),
    ("ord", "Chicago", 42.0, -87.9),
    ("sin", "Singapore", 1.4, 104.0),
    ("sjc", "San Jose", 37.4, -121.9),
    ("syd", "Sydney", -34.0, 151.2),
    ("yyz", "Toronto", 43.7, -79.6),
];

//! Tests of whole bodies. Each submodule checks one property.

mod buffered;
mod containers;
mod errors;
mod hostile;
mod misreadings;
mod properties;
mod round_trips;
mod schemas;
mod versions;

use std::fmt::Debug;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A struct that can be read from nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Defaults {
    x: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<u8>,
}

impl Default for Defaults {
    fn default() -> Self {
        Defaults { x: 5, y: None }
    }
}

/// Encodes a value that can be encoded.
fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    super::encode(value, &mut bytes).expect("the value can be encoded");
    bytes
}

/// Encodes `old`, and checks that it decodes as `new`.
#[track_caller]
fn check<O: Serialize + Debug, N: DeserializeOwned + PartialEq + Debug>(old: O, new: N) {
    let bytes = encoded(&old);
    match super::decode::<N>(&bytes) {
        Ok(read) => assert_eq!(read, new, "encoded from {old:?} as {bytes:02x?}"),
        Err(error) => panic!("{old:?} was refused: {error} ({bytes:02x?})"),
    }
}

/// Encodes `old`, checks that it cannot be decoded as an `N`, and returns the error.
#[track_caller]
fn refused<N: DeserializeOwned + Debug>(old: impl Serialize + Debug) -> String {
    match super::decode::<N>(&encoded(&old)) {
        Ok(read) => panic!("{old:?} was misread as {read:?}"),
        Err(error) => error.to_string(),
    }
}

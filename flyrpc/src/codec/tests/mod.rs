//! What holds of bodies as a whole; the rooms beside this one say which.

mod errors;
mod hostile;
mod misreadings;
mod properties;
mod round_trips;
mod schemas;
mod versions;

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};

/// The encoding of a value that has one.
fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    super::encode(value, &mut bytes).expect("the value has an encoding");
    bytes
}

/// Writes `old`, and expects that it is read as `new`.
#[track_caller]
fn check<O: Serialize + Debug, N: DeserializeOwned + PartialEq + Debug>(old: O, new: N) {
    let bytes = encoded(&old);
    match super::decode::<N>(&bytes) {
        Ok(read) => assert_eq!(read, new, "written as {old:?}: {bytes:02x?}"),
        Err(error) => panic!("{old:?} was refused: {error} ({bytes:02x?})"),
    }
}

/// Writes `old`, and expects that it cannot be read as an `N`; gives the error.
#[track_caller]
fn refused<N: DeserializeOwned + Debug>(old: impl Serialize + Debug) -> String {
    match super::decode::<N>(&encoded(&old)) {
        Ok(read) => panic!("{old:?} was misread as {read:?}"),
        Err(error) => error.to_string(),
    }
}

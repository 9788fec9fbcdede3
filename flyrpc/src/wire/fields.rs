//! Optional fields, by number: what lets an envelope grow without a new protocol version.
//!
//! A field is a varint of its number times two plus one if the reader must understand it, a varint
//! of its length, and its bytes. A reader skips fields that it does not know, unless it must
//! understand them.

use super::{Malformed, varint};

/// Whether a reader that does not know the field may skip it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// It may.
    Skip,
    /// It must refuse the whole.
    #[allow(dead_code, reason = "no field needs it yet; readers already honour it")]
    Refuse,
}

/// Appends field number `number`.
pub(crate) fn put(number: u64, unknown: Unknown, value: &[u8], to: &mut Vec<u8>) {
    varint::put(number << 1 | u64::from(unknown == Unknown::Refuse), to);
    varint::put(value.len() as u64, to);
    to.extend_from_slice(value);
}

/// Hands each field in `from` to `read`, which says whether it knows the number.
pub(crate) fn read(
    mut from: &[u8],
    mut read: impl FnMut(u64, &[u8]) -> Result<bool, Malformed>,
) -> Result<(), Malformed> {
    while !from.is_empty() {
        let tag = varint::take(&mut from)?;
        let length = varint::take(&mut from)?;
        let length = usize::try_from(length).map_err(|_| Malformed::new("field"))?;
        let value = from.get(..length).ok_or(Malformed::new("field"))?;
        from = &from[length..];
        if !read(tag >> 1, value)? && tag & 1 == 1 {
            return Err(Malformed::new("field: one that must be understood is not"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::garbage;

    #[track_caller]
    fn check(unknown: Unknown, expected: Result<Vec<(u64, Vec<u8>)>, Malformed>) {
        let mut bytes = Vec::new();
        put(1, Unknown::Skip, b"one", &mut bytes);
        put(900, unknown, b"from the future", &mut bytes);
        put(2, Unknown::Refuse, b"", &mut bytes);
        let mut known = Vec::new();
        let result = read(&bytes, |number, value| {
            if number > 2 {
                return Ok(false);
            }
            known.push((number, value.to_vec()));
            Ok(true)
        });
        assert_eq!(result.map(|()| known), expected);
    }

    #[test]
    fn unknown_fields_are_skipped() {
        check(Unknown::Skip, Ok(vec![(1, b"one".to_vec()), (2, vec![])]));
    }

    #[test]
    fn unknown_fields_that_must_be_understood_are_refused() {
        check(Unknown::Refuse, Err(Malformed::new("field: one that must be understood is not")));
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        assert!(read(&[2, 200, 1, 0], |_, _| Ok(true)).is_err());
    }

    #[test]
    fn garbage_gives_fields_within_it_or_an_error() {
        let mut valid = Vec::new();
        put(1, Unknown::Skip, b"one", &mut valid);
        put(900, Unknown::Refuse, &[7; 300], &mut valid);
        garbage::feed(&[valid], |bytes| {
            let mut seen = 0;
            let _ = read(bytes, |_, value| {
                seen += value.len();
                Ok(false)
            });
            assert!(seen <= bytes.len());
        });
    }
}

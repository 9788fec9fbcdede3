//! Optional fields, identified by number, so that a message can grow without a new protocol version.
//!
//! A field consists of a tag, its length, and its bytes. The tag and the length are varints. The tag is
//! twice the field's number, plus one if the reader must understand the field. A reader skips an unknown
//! field unless it must understand it.

use super::{malformed::Malformed, varint};

/// The behavior of a reader that does not know a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// The reader skips the field.
    Skip,
    /// The reader refuses the whole message.
    Refuse,
}

/// Appends field number `number`.
pub(crate) fn put(number: u64, unknown: Unknown, value: &[u8], to: &mut Vec<u8>) {
    varint::put(number << 1 | u64::from(unknown == Unknown::Refuse), to);
    varint::put_prefixed(value, to);
}

/// Calls `read` with the number and value of each field in `from`. `read` returns whether it knows the
/// number.
pub(crate) fn read(
    mut from: &[u8],
    mut read: impl FnMut(u64, &[u8]) -> Result<bool, Malformed>,
) -> Result<(), Malformed> {
    while !from.is_empty() {
        let tag = varint::take(&mut from)?;
        let value = varint::take_prefixed(&mut from)?;
        if !read(tag >> 1, value)? && tag & 1 == 1 {
            return Err(Malformed::new("field: it is unknown but must be understood"));
        }
    }
    Ok(())
}

/// Whether a reader that knows none of `fields` may process the message.
pub(crate) fn understood(fields: &[u8]) -> Result<bool, Malformed> {
    let mut understood = true;
    let mut rest = fields;
    while !rest.is_empty() {
        understood &= varint::take(&mut rest)? & 1 == 0;
        varint::take_prefixed(&mut rest)?;
    }
    Ok(understood)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::bytes::garbage;

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
        check(Unknown::Refuse, Err(Malformed::new("field: it is unknown but must be understood")));
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

    #[track_caller]
    fn check_understood(fields: &[u8], expected: Option<bool>) {
        assert_eq!(understood(fields).ok(), expected, "{fields:?}");
    }

    #[test]
    fn fields_are_understood_unless_one_must_be_known() {
        check_understood(&[], Some(true));
        check_understood(&[2, 1, 0xff, 4, 0], Some(true));
        check_understood(&[2, 1, 0xff, 5, 0], Some(false));
        check_understood(&[0x81, 1, 0, 2, 0], Some(false));
    }

    #[test]
    fn cut_off_fields_are_malformed() {
        check_understood(&[2], None);
        check_understood(&[2, 3, 0, 0], None);
        check_understood(&[0x80], None);
        check_understood(&[0xff; 12], None);
        check_understood(&[2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], None);
    }
}

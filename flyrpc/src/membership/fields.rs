//! Optional fields at the end of what is gossiped: how later versions add to it.
//!
//! A field is a varint tag, a varint length and that many bytes. The lowest bit of the tag says
//! that whoever does not know the field must not act on what carries it; without that bit, the
//! field is skipped. This version knows no field yet, so it writes none.

/// Bytes that are no sequence of fields.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Whether `fields` can be acted on without knowing any of them.
pub(super) fn understood(mut fields: &[u8]) -> Result<bool, Malformed> {
    let mut understood = true;
    while !fields.is_empty() {
        let tag = take_varint(&mut fields)?;
        take_prefixed(&mut fields)?;
        understood &= tag & 1 == 0;
    }
    Ok(understood)
}

/// Takes a varint length, and that many bytes, from the front of `data`.
pub(super) fn take_prefixed<'a>(data: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let len = usize::try_from(take_varint(data)?).map_err(|_| Malformed)?;
    let (taken, rest) = data.split_at_checked(len).ok_or(Malformed)?;
    *data = rest;
    Ok(taken)
}

/// Appends `bytes`, preceded by their length.
pub(super) fn put_prefixed(to: &mut Vec<u8>, bytes: &[u8]) {
    let mut len = bytes.len();
    while len >= 0x80 {
        to.push(len as u8 | 0x80);
        len >>= 7;
    }
    to.push(len as u8);
    to.extend_from_slice(bytes);
}

fn take_varint(data: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = data.split_first().ok_or(Malformed)?;
        *data = rest;
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part {
            return Err(Malformed);
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[u8], expected: Result<bool, Malformed>) {
        assert_eq!(understood(fields), expected, "{fields:?}");
    }

    #[test]
    fn unknown_fields_are_skipped_unless_they_must_be_understood() {
        check(&[], Ok(true));
        check(&[2, 1, 0xff, 4, 0], Ok(true));
        check(&[2, 1, 0xff, 5, 0], Ok(false));
        check(&[0x81, 1, 0, 2, 0], Ok(false));
    }

    #[test]
    fn cut_off_fields_are_malformed() {
        check(&[2], Err(Malformed));
        check(&[2, 3, 0, 0], Err(Malformed));
        check(&[0x80], Err(Malformed));
        check(&[0xff; 12], Err(Malformed));
        check(&[2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], Err(Malformed));
    }

    #[test]
    fn lengths_survive_the_wire() {
        for len in [0, 1, 127, 128, 300, 20_000] {
            let mut data = Vec::new();
            put_prefixed(&mut data, &vec![7; len]);
            let mut rest = &data[..];
            assert_eq!(take_prefixed(&mut rest).map(<[u8]>::len), Ok(len));
            assert!(rest.is_empty());
        }
    }
}

//! Unsigned integers in as few bytes as they need: seven bits per byte, least significant first (LEB128).

use super::malformed::Malformed;

/// Upper bound on the bytes of a value.
pub(crate) const MAX_LEN: usize = 10;

/// Appends `value` as 1 to 10 bytes. Values up to 127 take one byte.
pub(crate) fn put(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// Writes `value` to the front of `to`, and returns the number of bytes written.
///
/// # Panics
///
/// If `to` is too short.
#[inline]
pub(crate) fn write(mut value: u64, to: &mut [u8]) -> usize {
    let mut length = 0;
    while value >= 0x80 {
        to[length] = value as u8 | 0x80;
        value >>= 7;
        length += 1;
    }
    to[length] = value as u8;
    length + 1
}

/// Returns the number of bytes that [`put`] appends for `value`.
pub(crate) fn len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Removes a value from the front of `from`.
pub(crate) fn take(from: &mut &[u8]) -> Result<u64, Malformed> {
    match peek(from)? {
        Some((value, length)) => {
            *from = &from[length..];
            Ok(value)
        }
        None => Err(Malformed::new("varint")),
    }
}

/// Returns the value at the front of `from` and its length, or `None` if more bytes are needed.
#[inline]
pub(crate) fn peek(from: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
    match from {
        // Most lengths, methods and flags.
        [byte @ ..0x80, ..] => Ok(Some((u64::from(*byte), 1))),
        _ => peek_long(from),
    }
}

fn peek_long(from: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
    let mut value = 0u64;
    for index in 0..MAX_LEN {
        let Some(&byte) = from.get(index) else { return Ok(None) };
        let bits = u64::from(byte & 0x7f);
        if index == MAX_LEN - 1 && bits > 1 {
            break;
        }
        value |= bits << (7 * index);
        if byte < 0x80 {
            return Ok(Some((value, index + 1)));
        }
    }
    Err(Malformed::new("varint"))
}

/// Appends `bytes`, preceded by their length.
pub(crate) fn put_prefixed(bytes: &[u8], to: &mut Vec<u8>) {
    put(bytes.len() as u64, to);
    to.extend_from_slice(bytes);
}

/// Removes a length, and that many bytes, from the front of `from`.
pub(crate) fn take_prefixed<'a>(from: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = usize::try_from(take(from)?).unwrap_or(usize::MAX);
    let (taken, rest) = from.split_at_checked(length).ok_or(Malformed::new("length"))?;
    *from = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: u64, length: usize) {
        let mut bytes = Vec::new();
        put(value, &mut bytes);
        assert_eq!((bytes.len(), len(value)), (length, length));
        assert_eq!(peek(&bytes), Ok(Some((value, length))));
        for cut in 0..length {
            assert_eq!(peek(&bytes[..cut]), Ok(None), "cut after {cut} bytes");
        }
    }

    #[test]
    fn every_length_decodes_as_it_was_encoded() {
        check(0, 1);
        check(127, 1);
        check(128, 2);
        check(16_383, 2);
        check(16_384, 3);
        check(u64::from(u32::MAX), 5);
        check(u64::MAX, 10);
    }

    #[test]
    fn more_than_64_bits_are_refused() {
        assert!(peek(&[0xff; 10]).is_err());
        assert!(peek(&[0x80; 12]).is_err());
        assert!(peek(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).is_err());
    }

    #[test]
    fn prefixed_bytes_decode_as_they_were_encoded() {
        for len in [0, 1, 127, 128, 300, 20_000] {
            let mut data = Vec::new();
            put_prefixed(&vec![7; len], &mut data);
            let mut rest = &data[..];
            assert_eq!(take_prefixed(&mut rest).map(<[u8]>::len), Ok(len));
            assert!(rest.is_empty());
        }
    }
}

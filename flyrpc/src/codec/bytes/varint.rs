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

/// Upper bound on the values that [`in_word`] encodes: those of up to 8 bytes.
pub(crate) const WORD_VALUES: u64 = 1 << 56;

/// Encodes `value`, which is less than [`WORD_VALUES`]. Returns the bytes, the first one lowest, and their number.
#[inline(always)]
pub(crate) fn in_word(value: u64) -> (u64, usize) {
    if value < 1 << 14 {
        // Most ids.
        let has_high = u64::from(value >= 0x80);
        return (value & 0x7f | has_high << 7 | (value >> 7) << 8, 1 + has_high as usize);
    }
    let length = len(value);
    // Splits groups of 28 bits, then of 14, then of 7: the reverse of `peek_word`.
    let fours = (value & 0x0fff_ffff) | ((value << 4) & 0x0fff_ffff_0000_0000);
    let pairs = (fours & 0x0000_3fff_0000_3fff) | ((fours << 2) & 0x3fff_0000_3fff_0000);
    let sevens = (pairs & 0x007f_007f_007f_007f) | ((pairs << 1) & 0x7f00_7f00_7f00_7f00);
    let others = (1 << (8 * (length - 1))) - 1;
    (sevens | (LAST & others), length)
}

/// Returns the number of bytes that [`put`] appends for `value`.
#[inline]
pub(crate) fn len(value: u64) -> usize {
    // The number of bits, less 1, divided by 7, plus 1: exact for up to 64 bits, and without a division.
    let last = 63 - (value | 1).leading_zeros() as usize;
    (9 * last + 73) / 64
}

/// Removes a value from the front of `from`.
#[inline(always)]
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
#[inline(always)]
pub(crate) fn peek(from: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
    match from {
        // Most lengths, methods and flags.
        [byte @ ..0x80, ..] => Ok(Some((u64::from(*byte), 1))),
        // Most ids.
        [low, high @ ..0x80, ..] => Ok(Some((u64::from(low & 0x7f) | u64::from(*high) << 7, 2))),
        _ => match from.first_chunk().and_then(|bytes| peek_word(*bytes)) {
            Some(found) => Ok(Some(found)),
            None => peek_bytes(from),
        },
    }
}

/// The bit of each byte that is 0 in the last byte of a value.
const LAST: u64 = 0x8080_8080_8080_8080;

/// Returns the value at the front of `bytes` and its length, if it is not longer than that.
#[inline(always)]
fn peek_word(bytes: [u8; 8]) -> Option<(u64, usize)> {
    let word = u64::from_le_bytes(bytes);
    let ends = !word & LAST;
    if ends == 0 {
        return None;
    }
    let bits = ends.trailing_zeros() + 1;
    let sevens = word & !LAST & (u64::MAX >> (64 - bits));
    // Joins neighbors: 7 bits each, then 14, then 28.
    let pairs = (sevens & 0x007f_007f_007f_007f) | ((sevens & 0x7f00_7f00_7f00_7f00) >> 1);
    let fours = (pairs & 0x0000_3fff_0000_3fff) | ((pairs & 0x3fff_0000_3fff_0000) >> 2);
    let value = (fours & 0x0fff_ffff) | ((fours & 0x0fff_ffff_0000_0000) >> 4);
    Some((value, bits as usize / 8))
}

#[cold]
fn peek_bytes(from: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
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
        if value < WORD_VALUES {
            let (word, length) = in_word(value);
            assert_eq!((&word.to_le_bytes()[..length], word >> (8 * length - 1)), (&*bytes, 0));
        }
        for cut in 0..length {
            assert_eq!(peek(&bytes[..cut]), Ok(None), "cut after {cut} bytes");
        }
        // Other bytes follow.
        bytes.extend([0xff; 8]);
        assert_eq!(peek(&bytes), Ok(Some((value, length))));
    }

    #[test]
    fn every_length_decodes_as_it_was_encoded() {
        check(0, 1);
        check(127, 1);
        check(128, 2);
        check(16_383, 2);
        check(16_384, 3);
        check(u64::from(u32::MAX), 5);
        check((1 << 42) - 1, 6);
        check(1 << 42, 7);
        check((1 << 56) - 1, 8);
        check(1 << 56, 9);
        for bit in 0..64 {
            check(1 << bit, bit / 7 + 1);
        }
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

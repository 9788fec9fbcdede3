//! The constants of the format: MessagePack with four extension types that flyrpc defines.

/// Upper bound on the nesting of arrays and maps, for encoding and decoding. It equals serde_json's: it is
/// enough for real types, and its stack frames fit in a 2 MiB stack in debug builds.
pub(crate) const MAX_DEPTH: usize = 128;

/// Upper bound on the nesting of options and newtypes. They occupy no bytes, so a type that consists only
/// of them could recurse infinitely.
pub(crate) const MAX_WRAPPERS: usize = 1024;

/// The extension types.
pub(crate) mod ext {
    /// `()` and unit structs. Nil represents only `None`, so that neither is read as the other.
    pub(crate) const UNIT: i8 = 0;
    /// `Some(None)`: its one byte of content is the inner nil. Also `Some` of such a value, whose content is the
    /// encoded inner value, in the form that states its length.
    pub(crate) const SOME_NONE: i8 = 1;
    /// An unsigned integer of more than 64 bits: 16 bytes, big-endian.
    pub(crate) const WIDE_UNSIGNED: i8 = 2;
    /// A signed integer of more than 64 bits: 16 bytes, big-endian.
    pub(crate) const WIDE_SIGNED: i8 = 3;
}

/// `()`, encoded.
pub(crate) const UNIT: [u8; 3] = [0xd4, ext::UNIT as u8, 0];

/// `Some(None)`, encoded.
pub(crate) const SOME_NONE: [u8; 3] = [0xd4, ext::SOME_NONE as u8, NIL];

/// The first byte of `Some(Some(None))` and deeper levels. The length of the content and the type follow.
pub(crate) const NESTED_SOME: u8 = 0xc7;

/// `None`, encoded.
pub(crate) const NIL: u8 = 0xc0;

/// Whether `bytes` begins with a `None` within one or more `Some`, encoded in `length` bytes.
pub(crate) fn begins_with_some(bytes: &[u8], length: usize) -> bool {
    match bytes {
        [NESTED_SOME, inner, kind, ..] => {
            *kind == ext::SOME_NONE as u8 && usize::from(*inner) + 3 == length
        }
        bytes => length == SOME_NONE.len() && bytes.starts_with(&SOME_NONE),
    }
}

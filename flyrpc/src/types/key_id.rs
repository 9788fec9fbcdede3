//! [`KeyId`].

use std::fmt;

use serde::{Serialize, Serializer};

/// Identifies a key of a [`Keyring`](crate::Keyring) without revealing it. Derived from the key, so it is the
/// same on every node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; KeyId::LEN]);

impl KeyId {
    /// The length of an id in bytes.
    pub(crate) const LEN: usize = 4;

    pub(crate) const fn new(bytes: [u8; KeyId::LEN]) -> Self {
        KeyId(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; KeyId::LEN] {
        &self.0
    }

    /// Formats ids as a list.
    pub(crate) fn list(ids: &[KeyId]) -> String {
        ids.iter().map(KeyId::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// Formats the id as 8 hexadecimal digits.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// Serializes the id as 8 hexadecimal digits.
impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_shown_as_eight_hexadecimal_digits() {
        let id = KeyId::new([0, 0xa, 0xbc, 0xff]);
        assert_eq!(id.to_string(), "000abcff");
        assert_eq!(format!("{id:?}"), "KeyId(000abcff)");
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"000abcff\"");
    }
}

//! The payloads of the frames that negotiate a sealed link, before the hellos.

use crate::{
    codec::bytes::{Malformed, varint},
    config::MAX_KEYS,
    types::KeyId,
};

/// The payload of a seal frame: a message of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seal<'a> {
    /// The algorithms.
    pub(crate) suite: u64,
    pub(crate) key: KeyId,
    pub(crate) message: &'a [u8],
}

/// The payload of an unsealed frame: why a node does not accept the first frame of the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unsealed {
    /// The node does not hold the key. It holds keys with these ids.
    UnknownKey(Vec<KeyId>),
    /// The node accepts sealed links only.
    SealRequired,
    /// The node accepts open links only, because it has no key.
    NoSeal,
    /// The node knows only this suite.
    UnknownSuite(u64),
}

mod reason {
    pub(super) const UNKNOWN_KEY: u64 = 0;
    pub(super) const SEAL_REQUIRED: u64 = 1;
    pub(super) const NO_SEAL: u64 = 2;
    pub(super) const UNKNOWN_SUITE: u64 = 3;
}

impl<'a> Seal<'a> {
    /// Appends the payload to a buffer.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        varint::put(self.suite, to);
        to.extend_from_slice(self.key.as_bytes());
        to.extend_from_slice(self.message);
    }

    pub(crate) fn decode(mut from: &'a [u8]) -> Result<Self, Malformed> {
        let suite = varint::take(&mut from)?;
        let (key, message) = from.split_first_chunk().ok_or(Malformed::new("seal"))?;
        Ok(Seal { suite, key: KeyId::new(*key), message })
    }
}

impl Unsealed {
    /// Appends the payload to a buffer.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        match self {
            Unsealed::UnknownKey(ids) => {
                varint::put(reason::UNKNOWN_KEY, to);
                ids.iter().for_each(|id| to.extend_from_slice(id.as_bytes()));
            }
            Unsealed::SealRequired => varint::put(reason::SEAL_REQUIRED, to),
            Unsealed::NoSeal => varint::put(reason::NO_SEAL, to),
            Unsealed::UnknownSuite(known) => {
                varint::put(reason::UNKNOWN_SUITE, to);
                varint::put(*known, to);
            }
        }
    }

    /// Decodes the payload. Bytes that later versions may append are ignored.
    pub(crate) fn decode(mut from: &[u8]) -> Result<Self, Malformed> {
        Ok(match varint::take(&mut from)? {
            reason::UNKNOWN_KEY => {
                let ids = from.as_chunks().0.iter().take(MAX_KEYS);
                Unsealed::UnknownKey(ids.map(|id| KeyId::new(*id)).collect())
            }
            reason::SEAL_REQUIRED => Unsealed::SealRequired,
            reason::NO_SEAL => Unsealed::NoSeal,
            reason::UNKNOWN_SUITE => Unsealed::UnknownSuite(varint::take(&mut from)?),
            _ => return Err(Malformed::new("reason not to seal")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::bytes::garbage;

    const KEY: KeyId = KeyId::new([1, 2, 3, 4]);

    fn unsealed(value: &Unsealed) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        assert_eq!(Unsealed::decode(&bytes).as_ref(), Ok(value));
        bytes
    }

    #[test]
    fn payloads_have_the_recorded_bytes() {
        let mut bytes = Vec::new();
        let seal = Seal { suite: 1, key: KEY, message: b"message" };
        seal.encode(&mut bytes);
        assert_eq!(bytes, b"\x01\x01\x02\x03\x04message");
        assert_eq!(Seal::decode(&bytes), Ok(seal));
        let ids = vec![KEY, KeyId::new([5, 6, 7, 8])];
        assert_eq!(unsealed(&Unsealed::UnknownKey(ids)), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(unsealed(&Unsealed::UnknownKey(Vec::new())), [0]);
        assert_eq!(unsealed(&Unsealed::SealRequired), [1]);
        assert_eq!(unsealed(&Unsealed::NoSeal), [2]);
        assert_eq!(unsealed(&Unsealed::UnknownSuite(1)), [3, 1]);
    }

    #[test]
    fn what_is_not_a_payload_is_an_error_or_bounded() {
        assert!(Seal::decode(&[1, 1, 2, 3]).is_err());
        assert!(Unsealed::decode(&[4]).is_err());
        assert!(Unsealed::decode(&[]).is_err());
        let Ok(Unsealed::UnknownKey(ids)) = Unsealed::decode(&[0; 1_000]) else { panic!() };
        assert_eq!(ids.len(), MAX_KEYS);
        let valid = [unsealed(&Unsealed::UnknownKey(vec![KEY])), vec![1, 1, 2, 3, 4, 5]];
        garbage::feed(&valid, |bytes| {
            let _ = (Seal::decode(bytes), Unsealed::decode(bytes));
        });
    }
}

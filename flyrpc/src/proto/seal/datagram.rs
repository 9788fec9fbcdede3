//! Seals datagrams of gossip with XChaCha20-Poly1305.
//!
//! A sealed datagram is a header that is not secret, the sealed packet, and a tag of 16 bytes. The header ends with
//! the id of the key, and the nonce: the random salt of the sender's boot (16 bytes) and the number of the datagram
//! (8 bytes, big-endian). The header and the cluster's name are authenticated with the packet.

use std::fmt;

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};

use super::{NotAuthentic, replay::Salt};
use crate::{config::Key, types::KeyId};

const TAG_LEN: usize = 16;
const NUMBER_LEN: usize = 8;
const SALT_LEN: usize = 16;

/// The bytes after the prefix of the header.
const HEADER_LEN: usize = KeyId::LEN + SALT_LEN + NUMBER_LEN;

/// The bytes that sealing adds to a packet, besides the prefix.
pub(crate) const OVERHEAD: usize = HEADER_LEN + TAG_LEN;

/// The gossip key of one key of the keyring.
pub(crate) struct GossipKey {
    id: KeyId,
    cipher: XChaCha20Poly1305,
}

/// The numbers of the datagrams that this boot sends, which must never repeat.
#[derive(Debug)]
pub(crate) struct Numbers {
    salt: Salt,
    next: u64,
}

/// The parts of a sealed datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealedDatagram<'a> {
    pub(crate) key: KeyId,
    pub(crate) salt: Salt,
    pub(crate) number: u64,
    nonce: [u8; SALT_LEN + NUMBER_LEN],
    header: &'a [u8],
    sealed: &'a [u8],
}

impl Numbers {
    /// `salt` must be random: two boots with the same salt and key would reveal the contents of their datagrams.
    pub(crate) fn new(salt: Salt) -> Self {
        Numbers { salt, next: 0 }
    }
}

impl GossipKey {
    pub(crate) fn new(key: &Key) -> Self {
        GossipKey { id: key.id(), cipher: XChaCha20Poly1305::new(key.gossip().into()) }
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    /// Seals `packet` as the next datagram of this boot. The datagram starts with `prefix`.
    pub(crate) fn seal(
        &self,
        prefix: &[u8],
        cluster: &str,
        numbers: &mut Numbers,
        packet: &[u8],
    ) -> Vec<u8> {
        let number = numbers.next;
        numbers.next += 1;
        let nonce = nonce(&numbers.salt, number);
        let header = [prefix, self.id.as_bytes(), &nonce].concat();
        let aad = [&header, cluster.as_bytes()].concat();
        let payload = Payload { msg: packet, aad: &aad };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload);
        [header, sealed.expect("a datagram is shorter than the cipher allows")].concat()
    }

    /// Opens a datagram that names this key. Returns its packet.
    ///
    /// # Errors
    ///
    /// Returns an error if the datagram was not sealed with this key, or belongs to another cluster.
    pub(crate) fn open(
        &self,
        datagram: &SealedDatagram<'_>,
        cluster: &str,
    ) -> Result<Vec<u8>, NotAuthentic> {
        let aad = [datagram.header, cluster.as_bytes()].concat();
        let payload = Payload { msg: datagram.sealed, aad: &aad };
        self.cipher.decrypt(&XNonce::from(datagram.nonce), payload).map_err(|_| NotAuthentic)
    }
}

impl<'a> SealedDatagram<'a> {
    /// Splits a datagram whose prefix has `prefix_len` bytes. Returns `None` if it is too short.
    pub(crate) fn split(datagram: &'a [u8], prefix_len: usize) -> Option<Self> {
        let (key, rest) = datagram.get(prefix_len..)?.split_first_chunk()?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        let (salt, number) = nonce.split_first_chunk()?;
        if sealed.len() < TAG_LEN {
            return None;
        }
        Some(SealedDatagram {
            key: KeyId::new(*key),
            salt: *salt,
            number: u64::from_be_bytes(number.try_into().ok()?),
            nonce: *nonce,
            header: &datagram[..datagram.len() - sealed.len()],
            sealed,
        })
    }
}

fn nonce(salt: &Salt, number: u64) -> [u8; SALT_LEN + NUMBER_LEN] {
    let mut nonce = [0; SALT_LEN + NUMBER_LEN];
    nonce[..SALT_LEN].copy_from_slice(salt);
    nonce[SALT_LEN..].copy_from_slice(&number.to_be_bytes());
    nonce
}

impl fmt::Debug for GossipKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GossipKey").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Keyring;

    const PREFIX: &[u8] = b"prefix";

    fn key(byte: u8) -> GossipKey {
        let keyring = Keyring::parse(&format!("{byte:02x}").repeat(32)).unwrap();
        GossipKey::new(keyring.first())
    }

    fn open(key: &GossipKey, datagram: &[u8], cluster: &str) -> Option<Vec<u8>> {
        key.open(&SealedDatagram::split(datagram, PREFIX.len())?, cluster).ok()
    }

    #[test]
    fn a_datagram_is_opened_with_its_key_in_its_cluster_only() {
        let mut numbers = Numbers::new([9; 16]);
        let first = key(7).seal(PREFIX, "app", &mut numbers, b"packet");
        let second = key(7).seal(PREFIX, "app", &mut numbers, b"packet");
        assert_eq!(first.len(), PREFIX.len() + OVERHEAD + 6);
        let split = SealedDatagram::split(&second, PREFIX.len()).unwrap();
        assert_eq!((split.key, split.salt, split.number), (key(7).id(), [9; 16], 1));
        assert_ne!(first[PREFIX.len() + HEADER_LEN..], second[PREFIX.len() + HEADER_LEN..]);
        assert_eq!(open(&key(7), &first, "app").as_deref(), Some(&b"packet"[..]));
        assert_eq!(open(&key(7), &first, "other"), None);
        assert_eq!(open(&key(8), &first, "app"), None);
    }

    #[test]
    fn a_datagram_has_the_bytes_of_the_protocol_reference() {
        let mut numbers = Numbers { salt: [9; 16], next: 258 };
        let datagram = key(7).seal(&[0xf1, 0x7c, 2], "app", &mut numbers, b"packet");
        let hex: String = datagram.iter().map(|byte| format!("{byte:02x}")).collect();
        let header = format!("f17c02{}{}0000000000000102", key(7).id(), "09".repeat(16));
        assert_eq!(hex, header + "b9172d30e4676e9a2b1c7dc4fdaebf150f9be7571972");
    }

    #[test]
    fn a_datagram_with_any_bit_changed_is_not_authentic() {
        // Each bit of 10,000 datagrams takes minutes without optimization. Then, later ones have one bit changed.
        let each_bit = if cfg!(debug_assertions) { 50 } else { 10_000 };
        let key = key(7);
        let mut numbers = Numbers::new([9; 16]);
        for number in 0..10_000_usize {
            let mut datagram = key.seal(PREFIX, "app", &mut numbers, &number.to_be_bytes());
            let bits = 8 * datagram.len();
            let (first, step) = if number < each_bit { (0, 1) } else { (number % bits, bits) };
            for bit in (first..bits).step_by(step) {
                datagram[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(open(&key, &datagram, "app"), None, "bit {bit} of {number}");
                datagram[bit / 8] ^= 1 << (bit % 8);
            }
            assert!(open(&key, &datagram, "app").is_some());
        }
    }

    #[test]
    fn a_shorter_datagram_is_not_authentic() {
        let datagram = key(7).seal(PREFIX, "app", &mut Numbers::new([9; 16]), b"packet");
        for length in 0..datagram.len() {
            assert_eq!(open(&key(7), &datagram[..length], "app"), None, "{length}");
        }
    }
}

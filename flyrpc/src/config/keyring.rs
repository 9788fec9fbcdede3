//! [`Keyring`], the secret of a cluster.

use std::{fmt, str::FromStr, sync::Arc};

use base64::{
    Engine,
    alphabet::{self, Alphabet},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ring::hkdf;
use zeroize::Zeroizing;

use crate::types::KeyId;

/// Upper bound on the keys of a keyring. A rotation needs two.
pub(crate) const MAX_KEYS: usize = 8;

/// The length of a key, and of the keys derived from it, in bytes.
pub(crate) const KEY_LEN: usize = 32;

const EXPECTED: &str = "32 bytes as base64 or as 64 hexadecimal digits, as `flyrpc secret` or `openssl rand -base64 32` prints them";

/// The secret of a cluster: one key, or several keys during a rotation.
///
/// Nodes with a keyring seal their links and their gossip, and accept only nodes that hold one of its keys.
/// A node offers the first key, and accepts every key. While keys are rotated, a keyring holds two of them:
/// deploy `NEW,OLD` to all nodes, then `NEW`. See the guide to [security](crate::guide::security).
///
/// `Debug` shows the [ids](Keyring::ids) of the keys. The keys themselves are not kept, but only keys that are
/// derived from them, which are zeroed when the last clone is dropped.
///
/// ```
/// use flyrpc::Keyring;
///
/// let old = "b2xkIGtleTogMzIgYnl0ZXMgaW4gYmFzZTY0IGZvcm0=";
/// let new = "6e6577206b65793a20333220627974657320696e2068657861646563696d616c";
/// let keyring = Keyring::parse(&format!("{new},{old}"))?;
/// assert_eq!(keyring.ids().count(), 2);
/// # Ok::<_, flyrpc::InvalidKeyring>(())
/// ```
#[derive(Clone)]
pub struct Keyring(Arc<[Key]>);

/// A text that is not a [`Keyring`]. It does not contain the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidKeyring(String);

/// The keys derived from one key of a keyring, one for each purpose.
pub(crate) struct Key {
    id: KeyId,
    link: Zeroizing<[u8; KEY_LEN]>,
    gossip: Zeroizing<[u8; KEY_LEN]>,
}

impl Keyring {
    /// Parses a comma-separated list of keys. A key is 32 bytes, encoded as base64 (with either alphabet, padded
    /// or not) or as 64 hexadecimal digits. White space around keys is ignored.
    ///
    /// # Errors
    ///
    /// Returns an error if an entry is not a key, or if there are no keys or more than 8. It names the position of
    /// the entry, and does not contain it.
    pub fn parse(text: &str) -> Result<Keyring, InvalidKeyring> {
        let entries: Vec<&str> = text.split(',').map(str::trim).collect();
        let count = entries.len();
        if count > MAX_KEYS {
            return Err(InvalidKeyring(format!("{count} keys; at most {MAX_KEYS} are allowed")));
        }
        let mut keys: Vec<Key> = Vec::new();
        for (at, entry) in entries.into_iter().enumerate() {
            let Some(secret) = parse_key(entry) else {
                let which = if count == 1 {
                    "the value".to_owned()
                } else {
                    format!("key {} of {count}", at + 1)
                };
                return Err(InvalidKeyring(format!("{which} is not a key: expected {EXPECTED}")));
            };
            let key = Key::derive(&secret);
            match keys.iter().find(|other| other.id == key.id) {
                None => keys.push(key),
                Some(same) if *same.link == *key.link => {}
                Some(_) => {
                    let why = format!("two different keys have the id {}; replace one", key.id);
                    return Err(InvalidKeyring(why));
                }
            }
        }
        Ok(Keyring(keys.into()))
    }

    /// The ids of the keys. The first key is the one that this node offers.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.0.iter().map(|key| key.id)
    }

    /// The key that this node offers to peers.
    pub(crate) fn first(&self) -> &Key {
        &self.0[0]
    }

    /// The key with this id, if it is on the keyring.
    pub(crate) fn get(&self, id: KeyId) -> Option<&Key> {
        self.0.iter().find(|key| key.id == id)
    }

    pub(crate) fn keys(&self) -> &[Key] {
        &self.0
    }
}

impl Key {
    /// Derives the keys for each purpose with HKDF-SHA256 (RFC 5869).
    fn derive(secret: &[u8; KEY_LEN]) -> Key {
        let pseudorandom = hkdf::Salt::new(hkdf::HKDF_SHA256, b"flyrpc 1").extract(secret);
        let (mut id, mut link, mut gossip) = ([0; KeyId::LEN], zeroed(), zeroed());
        expand(&pseudorandom, b"id", &mut id);
        expand(&pseudorandom, b"link", &mut *link);
        expand(&pseudorandom, b"gossip", &mut *gossip);
        Key { id: KeyId::new(id), link, gossip }
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    /// The key for the handshakes of links.
    pub(crate) fn link(&self) -> &[u8; KEY_LEN] {
        &self.link
    }

    /// The key for datagrams.
    pub(crate) fn gossip(&self) -> &[u8; KEY_LEN] {
        &self.gossip
    }
}

impl FromStr for Keyring {
    type Err = InvalidKeyring;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Keyring::parse(text)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

/// Two keyrings are equal if they hold the same keys in the same order.
impl PartialEq for Keyring {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|key| &key.link).eq(other.0.iter().map(|key| &key.link))
    }
}

impl Eq for Keyring {}

/// The length of the output of HKDF.
struct OutputLen(usize);

impl hkdf::KeyType for OutputLen {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(from: &hkdf::Prk, label: &[u8], to: &mut [u8]) {
    from.expand(&[label], OutputLen(to.len()))
        .and_then(|output| output.fill(to))
        .expect("HKDF-SHA256 has an output of up to 8,160 bytes");
}

fn zeroed() -> Zeroizing<[u8; KEY_LEN]> {
    Zeroizing::new([0; KEY_LEN])
}

fn parse_key(text: &str) -> Option<Zeroizing<[u8; KEY_LEN]>> {
    let mut key = zeroed();
    if text.len() == 2 * KEY_LEN {
        for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            // `from_str_radix` also accepts a sign.
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
        }
        return Some(key);
    }
    // Also 43 hexadecimal digits, which may be base64 without padding.
    let decoded = [&alphabet::STANDARD, &alphabet::URL_SAFE]
        .into_iter()
        .find_map(|alphabet| base64_engine(alphabet).decode(text).ok())
        .map(Zeroizing::new)?;
    if decoded.len() != KEY_LEN {
        return None;
    }
    key.copy_from_slice(&decoded);
    Some(key)
}

fn base64_engine(alphabet: &Alphabet) -> GeneralPurpose {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "fbff0f000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c";
    const PADDED: &str = "+/8PAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxw=";

    fn ids(text: &str) -> Vec<String> {
        Keyring::parse(text).unwrap().ids().map(|id| id.to_string()).collect()
    }

    #[test]
    fn a_key_is_base64_of_either_alphabet_or_hexadecimal() {
        let expected = ids(HEX);
        let url_safe = PADDED.replace('+', "-").replace('/', "_");
        let unpadded = PADDED.trim_end_matches('=');
        for form in [PADDED, &url_safe, unpadded, &HEX.to_uppercase(), &format!(" {HEX}\n")] {
            assert_eq!(ids(form), expected, "{form}");
        }
    }

    #[test]
    fn keys_keep_their_order_and_a_repeated_key_counts_once() {
        let (other, both) = ("00".repeat(32), format!("{HEX},{}", "00".repeat(32)));
        assert_eq!(ids(&both), [ids(HEX), ids(&other)].concat());
        assert_eq!(ids(&format!("{both},{PADDED}")), ids(&both));
        let keyring = Keyring::parse(&both).unwrap();
        assert_eq!(keyring.first().id().to_string(), ids(HEX)[0]);
        assert_eq!(keyring.get(keyring.keys()[1].id()).unwrap().id().to_string(), ids(&other)[0]);
        assert_ne!(keyring, Keyring::parse(HEX).unwrap());
    }

    #[test]
    fn base64_may_consist_of_hexadecimal_digits() {
        let padded = format!("{}=", "A".repeat(43));
        assert_eq!(ids(&"A".repeat(43)), ids(&padded));
        assert_eq!(ids(&padded), ids(&"00".repeat(32)));
    }

    #[test]
    fn anything_else_is_an_error_that_does_not_contain_the_text() {
        let check = |text: &str, which: &str| {
            let error = Keyring::parse(text).unwrap_err().to_string();
            assert_eq!(error, format!("{which} is not a key: expected {EXPECTED}"), "{text}");
        };
        let hex = |from: &str, to: &str| HEX.replacen(from, to, 1);
        for text in ["", "hunter2", &HEX[2..], &hex("fb", "fg"), &hex("0f", "+f"), &PADDED[1..]] {
            check(text, "the value");
        }
        check(&format!("{HEX},"), "key 2 of 2");
        check(&format!("short,{HEX},{PADDED}"), "key 1 of 3");
        let many = Keyring::parse(&[HEX; 9].join(",")).unwrap_err();
        assert_eq!(many.to_string(), "9 keys; at most 8 are allowed");
    }

    #[test]
    fn debug_output_shows_ids_only() {
        let keyring = Keyring::parse(HEX).unwrap();
        assert_eq!(format!("{keyring:?}"), format!("[KeyId({})]", ids(HEX)[0]));
    }

    /// The values are from an independent implementation of HKDF-SHA256 (Python's `hmac`).
    #[test]
    fn derived_keys_are_those_of_the_protocol_reference() {
        let keyring = Keyring::parse(&"00".repeat(32)).unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let key = keyring.first();
        assert_eq!(hex(key.id().as_bytes()), "824702b6");
        assert_eq!(
            hex(key.link()),
            "6aba706f5c67e874677f6862ab4692392df313f414c799b376b82c9810ae2eec"
        );
        assert_eq!(
            hex(key.gossip()),
            "69f1be668cb7e0524f55339d0f1daee6ce8032d1fa5c0e3c3081b753b7df46fc"
        );
    }
}

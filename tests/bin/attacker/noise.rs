//! The dialing end of a sealed link, as `flyrpc/src/docs/protocol.md` describes it. It shares no code with flyrpc, so that
//! the attacker can seal any hello with any key.

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral},
    digest::{SHA256, digest},
    error::Unspecified,
    hmac,
    rand::SystemRandom,
};

/// The protocol's name. It has 32 bytes, so it is the first hash.
const PROTOCOL: &[u8; 32] = b"Noise_NNpsk0_25519_AESGCM_SHA256";

/// The only suite.
const SUITE: u8 = 1;

/// Upper bound on the content of a record.
const CONTENT_MAX: usize = 65_519;

/// A key of a keyring.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    id: [u8; 4],
    link: [u8; 32],
}

impl Key {
    /// Derives a key from a secret of 64 hexadecimal digits.
    pub(crate) fn derive(secret: &str) -> Result<Key, std::num::ParseIntError> {
        let digits = (0..secret.len()).step_by(2).map(|at| &secret[at..at + 2]);
        let secret: Vec<u8> =
            digits.map(|digits| u8::from_str_radix(digits, 16)).collect::<Result<_, _>>()?;
        let extracted = mac(b"flyrpc 1", &[&secret]);
        let [id, link] = [&b"id"[..], b"link"].map(|label| mac(&extracted, &[label, &[1]]));
        Ok(Key { id: [id[0], id[1], id[2], id[3]], link })
    }

    /// The payload of a seal frame with this message.
    fn seal(&self, message: &[u8]) -> Vec<u8> {
        [&[SUITE][..], &self.id, message].concat()
    }
}

/// The state after the first message.
pub(crate) struct Initiator {
    state: Symmetric,
    ephemeral: EphemeralPrivateKey,
}

impl Initiator {
    /// Returns the payload of the first seal frame as well, which contains `hello`.
    pub(crate) fn start(key: &Key, hello: &[u8]) -> Result<(Initiator, Vec<u8>), Unspecified> {
        let mut state = Symmetric { chain: *PROTOCOL, hash: *PROTOCOL, cipher: None };
        state.mix_hash(&[&b"flyrpc 1"[..], &key.seal(b"")].concat());
        state.mix_key_and_hash(&key.link)?;
        let ephemeral = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new())?;
        let public = ephemeral.compute_public_key()?;
        state.mix_hash(public.as_ref());
        state.mix_key(public.as_ref())?;
        let message = [public.as_ref(), &state.encrypt(hello)?].concat();
        Ok((Initiator { state, ephemeral }, key.seal(&message)))
    }

    /// Reads the payload of the other end's seal frame.
    pub(crate) fn finish(self, seal: &[u8]) -> Result<Records, Unspecified> {
        let Initiator { mut state, ephemeral } = self;
        let message = seal.get(5..).ok_or(Unspecified)?;
        let (theirs, hello) = message.split_at_checked(32).ok_or(Unspecified)?;
        state.mix_hash(theirs);
        state.mix_key(theirs)?;
        let theirs = UnparsedPublicKey::new(&X25519, theirs);
        agree_ephemeral(ephemeral, &theirs, |agreed| state.mix_key(agreed))??;
        state.decrypt(hello)?;
        let [ours, theirs, _] = expand(&state.chain, b"");
        Ok(Records { ours: Cipher::new(&ours)?, theirs: Cipher::new(&theirs)? })
    }
}

/// Both directions of a sealed link.
pub(crate) struct Records {
    ours: Cipher,
    theirs: Cipher,
}

impl Records {
    /// Seals frames in records.
    pub(crate) fn seal(&mut self, frames: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut records = Vec::new();
        for content in frames.chunks(CONTENT_MAX) {
            let sealed = self.ours.encrypt(b"", content)?;
            records.extend_from_slice(&(sealed.len() as u16).to_be_bytes());
            records.extend_from_slice(&sealed);
        }
        Ok(records)
    }

    /// Removes the first record from `received`, and returns its content. Returns `None` if it is incomplete.
    pub(crate) fn open(&mut self, received: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Unspecified> {
        let Some((length, rest)) = received.split_first_chunk() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        let Some(sealed) = rest.get(..length) else { return Ok(None) };
        let content = self.theirs.decrypt(b"", sealed)?;
        received.drain(..2 + length);
        Ok(Some(content))
    }
}

/// The symmetric state of the handshake (section 5.2 of the Noise Protocol Framework).
struct Symmetric {
    chain: [u8; 32],
    hash: [u8; 32],
    cipher: Option<Cipher>,
}

impl Symmetric {
    fn mix_hash(&mut self, data: &[u8]) {
        let hash = digest(&SHA256, &[&self.hash[..], data].concat());
        self.hash.copy_from_slice(hash.as_ref());
    }

    fn mix_key(&mut self, input: &[u8]) -> Result<(), Unspecified> {
        let [chain, key, _] = expand(&self.chain, input);
        self.chain = chain;
        self.cipher = Some(Cipher::new(&key)?);
        Ok(())
    }

    fn mix_key_and_hash(&mut self, input: &[u8]) -> Result<(), Unspecified> {
        let [chain, hash, key] = expand(&self.chain, input);
        self.chain = chain;
        self.mix_hash(&hash);
        self.cipher = Some(Cipher::new(&key)?);
        Ok(())
    }

    fn encrypt(&mut self, content: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let sealed = self.cipher.as_mut().ok_or(Unspecified)?.encrypt(&self.hash, content)?;
        self.mix_hash(&sealed);
        Ok(sealed)
    }

    fn decrypt(&mut self, sealed: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let content = self.cipher.as_mut().ok_or(Unspecified)?.decrypt(&self.hash, sealed)?;
        self.mix_hash(sealed);
        Ok(content)
    }
}

/// A key for one direction, and the number of the next message.
struct Cipher {
    key: LessSafeKey,
    number: u64,
}

impl Cipher {
    fn new(key: &[u8; 32]) -> Result<Cipher, Unspecified> {
        Ok(Cipher { key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key)?), number: 0 })
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.number.to_be_bytes());
        self.number += 1;
        Nonce::assume_unique_for_key(nonce)
    }

    fn encrypt(&mut self, data: &[u8], content: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let nonce = self.nonce();
        let mut sealed = content.to_vec();
        self.key.seal_in_place_append_tag(nonce, Aad::from(data), &mut sealed)?;
        Ok(sealed)
    }

    fn decrypt(&mut self, data: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let nonce = self.nonce();
        let mut sealed = sealed.to_vec();
        let content = self.key.open_in_place(nonce, Aad::from(data), &mut sealed)?;
        Ok(content.to_vec())
    }
}

/// Noise's HKDF with three outputs. The first two do not depend on the third.
fn expand(chain: &[u8], input: &[u8]) -> [[u8; 32]; 3] {
    let extracted = mac(chain, &[input]);
    let first = mac(&extracted, &[&[1]]);
    let second = mac(&extracted, &[&first, &[2]]);
    let third = mac(&extracted, &[&second, &[3]]);
    [first, second, third]
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &parts.concat());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(mac.as_ref());
    bytes
}

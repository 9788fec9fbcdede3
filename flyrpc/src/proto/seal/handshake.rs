//! The Noise handshake of a link: `Noise_NNpsk0_25519_AESGCM_SHA256`.
//!
//! Both ends prove that they hold the key, and agree on new keys for the records. Ephemeral keys give the records
//! forward secrecy: an attacker who learns the secret later cannot decrypt a recorded link.
//!
//! The first message can be replayed, because the responder has not contributed to it. The responder must therefore
//! do nothing that others could notice before a record of the initiator is authentic.

use snow::{
    Builder, Error, HandshakeState,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::{CryptoResolver, RingResolver},
    types::{Cipher, Dh, Hash, Random},
};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{
    NotAuthentic,
    record::{Opener, Sealer},
};
use crate::config::Key;

/// The only suite so far.
pub(crate) const SUITE: u64 = 1;

const PATTERN: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";

/// The length of an ephemeral key, and of the tag of a message, in bytes.
const EPHEMERAL_LEN: usize = 32;
const TAG_LEN: usize = 16;

/// The length of a handshake message without its payload, in bytes.
pub(crate) const OVERHEAD: usize = EPHEMERAL_LEN + TAG_LEN;

/// Upper bound on the bytes of a payload. Three messages, as many as a stranger may send on a connection, have less than
/// 64 KiB.
pub(crate) const PAYLOAD_MAX: usize = 20 << 10;

/// Random bytes for one handshake. They must be unpredictable, and must not be used again.
pub(crate) type Entropy = [u8; EPHEMERAL_LEN];

/// The keys of a link, one for each direction.
#[derive(Debug)]
pub(crate) struct LinkKeys {
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
}

/// The end that dialed, after it has sent its message.
///
/// Its state is boxed, because the futures of a handshake would contain it several times.
pub(crate) struct Initiator(Box<HandshakeState>);

impl Initiator {
    /// Creates the first message, which carries `payload`.
    pub(crate) fn new(key: &Key, entropy: Entropy, payload: &[u8]) -> (Self, Vec<u8>) {
        let mut state = with_builder(key, entropy, |builder| builder.build_initiator());
        let message = write(&mut state, payload);
        (Initiator(state), message)
    }

    /// Reads the second message. Returns its payload and the keys of the link.
    ///
    /// # Errors
    ///
    /// Returns an error if the message does not answer the first one, or was sealed with another key.
    pub(crate) fn finish(mut self, message: &[u8]) -> Result<(Vec<u8>, LinkKeys), NotAuthentic> {
        let payload = read(&mut self.0, message)?;
        Ok((payload, link_keys(&mut self.0)))
    }
}

/// The end that accepted the connection, after it has read the first message.
pub(crate) struct Responder(Box<HandshakeState>);

impl Responder {
    /// Reads the first message. Returns its payload.
    ///
    /// # Errors
    ///
    /// Returns an error if the message was not sealed with `key`. It is found before any operation on the curve.
    pub(crate) fn new(
        key: &Key,
        entropy: Entropy,
        message: &[u8],
    ) -> Result<(Self, Vec<u8>), NotAuthentic> {
        let mut state = with_builder(key, entropy, |builder| builder.build_responder());
        let payload = read(&mut state, message)?;
        Ok((Responder(state), payload))
    }

    /// Creates the second message, which carries `payload`, and returns the keys of the link.
    pub(crate) fn finish(mut self, payload: &[u8]) -> (Vec<u8>, LinkKeys) {
        let message = write(&mut self.0, payload);
        (message, link_keys(&mut self.0))
    }
}

/// Builds one end of a handshake. Both ends must agree on the prologue: the protocol, the suite and the key. The
/// cluster's name is not part of it, but of the sealed hello, so that another cluster can be told from another key.
fn with_builder(
    key: &Key,
    entropy: Entropy,
    build: impl FnOnce(Builder<'_>) -> Result<HandshakeState, Error>,
) -> Box<HandshakeState> {
    let prologue = [b"flyrpc 1", &[SUITE as u8][..], key.id().as_bytes()].concat();
    let pattern = PATTERN.parse().expect("the pattern is valid");
    Builder::with_resolver(pattern, Box::new(Resolver(entropy)))
        .psk(0, key.link())
        .and_then(|builder| builder.prologue(&prologue))
        .and_then(build)
        .map(Box::new)
        .expect("the pattern needs only this key, and its algorithms are available")
}

fn write(state: &mut HandshakeState, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() <= PAYLOAD_MAX, "longer payloads follow in records");
    let mut message = vec![0; OVERHEAD + payload.len()];
    let length = state.write_message(payload, &mut message).expect("the message has room");
    message.truncate(length);
    message
}

fn read(state: &mut HandshakeState, message: &[u8]) -> Result<Vec<u8>, NotAuthentic> {
    // Including room for the tag, because ring decrypts in place.
    let mut payload = vec![0; message.len()];
    let length = state.read_message(message, &mut payload).map_err(|_| NotAuthentic)?;
    payload.truncate(length);
    Ok(payload)
}

/// Returns the keys for the records. snow would copy each record once more to seal or open it.
fn link_keys(state: &mut HandshakeState) -> LinkKeys {
    let (of_initiator, of_responder) = state.dangerously_get_raw_split();
    let (ours, theirs) = if state.is_initiator() {
        (of_initiator, of_responder)
    } else {
        (of_responder, of_initiator)
    };
    LinkKeys { sealer: Sealer::new(&ours), opener: Opener::new(&theirs) }
}

/// Selects the randomness that was passed to the handshake, and ring's implementations except for X25519: ring
/// generates its private keys itself, so simulations would not be repeatable.
struct Resolver(Entropy);

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Once(Some(self.0))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(X25519::default()) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        RingResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        RingResolver.resolve_cipher(choice)
    }
}

/// A key pair on the curve.
struct X25519 {
    secret: StaticSecret,
    secret_bytes: Zeroizing<[u8; EPHEMERAL_LEN]>,
    public: PublicKey,
}

impl Default for X25519 {
    fn default() -> Self {
        let public = PublicKey::from([0; EPHEMERAL_LEN]);
        let secret = StaticSecret::from([0; EPHEMERAL_LEN]);
        X25519 { secret, secret_bytes: Zeroizing::default(), public }
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        EPHEMERAL_LEN
    }

    fn priv_len(&self) -> usize {
        EPHEMERAL_LEN
    }

    fn set(&mut self, secret: &[u8]) {
        self.secret_bytes.copy_from_slice(secret);
        self.secret = StaticSecret::from(*self.secret_bytes);
        self.public = PublicKey::from(&self.secret);
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), Error> {
        let mut secret = Zeroizing::new([0; EPHEMERAL_LEN]);
        random.try_fill_bytes(&mut *secret)?;
        self.set(&*secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn privkey(&self) -> &[u8] {
        &*self.secret_bytes
    }

    fn dh(&self, theirs: &[u8], shared: &mut [u8]) -> Result<(), Error> {
        let theirs: [u8; EPHEMERAL_LEN] = *theirs.first_chunk().ok_or(Error::Dh)?;
        let agreed = self.secret.diffie_hellman(&PublicKey::from(theirs));
        // A point of low order would make the result independent of this end's key.
        if !agreed.was_contributory() {
            return Err(Error::Dh);
        }
        shared[..EPHEMERAL_LEN].copy_from_slice(agreed.as_bytes());
        Ok(())
    }
}

/// Random bytes that can be taken once, for the ephemeral key.
struct Once(Option<Entropy>);

impl Random for Once {
    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Error> {
        let entropy = self.0.take().filter(|entropy| entropy.len() == to.len());
        to.copy_from_slice(&entropy.ok_or(Error::Rng)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Keyring, proto::seal::record::REKEY_AFTER};

    fn key(byte: u8) -> Keyring {
        Keyring::parse(&format!("{byte:02x}").repeat(32)).unwrap()
    }

    #[test]
    fn both_ends_receive_the_payloads_and_agree_on_keys() {
        let ring = key(7);
        let (dialer, first) = Initiator::new(ring.first(), [1; 32], b"hello of the dialer");
        let (acceptor, payload) = Responder::new(ring.first(), [2; 32], &first).unwrap();
        assert_eq!(payload, b"hello of the dialer");
        let (second, mut theirs) = acceptor.finish(b"hello of the acceptor");
        let (payload, mut ours) = dialer.finish(&second).unwrap();
        assert_eq!(payload, b"hello of the acceptor");
        assert_eq!(first.len(), OVERHEAD + 19);
        check_record(&mut ours.sealer, &mut theirs.opener, b"from the dialer");
        check_record(&mut theirs.sealer, &mut ours.opener, b"from the acceptor");
    }

    fn check_record(sealer: &mut Sealer, opener: &mut Opener, content: &[u8]) {
        let mut record = Vec::new();
        sealer.seal(content, &mut record);
        assert_eq!(opener.open(&mut record[2..]), Ok(content));
    }

    #[test]
    fn the_longest_payload_fits() {
        let ring = key(7);
        let payload = vec![7; PAYLOAD_MAX];
        let (_, first) = Initiator::new(ring.first(), [1; 32], &payload);
        assert!(Responder::new(ring.first(), [2; 32], &first).unwrap().1 == payload);
    }

    #[test]
    fn a_message_of_another_key_is_not_authentic() {
        let (ring, other) = (key(7), key(8));
        let (dialer, first) = Initiator::new(ring.first(), [1; 32], b"");
        assert!(Responder::new(other.first(), [2; 32], &first).is_err());
        let (acceptor, _) = Responder::new(ring.first(), [2; 32], &first).unwrap();
        drop(acceptor);
        let (_, other_first) = Initiator::new(other.first(), [1; 32], b"");
        let (acceptor, _) = Responder::new(other.first(), [2; 32], &other_first).unwrap();
        assert!(dialer.finish(&acceptor.finish(b"").0).is_err());
    }

    #[test]
    fn a_message_with_any_bit_changed_is_not_authentic() {
        let ring = key(7);
        let (_, first) = Initiator::new(ring.first(), [1; 32], b"first");
        for (at, changed) in flipped(&first) {
            assert!(Responder::new(ring.first(), [2; 32], &changed).is_err(), "bit {at}");
        }
        let (acceptor, _) = Responder::new(ring.first(), [2; 32], &first).unwrap();
        let second = acceptor.finish(b"second").0;
        for (at, changed) in flipped(&second) {
            // X25519 ignores the highest bit of a public key, but the handshake hash contains it.
            let (dialer, _) = Initiator::new(ring.first(), [1; 32], b"first");
            assert!(dialer.finish(&changed).is_err(), "bit {at}");
        }
        for length in 0..first.len() {
            assert!(Responder::new(ring.first(), [2; 32], &first[..length]).is_err(), "{length}");
        }
    }

    fn flipped(message: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
        (0..8 * message.len()).map(|at| {
            let mut changed = message.to_vec();
            changed[at / 8] ^= 1 << (at % 8);
            (at, changed)
        })
    }

    #[test]
    fn a_second_message_answers_one_first_message_only() {
        let ring = key(7);
        let (_, first) = Initiator::new(ring.first(), [1; 32], b"");
        let (acceptor, _) = Responder::new(ring.first(), [2; 32], &first).unwrap();
        let recorded = acceptor.finish(b"recorded").0;
        let (dialer, _) = Initiator::new(ring.first(), [3; 32], b"");
        assert!(dialer.finish(&recorded).is_err());
    }

    /// snow implements the same messages, but copies each of them.
    #[test]
    fn records_are_noise_transport_messages() {
        let ring = key(7);
        let (dialer, first) = Initiator::new(ring.first(), [1; 32], b"");
        let (acceptor, _) = Responder::new(ring.first(), [2; 32], &first).unwrap();
        let mut theirs = acceptor.0;
        let second = write(&mut theirs, b"");
        let (_, mut keys) = dialer.finish(&second).unwrap();
        let mut theirs = theirs.into_transport_mode().unwrap();
        let mut payload = [0; 64];
        for number in 0..3 * REKEY_AFTER {
            let mut record = Vec::new();
            keys.sealer.seal(b"content", &mut record);
            let length = theirs.read_message(&record[2..], &mut payload).unwrap();
            assert_eq!(&payload[..length], b"content", "{number}");
            if (number + 1) % REKEY_AFTER == 0 {
                theirs.rekey_incoming();
            }
        }
    }

    /// The first message of the protocol must not change: it is compared with the bytes that other versions send.
    #[test]
    fn the_first_message_has_the_recorded_bytes() {
        let ring = key(0);
        let (_, first) = Initiator::new(ring.first(), [1; 32], b"hello");
        let hex: String = first.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
    }

    const GOLDEN: &str = "a4e09292b651c278b9772c569f5fa9bb13d906b46ab68c9df9dc2b4409f8a209\
                          4b0ee53ace2dbf377daf74eb87affb628d01ca707c";
}

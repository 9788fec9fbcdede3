//! Entry points of the fuzz targets in `flyrpc/fuzz`. Each one feeds arbitrary bytes to a decoder of
//! bytes that peers send, and asserts properties that hold for any input. This module is compiled only
//! with `--cfg fuzzing`, which `cargo fuzz` sets.

#![allow(missing_docs, reason = "not part of the published API")]

use std::{borrow::Cow, collections::BTreeMap, fmt::Debug, net::SocketAddr, time::Duration};

use bytes::BufMut;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    codec,
    config::{Keyring, Sealing},
    proto::{
        link::handshake::{HandshakeReader, SEAL_FRAME_MAX},
        membership::{GossipSealing, MemberState, Membership, Settings},
        seal::{
            datagram::{GossipKey, Numbers, SealedDatagram},
            handshake::{Initiator, PAYLOAD_MAX, Responder, SUITE},
            record::{CONTENT_MAX, Opener, Sealer},
            records::Records,
        },
        wire::{
            PREFACE,
            frame::{self, Frame},
            hello::{Hello, HelloOutcome},
            ids::{MethodIndex, RequestId},
            request_fields,
            seal::{Seal, Unsealed},
            state::State,
            status::Status,
        },
    },
    types::{KeyId, Metadata, NodeId, NodeInfo},
};

/// Decodes a stream of frames and their payloads.
pub fn frames(mut bytes: &[u8]) {
    while let Ok(Some((frame, length))) = frame::split(bytes) {
        assert!(frame.len() < length && length <= bytes.len());
        match frame::decode(frame) {
            Ok(Frame::Hello(hello)) => handshake(hello),
            Ok(Frame::State(state)) => drop(State::decode(state)),
            Ok(Frame::Status { status, .. }) => drop(Status::decode(status)),
            Ok(Frame::Seal(seal)) => drop(Seal::decode(seal)),
            Ok(Frame::Unsealed(why)) => unsealed(why),
            Ok(_) | Err(_) => {}
        }
        bytes = &bytes[length..];
    }
}

/// Decodes the payload of a hello, and checks that it decodes equally after it was encoded again.
pub fn handshake(bytes: &[u8]) {
    if let Ok(HelloOutcome::Hello(hello)) = Hello::decode(bytes) {
        let decoded = Hello::decode(&hello.encode()).expect("a decoded hello can be encoded");
        assert_eq!(decoded, HelloOutcome::Hello(hello));
    }
}

/// The secret of the targets.
fn keyring() -> Keyring {
    Keyring::parse(&"07".repeat(32)).expect("a key")
}

/// Reads the first bytes of a connection as a node that requires a seal does. Nothing that was not sealed with the key is
/// accepted, and a hello is received as it was sealed.
pub fn seal(bytes: &[u8]) {
    let (keyring, mut reader) = (keyring(), HandshakeReader::default());
    let key = keyring.first();
    reader.buffer().put_slice(PREFACE);
    reader.buffer().put_slice(bytes);
    while let Ok(Some(frame)) = reader.poll(SEAL_FRAME_MAX) {
        assert!(frame.len() <= SEAL_FRAME_MAX);
        if let Ok(Frame::Seal(seal)) = frame::decode(&frame)
            && let Ok(Seal { message, .. }) = Seal::decode(seal)
        {
            assert!(Responder::new(key, [2; 32], message).is_err(), "nobody knows the key");
        }
    }
    assert!(Responder::new(key, [2; 32], bytes).is_err(), "nobody knows the key");
    let payload = &bytes[..bytes.len().min(PAYLOAD_MAX)];
    let (dialer, first) = Initiator::new(key, [1; 32], payload);
    let (acceptor, received) = Responder::new(key, [2; 32], &first).expect("the key is the same");
    assert_eq!(received, payload);
    let (second, _) = acceptor.finish(payload);
    assert_eq!(dialer.finish(&second).expect("the key is the same").0, payload);
    let (dialer, _) = Initiator::new(key, [1; 32], payload);
    assert!(dialer.finish(bytes).is_err(), "nobody knows the key");
}

/// Decodes why a node does not accept a seal, and checks that it decodes equally after it was encoded again.
pub fn unsealed(bytes: &[u8]) {
    if let Ok(why) = Unsealed::decode(bytes) {
        let mut encoded = Vec::new();
        why.encode(&mut encoded);
        assert_eq!(Unsealed::decode(&encoded), Ok(why));
    }
}

/// Opens records after changing one byte. The first three bytes of the input are the position and the change, the
/// fourth one is the number of bytes that arrive together, and the fifth one states from how many missing bytes on a record
/// is opened in a body, if it is odd.
pub fn record(bytes: &[u8]) {
    let mut raw = Records::new(Opener::new(&[7; 32]), bytes.to_vec());
    assert_ne!(raw.open_next(|_| {}), Ok(true), "nobody knows the key");
    let [low, high, change, step, in_body, content @ ..] = bytes else { return };
    let mut sealer = Sealer::new(&[7; 32]);
    let mut stream = Vec::new();
    for part in content.chunks(CONTENT_MAX.min(usize::from(*step) * 97 + 1)) {
        sealer.seal(part, &mut stream);
    }
    let at = usize::from(u16::from_le_bytes([*low, *high])) % stream.len().max(1);
    if let Some(byte) = stream.get_mut(at) {
        *byte ^= change;
    }
    let mut records = Records::new(Opener::new(&[7; 32]), Vec::new());
    let (mut received, mut body) = (Vec::new(), Vec::new());
    'read: for mut piece in stream.chunks(usize::from(*step) + 1) {
        while !piece.is_empty() {
            let part = match records.left_in_body() {
                Some(left @ 1..) => {
                    let part = piece.len().min(left);
                    body.extend_from_slice(&piece[..part]);
                    records.on_read_in_body(part);
                    part
                }
                Some(0) | None => {
                    let mut room = records.room(64, false);
                    let part = piece.len().min(room.remaining_mut());
                    room.put_slice(&piece[..part]);
                    part
                }
            };
            piece = &piece[part..];
            match records.open_in_body(&mut body) {
                Ok(Some(length)) => received.extend_from_slice(&body[body.len() - length..]),
                Ok(None) => {}
                Err(_) => break 'read,
            }
            loop {
                match records.open_next(|content| received.extend_from_slice(content)) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(_) => break 'read,
                }
            }
            if in_body % 2 == 1 {
                records.begin_in_body(&mut body, CONTENT_MAX, usize::from(in_body / 2));
            }
        }
    }
    assert!(content.starts_with(&received));
    assert_eq!(received == content, *change == 0 || content.is_empty());
}

/// Opens a datagram after changing one byte, as in [`record`], and handles a sealed packet of arbitrary content.
pub fn datagram(bytes: &[u8]) {
    let (prefix, keyring) = ([0xf1, 0x7c, 2], keyring());
    let key = GossipKey::new(keyring.first());
    let open = |datagram: &[u8]| {
        let sealed = SealedDatagram::split(datagram, prefix.len())?;
        key.open(&sealed, "f").ok()
    };
    assert_eq!(open(&[&prefix[..], bytes].concat()), None, "nobody knows the key");
    let with_id = [&prefix[..], KeyId::as_bytes(&key.id()), bytes].concat();
    assert_eq!(open(&with_id), None, "nobody knows the key");
    let [low, high, change, packet @ ..] = bytes else { return };
    let mut numbers = Numbers::new([9; 16]);
    let mut sealed = key.seal(&prefix, "f", &mut numbers, packet);
    let mut members = sealed_membership();
    members.handle_datagram(Duration::ZERO, &sealed, |_| true);
    drain_outputs(&mut members);
    let at = usize::from(u16::from_le_bytes([*low, *high])) % sealed.len();
    sealed[at] ^= change;
    assert_eq!(open(&sealed).as_deref(), (*change == 0).then_some(packet));
}

/// Every kind of value in serde's data model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    number: i64,
    wide: Option<i128>,
    unsigned: u128,
    small: u8,
    letter: char,
    text: String,
    shared: Cow<'static, str>,
    flag: bool,
    unit: (),
    list: Vec<Option<i16>>,
    pair: (u32, String),
    map: BTreeMap<(u8, bool), Kind>,
    named: BTreeMap<String, Vec<u8>>,
    kinds: Vec<Kind>,
    addr: Option<SocketAddr>,
    took: Duration,
    #[serde(default)]
    nested: Option<Box<Everything>>,
    #[serde(flatten)]
    rest: BTreeMap<String, Loose>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    New(u64),
    Two(i8, String),
    Fields { name: String, more: Option<Box<Kind>> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Loose {
    Flag(bool),
    Number(i64),
    Text(String),
    List(Vec<Loose>),
    Map(BTreeMap<String, Loose>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Empty,
    Point { x: i32, y: i32 },
    Boxed(Box<Everything>),
}

/// Returns the initial corpus, as pairs of target and input: bytes that well-behaved peers send.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let inner = Everything {
        number: -3,
        wide: Some(i128::MIN),
        unsigned: u128::MAX,
        small: 7,
        letter: 'é',
        text: "text".to_owned(),
        shared: Cow::Borrowed("shared"),
        flag: true,
        unit: (),
        list: vec![Some(-1), None],
        pair: (9, "nine".to_owned()),
        map: BTreeMap::from([((1, true), Kind::Unit), ((2, false), Kind::New(1 << 40))]),
        named: BTreeMap::from([("bytes".to_owned(), vec![1, 2, 3])]),
        kinds: vec![Kind::Two(-1, "two".to_owned())],
        addr: Some(SocketAddr::from(([10, 0, 0, 1], 3590))),
        took: Duration::from_millis(1_500),
        nested: None,
        rest: BTreeMap::from([
            ("loose".to_owned(), Loose::List(vec![Loose::Flag(true), Loose::Number(-5)])),
            ("more".to_owned(), Loose::Map(BTreeMap::new())),
        ]),
    };
    let variant = Kind::Fields { name: "n".to_owned(), more: Some(Box::new(Kind::Unit)) };
    let outer = Everything { nested: Some(Box::new(inner.clone())), ..inner.clone() };
    let addr = SocketAddr::from(([10, 0, 0, 2], 3590));
    let node = NodeInfo::new(NodeId::new("other", 8), "hkg".into(), addr);
    let state = State {
        accepting: true,
        draining: false,
        primary_region: "iad".into(),
        withdrawn: vec!["Notes".to_owned()],
    };
    let hello = Hello {
        cluster: "f".to_owned(),
        node,
        max_body: 1 << 25,
        status_level: 1,
        services: [].into(),
        state: state.clone(),
        stamp: 5,
        echo: Some(4),
        keys: keyring().ids().collect(),
        version: "2f1c9e".into(),
        is_visitor: false,
    };
    let head = frame::RequestHead {
        id: RequestId(300),
        method: MethodIndex(3),
        primary: true,
        attempt: 2,
        stamp: 1 << 30,
        timeout: 5_000_000,
    };
    let mut frames = Vec::new();
    frame::put_hello(&hello.encode(), &mut frames);
    let mut metadata = Metadata::default();
    metadata.set("tenant", "a");
    let fields = request_fields::encode(Some(&metadata), None);
    frame::put_request(&head, &fields, frame::Body::Whole(&encoded(&inner)), &mut frames);
    frame::put_status(head.id, &Status::panicked("on purpose".to_owned()).encode(), &mut frames);
    frame::put_state(&state.encode(), &mut frames);
    let mut other = membership_of("other", addr);
    other.apply(Duration::ZERO, &membership().difference(&[]));
    let states = other.difference(&[]);
    let gossip = std::iter::from_fn(|| {
        other.handle_timeout(other.next_timeout()?);
        other.poll_transmit().map(|(_, datagram)| datagram)
    });
    let gossip: Vec<Vec<u8>> = gossip.take(8).collect();
    let first_packet = gossip.first().map(|datagram| datagram[PREFIX.len()..].to_vec());
    let first_packet = first_packet.unwrap_or_default();
    let gossip = gossip.into_iter().flat_map(|datagram| {
        let bare = datagram[PREFIX.len()..].to_vec();
        [vec![u8::try_from(bare.len().div_ceil(2)).unwrap_or(u8::MAX), 5], bare].concat()
    });
    vec![
        ("body", encoded(&outer)),
        ("body", encoded(&variant)),
        ("body", encoded(&vec![Tagged::Point { x: 1, y: -1 }, Tagged::Boxed(Box::new(inner))])),
        ("frames", frames),
        ("handshake", hello.encode()),
        ("gossip", gossip.collect()),
        ("seal", seal_with_a_bit_changed(&hello.encode())),
        ("unsealed", vec![0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("unsealed", vec![3, 1]),
        ("record", [&[9, 0, 1, 40][..], &hello.encode()].concat()),
        ("datagram", [&[9, 0, 1][..], &first_packet].concat()),
        ("sync", encoded(&states)),
        ("sync", encoded(&other.digests())),
    ]
}

/// Returns the frame of a seal with this payload that is no longer authentic.
fn seal_with_a_bit_changed(payload: &[u8]) -> Vec<u8> {
    let keyring = keyring();
    let key = keyring.first();
    let (_, message) = Initiator::new(key, [3; 32], payload);
    let (mut seal, mut frame) = (Vec::new(), Vec::new());
    Seal { suite: SUITE, key: key.id(), message: &message }.encode(&mut seal);
    frame::put_seal(&seal, &mut frame);
    if let Some(last) = frame.last_mut() {
        *last ^= 1;
    }
    frame
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let mut to = Vec::new();
    codec::encode(value, &mut to).expect("corpus values can be encoded");
    to
}

/// Decodes the body of a request or a reply as each of several types.
pub fn body(bytes: &[u8]) {
    check_round_trip::<Everything>(bytes);
    check_round_trip::<Kind>(bytes);
    check_round_trip::<Tagged>(bytes);
    check_round_trip::<Loose>(bytes);
    check_round_trip::<Vec<Tagged>>(bytes);
    check_round_trip::<BTreeMap<u64, String>>(bytes);
    check_round_trip::<(u8, i32, Option<String>)>(bytes);
    check_round_trip::<Option<Vec<Vec<()>>>>(bytes);
    check_round_trip::<Result<String, Kind>>(bytes);
    let _ = codec::decode::<f64>(bytes);
    let _ = codec::decode::<f32>(bytes);
}

/// Checks that a decoded value can be encoded, and that the encoding decodes as the same value.
fn check_round_trip<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(value) = codec::decode::<T>(bytes) else { return };
    let mut encoded = Vec::new();
    // Values nested deeper than the encoder allows can still be decoded.
    if codec::encode(&value, &mut encoded).is_ok() {
        match codec::decode::<T>(&encoded) {
            Ok(decoded) => assert_eq!(decoded, value),
            Err(error) => panic!("{value:?} was encoded as {encoded:02x?}: {error:?}"),
        }
    }
}

/// Handles a series of gossip datagrams. In the input, two bytes precede each datagram: half its length,
/// and the time since the previous datagram in tenths of a second.
pub fn gossip(mut bytes: &[u8]) {
    let mut members = membership();
    let mut now = Duration::ZERO;
    while let [length, tenths, rest @ ..] = bytes {
        let (datagram, rest) = rest.split_at(rest.len().min(usize::from(*length) * 2));
        now += Duration::from_millis(100) * u32::from(*tenths);
        members.handle_datagram(now, &[PREFIX, datagram].concat(), |_| true);
        members.handle_datagram(now, datagram, |_| true);
        members.handle_timeout(now);
        drain_outputs(&mut members);
        bytes = rest;
    }
}

/// The header of every datagram in the cluster `f`: the magic, the version, the length and name of the
/// cluster, and no fields. It is prepended so that the fuzzer does not have to discover it.
const PREFIX: &[u8] = &[0xf1, 0x7c, 1, 1, b'f', 0];

/// Decodes and applies the member states and the digests of an anti-entropy sync.
pub fn sync(bytes: &[u8]) {
    let mut members = membership();
    if let Ok(states) = codec::decode::<Vec<MemberState>>(bytes) {
        members.apply(Duration::ZERO, &states);
        drain_outputs(&mut members);
    }
    if let Ok(digests) = codec::decode::<Vec<u64>>(bytes) {
        let _ = members.difference(&digests);
    }
}

fn membership() -> Membership {
    membership_of("me", SocketAddr::from(([10, 0, 0, 1], 3590)))
}

/// Accepts datagrams that are sealed with the key of the [`keyring`].
fn sealed_membership() -> Membership {
    let addr = SocketAddr::from(([10, 0, 0, 1], 3590));
    let me = NodeInfo::new(NodeId::new("me", 7), "iad".into(), addr);
    let sealing = GossipSealing { mode: Sealing::Sealed(keyring()), salt: [8; 16] };
    let settings = Settings { sealing, ..Settings::new("f") };
    Membership::new(&me, settings, 7, Duration::ZERO).expect("the identity is valid")
}

fn membership_of(name: &str, addr: SocketAddr) -> Membership {
    let me = NodeInfo::new(NodeId::new(name, 7), "iad".into(), addr);
    Membership::new(&me, Settings::new("f"), 7, Duration::ZERO).expect("the identity is valid")
}

fn drain_outputs(members: &mut Membership) {
    while members.poll_transmit().is_some() {}
    while members.poll_event().is_some() {}
}

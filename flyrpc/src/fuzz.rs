//! What the fuzz targets in `fuzz/` call: every decoder that reads a peer's bytes, with what must
//! hold whatever the bytes are. Built only with `--cfg fuzzing`, as `cargo fuzz` does.

#![allow(missing_docs, reason = "no part of what is published")]

use std::{borrow::Cow, collections::BTreeMap, fmt::Debug, net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    codec,
    proto::{
        membership::{MemberState, Membership, Settings},
        wire::{
            frame::{self, Frame},
            hello::{Hello, HelloOutcome, State},
            status::Status,
        },
    },
    types::{NodeId, NodeInfo},
};

/// A stream of frames, and what they hold.
pub fn frames(mut bytes: &[u8]) {
    while let Ok(Some((frame, length))) = frame::split(bytes) {
        assert!(frame.len() < length && length <= bytes.len());
        match frame::decode(frame) {
            Ok(Frame::Hello(hello)) => handshake(hello),
            Ok(Frame::State(state)) => drop(State::decode(state)),
            Ok(Frame::Status { status, .. }) => drop(Status::decode(status)),
            Ok(_) | Err(_) => {}
        }
        bytes = &bytes[length..];
    }
}

/// The payload of a hello.
pub fn handshake(bytes: &[u8]) {
    if let Ok(HelloOutcome::Hello(hello)) = Hello::decode(bytes) {
        let again = Hello::decode(&hello.encode()).expect("what was read can be written");
        assert_eq!(again, HelloOutcome::Hello(hello));
    }
}

/// A value of any kind that serde has.
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

/// What honest peers send, for each target: a corpus to begin with.
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
    let fields = Kind::Fields { name: "n".to_owned(), more: Some(Box::new(Kind::Unit)) };
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
        services: Vec::new(),
        state: state.clone(),
        stamp: 5,
        echo: Some(4),
    };
    let head = frame::RequestHead {
        id: 300,
        method: 3,
        primary: true,
        attempt: 2,
        stamp: 1 << 30,
        timeout: 5_000_000,
    };
    let mut frames = Vec::new();
    frame::put_hello(&hello.encode(), &mut frames);
    frame::put_request(&head, frame::Body::Whole(&encoded(&inner)), &mut frames);
    frame::put_status(300, &Status::panicked("on purpose".to_owned()).encode(), &mut frames);
    frame::put_state(&state.encode(), &mut frames);
    let mut other = membership_of("other", addr);
    other.apply(Duration::ZERO, &membership().difference(&[]));
    let states = other.difference(&[]);
    let gossip = std::iter::from_fn(|| {
        other.handle_timeout(other.next_timeout()?);
        other.poll_transmit().map(|(_, datagram)| datagram)
    });
    let gossip = gossip.take(8).flat_map(|datagram| {
        let bare = datagram[PREFIX.len()..].to_vec();
        [vec![u8::try_from(bare.len().div_ceil(2)).unwrap_or(u8::MAX), 5], bare].concat()
    });
    vec![
        ("body", encoded(&outer)),
        ("body", encoded(&fields)),
        ("body", encoded(&vec![Tagged::Point { x: 1, y: -1 }, Tagged::Boxed(Box::new(inner))])),
        ("frames", frames),
        ("handshake", hello.encode()),
        ("gossip", gossip.collect()),
        ("exchange", encoded(&states)),
        ("exchange", encoded(&other.digests())),
    ]
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let mut to = Vec::new();
    codec::encode(value, &mut to).expect("it can be written");
    to
}

/// The body of a request or a reply, as each of several types.
pub fn body(bytes: &[u8]) {
    as_a::<Everything>(bytes);
    as_a::<Kind>(bytes);
    as_a::<Tagged>(bytes);
    as_a::<Loose>(bytes);
    as_a::<Vec<Tagged>>(bytes);
    as_a::<BTreeMap<u64, String>>(bytes);
    as_a::<(u8, i32, Option<String>)>(bytes);
    as_a::<Option<Vec<Vec<()>>>>(bytes);
    as_a::<Result<String, Kind>>(bytes);
    let _ = codec::decode::<f64>(bytes);
    let _ = codec::decode::<f32>(bytes);
}

/// What can be read can be written, and reads as the same value again.
fn as_a<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(value) = codec::decode::<T>(bytes) else { return };
    let mut again = Vec::new();
    // What is nested deeper than this end writes can still be read.
    if codec::encode(&value, &mut again).is_ok() {
        match codec::decode::<T>(&again) {
            Ok(read) => assert_eq!(read, value),
            Err(error) => panic!("{value:?} was written as {again:02x?}, which is {error:?}"),
        }
    }
}

/// Datagrams of gossip, each with its length before it, and the time that goes by between them.
pub fn gossip(mut bytes: &[u8]) {
    let mut members = membership();
    let mut now = Duration::ZERO;
    while let [length, tenths, rest @ ..] = bytes {
        let (datagram, rest) = rest.split_at(rest.len().min(usize::from(*length) * 2));
        now += Duration::from_millis(100) * u32::from(*tenths);
        members.handle_datagram(now, &[PREFIX, datagram].concat());
        members.handle_datagram(now, datagram);
        members.handle_timeout(now);
        settle(&mut members);
        bytes = rest;
    }
}

/// How every datagram of the cluster `f` begins, so that the fuzzer need not find it out: magic,
/// version, length and name of the cluster, no fields.
const PREFIX: &[u8] = &[0xf1, 0x7c, 1, 1, b'f', 0];

/// What a peer says of the members that it knows.
pub fn exchange(bytes: &[u8]) {
    let mut members = membership();
    if let Ok(states) = codec::decode::<Vec<MemberState>>(bytes) {
        members.apply(Duration::ZERO, &states);
        settle(&mut members);
    }
    if let Ok(digests) = codec::decode::<Vec<u64>>(bytes) {
        let _ = members.difference(&digests);
    }
}

fn membership() -> Membership {
    membership_of("me", SocketAddr::from(([10, 0, 0, 1], 3590)))
}

fn membership_of(name: &str, addr: SocketAddr) -> Membership {
    let me = NodeInfo::new(NodeId::new(name, 7), "iad".into(), addr);
    Membership::new(&me, Settings::new("f"), 7, Duration::ZERO).expect("it is fit")
}

fn settle(members: &mut Membership) {
    while members.poll_transmit().is_some() {}
    while members.poll_event().is_some() {}
}

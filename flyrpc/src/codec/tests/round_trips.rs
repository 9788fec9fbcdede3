//! Values of every family of types decode as they were encoded.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    fmt::Debug,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::{NonZeroI128, NonZeroU8, NonZeroU64, Wrapping},
    ops::{Bound, Range},
    path::PathBuf,
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::json;

#[track_caller]
fn check<T: Serialize + DeserializeOwned + PartialEq + Clone + Debug>(value: T) {
    super::check(value.clone(), value.clone());
    // The same value inside the containers that surround it in real bodies.
    super::check(Some(value.clone()), Some(value.clone()));
    super::check((1, value.clone(), "end"), (1, value.clone(), "end".to_owned()));
    let named = BTreeMap::from([("a", vec![value.clone()]), ("b", vec![value.clone(), value])]);
    let owned: BTreeMap<String, _> =
        named.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
    super::check(named, owned);
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Note {
    id: u64,
    text: String,
    tags: Vec<String>,
    parent: Option<Box<Note>>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Shape {
    Empty,
    Bare(),
    Circle(u32),
    Line(i8, i8),
    Rect { w: u16, h: u16 },
    Group(Vec<Shape>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Braced {}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Meters(f64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pair(u8, String);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<T>,
}

fn note() -> Note {
    let parent = Note { id: 1, text: "é".into(), ..Note::default() };
    Note {
        id: u64::MAX,
        text: "x".repeat(300),
        tags: vec!["a".into()],
        parent: Some(parent.into()),
    }
}

fn shapes() -> Vec<Shape> {
    let rect = Shape::Rect { w: 1, h: 999 };
    let group = Shape::Group(vec![Shape::Empty, rect.clone()]);
    vec![Shape::Empty, Shape::Bare(), Shape::Circle(7), Shape::Line(-1, 2), rect, group]
}

#[test]
fn integers_arrive_at_every_edge_of_every_width() {
    let mut edges = vec![0u128, u128::MAX];
    for bits in 1..128 {
        edges.extend([(1 << bits) - 1, 1 << bits, (1 << bits) + 1]);
    }
    for edge in edges {
        u8::try_from(edge).into_iter().for_each(check);
        u16::try_from(edge).into_iter().for_each(check);
        u32::try_from(edge).into_iter().for_each(check);
        u64::try_from(edge).into_iter().for_each(check);
        check(edge);
        let below = (edge as i128).wrapping_neg();
        for edge in [edge as i128, below, below.wrapping_sub(1)] {
            i8::try_from(edge).into_iter().for_each(check);
            i16::try_from(edge).into_iter().for_each(check);
            i32::try_from(edge).into_iter().for_each(check);
            i64::try_from(edge).into_iter().for_each(check);
            check(edge);
        }
    }
}

#[test]
fn floats_arrive_bit_by_bit() {
    for value in [0.0, -0.0, 1.5, f64::MIN, f64::MAX, f64::INFINITY, f64::NAN, -f64::NAN, 5e-324] {
        let read: f64 = crate::codec::decode(&super::encoded(&value)).unwrap();
        assert_eq!(read.to_bits(), value.to_bits());
    }
    for value in [0.0, -0.0, 1.1, f32::MIN, f32::MAX, f32::NEG_INFINITY, f32::NAN, 1e-45] {
        let read: f32 = crate::codec::decode(&super::encoded(&value)).unwrap();
        assert_eq!(read.to_bits(), value.to_bits());
    }
}

#[test]
fn plain_values_arrive() {
    check(true);
    check('é');
    check('\u{10ffff}');
    for length in [0, 1, 31, 32, 255, 256, 65_535, 65_536] {
        check("x".repeat(length));
        check(bytes::Bytes::from(vec![7; length]));
        check(serde_bytes::ByteBuf::from(vec![200; length]));
    }
    check(());
    check(Unit);
    check(Braced {});
    check(NonZeroU8::MAX);
    check(NonZeroU64::MIN);
    check(NonZeroI128::MIN);
    check(Wrapping(-4i16));
}

#[test]
fn options_arrive_two_deep() {
    check(None::<u8>);
    check(Some(3u8));
    check(Some(()));
    check(Some(Unit));
    super::check(Some(None::<u8>), Some(None::<u8>));
    super::check(Some(Some(3u8)), Some(Some(3u8)));
    super::check(vec![None, Some(None), Some(Some(()))], vec![None, Some(None), Some(Some(()))]);
    super::check((Some(None::<()>), 1), (Some(None::<()>), 1));
}

#[test]
fn sequences_of_every_length_arrive() {
    for length in [0, 1, 15, 16, 255, 65_535, 65_536] {
        super::check(vec![1u16; length], vec![1u16; length]);
        super::check(vec![(); length.min(300)], vec![(); length.min(300)]);
        let map: HashMap<usize, i32> = (0..length).map(|key| (key, -1)).collect();
        super::check(map.clone(), map);
    }
    check(VecDeque::from([1u8, 2]));
    check(BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    check([[1u8; 3]; 2]);
    check::<[u8; 0]>([]);
    check((1u8, -1i64, "x".to_owned(), 'c', 0.5f32, true, (), None::<u8>));
}

#[test]
fn maps_arrive_whatever_their_keys() {
    check(BTreeMap::from([(-1i64, 'a'), (300, 'b')]));
    check(BTreeMap::from([((1u8, 2u8), "x".to_owned())]));
    check(BTreeMap::from([(true, ()), (false, ())]));
    check(BTreeMap::from([('k', 1u8)]));
    check(BTreeMap::from([(u128::MAX, 1u8)]));
    check(BTreeMap::from([(None, 1u8), (Some(2u8), 2)]));
    check(shapes().into_iter().map(|shape| (shape, 1u8)).collect::<BTreeMap<_, _>>());
    check(BTreeMap::from([(IpAddr::from([127, 0, 0, 1]), 1u8)]));
}

#[test]
fn structs_and_enums_arrive() {
    check(note());
    check(Meters(1.1));
    check(Pair(1, "x".into()));
    shapes().into_iter().for_each(check);
    check(shapes());
    check(Page { items: shapes(), next: Some(Shape::Empty) });
    check(Page { items: vec![()], next: Some(()) });
    check(Ok::<(), Shape>(()));
    check(Err::<(), Shape>(Shape::Circle(1)));
    check(Ok::<Option<u8>, String>(None));
    check((Bound::Included(1u8), Bound::<u8>::Unbounded));
    check(Range { start: 1u8, end: 4 });
}

#[test]
fn standard_types_arrive() {
    check(IpAddr::V4(Ipv4Addr::LOCALHOST));
    check(IpAddr::V6(Ipv6Addr::LOCALHOST));
    check("[::1]:80".parse::<SocketAddr>().unwrap());
    check(Duration::new(u64::MAX, 999_999_999));
    check(SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123));
    check(PathBuf::from("/a/b"));
    check::<Arc<str>>("shared".into());
    check::<Rc<[u8]>>(vec![1, 2].into());
    check::<Box<str>>("boxed".into());
    check::<Cow<'static, str>>("borrowed".into());
    check::<Cow<'static, [u16]>>(vec![1, 999].into());
}

#[test]
fn recursive_value_arrives_as_deep_as_the_bound() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Chain(Option<Box<Chain>>, u8);
    let mut chain = Chain(None, 0);
    for _ in 1..128 {
        chain = Chain(Some(chain.into()), 1);
    }
    super::check(chain.clone(), chain);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Nothing,
    Flag(bool),
    Small(u8),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Untagged>),
    Named { ip: IpAddr, wait: Option<Duration> },
    Map(BTreeMap<u16, Shape>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Internal {
    Empty,
    Note(Note),
    Addressed { ip: IpAddr, port: NonZeroU64, ratio: f32, shape: Shape, maybe: Option<char> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c", rename_all = "snake_case")]
enum Adjacent {
    Empty,
    One(u128),
    Two(u8, Option<u8>),
    Named { ip: IpAddr },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flat {
    #[serde(flatten)]
    note: Note,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FlatTagged {
    id: u8,
    #[serde(flatten)]
    kind: Internal,
    #[serde(flatten)]
    shape: Option<Shape>,
}

#[test]
fn self_describing_types_arrive() {
    let wait = Some(Duration::from_secs(1));
    check(vec![
        Untagged::Nothing,
        Untagged::Flag(true),
        Untagged::Small(255),
        Untagged::Int(256),
        Untagged::Int(i64::MIN),
        Untagged::Float(1.0),
        Untagged::Text("x".into()),
        Untagged::List(vec![Untagged::Small(1), Untagged::Nothing]),
        Untagged::Named { ip: [1, 2, 3, 4].into(), wait },
        Untagged::Named { ip: [1, 2, 3, 4].into(), wait: None },
        Untagged::Map(BTreeMap::from([(999, Shape::Rect { w: 1, h: 2 }), (1, Shape::Empty)])),
    ]);
    let addressed = Internal::Addressed {
        ip: Ipv6Addr::LOCALHOST.into(),
        port: NonZeroU64::MAX,
        ratio: 1.1,
        shape: Shape::Line(-1, 1),
        maybe: Some('x'),
    };
    check(vec![Internal::Empty, Internal::Note(note()), addressed.clone()]);
    check(vec![
        Adjacent::Empty,
        Adjacent::One(u128::MAX),
        Adjacent::Two(1, None),
        Adjacent::Named { ip: [1, 2, 3, 4].into() },
    ]);
    // More fields than a one-byte head can count.
    let rest = (0..40).map(|n| (format!("extra{n}"), json!({ "n": n }))).collect();
    check(Flat { note: note(), rest });
    check(FlatTagged { id: 1, kind: addressed, shape: Some(Shape::Circle(2)) });
}

#[test]
fn json_values_arrive() {
    check(json!(null));
    check(
        json!([1, -1, 1.5, "x", true, null, [], {}, { "a": [{ "b": u64::MAX }], "1": i64::MIN }]),
    );
    super::check(Some(json!(null)), Some(json!(null)));
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Adapted {
    #[serde(with = "as_text")]
    number: u64,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    list: Vec<u8>,
    #[serde(skip)]
    local: u8,
    #[serde(rename = "type")]
    kind: String,
    #[serde(with = "serde_bytes")]
    raw: Vec<u8>,
}

mod as_text {
    use super::*;

    pub(super) fn serialize<S: Serializer>(number: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[test]
fn adapted_fields_arrive() {
    let full = Adapted { number: 9, list: vec![1], local: 0, kind: "k".into(), raw: vec![1, 2] };
    check(Adapted { list: Vec::new(), ..full.clone() });
    check(full);
}

#[test]
fn integer_map_keys_within_a_struct_may_not_be_flattened() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Keyed {
        #[serde(flatten)]
        by_number: BTreeMap<u8, u8>,
    }
    super::refused::<Keyed>(Keyed { by_number: BTreeMap::from([(0, 1)]) });
}

#[test]
fn wide_integers_within_buffered_types_are_refused() {
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Wide {
        Number(u128),
    }
    super::refused::<Wide>(Wide::Number(1));
    super::refused::<Wide>(Wide::Number(u128::MAX));
}

#[test]
fn newtype_of_an_option_of_itself_arrives() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Chain(Option<Box<Chain>>);

    for links in 0..=86 {
        let mut chain = Chain(None);
        for _ in 0..links {
            chain = Chain(Some(chain.into()));
        }
        super::check(chain.clone(), chain.clone());
        super::check(vec![chain.clone(); 2], vec![chain; 2]);
    }
}

#[test]
fn options_are_refused_when_written_more_than_86_levels_above_a_none() {
    #[derive(Serialize)]
    struct Chain(Option<Box<Chain>>);

    let chain = (0..87).fold(Chain(None), |chain, _| Chain(Some(chain.into())));
    let error = crate::codec::encode(&chain, &mut Vec::new()).unwrap_err();
    assert_eq!(error.message(), "`None` within more than 86 `Some` cannot be encoded");
}

#[test]
fn levels_of_options_are_told_apart() {
    type Three = Option<Option<Option<u8>>>;

    for value in [None, Some(None), Some(Some(None)), Some(Some(Some(7)))] {
        check::<Three>(value);
    }
    super::refused::<Option<Option<u8>>>(Some(Some(None::<u8>)));
    super::refused::<u8>(Some(Some(None::<u8>)));
}

#[test]
fn another_messagepack_reader_reads_the_same() {
    let bytes = super::encoded(&note());
    assert_eq!(rmp_serde::from_slice::<Note>(&bytes).unwrap(), note());
    let bytes = super::encoded(&shapes());
    assert_eq!(rmp_serde::from_slice::<Vec<Shape>>(&bytes).unwrap(), shapes());
    let numbers: Vec<i64> = (0..63).flat_map(|n| [1 << n, -(1 << n)]).collect();
    let bytes = super::encoded(&numbers);
    assert_eq!(rmp_serde::from_slice::<Vec<i64>>(&bytes).unwrap(), numbers);
}

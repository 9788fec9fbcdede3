//! No bytes that a peer sends cause a panic, an overflow, or an allocation out of proportion to their
//! length.

use std::{cell::Cell, collections::BTreeMap, fmt};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Value, json};

use super::encoded;
use crate::codec::decode;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tree {
    name: String,
    kind: Kind,
    #[serde(default)]
    children: Vec<Tree>,
    next: Option<Box<Tree>>,
    by_id: BTreeMap<i16, (f32, Option<char>)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Plain,
    Wide(u128),
    Pair(u8, f64),
    Named { raw: bytes::Bytes, unit: (), loose: Loose },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Loose {
    Number(i32),
    List(Vec<Loose>),
    Any(Value),
}

fn tree() -> Tree {
    let leaf = Tree {
        name: "leaf".into(),
        kind: Kind::Wide(1 << 100),
        children: vec![],
        next: None,
        by_id: BTreeMap::from([(-300, (1.5, Some('é'))), (7, (0.1, None))]),
    };
    let loose = Loose::List(vec![Loose::Number(-1), Loose::Any(json!({ "a": [1, null] }))]);
    let kind = Kind::Named { raw: vec![1; 40].into(), unit: (), loose };
    let pair = Tree { kind: Kind::Pair(200, 1e300), ..leaf.clone() };
    let children = vec![leaf.clone(), pair, Tree { kind: Kind::Plain, ..leaf.clone() }];
    Tree { name: "x".repeat(40), kind, children, next: Some(leaf.into()), by_id: BTreeMap::new() }
}

/// Decodes the bytes as many types, and returns the value decoded as a `Tree`, if any.
fn read_as_everything(bytes: &[u8]) -> Option<Tree> {
    let _ = decode::<Value>(bytes);
    let _ = decode::<IgnoredAny>(bytes);
    let _ = decode::<Vec<Loose>>(bytes);
    let _ = decode::<BTreeMap<String, Kind>>(bytes);
    let _ = decode::<(u8, i64, f32, Option<Option<u8>>)>(bytes);
    let _ = decode::<bytes::Bytes>(bytes);
    let _ = decode::<u128>(bytes);
    decode::<Tree>(bytes).ok()
}

fn rng() -> SmallRng {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("SEED={seed}");
    SmallRng::seed_from_u64(seed)
}

#[test]
fn random_bytes_never_panic() {
    let mut rng = rng();
    for _ in 0..30_000 {
        let mut bytes = vec![0u8; rng.random_range(0..60)];
        rng.fill(&mut bytes[..]);
        // Containers are rare among random bytes.
        if let Some(first) = bytes.first_mut().filter(|_| rng.random()) {
            *first =
                *[0x82, 0x93, 0xdc, 0xdd, 0xde, 0xdf, 0xd4].get(usize::from(*first) % 7).unwrap();
        }
        read_as_everything(&bytes);
    }
}

#[test]
fn mutated_bodies_never_panic() {
    let mut rng = rng();
    let valid = encoded(&tree());
    for _ in 0..20_000 {
        let mut bytes = valid.clone();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..4) {
                0 => bytes[at] = rng.random(),
                1 => bytes[at] ^= 1 << rng.random_range(0..8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, rng.random()),
            }
        }
        if let Some(read) = read_as_everything(&bytes) {
            // A decoded value can be encoded, and decodes as the same value again. They are compared as
            // text, because NaN does not equal itself.
            let again = decode::<Tree>(&encoded(&read)).unwrap();
            assert_eq!(format!("{again:?}"), format!("{read:?}"));
        }
    }
}

#[test]
fn body_truncated_anywhere_is_refused() {
    let valid = encoded(&tree());
    assert_eq!(decode::<Tree>(&valid).unwrap(), tree());
    for length in 0..valid.len() {
        assert_eq!(read_as_everything(&valid[..length]), None);
        decode::<IgnoredAny>(&valid[..length]).unwrap_err();
        decode::<Value>(&valid[..length]).unwrap_err();
    }
}

#[track_caller]
fn check_too_deep<T: DeserializeOwned + fmt::Debug>(bytes: &[u8]) {
    let error = decode::<T>(bytes).unwrap_err();
    assert!(error.message().ends_with("deep"), "{error}");
}

#[test]
fn deep_nesting_is_refused_before_the_stack_overflows() {
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Lists(Vec<Lists>);
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct OnlyOptions(Option<Box<OnlyOptions>>);
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    enum Nested {
        A(Box<Nested>),
    }
    let arrays = vec![0x91; 1_000_000];
    check_too_deep::<Value>(&arrays);
    check_too_deep::<Lists>(&arrays);
    check_too_deep::<Loose>(&arrays[..130]);
    check_too_deep::<Value>(&[0x81, 0xa1, b'a'].repeat(100_000));
    check_too_deep::<Tree>(&[0x81, 0xa4, b'n', b'e', b'x', b't'].repeat(100_000));
    check_too_deep::<Nested>(&[0x81, 0xa1, b'A'].repeat(100_000));
    check_too_deep::<OnlyOptions>(&[1]);
    decode::<IgnoredAny>(&arrays).unwrap_err();
}

#[test]
fn deep_nesting_is_refused_within_tagged_and_flattened_types() {
    #[derive(Debug, Deserialize)]
    #[serde(tag = "t")]
    #[allow(dead_code)]
    enum Tagged {
        A { of: Value },
    }
    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Flat {
        #[serde(flatten)]
        rest: BTreeMap<String, Value>,
    }
    let arrays = vec![0x91; 1_000_000];
    // The content before the tag, which is buffered, and after it.
    check_too_deep::<Tagged>(&[b"\x82\xa1t\xa1A\xa2of", arrays.as_slice()].concat());
    check_too_deep::<Tagged>(&[b"\x82\xa2of", arrays.as_slice()].concat());
    check_too_deep::<Flat>(&[b"\x81\xa2of", arrays.as_slice()].concat());
}

#[test]
fn buffered_value_as_deep_as_the_bound_arrives() {
    let value = (1..128).fold(json!([]), |inner, _| json!([inner]));
    super::check(value.clone(), value.clone());
    super::check(
        Loose::Any(value),
        (1..128).fold(Loose::List(vec![]), |it, _| Loose::List(vec![it])),
    );
}

#[test]
fn ignored_value_may_be_of_any_depth() {
    let mut arrays = vec![0x91; 1_000_000];
    arrays.push(1);
    decode::<IgnoredAny>(&arrays).unwrap();
}

thread_local! {
    static ANNOUNCED: Cell<usize> = const { Cell::new(0) };
}

/// Adds up the size hints that its visitor receives.
#[derive(Debug)]
struct Greedy;

impl<'de> Deserialize<'de> for Greedy {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Greedy)
    }
}

impl<'de> Visitor<'de> for Greedy {
    type Value = Greedy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sequences")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Greedy, A::Error> {
        ANNOUNCED.set(ANNOUNCED.get() + seq.size_hint().unwrap());
        while seq.next_element::<Greedy>()?.is_some() {}
        Ok(Greedy)
    }
}

#[test]
fn no_more_elements_are_announced_than_bytes_were_received() {
    // Each of a hundred nested arrays announces 768 elements.
    let mut bytes = Vec::new();
    for _ in 0..100 {
        bytes.extend([0xdc, 0x03, 0x00]);
    }
    bytes.extend([0x90; 1000]);
    decode::<Greedy>(&bytes).unwrap_err();
    assert!(ANNOUNCED.get() <= bytes.len(), "{} elements were announced", ANNOUNCED.get());
}

#[test]
fn encoded_lengths_are_checked_before_anything_else() {
    for head in [0xdd, 0xdf, 0xdb, 0xc6] {
        let bytes = [head, 0xff, 0xff, 0xff, 0xff, 1, 1];
        assert_eq!(decode::<Value>(&bytes).unwrap_err().message(), "unexpected end of input");
        assert_eq!(decode::<IgnoredAny>(&bytes).unwrap_err().message(), "unexpected end of input");
    }
}

//! Values within types whose content serde buffers: what serde would misread is refused with its path, and
//! what was sent arrives.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Debug,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Defaults, encoded};
use crate::codec::decode_verified;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Created,
    Deleted,
    Jump { n: u8 },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
enum Step {
    Up,
    Jump { n: u8 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Event {
    id: u8,
    #[serde(flatten)]
    kind: Tagged,
}

/// A container of each kind around a field `of`, whose content serde buffers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Internal<T> {
    Of { of: T },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent<T> {
    Of { of: T },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged<T> {
    Of { of: T },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flat<T> {
    #[serde(flatten)]
    inner: Field<T>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Field<T> {
    of: T,
}

/// An adjacently tagged value whose content precedes its tag.
#[derive(Debug, Serialize)]
struct ContentFirst<T> {
    c: Field<T>,
    t: &'static str,
}

#[track_caller]
fn arrives<O: Serialize, N: Serialize + DeserializeOwned + PartialEq + Debug>(old: O, new: N) {
    assert_eq!(decode_verified::<N>(&encoded(&old)), Ok(new));
}

#[track_caller]
fn round_trips<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
    assert_eq!(decode_verified::<T>(&encoded(&value)).as_ref(), Ok(&value));
}

/// Checks that `value` arrives in all containers.
#[track_caller]
fn round_trips_within<T: Serialize + DeserializeOwned + PartialEq + Clone + Debug>(value: T) {
    let of = || value.clone();
    round_trips(Internal::Of { of: of() });
    round_trips(Untagged::Of { of: of() });
    round_trips(Flat { inner: Field { of: of() } });
    arrives(ContentFirst { c: Field { of: of() }, t: "Of" }, Adjacent::Of { of: of() });
    round_trips(vec![Adjacent::Of { of: of() }]);
}

#[track_caller]
fn refused<N: Serialize + DeserializeOwned + Debug>(old: impl Serialize, path: &str) -> String {
    let error = decode_verified::<N>(&encoded(&old)).unwrap_err();
    // Serde reports only that no variant of an untagged type matches.
    if !error.message().starts_with("data did not match any variant of untagged enum") {
        assert_eq!(error.path(), path, "{error}");
    }
    error.message().to_owned()
}

/// Checks that `old` cannot be read as an `N` in any container, because of a value at `path` within it.
#[track_caller]
fn refused_at<N: Serialize + DeserializeOwned + Debug>(
    old: impl Serialize + Clone,
    path: &str,
) -> String {
    let of = || old.clone();
    refused::<Untagged<N>>(Untagged::Of { of: of() }, &format!("of{path}"));
    refused::<Flat<N>>(Flat { inner: Field { of: of() } }, &format!("of{path}"));
    let content_first = ContentFirst { c: Field { of: of() }, t: "Of" };
    refused::<Adjacent<N>>(content_first, &format!("c.of{path}"));
    refused::<Internal<N>>(Internal::Of { of: of() }, &format!("of{path}"))
}

/// Checks that `old` cannot be read as an `N` in any container.
#[track_caller]
fn refused_within<N: Serialize + DeserializeOwned + Debug>(old: impl Serialize + Clone) -> String {
    refused_at::<N>(old, "")
}

#[test]
fn integer_is_not_a_tag() {
    #[derive(Debug, Serialize)]
    struct Old<K> {
        id: u8,
        kind: K,
    }
    refused::<Event>(Old { id: 7, kind: 1u8 }, "kind");
    refused::<Event>(Old { id: 1, kind: 1u8 }, "kind");
    refused::<Event>(Old { id: 7, kind: 1u64 << 40 }, "kind");
    refused::<Tagged>(Old { id: 7, kind: 1u8 }, "kind");
    refused::<Event>(Old { id: 7, kind: Bytes::from_static(b"Deleted") }, "kind");
    arrives(Old { id: 7, kind: "Deleted" }, Event { id: 7, kind: Tagged::Deleted });
}

#[test]
fn integer_is_not_a_name_that_other_accepts() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Open {
        Known,
        #[serde(other)]
        Other,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Event {
        #[serde(flatten)]
        open: Open,
    }
    for number in [0u64, 1, 7, 1 << 40, u64::MAX] {
        refused::<Event>(json!({ "kind": number }), "kind");
    }
    refused::<Event>(BTreeMap::from([("kind", Bytes::from_static(b"x"))]), "kind");
    arrives(json!({ "kind": "x" }), Event { open: Open::Other });
}

#[test]
fn sequence_is_not_a_tagged_variant() {
    refused::<Internal<Tagged>>(Internal::Of { of: vec![1u8, 9] }, "of[0]");
    refused::<Internal<Tagged>>(Internal::Of { of: ("Jump", 9u8) }, "of");
    refused::<Internal<Tagged>>(Internal::Of { of: ["Deleted"] }, "of");
    refused::<Internal<Tagged>>(Internal::Of { of: ["Deleted", "x"] }, "of");
    refused::<Internal<Adjacent<u8>>>(Internal::Of { of: ("Of", (1u8,)) }, "of[1]");
    refused_at::<Step>(json!({ "Jump": [9] }), ".Jump");
}

#[test]
fn sequence_is_not_a_struct() {
    refused_within::<Defaults>(Vec::<u8>::new());
    refused_within::<Defaults>([7u8]);
    refused_within::<Defaults>((7u8, None::<u8>));
    refused_within::<Defaults>(Bytes::from_static(&[7, 8]));
    refused_within::<Defaults>(Bytes::new());
    round_trips_within(Defaults::default());
}

#[test]
fn key_is_not_an_index_and_bytes_are_not_a_key() {
    refused_at::<Field<u8>>(BTreeMap::from([(0u8, 1u8)]), "[0]");
    refused_at::<Step>(BTreeMap::from([(1u8, Field { of: 1u8 })]), "[1]");
    refused_at::<Step>(BTreeMap::from([(0u8, ())]), "[0]");
    let keyed = Untagged::Of { of: HashMap::from([(Bytes::from_static(b"of"), 1u8)]) };
    refused::<Untagged<Field<u8>>>(keyed, "of[…]");
    let keyed = Untagged::Of { of: HashMap::from([(Bytes::from_static(b"of"), 1u8)]) };
    refused::<Untagged<HashMap<String, u8>>>(keyed, "of[…]");
    // Not only the first key counts.
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
    #[serde(untagged)]
    enum Mixed {
        Name(&'static str),
        Index(u8),
    }
    let mixed = BTreeMap::from([(Mixed::Name("x"), 1u8), (Mixed::Index(0), 7)]);
    refused_at::<Field<u8>>(mixed, "[0]");
    let by_sequence = Untagged::Of { of: BTreeMap::from([(vec![1u8], 1u8)]) };
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    struct Key {
        n: u8,
    }
    refused::<Untagged<BTreeMap<Key, u8>>>(by_sequence, "of[…]");
}

#[test]
fn bytes_are_not_text_and_text_is_not_bytes() {
    assert_eq!(
        refused_within::<String>(Bytes::from_static(b"ok")),
        "bytes would be read as text or a name"
    );
    assert_eq!(refused_within::<Bytes>("ok"), "text would be read as bytes");
    refused_within::<Step>(Bytes::from_static(b"Up"));
    refused_within::<Bytes>("");
    refused_within::<String>(Bytes::new());
    arrives(
        Internal::Of { of: vec![1u8, 200] },
        Internal::Of { of: Bytes::from_static(&[1, 200]) },
    );
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum TextOrRaw {
    Text(String),
    Raw(Bytes),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum RawOrText {
    Raw(Bytes),
    Text(String),
}

#[test]
fn bytes_arrive_as_bytes_although_text_is_tried_first() {
    for raw in [&b"ok"[..], b"", b"\xff", &[7; 300]] {
        round_trips(TextOrRaw::Raw(Bytes::copy_from_slice(raw)));
        round_trips_within(vec![
            TextOrRaw::Raw(Bytes::copy_from_slice(raw)),
            TextOrRaw::Text("ok".into()),
        ]);
    }
    round_trips_within(RawOrText::Raw(Bytes::from_static(b"ok")));
    // Serde reads text as bytes in any case.
    refused::<RawOrText>(RawOrText::Text("ok".into()), "");
}

#[test]
fn bytes_too_long_to_be_decoded_again_are_refused() {
    let long = Bytes::from(vec![b'x'; 2 << 20]);
    refused::<TextOrRaw>(TextOrRaw::Raw(long.clone()), "");
    round_trips(RawOrText::Raw(long));
}

#[test]
fn list_arrives_as_a_list_although_a_tagged_type_is_tried_first() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Message {
        Cmd(Tagged),
        Raw(Vec<u8>),
    }
    round_trips_within(Message::Raw(vec![1, 7]));
    round_trips_within(Message::Raw(vec![]));
    round_trips_within(Message::Cmd(Tagged::Jump { n: 7 }));
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "code")]
    enum Known {
        Gone,
        Busy,
    }
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Reply {
        Known(Known),
        Other { code: u8 },
    }
    round_trips_within(Reply::Other { code: 1 });
    round_trips_within(Reply::Known(Known::Gone));
}

#[test]
fn none_and_unit_are_different() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Nothing {
        Unit(()),
        Maybe(Option<u8>),
    }
    refused_within::<()>(None::<u8>);
    refused_within::<Option<()>>(Some(None::<u8>));
    refused_within::<Option<u8>>(());
    refused_within::<BTreeMap<u8, u8>>(());
    refused_within::<Option<BTreeMap<u8, u8>>>(());
    round_trips_within(Nothing::Unit(()));
    round_trips_within(Nothing::Maybe(None));
    round_trips_within(Nothing::Maybe(Some(1)));
    round_trips_within(Some(()));
    round_trips_within(vec![None, Some(())]);
    round_trips_within(Some(None::<u8>));
    round_trips_within(Some(None::<()>));
    round_trips(Internal::Of { of: Some(Some(())) });
    refused::<Untagged<Option<Option<()>>>>(Untagged::Of { of: Some(Some(())) }, "of");
    round_trips_within(None::<Option<()>>);
    arrives(Internal::Of { of: None::<u8> }, Internal::Of { of: Value::Null });
    arrives(Internal::Of { of: Some(None::<u8>) }, Internal::Of { of: Some(Value::Null) });
    round_trips_within(Value::Null);
    round_trips_within(Some(Value::Null));
    round_trips_within((Some(()), 1u8));
    round_trips(Internal::Of { of: (Some(()), ()) });
    refused::<Untagged<(Option<()>, ())>>(Untagged::Of { of: (Some(()), ()) }, "of[0]");
    round_trips_within(json!([null, 1, { "a": null }]));
}

#[test]
fn number_is_not_rounded() {
    refused_within::<f32>(1.1f64);
    refused_within::<f32>((1u32 << 24) + 1);
    refused_within::<f64>((1u64 << 53) + 1);
    refused_within::<f64>(-(1i64 << 53) - 1);
    refused_at::<(f32, bool)>((1.1f64, true), "[0]");
    round_trips_within(1.1f32);
    round_trips_within(f64::INFINITY);
    arrives(Internal::Of { of: 7u64 }, Internal::Of { of: 7.0f32 });
    arrives(Internal::Of { of: 1u64 << 40 }, Internal::Of { of: (1u64 << 40) as f64 });
}

#[test]
fn tuple_that_has_grown_is_checked() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Grown(f32, #[serde(default)] u8);
    refused::<Internal<Grown>>(Internal::Of { of: (1.1f64,) }, "of[0]");
    arrives(Internal::Of { of: (1.5f64,) }, Internal::Of { of: Grown(1.5, 0) });
}

#[test]
fn float_that_is_not_finite_is_not_null() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let message = refused::<Value>(vec![1.0, number], "[1]");
        assert_eq!(message, "a float that is not finite would be read as null");
        refused_within::<Value>(number);
        refused_within::<Option<Value>>(number as f32);
    }
    arrives(vec![1.0, 0.5], json!([1.0, 0.5]));
}

/// What serde_json writes for a number if its feature `arbitrary_precision` is enabled.
#[derive(Debug, Clone, Serialize)]
#[serde(rename = "$serde_json::private::Number")]
struct Number {
    #[serde(rename = "$serde_json::private::Number")]
    text: String,
}

fn number(text: &str) -> Number {
    Number { text: text.to_owned() }
}

#[test]
fn number_with_arbitrary_precision_arrives_as_a_number() {
    for (text, value) in
        [("7", json!(7)), ("-7", json!(-7)), ("0.5", json!(0.5)), ("1e3", json!(1e3))]
    {
        arrives(vec![number(text)], json!([value]));
        // Nodes of version 0.1 send the struct.
        let sent = BTreeMap::from([("$serde_json::private::Number", text)]);
        arrives(vec![sent.clone()], json!([value]));
        arrives(Internal::Of { of: sent }, Internal::Of { of: value });
    }
    arrives(vec![number("7")], vec![7u8]);
    arrives(
        BTreeMap::from([("$serde_json::private::Number", 7)]),
        json!({ "$serde_json::private::Number": 7 }),
    );
}

#[test]
fn number_with_too_many_digits_is_refused() {
    let wide = "123456789012345678901234567890";
    let error = crate::codec::encode(&vec![number(wide)], &mut Vec::new()).unwrap_err();
    assert_eq!(error.path(), "[0]");
    assert_eq!(
        error.message(),
        format!("the JSON number {wide} has no exact representation in 64 bits")
    );
    refused::<Value>([BTreeMap::from([("$serde_json::private::Number", wide)])], "[0]");
}

#[test]
fn sets_arrive_in_any_order() {
    let set: HashSet<_> =
        (0..20).flat_map(|n| [vec![Step::Jump { n }], vec![Step::Up; n.into()]]).collect();
    round_trips_within(set);
    let map: HashMap<_, _> =
        (0..20).map(|n| (n.to_string(), json!([n, null, { "n": n }]))).collect();
    round_trips_within(map);
}

#[test]
fn types_that_migrate_old_data_still_do() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(from = "OneOrMany")]
    struct Many(Vec<String>);
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
        Count(u8),
    }
    impl From<OneOrMany> for Many {
        fn from(from: OneOrMany) -> Self {
            match from {
                OneOrMany::One(one) => Many(vec![one]),
                OneOrMany::Many(many) => Many(many),
                OneOrMany::Count(count) => Many(vec!["x".to_owned(); count.into()]),
            }
        }
    }
    arrives("a", Many(vec!["a".into()]));
    arrives(2u8, Many(vec!["x".into(), "x".into()]));

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(from = "Code")]
    struct Named(String);
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Code {
        Number(u8),
        Name(String),
    }
    impl From<Code> for Named {
        fn from(from: Code) -> Self {
            match from {
                Code::Number(number) => Named(format!("code {number}")),
                Code::Name(name) => Named(name),
            }
        }
    }
    arrives(7u8, Named("code 7".into()));
}

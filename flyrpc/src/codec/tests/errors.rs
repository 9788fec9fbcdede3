//! Errors contain the position in the value, and the cause.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeSeq};
use serde_json::json;

use crate::codec::{self, encode};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Note {
    tags: Vec<Tag>,
    by_year: Option<BTreeMap<u16, (u8, u8)>>,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code)]
enum Tag {
    Plain,
    Rich { kind: u8 },
    Pair(u8, u8),
    One(Vec<u8>),
}

#[track_caller]
fn check(old: impl Serialize, path: &str, message: &str) {
    let error = codec::decode::<Note>(&super::encoded(&old)).unwrap_err();
    assert_eq!((error.path(), error.message()), (path, message));
}

#[test]
fn unreadable_value_is_located() {
    let tags = |tag| json!({ "tags": ["Plain", tag] });
    check(true, "", "invalid type: boolean `true`, expected struct Note");
    check(json!({}), "", "missing field `tags`");
    check(json!({ "tags": 1 }), "tags", "invalid type: integer `1`, expected a sequence");
    check(
        tags(json!({ "Rich": { "kind": 300 } })),
        "tags[1].Rich.kind",
        "invalid value: integer `300`, expected u8",
    );
    check(tags(json!({ "Rich": {} })), "tags[1].Rich", "missing field `kind`");
    check(
        tags(json!({ "Pair": [1, "x"] })),
        "tags[1].Pair[1]",
        "invalid type: string \"x\", expected u8",
    );
    check(
        tags(json!({ "One": [1, 2, -3] })),
        "tags[1].One[2]",
        "invalid value: integer `-3`, expected u8",
    );
    check(
        tags(json!("Odd")),
        "tags[1]",
        "unknown variant `Odd`, expected one of `Plain`, `Rich`, `Pair`, `One`",
    );
    check(
        tags(json!("One")),
        "tags[1].One",
        "invalid type: unit variant, expected a variant with a value",
    );
    let extra = json!({ "tags": [], "other": 1 });
    check(extra, "other", "unknown field `other`, expected `tags` or `by_year`");
}

#[test]
fn unreadable_map_value_is_located_by_its_key() {
    #[derive(Serialize)]
    struct Old {
        by_year: BTreeMap<i32, Vec<u8>>,
    }
    let old = |year, days| Old { by_year: BTreeMap::from([(2000, vec![1, 2]), (year, days)]) };
    check(old(2001, vec![1, 2, 3]), "by_year[2001]", "3 elements where 2 were expected");
    check(old(-1, vec![1, 2]), "by_year[-1]", "invalid value: integer `-1`, expected u16");
}

#[test]
fn long_text_of_a_peer_is_truncated() {
    let error = super::refused::<u8>("é".repeat(100_000));
    assert!(error.len() < 1000, "{} bytes", error.len());
    let name = "n".repeat(100_000);
    let error = super::refused::<BTreeMap<String, u8>>(BTreeMap::from([(name, "x")]));
    assert!(error.len() < 1000, "{} bytes", error.len());
}

struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

#[derive(Serialize)]
enum Wrapped<T> {
    One(T),
    Pair(u8, T),
    Named { inner: T },
}

#[track_caller]
fn check_unwritable(value: impl Serialize, path: &str) {
    let mut bytes = vec![1, 2];
    let error = encode(&value, &mut bytes).unwrap_err();
    assert_eq!((error.path(), error.message()), (path, "not today"));
    assert_eq!(bytes, [1, 2], "the buffer keeps its previous content and nothing else");
}

#[test]
fn unwritable_value_is_located() {
    check_unwritable(Unwritable, "");
    check_unwritable(Some(vec![Unwritable]), "[0]");
    check_unwritable((1, Wrapped::One(Unwritable)), "[1].One");
    check_unwritable(Wrapped::Pair(1, Unwritable), "Pair[1]");
    check_unwritable(Wrapped::Named { inner: (1, Unwritable) }, "Named.inner[1]");
    check_unwritable(BTreeMap::from([("key", Unwritable)]), "key");
    check_unwritable(BTreeMap::from([(7, Unwritable)]), "[7]");
}

#[test]
fn value_that_announces_a_wrong_length_is_written_with_its_actual_length() {
    struct Liar(Option<usize>);
    impl Serialize for Liar {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            let mut seq = to.serialize_seq(self.0)?;
            for n in 0..20 {
                seq.serialize_element(&n)?;
            }
            seq.end()
        }
    }
    let all: Vec<u8> = (0..20).collect();
    for announced in [None, Some(0), Some(3), Some(20), Some(300), Some(70_000)] {
        let bytes = super::encoded(&(1u8, Liar(announced), 2u8));
        assert_eq!(codec::decode::<(u8, Vec<u8>, u8)>(&bytes).unwrap(), (1, all.clone(), 2));
    }
}

#[test]
fn failed_element_that_is_skipped_leaves_nothing() {
    struct Lossy;
    impl Serialize for Lossy {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            let mut seq = to.serialize_seq(Some(3))?;
            seq.serialize_element("a")?;
            assert!(seq.serialize_element(&(1, [Wrapped::One(Unwritable)])).is_err());
            seq.serialize_element("b")?;
            seq.end()
        }
    }
    assert_eq!(codec::decode::<Vec<String>>(&super::encoded(&Lossy)).unwrap(), ["a", "b"]);
}

#[test]
fn infinite_value_is_an_error_when_written() {
    struct Endless;
    impl Serialize for Endless {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.collect_seq([Endless])
        }
    }
    struct Wrapping;
    impl Serialize for Wrapping {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.serialize_some(&Wrapping)
        }
    }
    let error = encode(&Endless, &mut Vec::new()).unwrap_err();
    assert_eq!(error.message(), "value is nested more than 128 levels deep");
    let error = encode(&Wrapping, &mut Vec::new()).unwrap_err();
    assert_eq!(error.message(), "value is nested more than 1024 options deep");
}

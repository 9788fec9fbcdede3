//! Values that one version of a type encodes and another version decodes without loss.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{check, refused};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Old {
    id: u32,
    name: String,
    gone: Option<u8>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct New {
    name: String,
    id: u64,
    #[serde(default)]
    retries: u8,
    note: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum OldKind {
    Plain,
    Sized(u8),
    Boxed { w: u8 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum NewKind {
    Round,
    Boxed {
        w: u16,
        #[serde(default)]
        h: u16,
    },
    Sized(u64),
    Plain,
}

#[test]
fn fields_may_be_added_removed_and_reordered_at_any_depth() {
    let old = || Old { id: 1, name: "a".into(), gone: Some(1) };
    let new = || New { name: "a".into(), id: 1, retries: 0, note: None };
    check(old(), new());
    check(vec![old()], vec![new()]);
    check(BTreeMap::from([(1, Some((old(), 2u8)))]), BTreeMap::from([(1, Some((new(), 2u8)))]));
    check(Ok::<Old, ()>(old()), Ok::<New, ()>(new()));
    check(new(), Old { gone: None, ..old() });
}

#[test]
fn variants_may_be_added_and_reordered() {
    let old = vec![OldKind::Plain, OldKind::Sized(3), OldKind::Boxed { w: 4 }];
    let new = vec![NewKind::Plain, NewKind::Sized(3), NewKind::Boxed { w: 4, h: 0 }];
    check(old, new);
    check(vec![NewKind::Plain, NewKind::Sized(3)], vec![OldKind::Plain, OldKind::Sized(3)]);
    let error = refused::<Vec<OldKind>>(vec![NewKind::Round]);
    assert!(error.contains("[0]: unknown variant `Round`"), "{error}");
}

#[test]
fn integers_are_widened_and_narrowed_where_they_fit() {
    check(200u8, 200u64);
    check(200u64, 200u8);
    check(200u64, 200i16);
    check(-7i128, -7i8);
    check(7u128, 7i8);
    check(u64::MAX, u128::from(u64::MAX));
    check(u64::MAX, i128::from(u64::MAX));
    check(i128::MAX, i128::MAX as u128);
    check(i128::MIN, i128::MIN);
    check(BTreeMap::from([(1u8, 2u8)]), BTreeMap::from([(1i64, 2i64)]));
}

#[test]
fn numbers_become_floats_where_they_are_exact() {
    check(3u8, 3.0f32);
    check(-3i64, -3.0f64);
    check(1u64 << 63, (1u64 << 63) as f32);
    check(i64::MIN, i64::MIN as f64);
    check(0.5f64, 0.5f32);
    check(1.1f32, f64::from(1.1f32));
    check(f64::INFINITY, f32::INFINITY);
}

#[test]
fn value_and_option_are_read_as_each_other() {
    check(5u8, Some(5u8));
    check(Some(5u8), 5u8);
    check((), Some(()));
    check(Some(()), ());
    check(None::<u8>, None::<String>);
    check(Some(7u8), Some(Some(7u8)));
    check(Some(Some(7u8)), Some(7u8));
    check("Plain", Some(OldKind::Plain));
}

#[test]
fn text_becomes_a_variant_a_char_or_an_address_of_that_name() {
    check("Plain", OldKind::Plain);
    check(OldKind::Plain, "Plain".to_owned());
    check("x", 'x');
    check('x', "x".to_owned());
    check("::1", std::net::Ipv6Addr::LOCALHOST);
}

#[test]
fn bytes_and_sequences_of_integers_are_read_as_each_other() {
    let bytes = || bytes::Bytes::from_static(&[1, 127, 128, 255]);
    check(vec![1u8, 127, 128, 255], bytes());
    check(bytes(), vec![1u8, 127, 128, 255]);
    check(bytes(), [1u16, 127, 128, 255]);
}

#[test]
fn structs_maps_and_json_are_read_as_each_other() {
    let old = || Old { id: 1, name: "a".into(), gone: None };
    check(old(), json!({ "id": 1, "name": "a", "gone": null }));
    check(json!({ "id": 1, "name": "a", "unknown": [1] }), old());
    check(BTreeMap::from([("w", 1u8), ("h", 2)]), Rect { w: 1, h: 2 });
    check(Rect { w: 1, h: 2 }, BTreeMap::from([("w".to_owned(), 1u8), ("h".to_owned(), 2)]));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Rect {
    w: u8,
    h: u8,
}

#[test]
fn tuple_grows_by_elements_with_a_default() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Grown(u8, u8, #[serde(default)] u8);
    check((1u8, 2u8), Grown(1, 2, 0));
    refused::<(u8, u8)>(Grown(1, 2, 0));
}

#[test]
fn swallowed_error_affects_only_its_own_value() {
    #[derive(Debug, PartialEq, Default, Deserialize)]
    #[serde(default)]
    struct Lenient {
        #[serde(deserialize_with = "or_default")]
        first: Vec<u8>,
        second: Unread,
        #[serde(deserialize_with = "or_default")]
        third: OldKindOrNone,
        last: u8,
    }
    #[derive(Debug, PartialEq, Default)]
    struct Unread;
    impl<'de> Deserialize<'de> for Unread {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Ok(Unread)
        }
    }
    type OldKindOrNone = Option<OldKind>;
    fn or_default<'de, D, T>(from: D) -> Result<T, D::Error>
    where
        D: serde::Deserializer<'de>,
        T: Deserialize<'de> + Default,
    {
        Ok(T::deserialize(from).unwrap_or_default())
    }

    let third = json!({ "Sized": [[1]] });
    let old =
        json!({ "first": [1, [2, 999], 3], "second": { "a": [1] }, "third": third, "last": 9 });
    check(old, Lenient { last: 9, ..Lenient::default() });
    // Decoding fails if the end of the swallowed value cannot be determined.
    let bytes = b"\x82\xa5first\xd6\xff\x00\x00\xa4last\x01";
    crate::codec::decode::<Lenient>(bytes).unwrap_err();
    #[derive(Debug, PartialEq, Default, Deserialize)]
    struct Whole(#[serde(deserialize_with = "or_default")] Vec<u8>);
    check(json!([1, ["x"], 2]), Whole::default());
}

#[test]
fn visitor_that_skips_elements_receives_the_others() {
    #[derive(Debug, PartialEq)]
    struct Good(Vec<(u8, u8)>);
    impl<'de> Deserialize<'de> for Good {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            from.deserialize_seq(Pairs)
        }
    }
    struct Pairs;
    impl<'de> serde::de::Visitor<'de> for Pairs {
        type Value = Good;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("pairs")
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Good, A::Error> {
            let mut good = Vec::new();
            loop {
                match seq.next_element() {
                    Ok(Some(pair)) => good.push(pair),
                    Ok(None) => return Ok(Good(good)),
                    Err(_) => {}
                }
            }
        }
    }
    let old = json!([[[1, 2], [1, [2, 3]], [3, 4], { "a": [1] }, [5], [6, 7, 8]], 9]);
    check(old, (Good(vec![(1, 2), (3, 4)]), 9u8));
}

//! Bodies that must be refused, because they would decode as a different value or as a guess. Plain
//! rmp-serde was observed to decode most of them.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::json;

use super::refused;
use crate::codec;

#[derive(Debug, Serialize, Deserialize)]
struct Limits {
    max: u8,
    min: u8,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Defaulted {
    max: u8,
}

#[derive(Debug, Serialize, Deserialize)]
struct Braced {}

#[derive(Debug, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    First,
    Second,
    One(u8),
    Two(u8, u8),
    Named { max: u8 },
    Maybe(Option<u8>),
    Empty(()),
}

#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    #[allow(dead_code)]
    Max,
}

#[test]
fn sequence_is_not_a_struct() {
    refused::<Limits>(vec![1u8, 9]);
    refused::<Limits>((1u8, 9u8));
    refused::<Defaulted>(Vec::<u8>::new());
    refused::<Braced>(Vec::<u8>::new());
    refused::<Duration>((1u64, 0u32));
    refused::<Kind>(json!({ "Named": [1] }));
    refused::<Vec<u8>>(Limits { max: 1, min: 9 });
    refused::<(u8, u8)>(Limits { max: 1, min: 9 });
}

#[test]
fn sequence_is_not_a_map() {
    refused::<HashMap<u8, u8>>(vec![(1u8, 2u8)]);
    refused::<Vec<(u8, u8)>>(BTreeMap::from([(1u8, 2u8)]));
    refused::<HashMap<u8, u8>>(Vec::<u8>::new());
}

#[test]
fn index_is_not_a_variant() {
    refused::<Kind>(0u8);
    refused::<Kind>(BTreeMap::from([(2u8, 1u8)]));
    refused::<Kind>((2u8, 1u8));
    refused::<Kind>(bytes::Bytes::from_static(b"First"));
    refused::<Result<u8, u8>>(BTreeMap::from([(0u8, 1u8)]));
}

#[test]
fn index_is_not_a_field() {
    refused::<Limits>(BTreeMap::from([(0u8, 1u8), (1, 2)]));
    refused::<Defaulted>(BTreeMap::from([(0u8, 1u8)]));
    refused::<BTreeMap<Field, u8>>(BTreeMap::from([(0u8, 1u8)]));
    refused::<Vec<Field>>(bytes::Bytes::from_static(&[0]));
    refused::<Defaulted>(BTreeMap::from([(serde_bytes::ByteBuf::from("max"), 1u8)]));
}

#[test]
fn float_is_not_rounded() {
    refused::<f32>(1e300f64);
    refused::<f32>(1.1f64);
    refused::<f32>(1e-300f64);
    refused::<f64>((1u64 << 53) + 1);
    refused::<f64>(-(1i64 << 53) - 1);
    refused::<f64>(u64::MAX);
    refused::<f32>((1u32 << 24) + 1);
    refused::<Vec<f32>>(vec![1.1f64]);
}

#[test]
fn float_is_not_an_integer() {
    refused::<u8>(1.0f64);
    refused::<i64>(1.0f32);
    refused::<u128>(1.0f64);
    refused::<u8>(f64::NAN);
}

#[test]
fn integer_does_not_wrap() {
    refused::<u8>(256u16);
    refused::<u8>(-1i8);
    refused::<i8>(128u8);
    refused::<i64>(u64::MAX);
    refused::<u64>(u128::MAX);
    refused::<u64>(-1i64);
    refused::<u128>(-1i64);
    refused::<u128>(i128::MIN);
    refused::<i128>(u128::MAX);
    refused::<std::num::NonZeroU8>(0u8);
    refused::<f64>(u128::MAX);
    refused::<char>(97u8);
    refused::<bool>(1u8);
    refused::<u8>(true);
    refused::<u8>('1');
}

#[test]
fn tuple_must_have_its_length() {
    refused::<(u8, u8)>((1u8, 2u8, 3u8));
    refused::<(u8, u8)>((1u8,));
    refused::<[u8; 2]>(vec![1u8; 3]);
    refused::<[u8; 0]>(vec![1u8]);
    refused::<Kind>(json!({ "Two": [1, 2, 3] }));
    refused::<Kind>(json!({ "Two": [1] }));
    refused::<u8>((1u8,));
    refused::<(u8,)>(1u8);
}

#[test]
fn none_is_not_a_value_and_unit_is_not_none() {
    refused::<()>(None::<u8>);
    refused::<Unit>(None::<u8>);
    refused::<u8>(None::<u8>);
    refused::<String>(None::<u8>);
    refused::<Vec<u8>>(None::<u8>);
    refused::<Limits>(None::<u8>);
    refused::<Kind>(None::<u8>);
    refused::<Option<u8>>(());
    refused::<Option<Defaulted>>(());
    refused::<Result<Option<u8>, String>>(Ok::<(), String>(()));
    refused::<u8>(());
    refused::<bool>(());
    refused::<Defaulted>(());
    refused::<Braced>(());
    refused::<Vec<u8>>(());
    refused::<()>(Vec::<u8>::new());
    refused::<()>(Braced {});
    refused::<()>(false);
    refused::<()>(0u8);
    refused::<Unit>("Unit");
    refused::<Option<u8>>(Some(None::<u8>));
    refused::<()>(Some(None::<u8>));
}

#[test]
fn bytes_are_not_text() {
    refused::<String>(vec![104u8, 105]);
    refused::<String>(bytes::Bytes::from_static(b"hi"));
    refused::<bytes::Bytes>("hi");
    refused::<serde_bytes::ByteBuf>("hi");
    refused::<Vec<u8>>("hi");
    refused::<Vec<char>>("hi");
    refused::<char>("hi");
    refused::<char>("");
    refused::<bytes::Bytes>(vec![256u16]);
    refused::<Vec<bool>>(bytes::Bytes::from_static(&[1]));
    refused::<Vec<Option<()>>>(bytes::Bytes::from_static(&[1]));
    refused::<[u8; 3]>(bytes::Bytes::from_static(&[1, 2]));
    refused::<[u8; 1]>(bytes::Bytes::from_static(&[1, 2]));
}

#[test]
fn variant_must_have_its_kind_of_content() {
    refused::<Kind>("one");
    refused::<Kind>("One");
    refused::<Kind>("Two");
    refused::<Kind>("Named");
    refused::<Kind>("Maybe");
    refused::<Kind>("Empty");
    refused::<Kind>(json!({ "First": null }));
    refused::<Kind>(json!({ "First": {} }));
    refused::<Kind>(json!({ "First": 1 }));
    refused::<Kind>(json!({ "One": [1] }));
    refused::<Kind>(json!({ "Two": { "max": 1 } }));
    refused::<Kind>(json!({ "One": 1, "Second": 2 }));
    refused::<Kind>(json!({}));
    refused::<Kind>(json!(["First"]));
}

#[test]
fn field_is_neither_missing_nor_given_twice() {
    refused::<Limits>(BTreeMap::from([("max", 1u8)]));
    let twice = [0x82, 0xa3, b'm', b'a', b'x', 1, 0xa3, b'm', b'a', b'x', 2];
    let error = codec::decode::<Defaulted>(&twice).unwrap_err();
    assert_eq!(error.message(), "duplicate field `max`");
}

#[track_caller]
fn refused_bytes<T: serde::de::DeserializeOwned + std::fmt::Debug>(bytes: &[u8]) -> String {
    codec::decode::<T>(bytes).expect_err("these bytes are not a valid body").to_string()
}

#[test]
fn bytes_after_the_value_are_refused() {
    assert_eq!(refused_bytes::<u8>(&[1, 2]), "trailing bytes after the value: 1");
    refused_bytes::<Vec<u8>>(&[0x91, 1, 0xc0]);
    refused_bytes::<IgnoredAny>(&[0x91, 1, 0xc0]);
    refused_bytes::<Option<u8>>(&[0xc0, 0xc0]);
}

#[test]
fn foreign_extensions_and_reserved_bytes_are_refused() {
    refused_bytes::<serde_json::Value>(&[0xc1]);
    refused_bytes::<IgnoredAny>(&[0xc1]);
    // An unknown extension type, and flyrpc's extension types with a different length or content.
    refused_bytes::<serde_json::Value>(&[0xd4, 9, 0]);
    refused_bytes::<()>(&[0xd4, 0, 1]);
    refused_bytes::<Option<Option<u8>>>(&[0xd4, 1, 1]);
    refused_bytes::<()>(&[0xd5, 0, 0, 0]);
    refused_bytes::<IgnoredAny>(&[0xc7, 1, 0, 0]);
    // MessagePack's timestamp extension.
    refused_bytes::<serde_json::Value>(&[0xd6, 0xff, 0, 0, 0, 0]);
    refused_bytes::<u64>(&[0xd6, 0xff, 0, 0, 0, 0]);
}

#[test]
fn text_must_be_utf8() {
    refused_bytes::<String>(&[0xa1, 0xff]);
    refused_bytes::<BTreeMap<String, u8>>(&[0x81, 0xa1, 0xff, 1]);
}

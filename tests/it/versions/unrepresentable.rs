//! Changes that cannot be represented. They are refused, and never result in a different value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{types, versions};

types! {
    struct Limits { max: u8, min: u8 }
    struct Plain { id: u8, note: Option<String> }
    struct Wide { #[serde(flatten)] inner: Inner<u128> }
    struct Narrow { #[serde(flatten)] inner: Inner<u64> }
    struct Inner<T> { value: T }
    #[serde(tag = "kind")]
    enum Listed { Range { of: Vec<u8> }, Ratio { of: f64 }, Count { of: u64 }, Unit { of: () }, Same { of: (u8, u8) } }
    #[serde(tag = "kind")]
    enum Named { Range { of: Limits }, Ratio { of: f32 }, Count { of: f64 }, Unit { of: Option<u8> }, Same { of: Vec<u8> } }
    #[serde(untagged)]
    enum Loose { List(Vec<u8>), Text(String) }
    #[serde(untagged)]
    enum LooseV2 { Limits(Limits), Text(String) }
    struct Flat<T> { id: u8, #[serde(flatten)] inner: Inner<T> }
    #[serde(tag = "t", content = "c")]
    enum Adjacent<T> { Value(T) }
    enum Kind { One(u8), Two(u8) }
}

versions! {
    a_list_is_not_a_struct_within_a_tagged_type: Listed, Named {
        old Listed::Range { of: vec![1, 9] } => Err("of");
        new Named::Range { of: Limits { max: 9, min: 1 } } => Err("map");
    }
    a_float_is_not_rounded_within_a_tagged_type: Listed, Named {
        old Listed::Ratio { of: 0.5 } => Ok(Named::Ratio { of: 0.5 });
        old Listed::Ratio { of: 0.1 } => Err("of");
        new Named::Ratio { of: 0.1 } => Ok(Listed::Ratio { of: f64::from(0.1f32) });
    }
    a_big_integer_is_not_rounded_within_a_tagged_type: Listed, Named {
        old Listed::Count { of: 1 << 60 } => Ok(Named::Count { of: (1u64 << 60) as f64 });
        old Listed::Count { of: u64::MAX } => Err("of");
        new Named::Count { of: 1.0 } => Err("floating point");
    }
    a_unit_is_not_a_none_within_a_tagged_type: Listed, Named {
        old Listed::Unit { of: () } => Err("of");
        new Named::Unit { of: Some(1) } => Err("1");
    }
    a_tuple_is_a_list_within_a_tagged_type: Listed, Named {
        old Listed::Same { of: (1, 2) } => Ok(Named::Same { of: vec![1, 2] });
        new Named::Same { of: vec![1, 2] } => Ok(Listed::Same { of: (1, 2) });
        new Named::Same { of: vec![1] } => Err("length 1");
    }
    a_list_is_not_a_struct_within_an_untagged_type: Loose, LooseV2 {
        old Loose::List(vec![1, 9]) => Err("sequence");
        old Loose::Text("a".into()) => Ok(LooseV2::Text("a".into()));
        new LooseV2::Limits(Limits { max: 1, min: 0 }) => Err("did not match");
    }
    a_list_is_not_a_struct_within_a_flattened_type: Flat<Vec<u8>>, Flat<Limits> {
        old Flat { id: 1, inner: Inner { value: vec![1, 9] } } => Err("value");
        new Flat { id: 1, inner: Inner { value: Limits { max: 1, min: 0 } } } => Err("map");
    }
    a_list_is_not_a_struct_in_the_content_of_a_tagged_type: Adjacent<(u8, u8)>, Adjacent<Limits> {
        old Adjacent::Value((1, 9)) => Err("sequence");
        new Adjacent::Value(Limits { max: 9, min: 1 }) => Err("map");
    }
    an_index_is_not_a_variant_within_a_flattened_type: Flat<BTreeMap<u8, u8>>, Flat<Kind> {
        old Flat { id: 1, inner: Inner { value: BTreeMap::from([(1, 7)]) } } => Err("value");
        new Flat { id: 1, inner: Inner { value: Kind::Two(7) } } => Err("Two");
    }
    integers_of_128_bits_are_refused_within_a_flattened_type: Wide, Narrow {
        old Wide { inner: Inner { value: 1 } } => Ok(Narrow { inner: Inner { value: 1 } });
        old Wide { inner: Inner { value: u128::MAX } } => Err("128");
        new Narrow { inner: Inner { value: 1 } } => Err("128");
    }
    the_null_of_a_json_value_is_a_unit_and_not_a_none: Value, Plain {
        old json!({ "id": 1, "note": null }) => Err("note");
        old json!({ "id": 1 }) => Ok(Plain { id: 1, note: None });
        new Plain { id: 1, note: None } => Ok(json!({ "id": 1, "note": null }));
    }
}

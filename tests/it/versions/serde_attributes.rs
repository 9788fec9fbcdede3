//! The effect of serde's attributes on values, between versions that use them and versions that do
//! not.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::{types, versions};

types! {
    struct Plain { id: u32, name: String }
    #[serde(rename_all = "camelCase")]
    struct Renamed { id: u32, #[serde(rename = "name")] called: Cow<'static, str> }
    struct Aliased { id: u32, #[serde(alias = "name")] title: String }
    #[serde(transparent)]
    struct Through { only: Plain }
    #[serde(default)]
    #[derive(Default)]
    struct AllDefault { id: u32, name: String, more: Vec<u8> }
    struct Skipping {
        id: u32,
        name: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        more: Vec<u8>,
        #[serde(skip)]
        local: u8,
    }
    struct FlatHead { id: u32 }
    struct Flat { #[serde(flatten)] head: FlatHead, name: String, #[serde(flatten)] rest: BTreeMap<String, Value> }
    #[serde(from = "u32", into = "u32")]
    struct Id(u64);
    #[serde(try_from = "String", into = "String")]
    struct Name(String);
    struct AsText { #[serde(with = "as_text")] id: u64 }
    struct AsNumber { id: u64 }
    struct TextThere { id: String }
    #[serde(rename_all = "snake_case")]
    enum Snake { VeryLow, #[serde(alias = "top")] High(u8) }
    enum Camel { #[serde(rename = "very_low")] VeryLow, #[serde(rename = "top")] Top(u8) }
    struct Lenient { id: u32, #[serde(deserialize_with = "or_none", default)] extra: Option<u8> }
    struct Extra { id: u32, extra: String }
}

impl From<u32> for Id {
    fn from(id: u32) -> Self {
        Id(id.into())
    }
}

impl From<Id> for u32 {
    fn from(id: Id) -> Self {
        id.0 as u32
    }
}

impl TryFrom<String> for Name {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, &'static str> {
        if name.is_empty() { Err("a name is not empty") } else { Ok(Name(name)) }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

mod as_text {
    use super::*;

    pub(super) fn serialize<S: Serializer>(id: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

fn or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u8>, D::Error> {
    Ok(u8::deserialize(from).ok())
}

fn plain() -> Plain {
    Plain { id: 1, name: "fly".into() }
}

versions! {
    a_renamed_field_keeps_its_name_on_the_wire: Plain, Renamed {
        old plain() => Ok(Renamed { id: 1, called: "fly".into() });
        new Renamed { id: 1, called: "fly".into() } => Ok(plain());
    }
    an_alias_is_decoded_but_not_encoded: Plain, Aliased {
        old plain() => Ok(Aliased { id: 1, title: "fly".into() });
        new Aliased { id: 1, title: "fly".into() } => Err("missing field `name`");
    }
    a_transparent_struct_is_encoded_as_its_content: Plain, Through {
        old plain() => Ok(Through { only: plain() });
        new Through { only: plain() } => Ok(plain());
    }
    every_field_of_a_struct_may_have_a_default: Plain, AllDefault {
        old plain() => Ok(AllDefault { id: 1, name: "fly".into(), more: vec![] });
        new AllDefault { id: 1, name: "fly".into(), more: vec![1] } => Ok(plain());
    }
    a_skipped_field_is_not_required: Plain, Skipping {
        old plain() => Ok(Skipping { id: 1, name: "fly".into(), more: vec![], local: 0 });
        new Skipping { id: 1, name: "fly".into(), more: vec![], local: 7 } => Ok(plain());
        new Skipping { id: 1, name: "fly".into(), more: vec![1], local: 7 } => Ok(plain());
    }
    a_skipped_field_arrives_as_its_default: Skipping, AllDefault {
        old Skipping { id: 1, name: String::new(), more: vec![], local: 7 }
            => Ok(AllDefault { id: 1, ..AllDefault::default() });
        new AllDefault { more: vec![1], ..AllDefault::default() }
            => Ok(Skipping { id: 0, name: String::new(), more: vec![1], local: 0 });
    }
    fields_are_flattened_and_back: Plain, Flat {
        old plain() => Ok(Flat { head: FlatHead { id: 1 }, name: "fly".into(), rest: BTreeMap::new() });
        new Flat {
            head: FlatHead { id: 1 },
            name: "fly".into(),
            rest: BTreeMap::from([("more".into(), json!([1, { "a": 1.5 }]))]),
        } => Ok(plain());
    }
    a_flattened_map_keeps_fields_of_a_newer_version: Flat, AllDefault {
        new AllDefault { id: 1, name: "fly".into(), more: vec![1] } => Ok(Flat {
            head: FlatHead { id: 1 },
            name: "fly".into(),
            rest: BTreeMap::from([("more".into(), json!([1]))]),
        });
        old Flat {
            head: FlatHead { id: 1 },
            name: "fly".into(),
            rest: BTreeMap::from([("more".into(), json!([1]))]),
        } => Ok(AllDefault { id: 1, name: "fly".into(), more: vec![1] });
        old Flat {
            head: FlatHead { id: 1 },
            name: "fly".into(),
            rest: BTreeMap::from([("more".into(), json!([1.5]))]),
        } => Err("more[0]");
    }
    a_converted_type_is_encoded_as_its_target: u32, Id {
        old 7 => Ok(Id(7));
        new Id(7) => Ok(7);
    }
    a_failed_conversion_reports_the_reason: String, Name {
        old "fly".into() => Ok(Name("fly".into()));
        old String::new() => Err("a name is not empty");
        new Name("fly".into()) => Ok("fly".into());
    }
    an_adapted_field_is_encoded_by_its_adapter: AsText, TextThere {
        old AsText { id: 7 } => Ok(TextThere { id: "7".into() });
        new TextThere { id: "7".into() } => Ok(AsText { id: 7 });
        new TextThere { id: "x".into() } => Err("id: invalid digit");
    }
    a_new_adapter_does_not_decode_the_earlier_encoding: AsNumber, AsText {
        old AsNumber { id: 7 } => Err("id: invalid type: integer `7`");
        new AsText { id: 7 } => Err("id: invalid type: string \"7\"");
    }
    renamed_variants_keep_their_names_on_the_wire: Snake, Camel {
        old Snake::VeryLow => Ok(Camel::VeryLow);
        old Snake::High(1) => Err("unknown variant `high`");
        new Camel::VeryLow => Ok(Snake::VeryLow);
        new Camel::Top(1) => Ok(Snake::High(1));
    }
    an_adapter_may_decode_unknown_values_as_none: Lenient, Extra {
        new Extra { id: 1, extra: "new".into() } => Ok(Lenient { id: 1, extra: None });
        old Lenient { id: 1, extra: Some(1) } => Err("extra: invalid type: integer `1`");
    }
    a_struct_is_a_json_object: Plain, Value {
        old plain() => Ok(json!({ "id": 1, "name": "fly" }));
        new json!({ "id": 1, "name": "fly", "more": [null, 1.5, -1] }) => Ok(plain());
        new json!({ "id": 1.0, "name": "fly" }) => Err("floating point");
        new json!(null) => Err("unit");
        new json!([1, "fly"]) => Err("sequence");
    }
}

//! Types whose content serde buffers. What serde would misread is refused with its path, in another version
//! and in the same one, and every other value arrives.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_json::{Value, json};

use super::{types, versions};

types! {
    struct Numbered { id: u8, kind: u8 }
    struct Event { id: u8, #[serde(flatten)] kind: Kind }
    #[serde(tag = "kind")]
    enum Kind { Created, Deleted }
    #[serde(tag = "to")]
    enum Moved { Path { path: Vec<u8> } }
    #[serde(tag = "to")]
    enum MovedV2 { Path { path: Step } }
    #[serde(tag = "step")]
    enum Step { Stay, Jump { n: u8 } }
    #[serde(tag = "cmd")]
    enum Tagged { Add { n: u8 }, Del { n: u8 } }
    #[serde(untagged)]
    enum Message { Cmd(Tagged), Raw(Vec<u8>) }
    #[serde(tag = "code")]
    enum Known { Busy, Gone }
    #[serde(untagged)]
    enum Reply { Known(Known), Other { code: u8 } }
    #[serde(tag = "kind")]
    enum Listed { Limits { of: Vec<u8> } }
    #[serde(tag = "kind")]
    enum Limited { Limits { of: Limits } }
    #[derive(Default)]
    #[serde(default)]
    struct Limits { max: u8 }
    #[serde(untagged)]
    enum Content { Text(String), Raw(ByteBuf) }
    #[serde(untagged)]
    enum RawFirst { Raw(ByteBuf), Text(String) }
    #[serde(tag = "kind")]
    enum Depth { Of { inner: Vec<Option<u8>> } }
    #[serde(tag = "kind")]
    enum DepthV2 { Of { inner: Vec<u8> } }
    struct Measured { at: Vec<f64> }
}

fn raw(bytes: &[u8]) -> ByteBuf {
    ByteBuf::from(bytes)
}

versions! {
    an_integer_is_not_a_tag: Numbered, Event {
        old Numbered { id: 7, kind: 1 } => Err("kind: invalid type: integer `1`");
        old Numbered { id: 1, kind: 1 } => Err("kind: invalid type: integer `1`");
        new Event { id: 7, kind: Kind::Deleted } => Err("kind: invalid type: string");
    }
    a_list_is_not_a_tagged_variant: Moved, MovedV2 {
        old Moved::Path { path: vec![1, 9] } => Err("path[0]: invalid type: integer `1`");
        old Moved::Path { path: vec![] } => Err("missing field `step`");
        new MovedV2::Path { path: Step::Jump { n: 9 } } => Err("path: invalid type: map");
    }
    an_empty_list_is_not_a_struct_of_defaults: Listed, Limited {
        old Listed::Limits { of: vec![] } => Err("of: a sequence would be read as a struct");
        new Limited::Limits { of: Limits { max: 1 } } => Err("of: invalid type: map");
    }
    bytes_are_not_text_in_an_untagged_type: Content, RawFirst {
        old Content::Raw(raw(b"ok")) => Ok(RawFirst::Raw(raw(b"ok")));
        old Content::Text("ok".into()) => Err("text would be read as bytes");
        new RawFirst::Raw(raw(b"ok")) => Ok(Content::Raw(raw(b"ok")));
        new RawFirst::Raw(raw(b"\xff")) => Ok(Content::Raw(raw(b"\xff")));
        new RawFirst::Text("ok".into()) => Ok(Content::Text("ok".into()));
    }
    a_float_that_is_not_finite_is_not_the_null_of_json: Measured, Value {
        old Measured { at: vec![0.5] } => Ok(json!({ "at": [0.5] }));
        old Measured { at: vec![0.5, f64::NAN] } => Err("at[1]: a float that is not finite");
        old Measured { at: vec![f64::INFINITY] } => Err("at[0]: a float that is not finite");
    }
    an_error_within_a_tagged_type_has_its_path: Depth, DepthV2 {
        old Depth::Of { inner: vec![Some(1), None, Some(2)] } => Err("inner[1]: invalid type");
        new DepthV2::Of { inner: vec![1] } => Ok(Depth::Of { inner: vec![Some(1)] });
    }
    a_list_arrives_although_a_tagged_variant_precedes_it: Message, Message {
        old Message::Raw(vec![1, 7]) => Ok(Message::Raw(vec![1, 7]));
        old Message::Raw(vec![]) => Ok(Message::Raw(vec![]));
        old Message::Cmd(Tagged::Del { n: 7 }) => Ok(Message::Cmd(Tagged::Del { n: 7 }));
    }
    an_integer_arrives_although_a_tag_of_that_name_precedes_it: Reply, Reply {
        old Reply::Other { code: 1 } => Ok(Reply::Other { code: 1 });
        old Reply::Known(Known::Gone) => Ok(Reply::Known(Known::Gone));
    }
    bytes_arrive_although_text_precedes_them: Content, Content {
        old Content::Raw(raw(b"ok")) => Ok(Content::Raw(raw(b"ok")));
        old Content::Raw(raw(b"")) => Ok(Content::Raw(raw(b"")));
        old Content::Text("ok".into()) => Ok(Content::Text("ok".into()));
    }
}

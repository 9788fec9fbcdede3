//! Writes values as JSON, and as the bodies of calls.

use serde::{Serialize, Serializer};

use super::Json;

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Hinted { value: self, hint: Hint::None }.serialize(serializer)
    }
}

/// What the declared type of an argument tells about its encoding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Hint {
    None,
    /// The type is `()`, so `null` is a unit.
    Unit,
    /// The only floats of the type are `f32`. The number 0.1 means the `f32` next to it; as a `f64` it would be refused.
    F32,
}

impl Hint {
    /// Returns the hint of a declared type. Its text is known for types of the standard library only.
    pub(crate) fn of(ty: &str) -> Self {
        const KNOWN: [&str; 24] = [
            "f32", "Option", "Vec", "Box", "Result", "HashMap", "BTreeMap", "String", "str",
            "bool", "char", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64",
            "i128", "isize", "",
        ];
        if ty.trim() == "()" {
            return Hint::Unit;
        }
        let mut words = ty.split(|c: char| !c.is_alphanumeric() && c != '_');
        let is_known =
            |word: &str| KNOWN.contains(&word) || word.bytes().all(|b| b.is_ascii_digit());
        if ty.contains("f32") && words.all(is_known) { Hint::F32 } else { Hint::None }
    }
}

/// A value of a declared type.
#[derive(Debug)]
pub(crate) struct Hinted<'a> {
    pub(crate) value: &'a Json,
    pub(crate) hint: Hint,
}

impl Serialize for Hinted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hint = self.hint;
        match self.value {
            Json::Null if hint == Hint::Unit => serializer.serialize_unit(),
            Json::Null => serializer.serialize_none(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Unsigned(value) => match u64::try_from(*value) {
                Ok(value) => serializer.serialize_u64(value),
                Err(_) => serializer.serialize_u128(*value),
            },
            Json::Negative(value) => match i64::try_from(*value) {
                Ok(value) => serializer.serialize_i64(value),
                Err(_) => serializer.serialize_i128(*value),
            },
            Json::Float(value) => match *value as f32 {
                narrow if hint == Hint::F32 && narrow.is_finite() => {
                    serializer.serialize_f32(narrow)
                }
                _ => serializer.serialize_f64(*value),
            },
            Json::Text(value) => serializer.serialize_str(value),
            Json::List(values) => {
                serializer.collect_seq(values.iter().map(|value| Hinted { value, hint }))
            }
            Json::Object(entries) => {
                let entries = entries.iter().map(|(key, value)| (key, Hinted { value, hint }));
                serializer.collect_map(entries)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_follow_from_the_text_of_a_type() {
        assert_eq!(Hint::of("()"), Hint::Unit);
        assert_eq!(Hint::of("Vec<(f32, u8)>"), Hint::F32);
        assert_eq!(Hint::of("[f32; 3]"), Hint::F32);
        assert_eq!(Hint::of("std::collections::HashMap<String, f32>"), Hint::None);
        for other in ["f64", "(f32, f64)", "(f32, Note)", "String", "Option<()>"] {
            assert_eq!(Hint::of(other), Hint::None, "{other}");
        }
    }

    #[test]
    fn values_are_written_as_they_are_parsed() {
        let text = r#"{"b":[null,true,1.0,-5,340282366920938463463374607431768211455],"a":"ü"}"#;
        let value = super::super::parse(text).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), text);
    }
}

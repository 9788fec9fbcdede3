//! Parses text.
//!
//! `serde_json` reads integers of more than 64 bits as floats, unless a feature is enabled that affects every crate of a
//! program. So it only splits the text here.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::Json;

/// Upper bound on the levels of nesting. The format of bodies has a lower one.
const MAX_DEPTH: usize = 256;

/// Parses a text.
///
/// # Errors
///
/// If it is not JSON, repeats a key in an object, or contains a number that is out of range.
pub(crate) fn parse(text: &str) -> Result<Json, String> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
    value(raw, 0)
}

fn value(raw: &RawValue, depth: usize) -> Result<Json, String> {
    if depth == MAX_DEPTH {
        return Err(format!("it is nested more than {MAX_DEPTH} levels deep"));
    }
    let text = raw.get();
    let invalid = |error: serde_json::Error| error.to_string();
    match text.as_bytes()[0] {
        b'{' => {
            let Entries(entries) = serde_json::from_str(text).map_err(invalid)?;
            let parsed = entries.into_iter().map(|(key, raw)| {
                let parsed = value(raw, depth + 1)?;
                Ok((key, parsed))
            });
            parsed.collect::<Result<_, String>>().map(Json::Object)
        }
        b'[' => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(invalid)?;
            let parsed = elements.into_iter().map(|raw| value(raw, depth + 1));
            parsed.collect::<Result<_, String>>().map(Json::List)
        }
        b'"' => serde_json::from_str(text).map(Json::Text).map_err(invalid),
        b'n' => Ok(Json::Null),
        b't' => Ok(Json::Bool(true)),
        b'f' => Ok(Json::Bool(false)),
        _ => number(text).ok_or_else(|| format!("the number {text} is out of range")),
    }
}

fn number(text: &str) -> Option<Json> {
    // The integer types have no -0.
    if text == "-0" || text.contains(['.', 'e', 'E']) {
        let float = text.parse::<f64>().ok().filter(|float| float.is_finite());
        return float.map(Json::Float);
    }
    let unsigned = text.parse().ok().map(Json::Unsigned);
    unsigned.or_else(|| text.parse().ok().map(Json::Negative))
}

/// The entries of an object.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries: Vec<(String, &RawValue)> = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    if entries.iter().any(|(other, _)| *other == key) {
                        return Err(A::Error::custom(format_args!("the key {key:?} is repeated")));
                    }
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact() {
        assert_eq!(parse("18446744073709551615"), Ok(Json::Unsigned(u64::MAX.into())));
        assert_eq!(parse(&u128::MAX.to_string()), Ok(Json::Unsigned(u128::MAX)));
        assert_eq!(parse(&i128::MIN.to_string()), Ok(Json::Negative(i128::MIN)));
        assert_eq!(parse("1.0"), Ok(Json::Float(1.0)));
        assert_eq!(parse("1e2"), Ok(Json::Float(100.0)));
        assert_eq!(parse("-0"), Ok(Json::Float(-0.0)));
        for wrong in [&format!("{}0", u128::MAX), "1e999", "01", "+1", ".5", "NaN", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn objects_keep_their_order_and_repeat_no_key() {
        let object = parse(r#" { "b" : [ null , true ] , "a\n" : "\u00fc" } "#).unwrap();
        let list = Json::List(vec![Json::Null, Json::Bool(true)]);
        let expected = vec![("b".to_owned(), list), ("a\n".to_owned(), Json::Text("ü".to_owned()))];
        assert_eq!(object, Json::Object(expected));
        assert!(parse(r#"{"a":1,"a":2}"#).unwrap_err().contains("\"a\" is repeated"));
        assert!(parse(&"[".repeat(100_000)).is_err());
        let deep = "[".repeat(1_000) + &"]".repeat(1_000);
        assert!(parse(&deep).unwrap_err().contains("nested"));
    }
}

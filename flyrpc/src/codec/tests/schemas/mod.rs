//! Random pairs of an old and a new type, and random values of the old type. Each value decodes by serde's
//! rules, or fails to decode. The types are created at run time. Their values are encoded and decoded with
//! the same calls that derived code makes.

mod generate;
mod read;
mod write;

use std::cell::RefCell;

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeSeed};

use self::{
    generate::{mutated, schema, value_of},
    write::Typed,
};
use crate::codec;

/// The names of fields, variants and keys. There are so few that they are often the same.
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A type.
#[derive(Debug, Clone, PartialEq)]
enum Schema {
    Unit,
    Bool,
    I8,
    U8,
    I32,
    U32,
    I64,
    U64,
    I128,
    F32,
    F64,
    Char,
    Text,
    Bytes,
    Option(Box<Schema>),
    Newtype(Box<Schema>),
    Seq(Box<Schema>),
    Tuple(Vec<Schema>),
    Map(Box<Schema>, Box<Schema>),
    Struct(Vec<Field>),
    Enum(Vec<Variant>),
}

#[derive(Debug, Clone, PartialEq)]
struct Field {
    name: &'static str,
    schema: Schema,
    /// Whether it is `#[serde(default)]`.
    default: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Variant {
    name: &'static str,
    content: Content,
}

#[derive(Debug, Clone, PartialEq)]
enum Content {
    None,
    One(Schema),
    Tuple(Vec<Schema>),
    Fields(Vec<Field>),
}

/// A value. It does not determine its type, which only the schema contains in full.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Unit,
    Bool(bool),
    Int(i128),
    F32(f32),
    F64(f64),
    Char(char),
    Text(String),
    Bytes(Vec<u8>),
    Option(Option<Box<Value>>),
    Seq(Vec<Value>),
    /// Sorted by the debug format of the keys.
    Map(Vec<(Value, Value)>),
    Struct(Vec<(&'static str, Value)>),
    Variant(&'static str, Option<Box<Value>>),
}

impl Value {
    /// Whether `new` has the same meaning as this value.
    fn is_equivalent(&self, new: &Value) -> bool {
        use Value::*;
        match (self, new) {
            (Option(None), Option(None)) | (Unit, Unit) => true,
            (Option(Some(old)), new) if !matches!(new, Option(_)) => old.is_equivalent(new),
            (old, Option(Some(new))) if !matches!(old, Option(_)) => old.is_equivalent(new),
            (Option(Some(old)), Option(Some(new))) => old.is_equivalent(new),
            (Bool(old), Bool(new)) => old == new,
            (Int(old), Int(new)) => old == new,
            (Int(old), F32(new)) => *new as i128 == *old && *old as f32 == *new,
            (Int(old), F64(new)) => *new as i128 == *old && *old as f64 == *new,
            (F32(old), F32(new)) => old == new,
            (F64(old), F64(new)) => old == new,
            (F32(old), F64(new)) => f64::from(*old) == *new,
            (F64(old), F32(new)) => *old == f64::from(*new),
            (Bytes(old), Bytes(new)) => old == new,
            (Bytes(bytes), Seq(items)) | (Seq(items), Bytes(bytes)) => {
                let bytes: Vec<_> = bytes.iter().map(|byte| Int((*byte).into())).collect();
                bytes.len() == items.len()
                    && bytes.iter().zip(items).all(|(a, b)| a.is_equivalent(b))
            }
            (Seq(old), Seq(new)) => {
                old.len() == new.len()
                    && old.iter().zip(new).all(|(old, new)| old.is_equivalent(new))
            }
            (old, new) if old.text().is_some() => old.text() == new.text(),
            (old, new) => match (old.entries(), new.entries()) {
                (Some(old), Some(entries)) => {
                    let kept = old.iter().filter_map(|(key, old)| {
                        let new = entries.iter().find(|(other, _)| key.is_equivalent(other))?;
                        Some(old.is_equivalent(&new.1))
                    });
                    // A map keeps all entries. A struct keeps the fields that still exist.
                    let kept: Vec<bool> = kept.collect();
                    let whole = matches!(new, Map(_) | Variant(..));
                    kept.iter().all(|same| *same) && (!whole || kept.len() == old.len())
                }
                _ => false,
            },
        }
    }

    fn text(&self) -> std::option::Option<String> {
        match self {
            Value::Char(char) => Some(char.to_string()),
            Value::Text(text) => Some(text.clone()),
            Value::Variant(name, None) => Some((*name).to_owned()),
            _ => None,
        }
    }

    fn entries(&self) -> std::option::Option<Vec<(Value, Value)>> {
        let named = |name: &str| Value::Text(name.to_owned());
        match self {
            Value::Map(entries) => Some(entries.clone()),
            Value::Struct(fields) => {
                Some(fields.iter().map(|(name, value)| (named(name), value.clone())).collect())
            }
            Value::Variant(name, Some(content)) => Some(vec![(named(name), (**content).clone())]),
            _ => None,
        }
    }
}

/// A value whose type is created at run time. Derived types contain it.
#[derive(Debug, Clone)]
struct Dynamic(Schema, Value);

impl PartialEq for Dynamic {
    fn eq(&self, other: &Self) -> bool {
        self.1 == other.1
    }
}

thread_local! {
    /// The type as which a `Dynamic` is decoded.
    static READ_AS: RefCell<Schema> = const { RefCell::new(Schema::Unit) };
}

impl Serialize for Dynamic {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Typed(&self.0, &self.1).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Dynamic {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let schema = READ_AS.with_borrow(Schema::clone);
        let value = (&schema).deserialize(from)?;
        Ok(Dynamic(schema, value))
    }
}

fn read_as<T: Serialize + serde::de::DeserializeOwned>(
    bytes: &[u8],
    schema: &Schema,
) -> Result<T, crate::error::BodyError> {
    READ_AS.set(schema.clone());
    codec::decode_verified(bytes)
}

/// Runs `test` on random values of random pairs of types. Returns how often `test` returned `true`.
fn run(test: impl Fn(&Dynamic, &Schema) -> Result<bool, TestCaseError>) -> usize {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(17u64);
    println!("SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let config = Config { cases: 4_000, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let choices = prop::collection::vec(any::<u8>(), 0..24);
    let cases = (schema(), choices).prop_flat_map(|(old, choices)| {
        let new = mutated(&old, &mut choices.into_iter());
        (value_of(&old), Just(old), Just(new))
    });
    let count = std::cell::Cell::new(0);
    let outcome = runner.run(&cases, |(value, old, new)| {
        let good = test(&Dynamic(old, value), &new)?;
        count.set(count.get() + usize::from(good));
        Ok(())
    });
    match outcome {
        Ok(()) => count.get(),
        Err(TestError::Fail(why, (value, old, new))) => {
            panic!("{why}\nvalue: {value:?}\nold: {old:?}\nnew: {new:?}")
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_value_arrives_as_serde_reads_it_or_is_refused() {
    let arrived = run(|old, new| {
        let bytes = super::encoded(old);
        let same = read_as::<Dynamic>(&bytes, &old.0);
        prop_assert_eq!(same.as_ref(), Ok(old));
        let Ok(read) = read_as::<Dynamic>(&bytes, new) else { return Ok(false) };
        prop_assert!(old.1.is_equivalent(&read.1), "arrived as {:?}", read.1);
        // JSON cannot represent every value.
        let Ok(json) = serde_json::to_value(old) else { return Ok(true) };
        if (&old.0).deserialize(json.clone()).ok().as_ref() == Some(&old.1) {
            match new.deserialize(json) {
                Ok(expected) => prop_assert_eq!(expected, read.1),
                Err(error) => prop_assert!(false, "JSON refuses {:?}: {error}", read.1),
            }
        }
        Ok(true)
    });
    assert!(arrived > 1_500, "only {arrived} values arrived");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Of { of: Dynamic },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    #[serde(flatten)]
    inner: Inner,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    of: Dynamic,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Of(Vec<Dynamic>),
}

/// Whether serde's buffer can contain the old value and yield the new type.
fn are_bufferable(old: &Dynamic, new: &Schema) -> bool {
    let (value, old, new) = (format!("{:?}", old.1), format!("{:?}", old.0), format!("{new:?}"));
    // The buffer has no integers of 128 bits. It treats bytes as text, none as a unit, and an empty sequence
    // as a struct of defaults.
    let all = [&old, &new].into_iter().all(|of| !of.contains("I128") && !of.contains("Bytes"));
    all && !(old.contains("Option") && new.contains("Unit"))
        && !(value.contains("Seq([])") && (new.contains("Struct") || new.contains("Fields")))
}

#[test]
fn a_value_that_serde_buffers_arrives_unchanged_or_is_refused() {
    let arrived = run(|old, new| {
        if !are_bufferable(old, new) {
            return Ok(false);
        }
        let mut arrived = false;
        macro_rules! check {
            ($wrap:expr, $pattern:pat => $inner:expr) => {{
                let wrapped = $wrap;
                let bytes = super::encoded(&wrapped);
                let same = read_as(&bytes, &old.0);
                prop_assert_eq!(same.as_ref(), Ok(&wrapped));
                if let Ok($pattern) = read_as(&bytes, new) {
                    prop_assert!(old.1.is_equivalent(&$inner.1), "arrived as {:?}", $inner.1);
                    arrived = true;
                }
            }};
        }
        check!(Tagged::Of { of: old.clone() }, Tagged::Of { of } => of);
        check!(Flat { inner: Inner { of: old.clone() } }, Flat { inner } => inner.of);
        check!(Untagged::Of(vec![old.clone()]), Untagged::Of(of) => of[0]);
        Ok(arrived)
    });
    assert!(arrived > 1_000, "only {arrived} values arrived");
}

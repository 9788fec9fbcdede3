//! Values of a typed method become JSON and come back unchanged, or are refused with the place.
//!
//! The bodies are those of calls to a node.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use flyrpc::{
    ErrorInfo, Node, fly_rpc,
    operations::{RelayTarget, VisitOptions, Visitor},
};
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::runtime::Runtime;

use super::{Json, parse};

#[fly_rpc]
trait Echo {
    /// Returns its argument.
    async fn echo(&self, value: Value) -> Value;
}

struct Handler;

impl Echo for Handler {
    async fn echo(&self, value: Value) -> Value {
        value
    }
}

/// A value of each kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Value {
    Nothing,
    Bool(bool),
    Small(i8),
    Unsigned(u64),
    Signed(i64),
    WideUnsigned(u128),
    WideSigned(i128),
    Float(f64),
    Narrow(f32),
    Char(char),
    Text(String),
    Bytes(Bytes),
    Optional(Option<u64>),
    Nested(Option<Option<u8>>),
    Pair(u8, String),
    Record { id: u64, next: Option<Box<Value>> },
    List(Vec<Value>),
    ByText(BTreeMap<String, Value>),
    ByNumber(BTreeMap<i32, u8>),
    ByFlag(BTreeMap<bool, u8>),
}

impl Value {
    /// Whether JSON has a form for it that the node understands.
    fn is_expressible(&self) -> bool {
        match self {
            Value::Float(value) => value.is_finite(),
            Value::Narrow(value) => value.is_finite(),
            Value::Nested(value) => *value != Some(None),
            // The keys become texts, which are not numbers for the node.
            Value::ByNumber(map) => map.is_empty(),
            Value::ByFlag(map) => map.is_empty(),
            Value::Record { next, .. } => next.as_ref().is_none_or(|next| next.is_expressible()),
            Value::List(values) => values.iter().all(Value::is_expressible),
            Value::ByText(map) => map.values().all(Value::is_expressible),
            _ => true,
        }
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nothing),
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::Small),
        prop_oneof![any::<u64>(), Just(u64::MAX)].prop_map(Value::Unsigned),
        prop_oneof![any::<i64>(), Just(i64::MIN)].prop_map(Value::Signed),
        prop_oneof![any::<u128>(), Just(u128::MAX)].prop_map(Value::WideUnsigned),
        prop_oneof![any::<i128>(), Just(i128::MIN)].prop_map(Value::WideSigned),
        proptest::num::f64::ANY.prop_map(Value::Float),
        any::<i32>().prop_map(|whole| Value::Float(whole.into())),
        proptest::num::f32::ANY.prop_map(Value::Narrow),
        any::<char>().prop_map(Value::Char),
        any::<String>().prop_map(Value::Text),
        vec(any::<u8>(), 0..9).prop_map(|bytes| Value::Bytes(bytes.into())),
        any::<Option<u64>>().prop_map(Value::Optional),
        any::<Option<Option<u8>>>().prop_map(Value::Nested),
        (any::<u8>(), any::<String>()).prop_map(|(number, text)| Value::Pair(number, text)),
        btree_map(any::<i32>(), any::<u8>(), 0..3).prop_map(Value::ByNumber),
        btree_map(any::<bool>(), any::<u8>(), 0..2).prop_map(Value::ByFlag),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let next = proptest::option::of(inner.clone().prop_map(Box::new));
        prop_oneof![
            (any::<u64>(), next).prop_map(|(id, next)| Value::Record { id, next }),
            vec(inner.clone(), 0..4).prop_map(Value::List),
            btree_map(any::<String>(), inner, 0..4).prop_map(Value::ByText),
        ]
    })
}

/// A node and a visitor of it.
struct Fixture {
    runtime: Runtime,
    visitor: Visitor,
    _node: Node,
}

#[derive(Serialize)]
struct Arguments<'a, T> {
    value: &'a T,
}

impl Fixture {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let (node, visitor) = runtime.block_on(async {
            let node = Node::builder().serve(ServeEcho::new(Handler)).start().await.unwrap();
            let visitor = Visitor::connect(node.addr(), VisitOptions::new()).await.unwrap();
            (node, visitor)
        });
        Fixture { runtime, visitor, _node: node }
    }

    /// Sends a value as the argument of a typed method, and reads the reply.
    fn echo<T: DeserializeOwned>(&self, value: &impl Serialize) -> Result<T, ErrorInfo> {
        let arguments = Arguments { value };
        let timeout = Duration::from_secs(10);
        let target = RelayTarget::Nearest;
        self.runtime.block_on(self.visitor.call(target, "Echo", "echo", &arguments, timeout))
    }

    /// Sends a typed value to the node and back as JSON.
    fn there_and_back(&self, value: &Value) -> Result<Value, ErrorInfo> {
        let json: Json = self.echo(value)?;
        let text = serde_json::to_string(&json).unwrap();
        assert_eq!(parse(&text).as_ref(), Ok(&json), "{text}");
        self.echo(&json)
    }
}

#[test]
fn values_come_back_equal_or_are_refused_with_the_place() {
    let fixture = Fixture::new();
    let mut runner = TestRunner::new(Config::with_cases(1_000));
    let outcome = runner.run(&values(), |value| match fixture.there_and_back(&value) {
        Ok(back) => {
            prop_assert_eq!(&back, &value);
            prop_assert!(value.is_expressible());
            Ok(())
        }
        Err(error) if value.is_expressible() => Err(TestCaseError::fail(error.message)),
        Err(error) => {
            // Each kind of value is in a variant, which the path contains.
            let kinds = ["Float", "Narrow", "Nested", "ByNumber", "ByFlag"];
            prop_assert!(
                kinds.iter().any(|kind| error.message.contains(kind)),
                "{}",
                error.message
            );
            Ok(())
        }
    });
    outcome.unwrap();
}

#[test]
fn refusals_name_the_place() {
    let fixture = Fixture::new();
    let refused = |value| fixture.there_and_back(&value).unwrap_err().message;
    let nested = |value| Value::List(vec![Value::Nothing, value]);
    let refusals = [
        (Value::Float(f64::NAN), "NaN"),
        (Value::Narrow(f32::INFINITY), "inf"),
        (Value::Nested(Some(None)), "within a `Some`"),
        (Value::ByFlag([(true, 1)].into()), "key of a map"),
        (Value::ByNumber([(1, 1)].into()), "expected"),
    ];
    for (value, why) in refusals {
        let message = refused(nested(value));
        assert!(message.contains("List[1]") && message.contains(why), "{message}");
    }
}

#[test]
fn integers_and_floats_are_not_mixed_up() {
    let fixture = Fixture::new();
    let sent = |text: &str| fixture.echo::<Value>(&parse(text).unwrap());
    assert_eq!(sent(r#"{"Unsigned":18446744073709551615}"#), Ok(Value::Unsigned(u64::MAX)));
    assert!(sent(r#"{"Unsigned":1.0}"#).is_err());
    assert_eq!(sent(r#"{"Float":1}"#), Ok(Value::Float(1.0)));
    assert!(sent(r#"{"Unsigned":18446744073709551616}"#).is_err());
    assert!(sent(r#"{"Narrow":0.1}"#).unwrap_err().message.contains("Narrow"));
    assert_eq!(sent(r#""Nothing""#), Ok(Value::Nothing));
    assert_eq!(sent(r#"{"Optional":null}"#), Ok(Value::Optional(None)));
}

//! Values, methods and traits of every kind, in remote and local calls.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
    ffi::{CStr, OsStr},
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use flyrpc_testkit::{Release, SimCluster, SimNet};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::*;
use crate::support::node_on;

/// Declares a service with these methods, and a test that calls each method with its value and
/// expects the value back.
macro_rules! echoes {
    ($($method:ident($ty:ty) $value:expr;)*) => {
        #[fly_rpc]
        trait Echo {
            $(async fn $method(&self, value: $ty) -> $ty;)*
        }

        struct Echoing;

        impl Echo for Echoing {
            $(async fn $method(&self, value: $ty) -> $ty {
                value
            })*
        }

        #[tokio::test(start_paused = true)]
        async fn values_are_echoed_unchanged() {
            remote_and_local!(ServeEcho::new(Echoing), |client: EchoClient| {
                $({
                    let value = || -> $ty { $value };
                    assert_eq!(client.$method(value()).await.unwrap(), value());
                })*
            });
        }
    };
}

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
enum Key {
    Unit,
    Number(u32),
    Pair(u8, String),
    Named { id: i64 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<Box<Page<T>>>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(u64);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Tuple(u8, String);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Nothing {}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Internally {
    Address { ip: IpAddr },
    Nothing,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value")]
enum Adjacently {
    Address(IpAddr),
    Bytes(Vec<u8>),
    Nothing,
}

/// A type like `serde_json::Value`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    String(String),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flattened {
    id: u32,
    #[serde(flatten)]
    inner: Inner,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Failure {
    TooLong(usize),
}

type Outcome<T> = Result<T, Failure>;

echoes! {
    unit_argument(()) ();
    boolean(bool) true;
    smallest(i64) i64::MIN;
    largest(u64) u64::MAX;
    wide(u128) u128::MAX;
    wide_and_negative(i128) i128::MIN;
    wide_in_a_list(Vec<i128>) vec![0, -1, i128::MAX];
    single(f32) 0.1;
    double(f64) f64::MIN_POSITIVE;
    character(char) '🦀';
    text(String) "naïve".to_owned();
    bytes(Vec<u8>) vec![0, 127, 128, 255];
    no_bytes(Vec<u8>) vec![];
    array([u8; 4]) [1, 2, 3, 4];
    boxed(Box<str>) "boxed".into();
    boxed_path(Box<Path>) Path::new("a/b").into();
    boxed_os_string(Box<OsStr>) OsStr::new("c").into();
    boxed_c_string(Box<CStr>) c"d".into();
    boxes(HashMap<String, Vec<Box<Path>>>) HashMap::from([("e".into(), vec![Path::new("f").into()])]);
    cow(Cow<'static, str>) "cow".into();
    option(Option<u8>) Some(7);
    no_option(Option<u8>) None;
    option_of_unit(Option<Vec<Option<u8>>>) Some(vec![None, Some(1)]);
    tuple((u8, String, (bool,))) (1, "two".to_owned(), (true,));
    ok(Outcome<u8>) Ok(1);
    error(Outcome<u8>) Err(Failure::TooLong(9));
    result_of_unit(Result<(), String>) Ok(());
    duration(Duration) Duration::new(1, 999_999_999);
    ip(IpAddr) "2001:db8::1".parse().unwrap();
    ip4(IpAddr) "192.0.2.1".parse().unwrap();
    socket(SocketAddr) "[2001:db8::1]:3590".parse().unwrap();
    newtype(Newtype) Newtype(7);
    tuple_struct(Tuple) Tuple(1, "x".to_owned());
    unit_struct(Unit) Unit;
    empty_struct(Nothing) Nothing {};
    generic(Page<Key>) Page {
        items: vec![Key::Unit, Key::Number(1)],
        next: Some(Box::new(Page { items: vec![], next: None })),
    };
    by_string(HashMap<String, IpAddr>) HashMap::from([("a".into(), IpAddr::from([1, 2, 3, 4]))]);
    by_number(BTreeMap<u64, String>) BTreeMap::from([(1, "one".into()), (u64::MAX, "most".into())]);
    by_signed(BTreeMap<i8, bool>) BTreeMap::from([(-1, true), (1, false)]);
    by_bool(BTreeMap<bool, u8>) BTreeMap::from([(true, 1), (false, 0)]);
    by_char(BTreeMap<char, u8>) BTreeMap::from([('a', 1)]);
    by_tuple(BTreeMap<(u8, String), u8>) BTreeMap::from([((1, "a".into()), 2)]);
    by_ip(BTreeMap<IpAddr, u8>) BTreeMap::from([("::1".parse().unwrap(), 1)]);
    by_enum(BTreeMap<Key, u8>) BTreeMap::from([
        (Key::Unit, 0),
        (Key::Number(1), 1),
        (Key::Pair(2, "b".into()), 2),
        (Key::Named { id: -3 }, 3),
    ]);
    set(HashSet<Key>) HashSet::from([Key::Unit, Key::Number(1)]);
    internally(Vec<Internally>) vec![
        Internally::Nothing,
        Internally::Address { ip: "::1".parse().unwrap() },
    ];
    adjacently(Vec<Adjacently>) vec![
        Adjacently::Nothing,
        Adjacently::Address("::1".parse().unwrap()),
        Adjacently::Bytes(vec![1]),
    ];
    untagged(Value) Value::Map(BTreeMap::from([
        ("list".into(), Value::List(vec![Value::Integer(-1), Value::Float(0.5), Value::Null])),
        ("text".into(), Value::String("x".into())),
        ("truth".into(), Value::Bool(true)),
    ]));
    untagged_null(Value) Value::Null;
    flattened(Flattened) Flattened {
        id: 1,
        inner: Inner { name: "n".into(), note: None },
        rest: BTreeMap::from([("more".into(), Value::List(vec![Value::Integer(7)]))]),
    };
}

#[fly_rpc]
trait Texts {
    async fn last(&self, texts: Vec<Box<RawValue>>) -> Option<Box<RawValue>>;
}

struct Last;

impl Texts for Last {
    async fn last(&self, mut texts: Vec<Box<RawValue>>) -> Option<Box<RawValue>> {
        texts.pop()
    }
}

#[tokio::test(start_paused = true)]
async fn a_raw_value_of_json_arrives_as_its_text() {
    remote_and_local!(ServeTexts::new(Last), |client: TextsClient| {
        let text = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let sent = vec![text("[1, 2.50]"), text(r#"{ "a": null, "b": 1e400 }"#)];
        let last = client.last(sent).await.unwrap().expect("a text");
        assert_eq!(last.get(), r#"{ "a": null, "b": 1e400 }"#);
    });
}

/// A type that implements neither `Debug` nor `Clone`.
#[derive(Serialize, Deserialize)]
struct Bare(u8);

#[derive(Serialize, Deserialize)]
struct BareError;

#[fly_rpc]
trait Shapes {
    async fn unit(&self);
    async fn explicit_unit(&self) -> ();
    async fn bare(&self, bare: Bare) -> Result<Bare, BareError>;
    #[allow(clippy::too_many_arguments)]
    async fn twelve(
        &self,
        a: u8,
        b: u16,
        c: u32,
        d: u64,
        e: String,
        f: Option<u8>,
        g: Vec<u8>,
        h: bool,
        i: char,
        j: i8,
        k: (u8, u8),
        #[rpc(default)] l: u64,
    ) -> String;
    #[cfg(any())]
    async fn never(&self, no: NoSuchType) -> NoSuchType;
    #[cfg(not(any()))]
    async fn always(&self) -> u8;
    #[cfg(any())]
    async fn either(&self) -> NoSuchType;
    #[cfg(not(any()))]
    async fn either(&self) -> u8;
}

struct Shaped;

impl Shapes for Shaped {
    async fn unit(&self) {}

    async fn explicit_unit(&self) {}

    async fn bare(&self, bare: Bare) -> Result<Bare, BareError> {
        if bare.0 == 0 { Err(BareError) } else { Ok(bare) }
    }

    async fn twelve(
        &self,
        a: u8,
        b: u16,
        c: u32,
        d: u64,
        e: String,
        f: Option<u8>,
        g: Vec<u8>,
        h: bool,
        i: char,
        j: i8,
        k: (u8, u8),
        l: u64,
    ) -> String {
        format!("{a} {b} {c} {d} {e} {f:?} {g:?} {h} {i} {j} {k:?} {l}")
    }

    async fn always(&self) -> u8 {
        1
    }

    async fn either(&self) -> u8 {
        2
    }
}

#[tokio::test(start_paused = true)]
async fn methods_of_every_shape_can_be_called() {
    remote_and_local!(ServeShapes::new(Shaped), |client: ShapesClient| {
        let (): () = client.unit().await.unwrap();
        let (): () = client.explicit_unit().await.unwrap();
        assert!(client.bare(Bare(7)).await.unwrap().is_ok_and(|bare| bare.0 == 7));
        assert!(client.bare(Bare(0)).await.unwrap().is_err());
        let twelve =
            client.twelve(1, 2, 3, 4, "5".into(), None, vec![7], true, 'i', -10, (1, 1), 12);
        assert_eq!(twelve.await.unwrap(), "1 2 3 4 5 None [7] true i -10 (1, 1) 12");
        assert_eq!(client.always().await.unwrap(), 1);
        assert_eq!(client.either().await.unwrap(), 2);
    });
}

/// Declares a service whose methods have names with other meanings, or names that are very similar.
/// Each returns its name.
macro_rules! names {
    ($($method:ident)*) => {
        #[fly_rpc]
        #[allow(non_snake_case, clippy::wrong_self_convention)]
        #[allow(clippy::new_ret_no_self, clippy::should_implement_trait)]
        trait Names {
            $(async fn $method(&self) -> String;)*
        }

        struct Named;

        impl Names for Named {
            $(async fn $method(&self) -> String {
                stringify!($method).to_owned()
            })*
        }

        #[tokio::test(start_paused = true)]
        async fn methods_of_any_name_can_be_called() {
            remote_and_local!(ServeNames::new(Named), |client: NamesClient| {
                assert_eq!(client.clone().await.unwrap(), "clone");
                $(assert_eq!(
                    NamesClient::$method(&client).await.unwrap(),
                    stringify!($method),
                );)*
            });
        }
    };
}

names! {
    new clone serve call from into drop default fmt send poll handle method r#type r#match self_
    foo_bar foo__bar foobar fooBar __ _1
}

#[test]
fn variants_are_camel_case_if_that_is_unambiguous() {
    let _camel = [NamesRequest::New {}, NamesRequest::Match {}];
    let _raw = [
        NamesRequest::foo_bar {},
        NamesRequest::foo__bar {},
        NamesRequest::fooBar {},
        NamesRequest::self_ {},
        NamesRequest::__ {},
    ];
}

#[test]
fn debug_names_the_method() {
    let text = format!("{:?} {:?}", NamesRequest::New {}, NamesResponse::foo_bar(String::new()));
    assert_eq!(text, "Names.new Names.foo_bar");
}

mod several {
    use super::*;

    #[fly_rpc]
    trait First {
        async fn number(&self) -> u8;
    }

    #[fly_rpc(crate = another::name::of_flyrpc)]
    trait Second {
        async fn number(&self, #[rpc(default)] add: u8) -> u8;
    }

    /// A service without methods. Nodes can only announce that they serve it.
    #[fly_rpc]
    trait Empty {}

    mod another {
        pub(super) mod name {
            pub(in super::super) use ::flyrpc as of_flyrpc;
        }
    }

    #[derive(Clone)]
    struct Both;

    impl First for Both {
        async fn number(&self) -> u8 {
            1
        }
    }

    impl Second for Both {
        async fn number(&self, add: u8) -> u8 {
            2 + add
        }
    }

    impl Empty for Both {}

    #[tokio::test(start_paused = true)]
    async fn one_type_serves_several_services_of_one_module_on_one_node() {
        let services = Release::new()
            .serve(|_| ServeFirst::new(Both))
            .serve(|_| ServeSecond::new(Both))
            .serve(|_| ServeEmpty::new(Both));
        let cluster = SimCluster::builder().region("iad", 1).region("hkg", 1);
        let cluster = cluster.node("iad-0", services).start().await;
        let (iad, hkg) = (cluster.node("iad-0"), cluster.node("hkg-0"));
        for node in [&iad, &hkg] {
            let first: FirstClient = node.client();
            let second: SecondClient = node.client();
            assert_eq!(first.number().await.unwrap(), 1);
            assert_eq!(second.number(3).await.unwrap(), 5);
            let _: EmptyClient = node.client();
        }
        let [peer] = <[_; 1]>::try_from(hkg.peers()).unwrap();
        let names: Vec<&str> = peer.services.iter().map(|service| &*service.name).collect();
        assert_eq!(names, ["First", "Second", "Empty"]);
    }

    #[tokio::test(start_paused = true)]
    async fn two_services_of_one_name_are_an_error_that_names_both() {
        #[fly_rpc(name = "First")]
        trait Impostor {}

        impl Impostor for Both {}

        // Not a SimCluster, which would panic with the error.
        let iad = SimNet::builder().build().add_host("iad-0", "iad");
        let builder = node_on(&iad).serve(ServeFirst::new(Both)).serve(ServeImpostor::new(Both));
        let error = builder.start().await.unwrap_err().to_string();
        for part in ["First", "ServeFirst", "ServeImpostor"] {
            assert!(error.contains(part), "{error}");
        }
    }
}

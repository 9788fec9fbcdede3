//! Random values in containers whose content serde buffers, read in other containers of other types. A value
//! that is read differs from what was sent only as the page of `#[fly_rpc]` lists, and the same type reads
//! every value.
//!
//! The types are static. Containers are generic in a `Slot`, which selects one of the types at run time, so
//! that each container is compiled once.

mod meaning;

use std::{cell::Cell, collections::BTreeMap};

use bytes::Bytes;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Value, json};

use self::meaning::{Reading, check_same};
use super::{Defaults, encoded};
use crate::{
    codec::{decode_verified, msgpack::Input},
    error::BodyError,
};

/// Lower bound on the number of values that a test reads.
const MIN_READINGS: usize = 150_000;

thread_local! {
    /// The types as which slots are decoded.
    static READ_AS: Cell<[Type; 2]> = const { Cell::new([Type::Bool; 2]) };
}

/// A value of one of the types. `N` is the position of the type in `READ_AS`.
struct Slot<const N: usize>(Any);

impl<const N: usize> Serialize for Slot<N> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Slot<N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Any::deserialize(READ_AS.get()[N], from).map(Slot)
    }
}

macro_rules! types {
    ($($name:ident: $ty:ty, $rng:ident => $sample:expr;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq)]
        enum Type {
            $($name),*
        }

        const TYPES: &[Type] = &[$(Type::$name),*];

        enum Any {
            $($name($ty)),*
        }

        impl Any {
            fn sample(ty: Type, rng: &mut SmallRng) -> Any {
                match ty {
                    $(Type::$name => {
                        let $rng = rng;
                        Any::$name($sample)
                    })*
                }
            }

            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Any::$name(value) => value.serialize(to)),*
                }
            }

            fn deserialize<'de, D: Deserializer<'de>>(ty: Type, from: D) -> Result<Any, D::Error> {
                match ty {
                    $(Type::$name => <$ty>::deserialize(from).map(Any::$name)),*
                }
            }
        }
    };
}

fn one_of<T: Clone>(rng: &mut SmallRng, of: &[T]) -> T {
    of[rng.random_range(0..of.len())].clone()
}

fn text(rng: &mut SmallRng) -> &'static str {
    one_of(rng, &["", "A", "B", "D", "Of", "New", "x", "of", "7"])
}

/// An integer that may be an index, or too large for one of the types.
fn integer(rng: &mut SmallRng) -> i64 {
    one_of(rng, &[0, 1, 2, 3, 65, 255, 256, -1, 1 << 24, (1 << 24) + 1, 1 << 33, (1 << 53) + 1])
}

types! {
    Bool: bool, rng => rng.random();
    U8: u8, rng => integer(rng) as u8;
    I8: i8, rng => integer(rng) as i8;
    U16: u16, rng => integer(rng) as u16;
    I16: i16, rng => integer(rng) as i16;
    U32: u32, rng => integer(rng) as u32;
    I32: i32, rng => integer(rng) as i32;
    U64: u64, rng => integer(rng).unsigned_abs();
    I64: i64, rng => integer(rng);
    F32: f32, rng => one_of(rng, &[0.0, 1.0, 1.5, 1.1, -2.0, f32::INFINITY]);
    F64: f64, rng => one_of(rng, &[0.0, 1.0, 1.5, 1.1, f64::from(1.1f32), -2.0, 1e300, f64::NAN]);
    Char: char, rng => one_of(rng, &['A', 'x', 'é']);
    Nothing: (), _rng => ();
    Text: String, rng => text(rng).to_owned();
    Raw: Bytes, rng => one_of(rng, &[&b""[..], b"A", b"of", b"\x01\x02", b"\xff", &[0; 40]]).into();
    Integers: Vec<u8>, rng => one_of(rng, &[&[][..], &[1], &[1, 7], &[65, 66], &[0; 20]]).to_vec();
    Floats: Vec<f32>, rng => one_of(rng, &[&[][..], &[1.5], &[1.1, 2.0]]).to_vec();
    Texts: Vec<String>, rng => (0..rng.random_range(0..4)).map(|_| text(rng).to_owned()).collect();
    MaybeInteger: Option<u8>, rng => one_of(rng, &[None, Some(0), Some(7)]);
    MaybeNothing: Option<()>, rng => one_of(rng, &[None, Some(())]);
    MaybeText: Option<String>, rng => one_of(rng, &[None, Some("A".into())]);
    Maybe: Option<Option<u8>>, rng => one_of(rng, &[None, Some(None), Some(Some(1))]);
    Single: (u8,), rng => (integer(rng) as u8,);
    Integers2: (u8, u8), rng => (integer(rng) as u8, integer(rng) as u8);
    TextInteger: (String, u8), rng => (text(rng).to_owned(), integer(rng) as u8);
    TextPair: (String, Pair), rng => (text(rng).to_owned(), Pair { x: 1, y: 2 });
    ByText: BTreeMap<String, u8>, rng => one_of(rng, &[
        BTreeMap::new(),
        BTreeMap::from([("D".into(), 1)]),
        BTreeMap::from([("x".into(), 1), ("y".into(), 2)]),
    ]);
    ByInteger: BTreeMap<u8, u8>, rng => one_of(rng, &[
        BTreeMap::new(),
        BTreeMap::from([(1, 1)]),
        BTreeMap::from([(0, 1), (1, 2)]),
    ]);
    ByRaw: BTreeMap<Bytes, u8>, rng => one_of(rng, &[
        BTreeMap::from([("x".into(), 1), ("y".into(), 2)]),
        BTreeMap::from([("D".into(), 1)]),
    ]);
    JsonByText: BTreeMap<String, Value>, rng => BTreeMap::from([(text(rng).to_owned(), value(rng))]);
    Pairs: Vec<(String, u8)>, rng => one_of(rng, &[vec![], vec![("x".into(), 1), ("y".into(), 2)]]);
    UnitStruct: Unit, _rng => Unit;
    Wrapped: Newtype, rng => Newtype(integer(rng) as u8);
    Struct: Pair, rng => Pair { x: integer(rng) as u8, y: integer(rng) as u8 };
    Defaulted: Defaults, rng => Defaults { x: one_of(rng, &[5, 1]), y: one_of(rng, &[None, Some(2)]) };
    Name: Units, rng => one_of(rng, &[Units::A, Units::B]);
    Variant: Choice, rng => one_of(rng, &[
        Choice::A,
        Choice::B(7),
        Choice::C(1, 2),
        Choice::D { n: 1 },
        Choice::E(()),
    ]);
    OpenName: Open, rng => one_of(rng, &[Open::A, Open::Other]);
    Tagged: Kind, rng => one_of(rng, &[Kind::A, Kind::D { n: 1 }, Kind::P(Pair { x: 1, y: 2 })]);
    OneOf: Either, rng => one_of(rng, &[
        Either::Text("A".into()),
        Either::Raw(Bytes::from_static(b"A")),
        Either::List(vec![1, 2]),
        Either::Pair(Pair { x: 1, y: 2 }),
        Either::Number(1.5),
        Either::Null(None),
    ]);
    Json: Value, rng => value(rng);
}

fn value(rng: &mut SmallRng) -> Value {
    one_of(
        rng,
        &[
            Value::Null,
            json!(true),
            json!(1),
            json!(-1),
            json!(1.5),
            json!("A"),
            json!([]),
            json!([1, "A", null]),
            json!({}),
            json!({ "x": 1, "y": 2 }),
            json!({ "A": null }),
            json!({ "D": [1] }),
            json!({ "kind": 1 }),
        ],
    )
}

#[derive(Clone, Serialize, Deserialize)]
struct Unit;

#[derive(Clone, Serialize, Deserialize)]
struct Newtype(u8);

#[derive(Clone, Serialize, Deserialize)]
struct Pair {
    x: u8,
    y: u8,
}

#[derive(Clone, Serialize, Deserialize)]
enum Units {
    A,
    B,
}

#[derive(Clone, Serialize, Deserialize)]
enum Choice {
    A,
    B(u8),
    C(u8, u8),
    D { n: u8 },
    E(()),
}

#[derive(Clone, Serialize, Deserialize)]
enum Open {
    A,
    #[serde(other)]
    Other,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Kind {
    A,
    D { n: u8 },
    P(Pair),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    Text(String),
    Raw(Bytes),
    List(Vec<u8>),
    Pair(Pair),
    Number(f64),
    Null(Option<u8>),
}

#[derive(Clone, Serialize, Deserialize)]
struct Field<T> {
    of: T,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Internal<T> {
    A,
    Of { of: T },
    New(Field<T>),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent<T> {
    A,
    Of(T),
    Both(T, u8),
}

/// An adjacently tagged value whose content precedes its tag.
#[derive(Serialize)]
struct ContentFirst<T> {
    c: T,
    t: &'static str,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged<T> {
    Of { of: T },
    Bare(T),
}

#[derive(Serialize, Deserialize)]
struct Flat<T> {
    id: u8,
    #[serde(flatten)]
    inner: Field<T>,
}

#[derive(Serialize, Deserialize)]
struct FlatMap<T> {
    id: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, T>,
}

#[derive(Serialize, Deserialize)]
struct FlatTagged<T> {
    id: u8,
    #[serde(flatten)]
    inner: Internal<T>,
}

/// A value where the containers have their tags.
#[derive(Serialize)]
struct InPlaceOfTags<T> {
    id: u8,
    kind: T,
    t: T,
    of: u8,
}

/// A container that a type is written in: its name, and a function that writes a value of the type.
type Writer = (&'static str, fn(Slot<0>, Slot<0>) -> Vec<u8>);

const WRITERS: &[Writer] = &[
    ("internal", |of, _| encoded(&Internal::Of { of })),
    ("internal", |of, _| encoded(&Internal::New(Field { of }))),
    ("internal", |_, _| encoded(&Internal::<Slot<0>>::A)),
    ("adjacent", |of, _| encoded(&Adjacent::Of(of))),
    ("adjacent", |of, _| encoded(&ContentFirst { c: of, t: "Of" })),
    ("adjacent", |of, _| encoded(&ContentFirst { c: (of, 1), t: "Both" })),
    ("adjacent", |of, _| encoded(&Adjacent::Both(of, 1))),
    ("adjacent", |_, _| encoded(&Adjacent::<Slot<0>>::A)),
    ("untagged", |of, _| encoded(&Untagged::Of { of })),
    ("untagged", |of, _| encoded(&Untagged::Bare(of))),
    ("flat", |of, _| encoded(&Flat { id: 1, inner: Field { of } })),
    ("flat map", |of, x| {
        encoded(&FlatMap { id: 1, rest: BTreeMap::from([("of".into(), of), ("x".into(), x)]) })
    }),
    ("flat tagged", |of, _| encoded(&FlatTagged { id: 1, inner: Internal::Of { of } })),
    (NONE, |kind, t| encoded(&InPlaceOfTags { id: 1, kind, t, of: 1 })),
];

/// A writer without a container.
const NONE: &str = "none";

/// A container that a type is read in: its name, and a function that reads a value and returns its encoding.
type Reader = (&'static str, fn(&[u8]) -> Result<Vec<u8>, BodyError>);

const READERS: &[Reader] = &[
    ("internal", read::<Internal<Slot<0>>>),
    ("adjacent", read::<Adjacent<Slot<0>>>),
    ("untagged", read::<Untagged<Slot<0>>>),
    ("flat", read::<Flat<Slot<0>>>),
    ("flat map", read::<FlatMap<Slot<0>>>),
    ("flat tagged", read::<FlatTagged<Slot<0>>>),
];

fn read<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<Vec<u8>, BodyError> {
    decode_verified::<T>(bytes).map(|value| encoded(&value))
}

fn rng() -> SmallRng {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(23);
    println!("SEED={seed}");
    SmallRng::seed_from_u64(seed)
}

fn written(ty: Type, (_, write): &Writer, rng: &mut SmallRng) -> Vec<u8> {
    write(Slot(Any::sample(ty, rng)), Slot(Any::sample(ty, rng)))
}

/// Reads two values of each type in each container as each type in each container.
#[test]
fn value_that_is_read_as_another_type_has_the_same_meaning() {
    let mut rng = rng();
    let (mut readings, mut arrived) = (0, 0);
    let pairs = || TYPES.iter().flat_map(|old| TYPES.iter().map(move |new| (*old, *new)));
    for (old, new) in pairs().chain(pairs()) {
        READ_AS.set([new; 2]);
        for (writer, (container, read)) in
            WRITERS.iter().flat_map(|writer| READERS.iter().map(move |reader| (writer, reader)))
        {
            readings += 1;
            let was = written(old, writer, &mut rng);
            let Ok(is) = read(&was) else { continue };
            arrived += 1;
            let reading = Reading { container, ty: new, depth: 0 };
            if let Err(why) =
                check_same(&mut Input { rest: &was }, &mut Input { rest: &is }, reading)
            {
                let from = writer.0;
                panic!(
                    "{from} of {old:?} read as {container} of {new:?}: {why}\n{was:02x?}\n{is:02x?}"
                );
            }
        }
    }
    assert!(readings >= MIN_READINGS, "only {readings} readings");
    assert!(arrived > MIN_READINGS / 10, "only {arrived} values arrived");
}

#[test]
fn value_arrives_as_its_own_type() {
    let mut rng = rng();
    let mut readings = 0;
    for (writer, ty) in WRITERS.iter().flat_map(|writer| TYPES.iter().map(move |ty| (writer, *ty)))
    {
        let Some((container, read)) = READERS.iter().find(|reader| reader.0 == writer.0) else {
            continue;
        };
        READ_AS.set([ty; 2]);
        for _ in 0..300 {
            readings += 1;
            let was = written(ty, writer, &mut rng);
            let reading = Reading { container, ty, depth: 0 };
            match read(&was) {
                Ok(is) => {
                    check_same(&mut Input { rest: &was }, &mut Input { rest: &is }, reading)
                        .unwrap_or_else(|why| panic!("{container} of {ty:?}: {why}\n{was:02x?}"));
                }
                Err(error) => panic!("{container} of {ty:?}: {error}\n{was:02x?}"),
            }
        }
    }
    assert!(readings >= MIN_READINGS, "only {readings} readings");
}

/// An untagged type that tries a variant of one type before a variant of another.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum FirstOr<A, B> {
    First(A),
    Second(B),
}

type Pairwise = Vec<FirstOr<Slot<0>, Slot<1>>>;

#[test]
fn second_variant_of_an_untagged_type_arrives() {
    let mut rng = rng();
    for (first, second) in TYPES.iter().flat_map(|a| TYPES.iter().map(move |b| (*a, *b))) {
        READ_AS.set([first, second]);
        for _ in 0..12 {
            let sent: Pairwise = vec![FirstOr::Second(Slot(Any::sample(second, &mut rng)))];
            let was = encoded(&sent);
            match read::<Pairwise>(&was) {
                Ok(is) => {
                    // The first variant may accept any name, or `None` as its null.
                    let is_lenient = matches!(first, Type::OpenName | Type::Json | Type::OneOf);
                    let ty = if is_lenient { first } else { second };
                    let reading = Reading { container: "list", ty, depth: 0 };
                    check_same(&mut Input { rest: &was }, &mut Input { rest: &is }, reading)
                        .unwrap_or_else(|why| {
                            panic!("{first:?} or {second:?}: {why}\n{was:02x?}\n{is:02x?}")
                        });
                }
                // Serde reads every form of these values as the first variant.
                Err(error) => {
                    let listed = [
                        "text would be read as bytes",
                        "a unit would be read as none",
                        "a sequence would be read as a struct",
                        "bytes would be read as text or a name",
                        "a variant with content would be read as one without",
                        "would be rounded",
                        "a float that is not finite would be read as null",
                    ];
                    let listed = listed.iter().any(|listed| error.message().ends_with(listed));
                    assert!(listed, "{first:?} or {second:?}: {error}\n{was:02x?}");
                    assert!(error.path().starts_with("[0]"), "{error}");
                }
            }
        }
    }
}

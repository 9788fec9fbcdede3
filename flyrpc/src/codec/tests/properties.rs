//! Random values of random pairs of types. A value of one type decodes as the other type in the same way
//! as with serde_json, or fails to decode. It always decodes as its own type.

use std::{collections::BTreeMap, fmt::Debug};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::codec::decode;

trait Random: Serialize + DeserializeOwned + PartialEq + Debug {
    fn random(rng: &mut SmallRng) -> Self;
}

macro_rules! integers {
    ($($ty:ty)*) => {$(
        impl Random for $ty {
            /// An integer of any size, often near a power of two.
            fn random(rng: &mut SmallRng) -> Self {
                let bits = rng.random::<u64>() >> rng.random_range(0..64);
                let near = (1u64 << rng.random_range(0..64)).wrapping_sub(rng.random_range(0..3));
                (if rng.random() { bits } else { near }) as $ty
            }
        }
    )*};
}

integers! { u8 i16 u16 u32 i64 u64 }

impl Random for f64 {
    fn random(rng: &mut SmallRng) -> Self {
        match rng.random_range(0..3) {
            0 => i64::random(rng) as f64,
            1 => f32::random(rng).into(),
            _ => rng.random_range(-1e300..1e300),
        }
    }
}

impl Random for f32 {
    fn random(rng: &mut SmallRng) -> Self {
        rng.random_range(-1e30..1e30)
    }
}

impl Random for bool {
    fn random(rng: &mut SmallRng) -> Self {
        rng.random()
    }
}

impl Random for () {
    fn random(_: &mut SmallRng) -> Self {}
}

impl Random for char {
    fn random(rng: &mut SmallRng) -> Self {
        ['X', 'é', '1'][rng.random_range(0..3)]
    }
}

impl Random for String {
    fn random(rng: &mut SmallRng) -> Self {
        ["", "X", "Y", "a", "b", "1", "a longer text than a short head can hold"]
            [rng.random_range(0..7)]
        .to_owned()
    }
}

impl<T: Random> Random for Option<T> {
    fn random(rng: &mut SmallRng) -> Self {
        rng.random::<bool>().then(|| T::random(rng))
    }
}

impl<T: Random> Random for Vec<T> {
    fn random(rng: &mut SmallRng) -> Self {
        (0..rng.random_range(0..4)).map(|_| T::random(rng)).collect()
    }
}

impl<K: Random + Ord, V: Random> Random for BTreeMap<K, V> {
    fn random(rng: &mut SmallRng) -> Self {
        (0..rng.random_range(0..4)).map(|_| (K::random(rng), V::random(rng))).collect()
    }
}

impl<A: Random, B: Random> Random for (A, B) {
    fn random(rng: &mut SmallRng) -> Self {
        (A::random(rng), B::random(rng))
    }
}

impl<T: Random, E: Random> Random for Result<T, E> {
    fn random(rng: &mut SmallRng) -> Self {
        if rng.random() { Ok(T::random(rng)) } else { Err(E::random(rng)) }
    }
}

impl Random for Value {
    fn random(rng: &mut SmallRng) -> Self {
        json_value(rng, 3)
    }
}

fn json_value(rng: &mut SmallRng, depth: usize) -> Value {
    match rng.random_range(0..if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => bool::random(rng).into(),
        2 => u64::random(rng).into(),
        3 => i64::random(rng).into(),
        4 => f64::random(rng).into(),
        5 => String::random(rng).into(),
        6 => (0..rng.random_range(0..20)).map(|_| json_value(rng, depth - 1)).collect(),
        _ => (0..rng.random_range(0..20))
            .map(|_| (String::random(rng), json_value(rng, depth - 1)))
            .collect(),
    }
}

macro_rules! structs {
    ($($(#[$attr:meta])* $name:ident { $($(#[$field_attr:meta])* $field:ident: $ty:ty),* })*) => {$(
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        $(#[$attr])*
        struct $name { $($(#[$field_attr])* $field: $ty),* }

        impl Random for $name {
            fn random(rng: &mut SmallRng) -> Self {
                $name { $($field: Random::random(rng)),* }
            }
        }
    )*};
}

structs! {
    Plain { a: u8, b: Option<String> }
    Wider { #[serde(default)] c: u8, a: i64 }
    #[serde(deny_unknown_fields)] Closed { a: f64, #[serde(skip_serializing_if = "Option::is_none")] b: Option<char> }
    Nested { a: Plain, b: Vec<Choice>, c: BTreeMap<String, Wider> }
    Loose { a: Value, b: Value }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    X,
    Y(u8),
    Z { a: u8 },
    W(i64, i64),
}

impl Random for Choice {
    fn random(rng: &mut SmallRng) -> Self {
        match rng.random_range(0..4) {
            0 => Choice::X,
            1 => Choice::Y(rng.random()),
            2 => Choice::Z { a: rng.random() },
            _ => Choice::W(Random::random(rng), Random::random(rng)),
        }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Reordered {
    V(String),
    Y(u64),
    X,
    Z {
        #[serde(default)]
        b: u8,
        a: i16,
    },
}

impl Random for Reordered {
    fn random(rng: &mut SmallRng) -> Self {
        match rng.random_range(0..4) {
            0 => Reordered::V(Random::random(rng)),
            1 => Reordered::Y(Random::random(rng)),
            2 => Reordered::X,
            _ => Reordered::Z { a: Random::random(rng), b: 1 },
        }
    }
}

/// Decodes `old` as an `N`, and increments `arrived` if that succeeds.
fn check<O: Random, N: Random>(old: &O, arrived: &mut usize) {
    let Ok(new) = decode::<N>(&super::encoded(old)) else { return };
    let json = serde_json::to_value(old).expect("JSON can represent the value");
    match serde_json::from_value::<N>(json) {
        Ok(expected) => assert_eq!(new, expected, "encoded from {old:?}"),
        Err(error) => panic!("{old:?} arrived as {new:?}, which JSON refuses: {error}"),
    }
    *arrived += 1;
}

macro_rules! pairs {
    ($rng:ident, $arrived:ident: [$($old:ty),*] $new:tt) => {$(
        let old = <$old>::random(&mut $rng);
        assert_eq!(decode::<$old>(&super::encoded(&old)).as_ref(), Ok(&old));
        pairs! { @old $arrived, old: $new }
    )*};
    (@old $arrived:ident, $old:ident: [$($new:ty),*]) => {$(
        check::<_, $new>(&$old, &mut $arrived);
    )*};
    ($rng:ident, $arrived:ident: $types:tt) => { pairs! { $rng, $arrived: $types $types } };
}

#[test]
fn value_arrives_as_serde_reads_it_or_is_refused() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(11);
    println!("SEED={seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut arrived = 0;
    for _ in 0..300 {
        pairs! { rng, arrived: [
            bool, (), u8, i64, u64, f32, f64, char, String, Vec<u8>, Vec<f32>, (u8, u8), Option<u16>,
            BTreeMap<String, u8>, BTreeMap<i64, Option<char>>, Plain, Wider, Closed, Nested, Loose,
            Choice, Reordered, Vec<Option<Choice>>, Result<u8, String>, Value
        ] }
    }
    assert!(arrived > 20_000, "only {arrived} values arrived");
}

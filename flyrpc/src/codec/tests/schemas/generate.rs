//! Generates random types, values of these types, and other versions of these types.

use proptest::{collection::vec, prelude::*, sample::subsequence};

use super::{Content, Field, NAMES, Schema, Value, Variant};

fn scalar() -> impl Strategy<Value = Schema> {
    use Schema::*;
    prop::sample::select(vec![
        Unit, Bool, I8, U8, I32, U32, I64, U64, I128, F32, F64, Char, Text, Bytes,
    ])
}

fn key() -> impl Strategy<Value = Schema> {
    let variant = |name| Variant { name, content: Content::None };
    let of_units = Schema::Enum(NAMES.into_iter().map(variant).collect());
    prop::sample::select(vec![Schema::Text, Schema::U8, Schema::I64, Schema::Char, of_units])
}

pub(super) fn schema() -> impl Strategy<Value = Schema> {
    scalar().prop_recursive(4, 24, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        prop_oneof![
            2 => inner.clone().prop_map(optional),
            1 => boxed.clone().prop_map(Schema::Newtype),
            2 => boxed.clone().prop_map(Schema::Seq),
            1 => vec(inner.clone(), 1..4).prop_map(Schema::Tuple),
            1 => (key(), boxed).prop_map(|(key, value)| Schema::Map(key.into(), value)),
            4 => fields(inner.clone()).prop_map(Schema::Struct),
            3 => variants(inner).prop_map(Schema::Enum),
        ]
    })
}

/// Wraps a type in an option, unless JSON could not distinguish its values from none.
fn optional(schema: Schema) -> Schema {
    if is_nullable(&schema) { schema } else { Schema::Option(schema.into()) }
}

fn is_nullable(schema: &Schema) -> bool {
    match schema {
        Schema::Newtype(of) => is_nullable(of),
        schema => matches!(schema, Schema::Unit | Schema::Option(_)),
    }
}

fn fields(of: impl Strategy<Value = Schema> + Clone + 'static) -> BoxedStrategy<Vec<Field>> {
    let names = subsequence(NAMES.to_vec(), 0..=4).prop_shuffle();
    let field = move |name| {
        (of.clone(), any::<bool>()).prop_map(move |(schema, default)| Field {
            name,
            schema,
            default,
        })
    };
    names.prop_flat_map(move |names| names.into_iter().map(&field).collect::<Vec<_>>()).boxed()
}

fn variants(of: impl Strategy<Value = Schema> + Clone + 'static) -> BoxedStrategy<Vec<Variant>> {
    let names = subsequence(NAMES.to_vec(), 1..=4).prop_shuffle();
    let variant = move |name| {
        let content = prop_oneof![
            2 => Just(Content::None),
            2 => of.clone().prop_map(Content::One),
            1 => vec(of.clone(), 2..4).prop_map(Content::Tuple),
            1 => fields(of.clone()).prop_map(Content::Fields),
        ];
        content.prop_map(move |content| Variant { name, content })
    };
    names.prop_flat_map(move |names| names.into_iter().map(&variant).collect::<Vec<_>>()).boxed()
}

/// An integer of any size, often near a power of two.
fn integer(low: i128, high: i128) -> BoxedStrategy<Value> {
    let small = (0i128..=12).prop_map(move |value| value.clamp(low, high));
    let edge =
        (0u32..127, -1i128..=1).prop_map(move |(bits, by)| ((1i128 << bits) - by).clamp(low, high));
    prop_oneof![small, edge, low..=high].prop_map(Value::Int).boxed()
}

pub(super) fn value_of(schema: &Schema) -> BoxedStrategy<Value> {
    let text = prop_oneof![prop::sample::select(NAMES.to_vec()), Just(""), Just("other")];
    match schema {
        Schema::Unit => Just(Value::Unit).boxed(),
        Schema::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Schema::I8 => integer(i8::MIN.into(), i8::MAX.into()),
        Schema::U8 => integer(0, u8::MAX.into()),
        Schema::I32 => integer(i32::MIN.into(), i32::MAX.into()),
        Schema::U32 => integer(0, u32::MAX.into()),
        Schema::I64 => integer(i64::MIN.into(), i64::MAX.into()),
        Schema::U64 => integer(0, u64::MAX.into()),
        Schema::I128 => integer(i128::MIN, i128::MAX),
        Schema::F32 => {
            prop_oneof![-1e6f32..1e6, (-9i8..9).prop_map(f32::from)].prop_map(Value::F32).boxed()
        }
        Schema::F64 => prop_oneof![
            -1e300..1e300,
            any::<i32>().prop_map(f64::from),
            (-9f32..9.0).prop_map(f64::from)
        ]
        .prop_map(Value::F64)
        .boxed(),
        Schema::Char => prop::sample::select(vec!['a', 'e', 'é']).prop_map(Value::Char).boxed(),
        Schema::Text => text.prop_map(|text| Value::Text(text.to_owned())).boxed(),
        Schema::Bytes => vec(any::<u8>(), 0..4).prop_map(Value::Bytes).boxed(),
        Schema::Option(of) => {
            prop::option::of(value_of(of).prop_map(Box::new)).prop_map(Value::Option).boxed()
        }
        Schema::Newtype(of) => value_of(of),
        Schema::Seq(of) => vec(value_of(of), 0..4).prop_map(Value::Seq).boxed(),
        Schema::Tuple(of) => values_of(of),
        Schema::Map(key, value) => {
            let entries = vec((value_of(key), value_of(value)), 0..4);
            entries
                .prop_map(|mut entries| {
                    entries.sort_by_key(|(key, _)| format!("{key:?}"));
                    entries.dedup_by(|(a, _), (b, _)| a == b);
                    Value::Map(entries)
                })
                .boxed()
        }
        Schema::Struct(fields) => struct_of(fields),
        Schema::Enum(variants) => prop::sample::select(variants.clone())
            .prop_flat_map(|Variant { name, content }| {
                let content = match &content {
                    Content::None => Just(None).boxed(),
                    Content::One(of) => value_of(of).prop_map(Some).boxed(),
                    Content::Tuple(of) => values_of(of).prop_map(Some).boxed(),
                    Content::Fields(fields) => struct_of(fields).prop_map(Some).boxed(),
                };
                content.prop_map(move |content| Value::Variant(name, content.map(Box::new)))
            })
            .boxed(),
    }
}

fn values_of(of: &[Schema]) -> BoxedStrategy<Value> {
    of.iter().map(value_of).collect::<Vec<_>>().prop_map(Value::Seq).boxed()
}

fn struct_of(fields: &[Field]) -> BoxedStrategy<Value> {
    let names: Vec<_> = fields.iter().map(|field| field.name).collect();
    let values: Vec<_> = fields.iter().map(|field| value_of(&field.schema)).collect();
    values
        .prop_map(move |values| Value::Struct(names.iter().copied().zip(values).collect()))
        .boxed()
}

/// Returns another version of a type, or the same type if there are no choices.
pub(super) fn mutated(schema: &Schema, choices: &mut impl Iterator<Item = u8>) -> Schema {
    use Schema::*;
    let choice = choices.next().unwrap_or_default();
    let mut inner = |of: &Schema| Box::new(mutated(of, choices));
    match (schema, choice) {
        (_, 200..) => another(schema, choice),
        (Option(of), 180..) => *inner(of),
        (Newtype(of), 180..) => *inner(of),
        (_, 190..) => optional(*inner(schema)),
        (_, 185..) => Newtype(inner(schema)),
        (Option(of), _) => optional(*inner(of)),
        (Newtype(of), _) => Newtype(inner(of)),
        (Seq(of), _) => Seq(inner(of)),
        (Map(key, value), _) => Map(key.clone(), inner(value)),
        (Tuple(of), 160..) => Seq(inner(&of[0])),
        (Tuple(of), _) => Tuple(of.iter().map(|of| *inner(of)).collect()),
        (Struct(fields), _) => Struct(other_fields(fields, choice, choices)),
        (Enum(variants), _) => Enum(other_variants(variants, choice, choices)),
        (scalar, ..100) => scalar.clone(),
        (scalar, _) => another(scalar, choice.wrapping_mul(7)),
    }
}

/// Returns a type that can decode many encodings of `schema`.
fn another(schema: &Schema, choice: u8) -> Schema {
    use Schema::*;
    let field = |name, schema| Field { name, schema, default: choice.is_multiple_of(2) };
    let numbers = [U8, I8, I32, U32, I64, U64, I128, F32, F64];
    let all = match schema {
        U8 | I8 | I32 | U32 | I64 | U64 | I128 | F32 | F64 => numbers.to_vec(),
        Char | Text => vec![
            Char,
            Text,
            Enum(NAMES.map(|name| Variant { name, content: Content::None }).to_vec()),
        ],
        Bytes | Seq(_) | Tuple(_) => vec![
            Seq(U8.into()),
            Bytes,
            Text,
            Struct(vec![field("a", U8), field("b", U8)]),
            Tuple(vec![U8, I64]),
        ],
        Map(..) | Struct(_) | Enum(_) => vec![
            Map(Text.into(), U8.into()),
            Map(U8.into(), U8.into()),
            Struct(vec![field("b", I64), field("a", Option(Text.into()))]),
            Enum(vec![
                Variant { name: "b", content: Content::One(U8) },
                Variant { name: "a", content: Content::Fields(vec![field("a", U8)]) },
            ]),
            Text,
        ],
        Unit | Bool | Option(_) | Newtype(_) => {
            vec![Option(U8.into()), Unit, Bool, U8, Struct(vec![])]
        }
    };
    all[usize::from(choice) % all.len()].clone()
}

fn other_fields(
    fields: &[Field],
    choice: u8,
    choices: &mut impl Iterator<Item = u8>,
) -> Vec<Field> {
    let mut fields = fields.to_vec();
    for field in &mut fields {
        field.schema = mutated(&field.schema, choices);
    }
    let length = fields.len();
    if choice & 1 != 0 && length > 0 {
        fields.remove(usize::from(choice >> 3) % length);
    }
    if choice & 2 != 0 {
        fields.reverse();
    }
    if choice & 4 != 0 {
        let name = NAMES[usize::from(choice >> 3) % NAMES.len()];
        if fields.iter().all(|field| field.name != name) {
            fields.insert(0, Field { name, schema: Schema::U8, default: choice & 32 != 0 });
        }
    }
    fields
}

fn other_variants(
    variants: &[Variant],
    choice: u8,
    choices: &mut impl Iterator<Item = u8>,
) -> Vec<Variant> {
    let mut variants = variants.to_vec();
    for variant in &mut variants {
        variant.content = match &variant.content {
            Content::None => Content::None,
            Content::One(of) => Content::One(mutated(of, choices)),
            Content::Tuple(of) => {
                Content::Tuple(of.iter().map(|of| mutated(of, choices)).collect())
            }
            Content::Fields(fields) => {
                let choice = choices.next().unwrap_or_default();
                Content::Fields(other_fields(fields, choice, choices))
            }
        };
    }
    let length = variants.len();
    if choice & 1 != 0 && length > 1 {
        variants.remove(usize::from(choice >> 3) % length);
    }
    if choice & 2 != 0 {
        variants.reverse();
    }
    if choice & 4 != 0 {
        let name = NAMES[usize::from(choice >> 3) % NAMES.len()];
        if variants.iter().all(|variant| variant.name != name) {
            variants.insert(0, Variant { name, content: Content::None });
        }
    }
    variants
}

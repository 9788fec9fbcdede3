//! Structs whose fields are added, removed, reordered and changed, at any depth.

use std::{
    collections::{BTreeMap, HashMap},
    marker::PhantomData,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{types, versions};

types! {
    struct NoteV1 { id: u32, text: String }
    struct NoteV2 { text: String, #[serde(default)] retries: u8, id: u32, tag: Option<String> }
    struct NoteV3 { id: u32, text: String, author: String }
    struct Boxed { id: u64, inner: Option<Box<Boxed>> }
    struct BoxedV2 { inner: Option<Arc<BoxedV2>>, id: u64, #[serde(default = "seven")] weight: u8 }
    struct Page<T> { items: Vec<T>, next: Option<Box<Page<T>>> }
    enum EventV1 { Saved(NoteV1), Moved { from: NoteV1, to: (NoteV1, u8) } }
    enum EventV2 { Moved { to: (NoteV2, u8), from: NoteV2 }, Saved(NoteV2) }
    struct TupleV1(u8, String);
    struct TupleV2(u8, String, #[serde(default)] Option<u8>);
    struct Marked<T> { id: u8, #[serde(default)] mark: PhantomData<T> }
    struct Unmarked { id: u8 }
    struct Gone { id: u8, #[serde(default)] gone: Vec<u8> }
    struct Strict { id: u8, text: Option<String> }
    struct Wrapper(NoteV1);
    struct WrapperV2(NoteV2);
    #[serde(deny_unknown_fields)]
    struct ClosedV1 { id: u8 }
    struct ClosedV2 { id: u8, #[serde(default, skip_serializing_if = "Option::is_none")] tag: Option<u8> }
}

fn seven() -> u8 {
    7
}

fn v1(id: u32) -> NoteV1 {
    NoteV1 { id, text: "fly".into() }
}

/// The value that the new version decodes from [`v1`].
fn v2(id: u32) -> NoteV2 {
    NoteV2 { text: "fly".into(), retries: 0, id, tag: None }
}

/// A value of the new version from which the old version decodes [`v1`].
fn full(id: u32) -> NoteV2 {
    NoteV2 { text: "fly".into(), retries: 9, id, tag: Some("new".into()) }
}

type BySize<T> = HashMap<u16, T>;

versions! {
    fields_are_added_with_defaults_and_moved: NoteV1, NoteV2 {
        old v1(1) => Ok(v2(1));
        new full(2) => Ok(v1(2));
    }
    fields_are_added_within_a_list: Vec<NoteV1>, Vec<NoteV2> {
        old vec![v1(1), v1(2)] => Ok(vec![v2(1), v2(2)]);
        new vec![full(1), v2(2)] => Ok(vec![v1(1), v1(2)]);
        new vec![] => Ok(vec![]);
    }
    fields_are_added_within_a_map: BySize<NoteV1>, BySize<NoteV2> {
        old BySize::from([(1, v1(1))]) => Ok(BySize::from([(1, v2(1))]));
        new BySize::from([(1, full(1))]) => Ok(BySize::from([(1, v1(1))]));
    }
    fields_are_added_within_tuples_and_options: (u8, Option<NoteV1>), (u8, Option<NoteV2>) {
        old (1, Some(v1(1))) => Ok((1, Some(v2(1))));
        new (1, Some(full(1))) => Ok((1, Some(v1(1))));
        new (1, None) => Ok((1, None));
    }
    fields_are_added_within_results: Result<NoteV1, Vec<NoteV1>>, Result<NoteV2, Vec<NoteV2>> {
        old Ok(v1(1)) => Ok(Ok(v2(1)));
        new Err(vec![full(1)]) => Ok(Err(vec![v1(1)]));
    }
    fields_are_added_within_variants: EventV1, EventV2 {
        old EventV1::Saved(v1(1)) => Ok(EventV2::Saved(v2(1)));
        old EventV1::Moved { from: v1(1), to: (v1(2), 3) }
            => Ok(EventV2::Moved { from: v2(1), to: (v2(2), 3) });
        new EventV2::Moved { from: full(1), to: (full(2), 3) }
            => Ok(EventV1::Moved { from: v1(1), to: (v1(2), 3) });
    }
    fields_are_added_within_generics: Page<NoteV1>, Page<NoteV2> {
        old Page { items: vec![v1(1)], next: Some(Page { items: vec![], next: None }.into()) }
            => Ok(Page { items: vec![v2(1)], next: Some(Page { items: vec![], next: None }.into()) });
        new Page { items: vec![full(1)], next: None } => Ok(Page { items: vec![v1(1)], next: None });
    }
    fields_are_added_within_newtypes: Wrapper, WrapperV2 {
        old Wrapper(v1(1)) => Ok(WrapperV2(v2(1)));
        new WrapperV2(full(1)) => Ok(Wrapper(v1(1)));
    }
    fields_are_added_at_every_depth_of_a_recursive_type: Boxed, BoxedV2 {
        old Boxed { id: 1, inner: Some(Boxed { id: 2, inner: None }.into()) } => Ok(BoxedV2 {
            id: 1,
            inner: Some(BoxedV2 { id: 2, inner: None, weight: 7 }.into()),
            weight: 7,
        });
        new BoxedV2 { id: 1, inner: None, weight: 3 } => Ok(Boxed { id: 1, inner: None });
    }
    a_field_that_had_a_default_is_removed: Gone, Unmarked {
        old Gone { id: 1, gone: vec![1] } => Ok(Unmarked { id: 1 });
        new Unmarked { id: 1 } => Ok(Gone { id: 1, gone: vec![] });
    }
    a_field_added_without_a_default_is_missing_by_name: NoteV1, NoteV3 {
        old v1(1) => Err("missing field `author`");
        new NoteV3 { id: 1, text: "fly".into(), author: "me".into() } => Ok(v1(1));
    }
    a_missing_field_is_located_at_any_depth:
        BTreeMap<String, Vec<NoteV1>>, BTreeMap<String, Vec<NoteV3>>
    {
        old BTreeMap::from([("a".into(), vec![v1(1)])]) => Err("a[0]: missing field `author`");
    }
    a_field_of_another_type_is_located: NoteV1, Strict {
        old v1(300) => Err("id: invalid value: integer `300`, expected u8");
        old v1(3) => Ok(Strict { id: 3, text: Some("fly".into()) });
        new Strict { id: 1, text: Some("fly".into()) } => Ok(v1(1));
        new Strict { id: 1, text: None } => Err("text: invalid type: none, expected a string");
    }
    a_tuple_struct_grows_by_fields_with_defaults: TupleV1, TupleV2 {
        old TupleV1(1, "fly".into()) => Ok(TupleV2(1, "fly".into(), None));
        new TupleV2(1, "fly".into(), Some(1)) => Err("3 elements where 2 were expected");
    }
    a_tuple_struct_is_a_tuple: TupleV1, (u8, String) {
        old TupleV1(1, "fly".into()) => Ok((1, "fly".into()));
        new (1, "fly".into()) => Ok(TupleV1(1, "fly".into()));
    }
    a_marker_without_data_is_added: Unmarked, Marked<String> {
        old Unmarked { id: 1 } => Ok(Marked { id: 1, mark: PhantomData });
        new Marked { id: 1, mark: PhantomData } => Ok(Unmarked { id: 1 });
    }
    a_struct_that_denies_unknown_fields_names_them: ClosedV1, ClosedV2 {
        old ClosedV1 { id: 1 } => Ok(ClosedV2 { id: 1, tag: None });
        new ClosedV2 { id: 1, tag: None } => Ok(ClosedV1 { id: 1 });
        new ClosedV2 { id: 1, tag: Some(1) } => Err("unknown field `tag`");
    }
    a_struct_is_a_map_of_its_fields: Unmarked, BTreeMap<String, u8> {
        old Unmarked { id: 1 } => Ok(BTreeMap::from([("id".into(), 1)]));
        new BTreeMap::from([("id".into(), 1)]) => Ok(Unmarked { id: 1 });
        new BTreeMap::new() => Err("missing field `id`");
    }
}

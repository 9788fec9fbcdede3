//! Enums whose variants are added, removed, reordered and changed.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::{types, versions};

types! {
    #[derive(Eq, Hash)]
    enum KindV1 { Plain, Sized(u8), Pair(u8, u8), Named { w: u8 } }
    #[derive(Eq, Hash)]
    enum KindV2 {
        Round,
        Named { w: u16, #[serde(default)] h: u16 },
        Pair(u8, u8),
        Sized(u64),
        Plain,
        Tree(Vec<KindV2>),
    }
    struct Shelf { kinds: Vec<KindV1> }
    struct ShelfV2 { kinds: Vec<KindV2> }
    enum Other { Plain(u8), Sized, Pair { a: u8 }, Named(u8) }
    enum Open { Plain, #[serde(other)] Unknown }
    #[serde(tag = "kind")]
    enum Tagged { Plain, Named { w: u8 } }
    #[serde(tag = "kind")]
    enum TaggedV2 { Named { w: u8, #[serde(default)] h: u8 }, Round { r: u8 }, Plain }
    #[serde(tag = "kind")]
    enum TaggedOpen { Plain, #[serde(other)] Unknown }
    #[serde(tag = "kind", content = "of")]
    enum Adjacent { Plain, Sized(u8), Named { w: u8 } }
    #[serde(tag = "kind", content = "of")]
    enum AdjacentV2 { Round(u8), Named { w: u8, h: Option<u8> }, Sized(u16), Plain }
    #[serde(untagged)]
    enum Untagged { Number(i64), Text(String) }
    #[serde(untagged)]
    enum UntaggedV2 { Text(String), Flag(bool), Number(i64), Named { w: u8 } }
}

versions! {
    variants_are_added_moved_and_widened: KindV1, KindV2 {
        old KindV1::Plain => Ok(KindV2::Plain);
        old KindV1::Sized(3) => Ok(KindV2::Sized(3));
        old KindV1::Pair(1, 2) => Ok(KindV2::Pair(1, 2));
        old KindV1::Named { w: 1 } => Ok(KindV2::Named { w: 1, h: 0 });
        new KindV2::Plain => Ok(KindV1::Plain);
        new KindV2::Named { w: 1, h: 2 } => Ok(KindV1::Named { w: 1 });
        new KindV2::Sized(300) => Err("Sized: invalid value: integer `300`");
        new KindV2::Round => Err("unknown variant `Round`");
        new KindV2::Tree(vec![]) => Err("unknown variant `Tree`");
        new KindV2::Sized(3) => Ok(KindV1::Sized(3));
    }
    an_unknown_variant_is_located: Shelf, ShelfV2 {
        old Shelf { kinds: vec![KindV1::Plain] } => Ok(ShelfV2 { kinds: vec![KindV2::Plain] });
        new ShelfV2 { kinds: vec![KindV2::Plain, KindV2::Round] }
            => Err("kinds[1]: unknown variant `Round`");
        new ShelfV2 { kinds: vec![] } => Ok(Shelf { kinds: vec![] });
    }
    variants_are_keys_of_maps: HashMap<KindV1, u8>, HashMap<KindV2, u8> {
        old HashMap::from([(KindV1::Pair(1, 2), 3)]) => Ok(HashMap::from([(KindV2::Pair(1, 2), 3)]));
        new HashMap::from([(KindV2::Plain, 3)]) => Ok(HashMap::from([(KindV1::Plain, 3)]));
        new HashMap::from([(KindV2::Round, 3)]) => Err("unknown variant `Round`");
    }
    a_variant_keeps_its_kind_of_content: KindV1, Other {
        old KindV1::Plain => Err("Plain: invalid type: unit variant");
        old KindV1::Sized(1) => Err("Sized");
        old KindV1::Pair(1, 2) => Err("Pair: invalid type: sequence");
        old KindV1::Named { w: 1 } => Err("Named: invalid type: map");
        new Other::Plain(1) => Err("Plain");
        new Other::Sized => Err("Sized");
        new Other::Pair { a: 1 } => Err("Pair: invalid type: map");
        new Other::Named(1) => Err("Named: invalid type: integer `1`");
    }
    an_unknown_variant_is_decoded_as_the_one_marked_other: Open, KindV2 {
        new KindV2::Plain => Ok(Open::Plain);
        new KindV2::Round => Ok(Open::Unknown);
        new KindV2::Sized(1) => Err("Sized");
        old Open::Plain => Ok(KindV2::Plain);
        old Open::Unknown => Err("unknown variant `Unknown`");
    }
    a_result_is_not_a_plain_value: u8, Result<u8, String> {
        old 1 => Err("integer `1`");
        new Ok(1) => Err("map");
        new Err("no".into()) => Err("map");
    }
    internally_tagged_variants_are_added_and_moved: Tagged, TaggedV2 {
        old Tagged::Plain => Ok(TaggedV2::Plain);
        old Tagged::Named { w: 1 } => Ok(TaggedV2::Named { w: 1, h: 0 });
        new TaggedV2::Named { w: 1, h: 2 } => Ok(Tagged::Named { w: 1 });
        new TaggedV2::Plain => Ok(Tagged::Plain);
        new TaggedV2::Round { r: 1 } => Err("unknown variant `Round`");
    }
    an_internally_tagged_enum_may_have_an_other_variant: TaggedOpen, TaggedV2 {
        new TaggedV2::Plain => Ok(TaggedOpen::Plain);
        new TaggedV2::Round { r: 1 } => Ok(TaggedOpen::Unknown);
    }
    adjacently_tagged_variants_are_added_and_moved: Adjacent, AdjacentV2 {
        old Adjacent::Plain => Ok(AdjacentV2::Plain);
        old Adjacent::Sized(1) => Ok(AdjacentV2::Sized(1));
        old Adjacent::Named { w: 1 } => Ok(AdjacentV2::Named { w: 1, h: None });
        new AdjacentV2::Named { w: 1, h: Some(2) } => Ok(Adjacent::Named { w: 1 });
        new AdjacentV2::Sized(300) => Err("integer `300`");
        new AdjacentV2::Round(1) => Err("unknown variant `Round`");
    }
    untagged_variants_are_added_and_moved: Untagged, UntaggedV2 {
        old Untagged::Number(-1) => Ok(UntaggedV2::Number(-1));
        old Untagged::Text("fly".into()) => Ok(UntaggedV2::Text("fly".into()));
        new UntaggedV2::Number(i64::MIN) => Ok(Untagged::Number(i64::MIN));
        new UntaggedV2::Flag(true) => Err("did not match any variant");
        new UntaggedV2::Named { w: 1 } => Err("did not match any variant");
    }
    enums_with_different_tagging_are_incompatible: KindV1, Tagged {
        old KindV1::Plain => Err("string \"Plain\"");
        old KindV1::Named { w: 1 } => Err("missing field `kind`");
        new Tagged::Plain => Err("unknown variant `kind`");
        new Tagged::Named { w: 1 } => Err("map");
    }
    a_map_of_one_entry_is_a_variant_of_that_name_only: BTreeMap<String, u8>, KindV1 {
        old BTreeMap::from([("Sized".into(), 1)]) => Ok(KindV1::Sized(1));
        old BTreeMap::from([("sized".into(), 1)]) => Err("unknown variant `sized`");
        old BTreeMap::new() => Err("map");
        new KindV1::Sized(1) => Ok(BTreeMap::from([("Sized".into(), 1)]));
        new KindV1::Plain => Err("string \"Plain\"");
    }
    a_map_of_one_index_is_not_a_variant: BTreeMap<u8, u8>, KindV1 {
        old BTreeMap::from([(1, 1)]) => Err("not given by name");
        new KindV1::Sized(1) => Err("string \"Sized\"");
    }
}

//! Numbers, text, bytes, options and units that were changed to another type.

use std::{
    net::{IpAddr, Ipv4Addr},
    num::{NonZeroI8, NonZeroU8, NonZeroU32},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{types, versions};

types! {
    enum Level { Low, High }
    struct Unit;
    struct Empty {}
    struct Limits { max: u8, min: u8 }
    struct Meters(f64);
}

versions! {
    an_integer_is_widened_and_narrowed_if_it_fits: u8, u64 {
        old 0 => Ok(0);
        old 255 => Ok(255);
        new 255 => Ok(255);
        new 256 => Err("integer `256`");
        new u64::MAX => Err("expected u8");
    }
    an_integer_changes_its_signedness_if_it_fits: i32, u64 {
        old 7 => Ok(7);
        old -1 => Err("integer `-1`");
        new 7 => Ok(7);
        new 1 << 31 => Err("expected i32");
    }
    an_integer_grows_to_128_bits: i64, i128 {
        old i64::MIN => Ok(i64::MIN.into());
        new i64::MAX.into() => Ok(i64::MAX);
        new i128::MIN => Err("more than 64 bits");
    }
    an_unsigned_integer_of_128_bits_becomes_a_signed_one: u128, i128 {
        old u128::MAX => Err("more than 64 bits");
        old 1 << 100 => Ok(1 << 100);
        new 1 << 100 => Ok(1 << 100);
        new -1 => Err("integer `-1`");
    }
    an_integer_becomes_a_float_if_exact: u64, f64 {
        old 1 << 53 => Ok(9_007_199_254_740_992.0);
        old (1 << 53) + 1 => Err("cannot be represented exactly as f64");
        old u64::MAX => Err("f64");
        new 3.0 => Err("floating point");
    }
    a_signed_integer_becomes_a_short_float_if_exact: i32, f32 {
        old -16_777_216 => Ok(-16_777_216.0);
        old 16_777_217 => Err("cannot be represented exactly as f32");
    }
    a_wide_integer_is_not_a_float: u128, f64 {
        old 1 << 100 => Err("more than 64 bits");
        old 3 => Ok(3.0);
        new 3.5 => Err("floating point");
    }
    a_float_is_shortened_if_exact: f64, f32 {
        old 0.5 => Ok(0.5);
        old 0.1 => Err("cannot be represented exactly as f32");
        old 1e300 => Err("f32");
        old f64::INFINITY => Ok(f32::INFINITY);
        old f64::NAN => Ok(f32::NAN);
        new 0.1 => Ok(f64::from(0.1f32));
        new -0.0 => Ok(-0.0);
    }
    a_newtype_is_encoded_as_its_content: f64, Meters {
        old 1.5 => Ok(Meters(1.5));
        new Meters(0.1) => Ok(0.1);
    }
    zero_is_not_a_nonzero_integer: u32, NonZeroU32 {
        old 7 => Ok(NonZeroU32::new(7).unwrap());
        old 0 => Err("nonzero");
        new NonZeroU32::MAX => Ok(u32::MAX);
    }
    nonzero_integers_must_be_in_range: NonZeroU8, NonZeroI8 {
        old NonZeroU8::MIN => Ok(NonZeroI8::new(1).unwrap());
        old NonZeroU8::MAX => Err("255");
        new NonZeroI8::MIN => Err("-128");
    }
    a_bool_is_not_a_number: bool, u8 {
        old true => Err("boolean `true`");
        new 1 => Err("integer `1`");
    }
    a_number_is_not_text: u64, String {
        old 7 => Err("integer `7`");
        new "7".to_owned() => Err("string \"7\"");
    }
    text_becomes_the_variant_of_that_name: String, Level {
        old "High".to_owned() => Ok(Level::High);
        old "high".to_owned() => Err("unknown variant `high`");
        new Level::Low => Ok("Low".to_owned());
    }
    an_integer_is_not_a_variant: u8, Level {
        old 0 => Err("integer `0`");
        new Level::High => Err("string \"High\"");
    }
    text_of_one_character_becomes_a_character: String, char {
        old "é".to_owned() => Ok('é');
        old "no".to_owned() => Err("expected a character");
        old String::new() => Err("expected a character");
        new '🦀' => Ok("🦀".to_owned());
    }
    a_character_is_not_a_number: char, u32 {
        old 'a' => Err("string \"a\"");
        new 97 => Err("integer `97`");
    }
    text_becomes_an_address_if_valid: String, IpAddr {
        old "192.0.2.1".to_owned() => Ok(Ipv4Addr::new(192, 0, 2, 1).into());
        old "here".to_owned() => Err("invalid IP address");
        new Ipv4Addr::LOCALHOST.into() => Ok("127.0.0.1".to_owned());
    }
    a_list_of_bytes_is_not_text: Vec<u8>, String {
        old b"hi".to_vec() => Err("sequence");
        old vec![] => Err("sequence");
        new "hi".to_owned() => Err("string \"hi\"");
        new String::new() => Err("string");
    }
    bytes_are_not_text: ByteBuf, String {
        old ByteBuf::from("hi") => Err("bytes");
        new "hi".to_owned() => Err("string \"hi\"");
    }
    bytes_and_lists_of_integers_are_interchangeable: Vec<u16>, ByteBuf {
        old vec![0, 255] => Ok(ByteBuf::from([0, 255]));
        old vec![256] => Err("[0]");
        new ByteBuf::from([0, 127, 255]) => Ok(vec![0, 127, 255]);
    }
    text_is_compatible_between_string_types: String, Arc<str> {
        old "fly".to_owned() => Ok("fly".into());
        new "rpc".into() => Ok("rpc".to_owned());
    }
    a_value_becomes_an_option: u8, Option<u8> {
        old 7 => Ok(Some(7));
        new Some(7) => Ok(7);
    }
    a_none_is_not_a_value: (u8,), (Option<u8>,) {
        old (7,) => Ok((Some(7),));
        new (Some(7),) => Ok((7,));
        new (None,) => Err("[0]: invalid type: none");
    }
    a_none_in_a_list_is_not_a_value: Vec<u8>, Vec<Option<u8>> {
        old vec![1] => Ok(vec![Some(1)]);
        new vec![Some(1)] => Ok(vec![1]);
        new vec![Some(1), None] => Err("[1]");
    }
    nones_of_two_depths_are_distinguished: (Option<u8>,), (Option<Option<u8>>,) {
        old (None,) => Ok((None,));
        old (Some(7),) => Ok((Some(Some(7)),));
        new (Some(Some(7)),) => Ok((Some(7),));
        new (None,) => Ok((None,));
        new (Some(None),) => Err("none");
    }
    a_unit_is_not_a_number: (), u64 {
        old () => Err("unit");
        new 0 => Err("integer `0`");
    }
    a_unit_is_not_a_none: (), Option<String> {
        old () => Err("unit");
        new Some(String::new()) => Err("string");
    }
    a_unit_becomes_an_option_of_a_unit: (), Option<()> {
        old () => Ok(Some(()));
        new Some(()) => Ok(());
    }
    a_unit_is_a_unit_struct: (), Unit {
        old () => Ok(Unit);
        new Unit => Ok(());
    }
    a_unit_is_not_an_empty_struct: Empty, () {
        old Empty {} => Err("map");
        new () => Err("unit");
    }
    a_list_is_not_a_struct: Vec<u8>, Limits {
        old vec![1, 9] => Err("sequence");
        new Limits { max: 9, min: 1 } => Err("map");
    }
    a_tuple_is_not_a_struct: (u8, u8), Limits {
        old (1, 9) => Err("sequence");
        new Limits { max: 9, min: 1 } => Err("map");
    }
    a_tuple_keeps_its_length: (u8, u8), (u8, u8, u8) {
        old (1, 2) => Err("a tuple of size 3");
        new (1, 2, 3) => Err("3 elements where 2 were expected");
    }
    a_tuple_becomes_a_list_of_its_elements: (u8, u8), Vec<u8> {
        old (1, 2) => Ok(vec![1, 2]);
        new vec![1, 2] => Ok((1, 2));
        new vec![1] => Err("a tuple of size 2");
        new vec![1, 2, 3] => Err("3 elements");
    }
    a_value_is_not_a_list_of_one: u8, Vec<u8> {
        old 1 => Err("integer `1`");
        new vec![1] => Err("sequence");
    }
}

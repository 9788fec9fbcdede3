//! The meaning of generated code does not depend on the names in scope around it.
#![no_implicit_prelude]
#![allow(dead_code)]

extern crate flyrpc as renamed;

#[derive(::serde::Serialize, ::serde::Deserialize)]
struct Result(u8);
#[derive(::serde::Serialize, ::serde::Deserialize)]
struct Vec(u8);
#[derive(::serde::Serialize, ::serde::Deserialize)]
struct String;
#[derive(::serde::Serialize, ::serde::Deserialize)]
struct Option;
#[derive(::serde::Serialize, ::serde::Deserialize)]
struct Box;
#[derive(::serde::Serialize, ::serde::Deserialize)]
struct Index;

trait Future {}
trait Send {}
trait Sync {}
trait Clone {}
trait Into {}
struct Some;
struct None;
struct Ok;
struct Err;
struct Duration;
struct Arc;
struct Method;
struct RpcError;
#[derive(::serde::Serialize, ::serde::Deserialize)]
struct Via(u8);
#[derive(::serde::Serialize, ::serde::Deserialize)]
struct Stub(u8);
#[derive(::serde::Serialize, ::serde::Deserialize)]
struct __Index(u8);
#[allow(non_camel_case_types)]
struct usize;
mod core {}
mod std {}
mod alloc {}
mod serde {}
mod tarpc {}
mod flyrpc {}
mod str {}
mod u8 {}
mod bool {}

/// A macro that generated code could call, or whose name it could use.
macro_rules! shadow_macros {
    ($($name:ident)*) => { $(#[allow(unused_macros)] macro_rules! $name { () => {} })* };
}
shadow_macros!(vec panic unreachable concat stringify matches with_tarpc compile_error);

/// A trait with methods for every type, with names of methods that generated code calls.
trait Everywhere {
    fn clone(&self) {}
    fn into(&self) {}
    fn put() {}
    fn take() {}
    fn encodes() {}
    fn call(&self) {}
    fn fmt(&self) {}
    fn field(&self) {}
    fn write_str(&self) {}
    fn primary(&self) {}
    fn timeout(&self) {}
    fn on_region(self)
    where
        Self: ::core::marker::Sized,
    {
    }
    fn is_sent_between_nodes(&self) {}
}
impl<T: ?::core::marker::Sized> Everywhere for T {}

#[::flyrpc::fly_rpc]
trait Shadowed {
    async fn all(&self, a: Result, b: Vec, c: String, d: Option, e: Box, f: Index) -> Result;
    #[rpc(timeout = "1s", primary)]
    async fn vec(&self, #[rpc(default)] number: u8) -> Vec;
}

struct Here;

impl Shadowed for Here {
    async fn all(&self, a: Result, _: Vec, _: String, _: Option, _: Box, _: Index) -> Result {
        a
    }

    async fn vec(&self, number: u8) -> Vec {
        Vec(number)
    }
}

mod renamed_crate {
    pub(crate) mod deep {
        pub(crate) use ::flyrpc as other;
    }
}

#[renamed::fly_rpc(crate = crate::renamed_crate::deep::other)]
trait Elsewhere {
    async fn number(&self, index: crate::Index) -> u8;
}

/// A trait, and types of its methods, named like the type parameters of generated items.
#[::flyrpc::fly_rpc]
trait S {
    async fn all(&self, via: Via, stub: Stub, index: __Index) -> Via;
}

/// Constants, statics and structs named like the variables of generated code.
mod values {
    #![allow(non_upper_case_globals, non_camel_case_types)]

    macro_rules! declare {
        (const $($name:ident)*) => { $(const $name: ::core::primitive::u8 = 1;)* };
        (static $($name:ident)*) => { $(static $name: ::core::primitive::u8 = 1;)* };
        (struct $($name:ident)*) => { $(struct $name(::core::primitive::u8);)* };
        (unit $($name:ident)*) => { $(struct $name;)* };
    }
    declare!(const request response service value argument_0 argument_1 arguments);
    declare!(static body error to f context call);
    declare!(struct stub routed region id nodes);
    declare!(unit timeout wait via reply);

    #[::flyrpc::fly_rpc]
    trait Shadowed {
        async fn join(&self, a: crate::Vec, b: u8) -> crate::Result;
        #[rpc(timeout = "1s")]
        async fn nothing(&self, #[rpc(default)] number: u8);
    }
}

/// Types named like primitive types, and constants named like variables of serde's derive macros and like
/// arguments.
mod primitive {
    #![allow(non_upper_case_globals)]

    use crate::{
        Box as char, Index as u64, Option as bool, Result as str, String as u8, Vec as usize,
    };

    macro_rules! constants {
        ($($name:ident)*) => { $(const $name: ::core::primitive::u8 = 1;)* };
    }
    constants!(__serializer __deserializer __value __field0 __e __data __variant __map __seq text);
    static number: ::core::primitive::u8 = 1;

    #[::flyrpc::fly_rpc]
    trait Primitive {
        async fn first(&self, text: self::str, number: u8, __serializer: u64) -> bool;
        #[rpc(timeout = "1s", wait = "2s", name = "2")]
        async fn second(&self, value: usize) -> char;
    }
}

/// A type in a macro of a type position, which may have any name.
macro_rules! via {
    () => {
        crate::Via
    };
}

#[::flyrpc::fly_rpc]
trait Hidden {
    async fn same(&self, value: via!()) -> via!();
}

/// A library's macro, which names flyrpc through the library.
macro_rules! service {
    ($name:ident) => {
        #[$crate::renamed::fly_rpc(crate = $crate::renamed_crate::deep::other)]
        trait $name {
            async fn number(&self, index: $crate::Index) -> $crate::Result;
        }
    };
}

service!(Declared);

fn in_a_function() {
    service!(Declared);
    let _: ::core::option::Option<DeclaredClient> = ::core::option::Option::None;
}

fn main() {
    in_a_function();
    let client = ShadowedClient::from_stub(ServeShadowed::new(Here));
    let _call = client.vec(1);
}

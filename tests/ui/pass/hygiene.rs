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
mod core {}
mod std {}
mod serde {}
mod tarpc {}
mod flyrpc {}

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

fn main() {
    let client = ShadowedClient::from_stub(ServeShadowed::new(Here));
    let _call = client.vec(1);
}

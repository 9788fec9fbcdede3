//! Generated code compiles without warnings under strict lints.
#![forbid(unsafe_code)]
#![deny(missing_docs, missing_debug_implementations, unreachable_pub, unused, warnings)]
#![deny(elided_lifetimes_in_paths, explicit_outlives_requirements, single_use_lifetimes)]
#![deny(trivial_casts, trivial_numeric_casts, unused_qualifications, unused_results)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]

use flyrpc::fly_rpc;

/// Strings.
#[fly_rpc]
pub trait Strings {
    /// Upper-cases `text`.
    async fn upcase(&self, text: String) -> String;

    /// Does nothing.
    #[must_use = "or not"]
    #[rpc(primary, idempotent, detached, timeout = "2s", wait = "10s", name = "other")]
    async fn nothing(&self, #[rpc(default)] number: u8);

    /// A deprecated method.
    #[deprecated = "use `upcase`"]
    async fn old(&self) -> Option<String>;
}

/// A service without methods.
#[fly_rpc]
pub trait Empty {}

/// A deprecated service.
#[fly_rpc]
#[deprecated]
pub trait Former {
    /// A number.
    async fn number(&self) -> u8;
}

#[fly_rpc]
pub(crate) trait Inner {
    async fn number(&self) -> u8;
    #[allow(clippy::too_many_arguments)]
    async fn twelve(
        &self,
        a: u8,
        b: u8,
        c: u8,
        d: u8,
        e: u8,
        f: u8,
        g: u8,
        h: u8,
        i: u8,
        j: u8,
        k: u8,
        l: u8,
    );
}

mod private {
    use flyrpc::fly_rpc;

    #[fly_rpc]
    trait Hidden {
        async fn number(&self) -> u8;
    }
}

/// A deprecated type.
#[deprecated]
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Old(pub u8);

/// A service with methods that use the type.
#[fly_rpc]
#[allow(deprecated)]
pub trait Allowing {
    /// A method.
    async fn old(&self, old: Old, #[rpc(default)] maybe: Option<Old>) -> Vec<Old>;
}

/// A service with one method that uses the type.
#[fly_rpc]
pub trait AllowingOnce {
    /// A method that allows it.
    #[allow(deprecated, reason = "for older clients")]
    async fn old(&self, old: Old) -> Vec<Old>;

    /// A method that expects it.
    #[expect(deprecated)]
    async fn expecting(&self, old: Old);

    /// Another method.
    async fn number(&self, number: u8);
}

/// An implementation of `Strings`.
#[derive(Debug)]
pub struct Shout;

impl Strings for Shout {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }

    async fn nothing(&self, _number: u8) {}

    async fn old(&self) -> Option<String> {
        None
    }
}

fn main() {
    let client = StringsClient::from_stub(ServeStrings::new(Shout));
    let call = client.upcase(String::new());
    assert_send(&call);
}

const fn assert_send<T: Send + 'static>(_: &T) {}

//! Generated code compiles under `#![forbid]`: it contains no `#[allow]` of a forbidden lint, which would be
//! an error.
#![forbid(dead_code, unused, nonstandard_style, future_incompatible, rust_2018_idioms)]
#![forbid(let_underscore, keyword_idents, rust_2024_compatibility, refining_impl_trait)]
#![forbid(clippy::all, clippy::pedantic)]
#![forbid(missing_docs, missing_debug_implementations, unreachable_pub, unsafe_code)]

/// Private services that no code uses.
mod unused {
    #[flyrpc::fly_rpc]
    trait Strings {
        async fn upcase(&self, text: String) -> String;
        async fn nothing(&self);
        #[rpc(timeout = "1s")]
        async fn number(&self, #[rpc(default)] number: u8);
    }

    #[flyrpc::fly_rpc]
    trait Empty {}
}

/// A service that is declared by a macro and used outside its module.
mod used {
    macro_rules! service {
        ($name:ident, $method:ident) => {
            /// A service.
            #[flyrpc::fly_rpc]
            pub(crate) trait $name {
                /// A method.
                async fn $method(&self, number: u8) -> u8;
            }
        };
    }

    service!(Made, foo_bar);

    pub(crate) struct Same;

    impl Made for Same {
        async fn foo_bar(&self, number: u8) -> u8 {
            number
        }
    }
}

use used::{MadeClient, MadeRequest, Same, ServeMade};

fn main() {
    let client = MadeClient::from_stub(ServeMade::new(Same));
    let _call = client.foo_bar(1);
    let request = MadeRequest::FooBar { number: 1 };
    assert!(format!("{request:?}").contains("foo_bar"));
}

//! Generated code compiles under `#![forbid]`: it contains no `#[allow]` of a forbidden lint, which would be
//! an error. The lints that serde's derives allow are not forbidden here.
#![forbid(dead_code, unused_imports, unused_variables, unused_mut, unused_must_use)]
#![forbid(unreachable_code, unreachable_patterns, non_snake_case)]
#![forbid(refining_impl_trait_internal, refining_impl_trait_reachable)]
#![forbid(missing_docs, missing_debug_implementations, unreachable_pub, unsafe_code)]

/// Private services that no code uses.
mod unused {
    #[flyrpc::fly_rpc]
    trait Strings {
        async fn upcase(&self, text: String) -> String;
        async fn nothing(&self);
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

/// The group `unused`, and groups of clippy. `unused_attributes` is not among them: serde's derives allow it,
/// so that a type with such a derive causes a warning, too.
mod groups {
    #![forbid(
        unused_assignments,
        unused_unsafe,
        path_statements,
        unused_macros,
        unused_macro_rules
    )]
    #![forbid(unused_allocation, unused_doc_comments, unused_extern_crates, unused_labels)]
    #![forbid(unused_parens, unused_braces, redundant_semicolons, map_unit_fn)]
    #![forbid(clippy::all, clippy::pedantic)]

    #[flyrpc::fly_rpc]
    trait Strings {
        async fn upcase(&self, text: String) -> String;
        #[rpc(timeout = "1s")]
        async fn number(&self, #[rpc(default)] number: u8);
    }
}

use used::{MadeClient, MadeRequest, Same, ServeMade};

fn main() {
    let client = MadeClient::from_stub(ServeMade::new(Same));
    let _call = client.foo_bar(1);
    let _request = MadeRequest::FooBar { number: 1 };
}

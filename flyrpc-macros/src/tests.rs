//! Tests of the whole macro, on token streams.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use quote::quote;
use syn::visit::{self, Visit};

use crate::driver::fly_rpc;

/// Expands `item` and returns the error messages, without their notes.
fn errors(item: TokenStream) -> Vec<String> {
    let expanded = fly_rpc(TokenStream::new(), item);
    let file: syn::File = syn::parse2(expanded).expect("the expansion is valid syntax");
    let messages = file.items.iter().filter_map(|item| match item {
        syn::Item::Macro(item) if item.mac.path.segments.last()?.ident == "compile_error" => {
            let message: syn::LitStr = item.mac.parse_body().expect("a message");
            message.value().lines().next().map(str::to_owned)
        }
        _ => None,
    });
    messages.collect()
}

#[test]
fn an_expansion_matches_its_snapshot() {
    let expanded = fly_rpc(
        quote!(name = "strings"),
        quote! {
            /// Operations on text.
            pub trait Strings {
                /// Upper-cases `text`.
                async fn upcase(&self, text: String) -> String;
                #[cfg(feature = "notes")]
                #[rpc(primary, timeout = "2s", name = "store")]
                async fn save(&self, note: Note, #[rpc(default)] dry_run: bool) -> Result<u64, Full>;
            }
        },
    );
    let file = syn::parse2(expanded).expect("the expansion is valid syntax");
    let text = prettyplease::unparse(&file);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/snapshots/strings.rs");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, &text).expect("the snapshot can be written");
    }
    let snapshot = std::fs::read_to_string(path).expect("the snapshot can be read");
    assert!(
        text == snapshot,
        "the expansion differs from {path}; set UPDATE_SNAPSHOTS=1 to overwrite it:\n{text}"
    );
}

#[test]
fn functions_hide_constants_with_the_name_of_a_variable() {
    #[derive(Default)]
    struct Names {
        variables: BTreeSet<String>,
        functions: BTreeSet<String>,
    }

    impl<'ast> Visit<'ast> for Names {
        fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
            self.variables.insert(pattern.ident.to_string());
        }

        fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
            self.functions.insert(function.sig.ident.to_string());
            visit::visit_item_fn(self, function);
        }

        // The parameters of a declaration without a body do not match constants.
        fn visit_item_trait(&mut self, _: &'ast syn::ItemTrait) {}

        fn visit_macro(&mut self, called: &'ast syn::Macro) {
            let items: syn::File = called.parse_body().expect("items");
            self.visit_file(&items);
        }
    }

    let expanded = fly_rpc(
        TokenStream::new(),
        quote! {
            trait Strings {
                async fn join(&self, first: String, #[rpc(default)] second: Vec<u8>) -> Option<String>;
                #[rpc(timeout = "1s")]
                async fn nothing(&self);
            }
        },
    );
    let mut names = Names::default();
    names.visit_file(&syn::parse2(expanded).expect("the expansion is valid syntax"));
    let visible: Vec<_> = names.variables.difference(&names.functions).collect();
    assert!(visible.is_empty(), "no function hides constants named {visible:?}");
    let unused: Vec<_> = names.functions.difference(&names.variables).collect();
    assert_eq!(unused, ["__requirements"], "functions that hide nothing");
}

#[test]
fn the_examples_of_a_method_are_tested_at_the_trait_only() {
    let expanded = fly_rpc(
        TokenStream::new(),
        quote! {
            trait Strings {
                /// ```
                /// let one = 1;
                /// ```
                async fn upcase(&self);
            }
        },
    );
    let text = expanded.to_string();
    let (all, untested) = ("let one = 1", "cfg_attr (not (doctest) , doc = r\" let one = 1");
    assert_eq!(text.matches(all).count(), 2, "the trait and the client: {text}");
    assert_eq!(text.matches(untested).count(), 1, "the client: {text}");
}

#[test]
fn a_valid_trait_has_no_errors() {
    let none: [&str; 0] = [];
    assert_eq!(
        errors(quote!(
            trait Empty {}
        )),
        none
    );
    assert_eq!(
        errors(quote!(
            trait One {
                async fn one(&self, r#type: u8) -> Option<u8>;
            }
        )),
        none
    );
}

#[test]
fn inner_attributes_of_a_trait_become_outer_ones() {
    let expanded = fly_rpc(
        TokenStream::new(),
        quote!(
            trait Notes {
                #![doc = "Stores notes."]
                async fn save(&self);
            }
        ),
    );
    let file: syn::File = syn::parse2(expanded).expect("the expansion is valid syntax");
    let is_documented = file.items.iter().any(|item| match item {
        syn::Item::Trait(item) => item
            .attrs
            .iter()
            .any(|attr| attr.path().is_ident("doc") && matches!(attr.style, syn::AttrStyle::Outer)),
        _ => false,
    });
    assert!(is_documented);
}

#[test]
fn a_method_has_at_most_100_arguments() {
    let errors_with = |count: usize| {
        let arguments = (0..count).map(|n| quote::format_ident!("a{n}"));
        errors(quote!(trait Sums { async fn sum(&self #(, #arguments: u8)*); }))
    };
    let none: [&str; 0] = [];
    assert_eq!(errors_with(100), none);
    assert_eq!(errors_with(101), ["method `sum` has more than 100 arguments"]);
}

#[test]
fn every_error_of_a_trait_is_reported_in_one_pass() {
    let found = errors(quote! {
        trait Strings: Clone {
            fn first(&self, text: &str);
            async fn second(mut self, _: u8) -> Self;
            async fn wait(&self);
        }
    });
    assert_eq!(
        found,
        [
            "trait `Strings` has supertraits, which a service cannot have",
            "method `first` is not `async`",
            "`&str` is not allowed in the type of argument `text` of `first`: \
             it borrows, but values sent between nodes must be owned",
            "method `second` takes `self` by value, but one implementation serves many calls",
            "an argument of `second` has no name, but arguments are sent by name",
            "`Self` is not allowed in the return type of `second`: \
             it is the implementing type, which is unknown to callers",
            "the generated client reserves the name of method `wait`",
        ]
    );
}

#[test]
fn invalid_traits_give_errors_and_no_panic() {
    let refused = [
        quote!(
            struct S;
        ),
        quote!(
            trait T<'a, A: B = C> {
                const X: A;
                type Y;
                m!();
                async fn f<Z>(x: Z, ...);
            }
        ),
        quote!(
            trait T {
                async fn __(&self);
                async fn __(&self);
                async fn _1(self: Box<Self>, (a, b): (u8, u8), a: fn(), a: *mut !);
            }
        ),
    ];
    for item in refused {
        let text = item.to_string();
        assert!(!errors(item).is_empty(), "{text}");
    }
}

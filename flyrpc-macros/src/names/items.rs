//! The names of generated items.

use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens as _, format_ident};
use syn::{
    ItemTrait, Path, TypePath,
    visit::{self, Visit},
};

/// The names of the generated client's own items, including those that flyrpc reserves for later versions.
/// No method of a trait may have one of them.
pub(crate) const RESERVED: [&str; 13] = [
    "on_region",
    "on_primary",
    "on_node",
    "nearest",
    "or_region",
    "or_primary",
    "or_nearest",
    "each",
    "metadata",
    "timeout",
    "wait",
    "from_stub",
    "NAME",
];

/// The names of the items generated from a trait, and of their type parameters.
pub(crate) struct ServiceNames {
    pub(crate) serve: Ident,
    pub(crate) request: Ident,
    pub(crate) response: Ident,
    pub(crate) client: Ident,
    /// The type parameter of the client: how it calls.
    pub(crate) via: Ident,
    /// The type parameter of the serving type: the implementation of the trait.
    pub(crate) implementation: Ident,
    /// The type parameter of clients over tarpc: a stub.
    pub(crate) stub: Ident,
    /// The type parameter of functions that are generic over a format of serde.
    pub(crate) format: Ident,
    /// The enum of the positions of methods in the table.
    pub(crate) index: Ident,
    /// The import of flyrpc's private module.
    pub(crate) private: Ident,
}

impl ServiceNames {
    /// Returns the names of the generated types that are visible next to the trait.
    pub(crate) fn types(service: &Ident) -> [Ident; 4] {
        let service = generated(service);
        [
            format_ident!("Serve{}", service),
            format_ident!("{}Request", service),
            format_ident!("{}Response", service),
            format_ident!("{}Client", service),
        ]
    }

    /// Chooses the names. If the trait uses a type with the name of a generated one, which is an error, the generated
    /// one has another name, so that rustc does not report both types.
    pub(crate) fn of(service: &ItemTrait, crate_path: Option<&Path>) -> Self {
        let mut used = Used::default();
        used.collect(service.to_token_stream());
        used.collect(crate_path.to_token_stream());
        let [serve, request, response, client] = Self::types(&service.ident)
            .map(|name| if is_type_in(service, &name) { hidden(&name) } else { name });
        let service = &generated(&service.ident);
        ServiceNames {
            serve,
            request,
            response,
            client,
            via: used.unused("Via"),
            implementation: used.unused("S"),
            stub: used.unused("Stub"),
            format: used.unused("Format"),
            index: used.unused("__Index"),
            private: format_ident!("__{}Private", service, span = Span::call_site()),
        }
    }
}

/// Returns whether a type in the trait consists of this name.
fn is_type_in(service: &ItemTrait, name: &Ident) -> bool {
    struct Find<'a> {
        name: &'a Ident,
        found: bool,
    }

    impl Visit<'_> for Find<'_> {
        fn visit_type_path(&mut self, ty: &TypePath) {
            self.found |= ty.path.is_ident(self.name);
            visit::visit_type_path(self, ty);
        }
    }

    let mut find = Find { name, found: false };
    find.visit_item_trait(service);
    find.found
}

fn hidden(name: &Ident) -> Ident {
    format_ident!("__{}", name)
}

/// The identifiers in a trait, or in a part of it. A generated item whose name is not among them does not hide an item
/// that the trait names: types have no hygiene, unlike variables.
#[derive(Default)]
pub(crate) struct Used {
    names: HashSet<String>,
    /// Whether a macro is called, whose expansion may contain any identifier.
    calls_macro: bool,
}

impl Used {
    pub(crate) fn collect(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    self.names.insert(ident.to_string());
                }
                TokenTree::Group(group) => self.collect(group.stream()),
                TokenTree::Punct(punct) => self.calls_macro |= punct.as_char() == '!',
                TokenTree::Literal(_) => {}
            }
        }
    }

    pub(crate) fn contains(&self, name: &Ident) -> bool {
        self.names.contains(&name.to_string())
    }

    /// Returns `name`, or a variation of it that is not used.
    fn unused(&self, name: &str) -> Ident {
        let mut unused = name.to_owned();
        while self.names.contains(&unused) || (self.calls_macro && !unused.starts_with("__")) {
            unused.insert_str(0, "__");
        }
        Ident::new(&unused, Span::call_site())
    }
}

/// Keywords of the edition of generated code that are identifiers in earlier ones.
const NEW_KEYWORDS: [&str; 5] = ["async", "await", "dyn", "gen", "try"];

/// Returns a user's identifier with the span of a generated item: see [`generated_span`].
pub(crate) fn generated(name: &Ident) -> Ident {
    let span = generated_span(name.span());
    if NEW_KEYWORDS.iter().any(|keyword| name == keyword) {
        return Ident::new_raw(&name.to_string(), span);
    }
    let mut generated = name.clone();
    generated.set_span(span);
    generated
}

/// Returns the span for a user's token that becomes part of a generated item. Names resolve and errors are
/// reported as with the user's span, but the span belongs to the expansion, so lints such as `dead_code` do
/// not report the item. An `#[allow]` instead would not compile under `#![forbid]`.
pub(crate) fn generated_span(span: Span) -> Span {
    Span::call_site().located_at(span)
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    #[test]
    fn identifiers_of_earlier_editions_become_raw() {
        let check = |name: &str, expected: &str| {
            let name = Ident::new(name, Span::call_site());
            assert_eq!(generated(&name).to_string(), expected);
        };
        check("gen", "r#gen");
        check("try", "r#try");
        check("generate", "generate");
        assert_eq!(generated(&Ident::new_raw("gen", Span::call_site())).to_string(), "r#gen");
    }

    #[test]
    fn type_parameters_do_not_hide_types_of_the_trait() {
        let check = |service: TokenStream, expected: [&str; 2]| {
            let service: ItemTrait = syn::parse2(service).expect("a trait");
            let names = ServiceNames::of(&service, None);
            assert_eq!([names.via.to_string(), names.implementation.to_string()], expected);
        };
        check(
            quote!(
                trait Strings {
                    async fn f(&self, text: String);
                }
            ),
            ["Via", "S"],
        );
        check(
            quote!(
                trait S {
                    async fn f(&self, via: Vec<Via>);
                }
            ),
            ["__Via", "__S"],
        );
        check(
            quote!(
                trait S {
                    async fn f(&self, s: __S) -> a::Via<__Via>;
                }
            ),
            ["____Via", "____S"],
        );
        check(
            quote!(
                trait Strings {
                    async fn f(&self) -> via!();
                }
            ),
            ["__Via", "__S"],
        );
    }
}

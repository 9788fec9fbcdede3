//! The names of generated items.

use proc_macro2::{Ident, Span};
use quote::format_ident;

/// Method names that the client itself uses.
pub(crate) const RESERVED: [&str; 6] =
    ["on_region", "on_primary", "on_node", "timeout", "wait", "from_stub"];

/// The names of the items generated beside a trait.
pub(crate) struct ServiceNames {
    pub(crate) serve: Ident,
    pub(crate) request: Ident,
    pub(crate) response: Ident,
    pub(crate) client: Ident,
}

impl ServiceNames {
    pub(crate) fn of(service: &Ident) -> Self {
        let service = &generated(service);
        ServiceNames {
            serve: format_ident!("Serve{}", service),
            request: format_ident!("{}Request", service),
            response: format_ident!("{}Response", service),
            client: format_ident!("{}Client", service),
        }
    }
}

/// A name of the user's as the name of a generated item.
pub(crate) fn generated(name: &Ident) -> Ident {
    let mut generated = name.clone();
    generated.set_span(generated_span(name.span()));
    generated
}

/// The span for a token of the user's that is part of a generated item. It resolves and is reported like
/// the user's, but belongs to the expansion, so that lints such as `dead_code` do not report the item. An
/// `#[allow]` for that would not compile under `#![forbid]`.
pub(crate) fn generated_span(span: Span) -> Span {
    Span::call_site().located_at(span)
}

//! The names of generated items.

use proc_macro2::{Ident, Span};
use quote::format_ident;

/// The names of the generated client's own methods. No method of a trait may have one of them.
pub(crate) const RESERVED: [&str; 6] =
    ["on_region", "on_primary", "on_node", "timeout", "wait", "from_stub"];

/// The names of the items generated from a trait.
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

/// Returns a user's identifier with the span of a generated item: see [`generated_span`].
pub(crate) fn generated(name: &Ident) -> Ident {
    let mut generated = name.clone();
    generated.set_span(generated_span(name.span()));
    generated
}

/// Returns the span for a user's token that becomes part of a generated item. Names resolve and errors are
/// reported as with the user's span, but the span belongs to the expansion, so lints such as `dead_code` do
/// not report the item. An `#[allow]` instead would not compile under `#![forbid]`.
pub(crate) fn generated_span(span: Span) -> Span {
    Span::call_site().located_at(span)
}

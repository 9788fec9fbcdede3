//! The names of generated items.

use proc_macro2::Ident;
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
        ServiceNames {
            serve: format_ident!("Serve{}", service),
            request: format_ident!("{}Request", service),
            response: format_ident!("{}Response", service),
            client: format_ident!("{}Client", service),
        }
    }
}

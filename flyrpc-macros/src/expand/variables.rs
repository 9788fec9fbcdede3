//! Keeps the user's constants out of generated patterns.

use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};

use crate::{
    model::{Method, Service},
    names::{Used, generated},
};

/// The variables of generated code, other than the arguments of methods.
pub(super) const VARIABLES: [&str; 19] = [
    "arguments",
    "body",
    "call",
    "context",
    "error",
    "f",
    "id",
    "name",
    "nodes",
    "region",
    "request",
    "response",
    "routed",
    "service",
    "stub",
    "timeout",
    "to",
    "value",
    "wait",
];

/// Declares a function with the name of each variable.
///
/// An identifier in a pattern declares a variable, unless a constant, a static or the constructor of a struct
/// has that name. The user may have one, such as a constant `request`. The functions hide it, and a variable
/// can have the name of a function. Variables could have unusual names instead, but the parameters of the
/// client's methods are part of the documentation.
///
/// A name in a type of the trait stays what it is there, such as `width` in `[u8; width()]`.
pub(super) fn hide_constants(service: &Service) -> TokenStream {
    let mut in_types = Used::default();
    for ty in service.methods.iter().flat_map(Method::types) {
        in_types.collect(ty.to_token_stream());
    }
    let arguments = service.methods.iter().flat_map(|method| &method.arguments);
    let bindings = service.methods.iter().max_by_key(|method| method.arguments.len());
    let bindings = bindings.into_iter().flat_map(|method| method.bindings());
    let names = VARIABLES
        .iter()
        .map(|name| Ident::new(name, Span::call_site()))
        .chain(bindings.map(|(_, variable)| variable))
        .chain(arguments.map(|argument| generated(&argument.ident)));
    let mut declared = HashSet::new();
    names
        .filter(|name| declared.insert(name.to_string()))
        .filter(|name| !in_types.contains(name))
        .map(|name| quote!(fn #name() {}))
        .collect()
}

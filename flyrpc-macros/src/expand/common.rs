//! Code fragments that several generated items share.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::{Type, spanned::Spanned as _};

use crate::model::Service;

/// Returns the path through which generated code names every item that it uses: a name that [`import_root`]
/// declares.
pub(crate) fn root(service: &Service) -> TokenStream {
    service.names.private.to_token_stream()
}

/// Imports the module with every item that generated code uses.
///
/// If the path does not exist, rustc reports only this import. The path can contain `$crate`, which serde
/// could not parse from text, and whose span lints do not recognize as part of an expansion.
pub(super) fn import_root(service: &Service) -> TokenStream {
    let Service { crate_path, names, attrs, .. } = service;
    let private = &names.private;
    let cfgs = attrs.cfgs();
    quote!(#cfgs use #crate_path::__private as #private;)
}

/// Returns the attributes of a generated item: the attributes of the trait that apply to it, and
/// `#[allow(deprecated)]` if the user wrote or allowed something deprecated.
pub(super) fn attrs_of_items(service: &Service) -> TokenStream {
    let attrs = service.attrs.for_items();
    let mut written = service.methods.iter().map(|method| &method.attrs).chain([&service.attrs]);
    let allow = written
        .any(|attrs| attrs.has("deprecated") || attrs.allow_deprecated())
        .then(|| quote!(#[allow(deprecated)]));
    quote!(#(#attrs)* #allow)
}

/// Returns the `where` clauses of an impl that needs requests and responses to be `Send`. The impl assumes
/// the bounds and does not check them: see `Sends` in flyrpc's `service/bounds.rs`.
pub(super) fn sends(service: &Service) -> TokenStream {
    let root = root(service);
    let (request, response) = (&service.names.request, &service.names.response);
    quote! {
        for<'__send> #request: #root::Sends<'__send>,
        for<'__send> #response: #root::Sends<'__send>,
    }
}

/// Returns the path of the function that encodes or decodes a `ty`. Its span is the type's, so that all uses
/// of a type that violates the same bound of a lifetime cause one error.
pub(super) fn codec(root: &TokenStream, ty: &Type, function: &str) -> TokenStream {
    let span = Span::mixed_site().located_at(ty.span());
    let function = Ident::new(function, span);
    quote_spanned!(span=> <#root::Codec<#ty>>::#function)
}

//! Code fragments that several generated items share.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Type;

use crate::model::Service;

/// Returns the path through which generated code names every item that it uses.
pub(crate) fn root(service: &Service) -> TokenStream {
    let path = &service.crate_path;
    quote!(#path::__private)
}

/// Returns the attributes of a generated item: the attributes of the trait that apply to it, and
/// `#[allow(deprecated)]` if the trait or one of its methods is deprecated.
pub(crate) fn on_items(service: &Service) -> TokenStream {
    let attrs = service.attrs.for_items();
    let deprecated = service.attrs.has("deprecated")
        || service.methods.iter().any(|method| method.attrs.has("deprecated"));
    let allow = deprecated.then(|| quote!(#[allow(deprecated)]));
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

/// Returns the type whose associated functions encode and decode a `ty`.
pub(super) fn codec(root: &TokenStream, ty: &Type) -> TokenStream {
    quote!(<#root::Codec<#ty>>)
}

//! Fragments that several items share.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Type;

use crate::model::Service;

/// The path that all generated code goes through.
pub(crate) fn root(service: &Service) -> TokenStream {
    let path = &service.crate_path;
    quote!(#path::__private)
}

/// The attributes of every item: those of the trait that hold for it, and permission to use what is
/// deprecated.
pub(crate) fn on_items(service: &Service) -> TokenStream {
    let attrs = service.attrs.for_items();
    let deprecated = service.attrs.has("deprecated")
        || service.methods.iter().any(|method| method.attrs.has("deprecated"));
    let allow = deprecated.then(|| quote!(#[allow(deprecated)]));
    quote!(#(#attrs)* #allow)
}

/// `where` clauses that assume requests and responses to be `Send`, for impls that need it: see
/// `Sends` in flyrpc's `service/bounds.rs`.
pub(super) fn sends(service: &Service) -> TokenStream {
    let root = root(service);
    let (request, response) = (&service.names.request, &service.names.response);
    quote! {
        for<'__send> #request: #root::Sends<'__send>,
        for<'__send> #response: #root::Sends<'__send>,
    }
}

/// The type whose associated functions encode and decode a `ty`.
pub(super) fn codec(root: &TokenStream, ty: &Type) -> TokenStream {
    quote!(<#root::Codec<#ty>>)
}

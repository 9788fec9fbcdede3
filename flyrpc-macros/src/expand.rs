//! From a model to code. Nothing here can fail, and what is generated is a few lines that call
//! `flyrpc::__private`.
//!
//! Generated code must mean the same wherever it lands, so it names everything through one absolute
//! path, calls no method of a user's type by `.`, and gives its own variables the macro's hygiene.

pub(crate) mod client;
pub(crate) mod request;
pub(crate) mod server;
pub(crate) mod service;

use proc_macro2::TokenStream;
use quote::quote;

use crate::model::Service;

/// Everything that an annotated trait becomes.
pub(crate) fn expand(service: &Service) -> TokenStream {
    let the_trait = service::expand(service);
    let server = server::expand(service);
    let handler = server::implement_handler(service);
    let others = beside(service);
    quote!(#the_trait #server #others #handler)
}

/// What does not name the trait.
pub(crate) fn beside(service: &Service) -> TokenStream {
    let requests = request::expand(service);
    let client = client::expand(service);
    quote!(#requests #client)
}

/// The path that all generated code goes through.
pub(crate) fn root(service: &Service) -> TokenStream {
    let path = &service.crate_path;
    quote!(#path::__private)
}

/// The attributes of every item: the trait's conditions, and leave to name what the user deprecated.
pub(crate) fn on_items(service: &Service) -> TokenStream {
    let cfgs = service.attrs.cfgs();
    let deprecated = service.attrs.has("deprecated")
        || service.methods.iter().any(|method| method.attrs.has("deprecated"));
    let allow = deprecated.then(|| quote!(#[allow(deprecated)]));
    quote!(#cfgs #allow)
}

/// Argument and return names may be anything, and so may variants that fell back to them.
pub(crate) fn allow_names() -> TokenStream {
    quote!(#[allow(dead_code, non_camel_case_types, non_snake_case)])
}

/// `where` clauses under which requests and replies are `Send`, for impls that need it: see
/// `Sends` in `__private/codec.rs`.
pub(crate) fn sends(service: &Service) -> TokenStream {
    let root = root(service);
    let (request, response) = (&service.names.request, &service.names.response);
    quote! {
        for<'__send> #request: #root::Sends<'__send>,
        for<'__send> #response: #root::Sends<'__send>,
    }
}

//! Generates all items of a service.

use proc_macro2::TokenStream;
use quote::quote;

use super::{
    client,
    common::{attrs_of_items, import_root, root},
    messages, method_table, requirements, server, service_trait, tarpc, variables,
};
use crate::model::Service;

/// Returns the items that replace an annotated trait.
pub(crate) fn expand(service: &Service) -> TokenStream {
    let ident = &service.ident;
    let service_trait = service_trait::expand(service);
    let calls = client::calls(service);
    let handler = server::handler_body(service);
    let items = expand_for(service, &quote!(#ident), &handler, &calls);
    quote!(#service_trait #items)
}

/// Returns the items other than the trait, for implementations that satisfy `bound`, with `handler` as the
/// code that handles a request and `calls` as the client's methods.
///
/// Only the types are next to the trait. Their impls are in a block, whose names are invisible outside and
/// take precedence over the names outside.
pub(crate) fn expand_for(
    service: &Service,
    bound: &TokenStream,
    handler: &TokenStream,
    calls: &TokenStream,
) -> TokenStream {
    let root = root(service);
    let attrs = attrs_of_items(service);
    let import_root = import_root(service);
    let messages = messages::types(service);
    let server_type = server::the_type(service);
    let client_type = client::the_type(service);
    let variables = variables::hide_constants(service);
    let server = server::implement(service);
    let handler = server::implement_handler(service, bound, handler);
    let client = client::implement(service, calls);
    let request = method_table::implement_request(service);
    let debug = messages::implement_debug(service);
    let serde = messages::implement_serde(service);
    let tarpc = tarpc::expand(service, bound);
    let requirements = requirements::expand(service);
    quote! {
        #import_root
        #server_type
        #messages
        #client_type
        #attrs
        const _: () = {
            use #root::NotSerializable as _;
            #variables
            #server
            #handler
            #client
            #request
            #debug
            #serde
            #tarpc
            const _: () = { #requirements };
        };
    }
}

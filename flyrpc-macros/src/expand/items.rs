//! Generates all items of a service.

use proc_macro2::TokenStream;
use quote::quote;

use super::{client, messages, server, service_trait, tarpc};
use crate::model::Service;

/// Returns the items that replace an annotated trait.
pub(crate) fn expand(service: &Service) -> TokenStream {
    let service_trait = service_trait::expand(service);
    let server = server::expand(service);
    let messages = messages::expand(service);
    let client = client::expand(service);
    let handler = server::implement_handler(service);
    let ident = &service.ident;
    let tarpc = tarpc::expand(service, &quote!(#ident));
    quote!(#service_trait #server #messages #client #handler #tarpc)
}

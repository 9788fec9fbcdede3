//! Generates the items that exist only with flyrpc's `tarpc` feature. flyrpc's macro `with_tarpc` decides
//! whether the feature is enabled, because a `#[cfg]` in generated code would be evaluated against the
//! features of the user's crate.

use proc_macro2::TokenStream;
use quote::quote;

use super::common::{root, sends};
use crate::{model::Service, names::ServiceNames};

/// Implements `tarpc::RequestName` and, for implementations that satisfy `bound`, `tarpc::server::Serve`.
/// Also generates `from_stub`.
pub(crate) fn expand(service: &Service, bound: &TokenStream) -> TokenStream {
    let root = root(service);
    let request_name = request_name(service);
    let serve = serve(service, bound);
    let from_stub = from_stub(service);
    quote! {
        #root::with_tarpc! { #request_name #serve #from_stub }
    }
}

fn request_name(service: &Service) -> TokenStream {
    let root = root(service);
    let request = &service.names.request;
    let sends = sends(service);
    quote! {
        impl #root::tarpc::RequestName for #request
        where
            #sends
        {
            fn name(&self) -> &#root::str {
                #root::request_name(self)
            }
        }
    }
}

fn serve(service: &Service, bound: &TokenStream) -> TokenStream {
    let root = root(service);
    let ServiceNames { request, response, serve, implementation, .. } = &service.names;
    let sends = sends(service);
    quote! {
        impl<#implementation: #bound> #root::tarpc::server::Serve for #serve<#implementation>
        where
            #sends
        {
            type Req = #request;
            type Resp = #response;

            fn serve(
                self,
                context: #root::tarpc::context::Context,
                request: #request,
            ) -> impl #root::Future<
                Output = #root::Result<#response, #root::tarpc::ServerError>,
            > + #root::Send {
                #root::serve_tarpc(self, context, request)
            }
        }
    }
}

fn from_stub(service: &Service) -> TokenStream {
    let root = root(service);
    let vis = service.generated_vis();
    let ServiceNames { request, response, client, stub, .. } = &service.names;
    quote! {
        impl<#stub> #client<#root::ViaStub<#stub>>
        where
            #stub: #root::tarpc::client::stub::Stub<Req = #request, Resp = #response> + 'static,
        {
            /// Creates a client that calls through a tarpc stub, without a node. Its futures are
            /// `Send` if the stub's futures are.
            #vis fn from_stub(stub: #stub) -> Self {
                #client { via: #root::ViaStub::new(stub) }
            }
        }
    }
}

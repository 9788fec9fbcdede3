//! The client.

use proc_macro2::TokenStream;
use quote::quote;

use super::{on_items, root, sends};
use crate::model::{Argument, Method, Service};

pub(crate) fn expand(service: &Service) -> TokenStream {
    let methods = service.methods.iter().map(|method| call(service, method)).collect();
    expand_with(service, methods)
}

/// The client with other methods than those of the model.
pub(crate) fn expand_with(service: &Service, methods: TokenStream) -> TokenStream {
    let the_type = client_type(service);
    let calls = calls(service, &methods);
    let aims = aims(service);
    let stub = from_stub(service);
    quote!(#the_type #calls #aims #stub)
}

fn client_type(service: &Service) -> TokenStream {
    let root = root(service);
    let Service { vis, ident, .. } = service;
    let (client, request) = (&service.names.client, &service.names.request);
    let on_items = on_items(service);
    let attrs = service.attrs.for_types();
    let sends = sends(service);
    let doc = format!(
        "Calls the methods of `{ident}` where it is aimed at.\n\nMade by `Node::client`, or by \
         `from_stub`. Selectors (`on_…`) and options return a client that is aimed elsewhere or \
         calls otherwise; all of them are cheap to clone.\n\nA method returns what the trait's \
         does, within a `Result` that tells whether the call came through. Its future can be \
         spawned, and does nothing until it is polled; dropping it cancels the call."
    );
    let text = client.to_string();
    quote! {
        #(#attrs)*
        #[doc = #doc]
        #[allow(dead_code)]
        #vis struct #client<Via = #root::Routed> {
            via: Via,
        }

        #on_items
        impl<Via: #root::Clone> #root::Clone for #client<Via> {
            fn clone(&self) -> Self {
                #client { via: #root::Clone::clone(&self.via) }
            }
        }

        #on_items
        impl<Via: #root::fmt::Debug> #root::fmt::Debug for #client<Via> {
            fn fmt(&self, f: &mut #root::fmt::Formatter<'_>) -> #root::fmt::Result {
                f.debug_struct(#text).field("via", &self.via).finish()
            }
        }

        #on_items
        impl #root::Client for #client
        where
            #sends
        {
            type Request = #request;

            fn from_routed(routed: #root::Routed) -> Self {
                #client { via: routed }
            }
        }
    }
}

fn calls(service: &Service, methods: &TokenStream) -> TokenStream {
    let root = root(service);
    let (client, request) = (&service.names.client, &service.names.request);
    let on_items = on_items(service);
    let sends = sends(service);
    quote! {
        #on_items
        #[allow(dead_code, non_snake_case, unreachable_patterns)]
        #[allow(clippy::all)]
        impl<Via: #root::Caller<#request>> #client<Via>
        where
            #sends
        {
            #methods
        }
    }
}

pub(crate) fn call(service: &Service, method: &Method) -> TokenStream {
    let root = root(service);
    let vis = &service.vis;
    let (request, response) = (&service.names.request, &service.names.response);
    let Method { ident, variant, wire_name, returns, .. } = method;
    let service_name = &service.wire_name;
    let attrs = method.attrs.for_client();
    let doc = (!method.attrs.has("doc")).then(|| {
        let doc = format!("Calls `{ident}` of `{}`.", service.ident);
        quote!(#[doc = #doc])
    });
    let parameters =
        method.arguments.iter().map(|Argument { ident, ty, .. }| quote!(, #ident: #ty));
    let fields = method.arguments.iter().map(|Argument { ident, .. }| ident);
    quote! {
        #doc
        #(#attrs)*
        #vis fn #ident(&self #(#parameters)*)
            -> impl #root::Future<Output = #root::Result<#returns, #root::RpcError>>
            + 'static + use<Via>
        {
            #root::value_of(
                #root::Caller::call(
                    #root::Clone::clone(&self.via),
                    #request::#variant { #(#fields),* },
                ),
                |reply| match reply {
                    #response::#variant(value) => #root::Result::Ok(value),
                    _ => #root::Result::Err(#root::wrong_reply(#service_name, #wire_name)),
                },
            )
        }
    }
}

fn aims(service: &Service) -> TokenStream {
    let root = root(service);
    let vis = &service.vis;
    let client = &service.names.client;
    let on_items = on_items(service);
    quote! {
        #on_items
        #[allow(dead_code)]
        impl #client {
            /// Aims at a node in `region`: at this one, in process, if it runs there and serves the
            /// method. Upper and lower case are the same.
            #[must_use = "selectors return the client that is aimed"]
            #vis fn on_region(&self, region: impl #root::Into<#root::Region>) -> Self {
                #client { via: self.via.on_region(#root::Into::into(region)) }
            }

            /// Aims at a node in the primary region, which must itself think that it is.
            #[must_use = "selectors return the client that is aimed"]
            #vis fn on_primary(&self) -> Self {
                #client { via: self.via.on_primary() }
            }

            /// Aims at one boot of one node, and at no other if that is gone.
            #[must_use = "selectors return the client that is aimed"]
            #vis fn on_node(&self, id: impl #root::Into<#root::NodeId>) -> Self {
                #client { via: self.via.on_node(#root::Into::into(id)) }
            }

            /// Bounds the time that each call may take, 5 s unless its method says otherwise. In a
            /// handler what is left of the call that it serves is a bound too.
            #[must_use = "options return the client that has them"]
            #vis fn timeout(&self, timeout: #root::Duration) -> Self {
                #client { via: self.via.timeout(timeout) }
            }

            /// Lets each call wait this long for a node that can take it, within its timeout, rather
            /// than fail at once.
            #[must_use = "options return the client that has them"]
            #vis fn wait(&self, wait: #root::Duration) -> Self {
                #client { via: self.via.wait(wait) }
            }
        }
    }
}

fn from_stub(service: &Service) -> TokenStream {
    let root = root(service);
    let vis = &service.vis;
    let (request, response) = (&service.names.request, &service.names.response);
    let client = &service.names.client;
    let on_items = on_items(service);
    quote! {
        #on_items
        #[allow(dead_code)]
        impl<S> #client<#root::ViaStub<S>>
        where
            S: #root::tarpc::client::stub::Stub<Req = #request, Resp = #response> + 'static,
        {
            /// Calls through a tarpc stub, without a node. Its futures are `Send` whenever the
            /// stub's are.
            #vis fn from_stub(stub: S) -> Self {
                #client { via: #root::ViaStub::new(stub) }
            }
        }
    }
}

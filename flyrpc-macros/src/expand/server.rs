//! The type that serves an implementation of the trait.

use proc_macro2::TokenStream;
use quote::quote;

use super::{on_items, request::locals, root, sends};
use crate::model::{Argument, Method, Service};

/// The type. `Clone` without `S: Clone`, so that it can be served by many connections.
pub(crate) fn expand(service: &Service) -> TokenStream {
    let ident = &service.ident;
    expand_for(service, &quote!(#ident))
}

/// The type for implementations of something else than the trait.
pub(crate) fn expand_for(service: &Service, bound: &TokenStream) -> TokenStream {
    let root = root(service);
    let Service { vis, ident, .. } = service;
    let serve = &service.names.serve;
    let on_items = on_items(service);
    let attrs = service.attrs.for_types();
    let doc = format!(
        "Serves an implementation of `{ident}`: through a node, or as a tarpc `Serve`. Cloning \
         it shares the implementation."
    );
    let new_doc = format!("Serves `service`, an implementation of `{ident}`.");
    let text = serve.to_string();
    quote! {
        #(#attrs)*
        #[doc = #doc]
        #[allow(dead_code)]
        #vis struct #serve<S> {
            service: #root::Arc<S>,
        }

        #on_items
        #[allow(dead_code)]
        impl<S: #bound> #serve<S> {
            #[doc = #new_doc]
            #vis fn new(service: S) -> Self {
                #serve { service: #root::Arc::new(service) }
            }
        }

        #on_items
        impl<S> #root::Clone for #serve<S> {
            fn clone(&self) -> Self {
                #serve { service: #root::Clone::clone(&self.service) }
            }
        }

        #on_items
        impl<S> #root::fmt::Debug for #serve<S> {
            fn fmt(&self, f: &mut #root::fmt::Formatter<'_>) -> #root::fmt::Result {
                f.write_str(#text)
            }
        }
    }
}

/// What makes it serve.
pub(crate) fn implement_handler(service: &Service) -> TokenStream {
    let ident = &service.ident;
    let methods = service.methods.iter().map(|method| arm(service, method));
    // Taken whole, because a request of one variant is otherwise captured field by field, and only
    // the whole is assumed to be `Send`.
    let body = quote! {
        let request = request;
        match request { #(#methods)* }
    };
    implement(service, &quote!(#ident), &body)
}

/// What makes it serve, with `body` in place of the calls.
pub(crate) fn implement(service: &Service, bound: &TokenStream, body: &TokenStream) -> TokenStream {
    let root = root(service);
    let (request, response) = (&service.names.request, &service.names.response);
    let serve = &service.names.serve;
    let on_items = on_items(service);
    let sends = sends(service);
    quote! {
        #on_items
        #[doc(hidden)]
        impl<S: #bound> #root::Handler for #serve<S>
        where
            #sends
        {
            type Request = #request;

            #[allow(unreachable_code, unused_variables)]
            fn handle(
                &self,
                request: #request,
            ) -> impl #root::Future<Output = #response> + #root::Send + 'static {
                let service = #root::Clone::clone(&self.service);
                async move { #body }
            }
        }

        #on_items
        impl<S: #bound> #root::tarpc::server::Serve for #serve<S>
        where
            #sends
        {
            type Req = #request;
            type Resp = #response;

            #[allow(refining_impl_trait)]
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

fn arm(service: &Service, method: &Method) -> TokenStream {
    let Method { ident, variant, .. } = method;
    let the_trait = &service.ident;
    let (request, response) = (&service.names.request, &service.names.response);
    let cfgs = method.attrs.cfgs();
    let fields = locals(method).map(|(Argument { ident, .. }, value)| quote!(#ident: #value));
    let values = locals(method).map(|(_, value)| value);
    quote! {
        #cfgs
        #request::#variant { #(#fields),* } => {
            #response::#variant(<S as #the_trait>::#ident(&*service #(, #values)*).await)
        }
    }
}

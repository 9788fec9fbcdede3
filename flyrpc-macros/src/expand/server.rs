//! Generates the type that serves an implementation of the trait.

use proc_macro2::TokenStream;
use quote::quote;

use super::common::{on_items, root, sends};
use crate::model::{Argument, Method, Service};

/// Generates the serving type. It is `Clone` even if `S` is not, so that many connections can share one
/// implementation.
pub(super) fn expand(service: &Service) -> TokenStream {
    let ident = &service.ident;
    expand_for(service, &quote!(#ident))
}

/// Generates the serving type for implementations that satisfy `bound`. The fallback passes a bound other than
/// the trait.
pub(crate) fn expand_for(service: &Service, bound: &TokenStream) -> TokenStream {
    let root = root(service);
    let ident = &service.ident;
    let vis = service.generated_vis();
    let serve = &service.names.serve;
    let on_items = on_items(service);
    let attrs = service.attrs.for_types();
    let doc = format!(
        "Serves an implementation of `{ident}` on a node, or as a tarpc `Serve` with flyrpc's \
         `tarpc` feature. Clones share the implementation."
    );
    let new_doc =
        format!("Wraps `service`, an implementation of `{ident}`, so that it can be served.");
    let standard_traits = standard_traits(service);
    quote! {
        #(#attrs)*
        #[doc = #doc]
        #vis struct #serve<S> {
            service: #root::Arc<S>,
        }

        #on_items
        impl<S: #bound> #serve<S> {
            #[doc = #new_doc]
            #vis fn new(service: S) -> Self {
                #serve { service: #root::Arc::new(service) }
            }
        }

        #standard_traits
    }
}

fn standard_traits(service: &Service) -> TokenStream {
    let root = root(service);
    let serve = &service.names.serve;
    let on_items = on_items(service);
    let text = serve.to_string();
    quote! {
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

/// Implements `Handler`, which calls the implementation.
pub(super) fn implement_handler(service: &Service) -> TokenStream {
    let ident = &service.ident;
    let arms = service.methods.iter().map(|method| arm(service, method));
    // Moves the whole request into the future. A `match` on the captured variable would capture single
    // fields, and only the whole request is assumed to be `Send`.
    let body = quote! {
        let request = request;
        match request { #(#arms)* }
    };
    implement_handler_for(service, &quote!(#ident), &body)
}

/// Implements `Handler` for implementations that satisfy `bound`, with `body` as the code that handles a
/// request.
pub(crate) fn implement_handler_for(
    service: &Service,
    bound: &TokenStream,
    body: &TokenStream,
) -> TokenStream {
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

            fn handle(
                &self,
                request: #request,
            ) -> impl #root::Future<Output = #response> + #root::Send + 'static {
                let service = #root::Clone::clone(&self.service);
                async move { #body }
            }
        }
    }
}

fn arm(service: &Service, method: &Method) -> TokenStream {
    let Method { ident, variant, .. } = method;
    let the_trait = &service.ident;
    let (request, response) = (&service.names.request, &service.names.response);
    let cfgs = method.attrs.cfgs();
    let fields = method.bindings().map(|(Argument { ident, .. }, value)| quote!(#ident: #value));
    let values = method.bindings().map(|(_, value)| value);
    quote! {
        #cfgs
        #request::#variant { #(#fields),* } => {
            #response::#variant(<S as #the_trait>::#ident(&*service #(, #values)*).await)
        }
    }
}

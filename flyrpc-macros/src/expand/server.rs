//! Generates the type that serves an implementation of the trait.

use proc_macro2::TokenStream;
use quote::quote;

use super::common::{root, sends};
use crate::{
    model::{Argument, Method, Service},
    names::ServiceNames,
};

/// Generates the serving type.
pub(super) fn the_type(service: &Service) -> TokenStream {
    let root = root(service);
    let ident = &service.ident;
    let vis = service.generated_vis();
    let ServiceNames { serve, implementation, .. } = &service.names;
    let attrs = service.attrs.for_types();
    let doc = format!(
        "Serves an implementation of `{ident}` on a node, or as a tarpc `Serve` with flyrpc's \
         `tarpc` feature. Clones share the implementation."
    );
    quote! {
        #(#attrs)*
        #[doc = #doc]
        #vis struct #serve<#implementation> {
            service: #root::Arc<#implementation>,
        }
    }
}

/// Generates the impls of the serving type, except `Handler`. It is `Clone` even if the implementation is
/// not, so that many connections can share one implementation.
///
/// `new` does not require an implementation of the trait, because the use of its result does, and the compiler would
/// report a type without one twice.
pub(super) fn implement(service: &Service) -> TokenStream {
    let root = root(service);
    let vis = service.generated_vis();
    let ServiceNames { serve, implementation, .. } = &service.names;
    let new_doc = format!(
        "Wraps `service`, an implementation of `{}`, so that it can be served.",
        service.ident
    );
    let text = serve.to_string();
    quote! {
        impl<#implementation> #serve<#implementation> {
            #[doc = #new_doc]
            #vis fn new(service: #implementation) -> Self {
                #serve { service: #root::Arc::new(service) }
            }
        }

        impl<#implementation> #root::Clone for #serve<#implementation> {
            fn clone(&self) -> Self {
                #serve { service: #root::Clone::clone(&self.service) }
            }
        }

        impl<#implementation> #root::fmt::Debug for #serve<#implementation> {
            fn fmt(&self, f: &mut #root::fmt::Formatter<'_>) -> #root::fmt::Result {
                f.write_str(#text)
            }
        }
    }
}

/// Generates the code that handles a request: it calls the implementation.
pub(super) fn handler_body(service: &Service) -> TokenStream {
    let arms = service.methods.iter().map(|method| arm(service, method));
    // Moves the whole request into the future. A `match` on the captured variable would capture single
    // fields, and only the whole request is assumed to be `Send`.
    quote! {
        let request = request;
        match request { #(#arms)* }
    }
}

/// Implements `Handler`, with `body` as the code that handles a request.
pub(super) fn implement_handler(
    service: &Service,
    bound: &TokenStream,
    body: &TokenStream,
) -> TokenStream {
    let root = root(service);
    let ServiceNames { request, response, serve, implementation, .. } = &service.names;
    let sends = sends(service);
    quote! {
        #[doc(hidden)]
        impl<#implementation: #bound> #root::Handler for #serve<#implementation>
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
    let ServiceNames { request, response, implementation, .. } = &service.names;
    let cfgs = method.attrs.cfgs();
    let fields = method.bindings().map(|(Argument { ident, .. }, value)| quote!(#ident: #value));
    let values = method.bindings().map(|(_, value)| value);
    quote! {
        #cfgs
        #request::#variant { #(#fields),* } => {
            #response::#variant(<#implementation as #the_trait>::#ident(&*service #(, #values)*).await)
        }
    }
}

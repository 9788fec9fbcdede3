//! Generates the trait that users implement.

use proc_macro2::TokenStream;
use quote::quote;

use super::common::root;
use crate::model::{Method, Service};

pub(super) fn expand(service: &Service) -> TokenStream {
    let root = root(service);
    let Service { vis, ident, methods, .. } = service;
    let attrs = service.attrs.all();
    let methods = methods.iter().map(|method| declare(method, &root));
    quote! {
        #(#attrs)*
        #vis trait #ident: #root::Send + #root::Sync + 'static {
            #(#methods)*
        }
    }
}

/// Declares a method with an explicit `impl Future`, because `async fn` would not promise that the future is
/// `Send`.
fn declare(method: &Method, root: &TokenStream) -> TokenStream {
    let Method { ident, returns, .. } = method;
    let attrs = method.attrs.all();
    let arguments = method.arguments.iter().map(|argument| {
        let (attrs, ident, ty) = (argument.attrs.all(), &argument.ident, &argument.ty);
        quote!(#(#attrs)* #ident: #ty)
    });
    quote! {
        #(#attrs)*
        fn #ident(&self #(, #arguments)*)
            -> impl #root::Future<Output = #returns> + #root::Send;
    }
}

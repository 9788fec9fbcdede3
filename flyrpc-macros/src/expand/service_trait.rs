//! Generates the trait that users implement.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::common::root;
use crate::{
    model::{Method, Service},
    names::generated_span,
};

pub(super) fn expand(service: &Service) -> TokenStream {
    let root = root(service);
    let Service { ident, methods, .. } = service;
    let vis = service.generated_vis();
    let attrs = service.attrs.all();
    let methods = methods.iter().map(|method| declare(method, &root));
    // Lints such as `missing_docs` point at the trait's name. Without `<>`, the compiler suggests to declare a type
    // parameter with the name of an unknown type, and reports that type twice: with the suggestion and without it.
    let declaration = quote_spanned! {generated_span(ident.span())=>
        #vis trait #ident<>: #root::Send + #root::Sync + 'static {
            #(#methods)*
        }
    };
    quote!(#(#attrs)* #declaration)
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
    // Lints such as `missing_docs` point at the method's name.
    let span = generated_span(ident.span());
    let (head, end) = (quote_spanned!(span=> fn), quote_spanned!(span=> ;));
    quote! {
        #(#attrs)*
        #head #ident(&self #(, #arguments)*)
            -> impl #root::Future<Output = #returns> + #root::Send #end
    }
}

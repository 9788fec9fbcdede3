//! Generates the requirements on argument and return types.

use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Type, TypePath, spanned::Spanned as _};

use super::common::root;
use crate::{
    model::{Method, Service},
    names::type_text,
    types::{innermost, is_arc, is_plain, is_result_alias, unboxed},
};

/// Requires each type to implement the traits needed to send it between nodes.
///
/// These requirements are the only place where rustc reports a type that does not meet them. The
/// error is at the type's position in the trait. For `Vec<Note>`, the error is about `Note`.
pub(super) fn expand(service: &Service) -> TokenStream {
    let root = root(service);
    // Unconditional methods come first, because a type that they require is not required again.
    let (conditional, unconditional): (Vec<_>, Vec<_>) =
        service.methods.iter().partition(|method| method.attrs.is_conditional());
    let mut required = HashSet::new();
    let mut all = TokenStream::new();
    for method in unconditional.into_iter().chain(conditional) {
        let cfgs = method.attrs.cfgs();
        for ty in method.types().flat_map(contents_and_container) {
            let text = identity(ty);
            if !required.contains(&text) {
                let require = require(&root, ty);
                all.extend(quote!(#cfgs { #require }));
            }
            if !method.attrs.is_conditional() {
                required.insert(text);
            }
        }
        all.extend(require_defaults(&root, method));
    }
    quote! {
        fn __requirements() { #all }
    }
}

/// Returns a text that is equal for types that meet the requirements for the same reasons. Aliases of `Result` with one
/// path have the same error type.
fn identity(ty: &Type) -> String {
    match ty {
        Type::Path(TypePath { path, .. }) if is_result_alias(ty) => {
            let segments = path.segments.iter().map(|segment| format!("::{}", segment.ident));
            segments.collect()
        }
        ty => type_text(unboxed(ty)),
    }
}

/// Returns the types inside a container, then the container, so that an error about the contents comes first.
fn contents_and_container(ty: &Type) -> impl Iterator<Item = &Type> {
    contents(ty).chain([ty])
}

/// Returns the types inside a container at any depth, or none if `ty` is not a container.
fn contents(ty: &Type) -> impl Iterator<Item = &Type> {
    innermost(ty).into_iter().filter(move |inner| !std::ptr::eq(*inner, ty))
}

/// Requires `Default` for the types of arguments that may be absent.
fn require_defaults(root: &TokenStream, method: &Method) -> TokenStream {
    let cfgs = method.attrs.cfgs();
    let arguments = method.arguments.iter().filter(|argument| argument.has_default);
    let required = arguments.map(|argument| {
        let ty = &argument.ty;
        let span = Span::mixed_site().located_at(ty.span());
        quote_spanned!(span=> #cfgs #root::has_default::<#ty>();)
    });
    required.collect()
}

fn require(root: &TokenStream, ty: &Type) -> TokenStream {
    let span = Span::mixed_site().located_at(ty.span());
    let traits = |ty: &Type| {
        quote_spanned! {span=>
            #root::WireTraits::new(
                <#root::Codec<#ty>>::encodes(),
                <#root::Codec<#ty>>::decodes(),
                <#root::Codec<#ty>>::sends(),
            )
        }
    };
    let mut required = traits(ty);
    for inner in contents(ty).filter(|inner| !is_plain(inner)) {
        let inner = traits(inner);
        required = quote_spanned!(span=> #required.unless_missing_in(&#inner));
    }
    let require = match () {
        () if is_result_alias(ty) => "is_result_sent_between_nodes",
        () if is_arc(ty) => "is_shared_sent_between_nodes",
        () => "is_sent_between_nodes",
    };
    let require = Ident::new(require, span);
    // If a `Box` cannot be sent, its contents are the reason.
    let subject = unboxed(ty);
    quote_spanned!(span=> #required.#require::<#subject>();)
}

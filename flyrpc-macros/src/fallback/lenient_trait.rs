//! Generates the trait without the parts for which rustc would report a second error.

use std::collections::HashSet;

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{
    FnArg, Generics, Ident, ItemTrait, ReceiverKind, ReturnType, TraitItem, TraitItemFn, Type,
    ext::IdentExt as _,
};

use super::unwritable::{Declared, has_unwritable};
use crate::{
    ast,
    names::has_ident,
    types::{contents, is_evidently_unsized},
};

/// Returns the trait without the parts for which rustc would report a second error.
pub(super) fn lenient_trait(service: &ItemTrait) -> TokenStream {
    let mut service = service.clone();
    service.attrs.retain(|attr| !ast::is_rpc(attr) && !ast::is_fly_rpc(attr));
    service.modifiers.auto_token = None;
    // Methods that return `Self` require it to be `Sized`.
    service.supertraits.push(syn::parse_quote!(::core::marker::Sized));
    service.colon_token.get_or_insert_default();
    let mut seen = HashSet::new();
    service.items.retain(|item| match item {
        TraitItem::Fn(method) => {
            seen.insert(method.sig.ident.unraw()) || ast::has_cfg(&method.attrs)
        }
        _ => true,
    });
    let declared = service.items.iter().filter_map(|item| match item {
        TraitItem::Type(item) => Some(item.ident.clone()),
        _ => None,
    });
    let declared = Declared { service: service.ident.clone(), types: declared.collect() };
    let lifetimes: Vec<String> = names_of_lifetimes(&service.generics).collect();
    for item in &mut service.items {
        if let TraitItem::Fn(method) = item {
            make_lenient(method, &declared, &lifetimes);
        }
    }
    service.to_token_stream()
}

/// `lifetimes` are parameters of the trait.
fn make_lenient(method: &mut TraitItemFn, declared: &Declared, lifetimes: &[String]) {
    method.attrs.retain(|attr| !ast::is_rpc(attr) && !ast::contains_rpc(attr));
    method.modifiers.defaultness = None;
    let has_body = method.default.is_some();
    let signature = &mut method.sig;
    let lifetimes =
        lifetimes.iter().cloned().chain(names_of_lifetimes(&signature.generics)).collect();
    signature.constness = None;
    signature.variadic = None;
    for input in &mut signature.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                receiver.attrs.clear();
                if matches!(receiver.kind, ReceiverKind::Value) {
                    receiver.mutability = None;
                }
            }
            FnArg::Typed(argument) => {
                argument.attrs.retain(ast::is_cfg);
                if !has_body {
                    *argument.pat = syn::parse_quote!(_);
                }
                make_type_lenient(&mut argument.ty, declared, &lifetimes);
            }
        }
    }
    if let ReturnType::Type(_, ty) = &mut signature.output {
        make_type_lenient(ty, declared, &lifetimes);
    }
}

fn make_type_lenient(ty: &mut Type, declared: &Declared, lifetimes: &HashSet<String>) {
    let is_unsized_within = contents(ty).is_some() && is_evidently_unsized(ty);
    if has_unwritable(ty, declared) || is_unsized_within {
        *ty = syn::parse_quote!(());
    }
    elide_undeclared(ty, lifetimes);
}

fn names_of_lifetimes(generics: &Generics) -> impl Iterator<Item = String> + use<'_> {
    generics.lifetimes().map(|parameter| parameter.lifetime.ident.to_string())
}

/// Elides the lifetimes in a type that are not declared.
fn elide_undeclared(ty: &mut Type, declared: &HashSet<String>) {
    fn elide(tokens: TokenStream, declared: &HashSet<String>) -> TokenStream {
        let mut is_lifetime = false;
        let tokens = tokens.into_iter().map(|token| {
            let follows_apostrophe = std::mem::replace(
                &mut is_lifetime,
                matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '\''),
            );
            match token {
                TokenTree::Ident(name)
                    if follows_apostrophe
                        && name != "static"
                        && !declared.contains(&name.to_string()) =>
                {
                    TokenTree::Ident(Ident::new("_", name.span()))
                }
                TokenTree::Group(group) => {
                    let delimiter = group.delimiter();
                    TokenTree::Group(Group::new(delimiter, elide(group.stream(), declared)))
                }
                token => token,
            }
        });
        tokens.collect()
    }

    let tokens = ty.to_token_stream();
    // A `for<'a>` in the type declares lifetimes.
    if !has_ident(tokens.clone(), &|name| name == "for")
        && let Ok(elided) = syn::parse2(elide(tokens, declared))
    {
        *ty = elided;
    }
}

//! Reads the syntax of the annotated item. Whether the item is a valid service is decided by `check`.

use proc_macro2::TokenStream;
use syn::{Attribute, FnArg, Ident, Item, ItemTrait, Pat, PatType, Signature, TraitItemFn, Type};

/// Parses the annotated item, which must be a trait.
pub(crate) fn parse(item: TokenStream) -> syn::Result<ItemTrait> {
    let item = syn::parse2::<Item>(item)?;
    let is_mock = is_mock(&item);
    let (wrong, at) = match item {
        Item::Trait(item) => return Ok(item),
        Item::Impl(item) => ("an `impl`", item.impl_token.span),
        Item::Struct(item) => ("a struct", item.struct_token.span),
        Item::Enum(item) => ("an enum", item.enum_token.span),
        Item::Fn(item) => ("a function", item.sig.fn_token.span),
        Item::Mod(item) => ("a module", item.mod_token.span),
        _ => ("this item", proc_macro2::Span::call_site()),
    };
    let fix = if is_mock {
        "write `#[fly_rpc]` above `#[automock]`, which copies the attributes below it"
    } else {
        "annotate the trait that declares the methods; its `impl` needs no attribute"
    };
    Err(syn::Error::new(
        at,
        format!("`#[fly_rpc]` can only be applied to a trait, not to {wrong}\n\n  = note: {fix}"),
    ))
}

/// Returns whether mockall generated an item, judged by its name.
fn is_mock(item: &Item) -> bool {
    match item {
        Item::Mod(item) => item.ident.to_string().starts_with("__mock_"),
        Item::Struct(item) => item.ident.to_string().starts_with("Mock"),
        Item::Impl(item) => match bare(&item.self_ty) {
            Type::Path(path) => path
                .path
                .segments
                .last()
                .is_some_and(|segment| segment.ident.to_string().starts_with("Mock")),
            _ => false,
        },
        _ => false,
    }
}

/// Returns the methods of a trait, in order of declaration.
pub(crate) fn methods(service: &ItemTrait) -> impl Iterator<Item = &TraitItemFn> {
    service.items.iter().filter_map(|item| match item {
        syn::TraitItem::Fn(method) => Some(method),
        _ => None,
    })
}

/// Returns the arguments after the receiver.
pub(crate) fn arguments(signature: &Signature) -> impl Iterator<Item = &PatType> {
    signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    })
}

/// Returns the name of an argument if its pattern is an identifier without `ref`, `mut` or a subpattern.
pub(crate) fn plain_name(argument: &PatType) -> Option<&Ident> {
    match &*argument.pat {
        Pat::Ident(name)
            if name.by_ref.is_none() && name.mutability.is_none() && name.subpat.is_none() =>
        {
            Some(&name.ident)
        }
        _ => None,
    }
}

/// Returns whether any attribute is a `#[cfg]`.
pub(crate) fn has_cfg(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| attr.path().is_ident("cfg"))
}

/// Returns whether an attribute is `#[rpc…]`.
pub(crate) fn is_rpc(attr: &Attribute) -> bool {
    attr.path().is_ident("rpc")
}

/// Returns whether an attribute is `#[fly_rpc…]`.
pub(crate) fn is_fly_rpc(attr: &Attribute) -> bool {
    attr.path().segments.last().is_some_and(|segment| segment.ident == "fly_rpc")
}

/// Strips the invisible groups and the parentheses around a type.
pub(crate) fn bare(mut ty: &Type) -> &Type {
    loop {
        ty = match ty {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            _ => return ty,
        };
    }
}

//! Reads the syntax of the annotated item. Whether the item is a valid service is decided by `check`.

use proc_macro2::TokenStream;
use syn::{
    AttrStyle, Attribute, FnArg, Ident, Item, ItemTrait, Meta, Pat, PatType, Signature, Token,
    TraitItem, TraitItemFn, Type, Visibility,
    ext::IdentExt as _,
    parse::{ParseStream, Parser as _},
    punctuated::Punctuated,
};

/// The annotated trait.
pub(crate) struct Parsed {
    /// The trait, without the visibilities of its methods.
    pub(crate) service: ItemTrait,
    /// The visibilities of methods, which Rust parses but does not allow.
    pub(crate) visibilities: Vec<(Visibility, Ident)>,
}

/// Why the annotated item is not read as a trait.
pub(crate) enum NoTrait {
    /// It has syntax errors. rustc has reported them, because it parses an item before it expands its attributes.
    Unreadable,
    /// mockall has generated it. There is an error for another item that was generated together with it.
    Mock,
    /// It is not a trait.
    OtherItem(syn::Error),
}

/// Parses the annotated item, which must be a trait.
pub(crate) fn parse(item: TokenStream) -> Result<Parsed, NoTrait> {
    let Ok(item) = syn::parse2::<Item>(item) else { return Err(NoTrait::Unreadable) };
    let is_mock = is_mock(&item);
    let is_method = is_method(&item);
    let (wrong, at) = match item {
        Item::Trait(mut service) => {
            let visibilities = service.items.iter_mut().filter_map(take_visibility).collect();
            // `#![doc = "…"]` and `//!` in the trait. They are emitted above it.
            service.attrs.iter_mut().for_each(|attr| attr.style = AttrStyle::Outer);
            return Ok(Parsed { service, visibilities });
        }
        Item::Impl(_) | Item::Mod(_) if is_mock => return Err(NoTrait::Mock),
        Item::Impl(item) => ("an `impl`", item.impl_token.span),
        Item::Struct(item) => ("a struct", item.struct_token.span),
        Item::Enum(item) => ("an enum", item.enum_token.span),
        Item::Fn(item) if is_method => ("a method", item.sig.fn_token.span),
        Item::Fn(item) => ("a function", item.sig.fn_token.span),
        Item::Mod(item) => ("a module", item.mod_token.span),
        _ if is_method => ("a method", proc_macro2::Span::call_site()),
        _ => ("this item", proc_macro2::Span::call_site()),
    };
    let fix = if is_mock {
        "write `#[fly_rpc]` above `#[automock]`, which copies the attributes below it"
    } else if is_method {
        "annotate the trait that declares the method; the options of a method are in `#[rpc(…)]`"
    } else {
        "annotate the trait that declares the methods; its `impl` needs no attribute"
    };
    let message =
        format!("`#[fly_rpc]` can only be applied to a trait, not to {wrong}\n\n  = note: {fix}");
    Err(NoTrait::OtherItem(syn::Error::new(at, message)))
}

/// Removes the visibility of a method. For syn, a method with a visibility is not a method.
fn take_visibility(item: &mut TraitItem) -> Option<(Visibility, Ident)> {
    let TraitItem::Verbatim(tokens) = item else { return None };
    let parse = |input: ParseStream<'_>| {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis: Visibility = input.parse()?;
        let mut method: TraitItemFn = input.parse()?;
        method.attrs = attrs;
        Ok((vis, method))
    };
    let (vis, method) = parse.parse2(tokens.clone()).ok()?;
    let name = method.sig.ident.clone();
    *item = TraitItem::Fn(method);
    Some((vis, name))
}

/// Returns whether an item is a method.
fn is_method(item: &Item) -> bool {
    match item {
        Item::Fn(item) => item.sig.receiver().is_some(),
        Item::Verbatim(tokens) => syn::parse2::<TraitItemFn>(tokens.clone()).is_ok(),
        _ => false,
    }
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

/// Returns whether a trait has a method of this name.
pub(crate) fn has_method(service: &ItemTrait, name: &str) -> bool {
    methods(service).any(|method| method.sig.ident.unraw() == name)
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
    attrs.iter().any(is_cfg)
}

/// Returns whether an attribute is a `#[cfg]`.
pub(crate) fn is_cfg(attr: &Attribute) -> bool {
    attr.path().is_ident("cfg")
}

/// Returns whether an attribute is `#[rpc…]`.
pub(crate) fn is_rpc(attr: &Attribute) -> bool {
    attr.path().is_ident("rpc")
}

/// Returns whether an attribute is a `#[cfg_attr]` with an attribute of this macro.
pub(crate) fn contains_rpc(attr: &Attribute) -> bool {
    nested_in_cfg_attr(attr).iter().any(|meta| meta.path().is_ident("rpc"))
}

/// Returns the attributes in a `#[cfg_attr]`, or none for another attribute.
pub(crate) fn nested_in_cfg_attr(attr: &Attribute) -> Vec<Meta> {
    let parser = Punctuated::<Meta, Token![,]>::parse_terminated;
    let nested = attr.path().is_ident("cfg_attr").then(|| attr.parse_args_with(parser).ok());
    // The first one is the condition.
    nested.flatten().into_iter().flatten().skip(1).collect()
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

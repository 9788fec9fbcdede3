//! Generates the client's methods.

use proc_macro2::{Group, Ident, TokenStream, TokenTree};
use quote::{ToTokens as _, TokenStreamExt as _, format_ident, quote};
use syn::{ItemTrait, PatType, ReturnType, TraitItemFn, Type, ext::IdentExt as _};

use super::unwritable::{Declared, has_hidden_lifetime, has_unwritable, is_argument_type};
use crate::{
    ast,
    expand::{client, common::root},
    model::{Method, Service},
    names::ParameterNames,
    types::{future_output, is_evidently_unsized, may_be_future},
};

/// Generates the client's methods: each with the arguments that the user wrote, so that a call that fits the
/// declaration compiles.
pub(super) fn client_methods(service: &ItemTrait, model: &Service) -> TokenStream {
    let methods = ast::methods(service).enumerate().filter_map(|(index, method)| {
        let has_other_name =
            |earlier: &TraitItemFn| earlier.sig.ident.unraw() != method.sig.ident.unraw();
        let is_new = ast::methods(service).take(index).all(has_other_name);
        is_new.then(|| client_method(service, model, method))
    });
    methods.collect()
}

fn client_method(service: &ItemTrait, model: &Service, method: &TraitItemFn) -> TokenStream {
    let name = &method.sig.ident;
    let same_name = |valid: &&Method| valid.ident == *name;
    if let Some(valid) = model.methods.iter().find(same_name) {
        return client::call(model, valid);
    }
    // The function of that name has other type parameters, and both would exist.
    if name == "from_stub" {
        return TokenStream::new();
    }
    let root = root(model);
    let vis = model.generated_vis();
    let via = &model.names.via;
    let parameters = [&service.generics, &method.sig.generics].map(ParameterNames::of);
    let declared = Declared { service: service.ident.clone(), types: Vec::new() };
    // Whether a type has a meaning only in the trait, or none at all.
    let is_local = |ty: &Type| {
        has_unwritable(ty, &declared) || parameters.iter().any(|parameters| parameters.occur_in(ty))
    };
    let arguments: Vec<Argument> = ast::arguments(&method.sig)
        .enumerate()
        .map(|(index, argument)| Argument::new(index, argument, is_local))
        .collect();
    let names = arguments.iter().filter_map(|argument| argument.parameter.as_ref());
    let (names, bounds) = (names.clone().map(|(name, _)| name), names.map(|(_, bound)| bound));
    let used = names.clone();
    let arguments = arguments.iter().map(|argument| &argument.declaration);
    let returns = usable_return(method, is_local);
    let cfgs = method.attrs.iter().filter(|attr| ast::is_cfg(attr));
    quote! {
        #(#cfgs)*
        #[allow(missing_docs)]
        #vis fn #name<#(#names: #bounds),*>(&self #(, #arguments)*)
            -> impl #root::Future<Output = #root::Result<#returns, #root::RpcError>>
            + 'static + use<#via #(, #used)*>
        {
            #root::never_built()
        }
    }
}

/// An argument of a client's method.
struct Argument {
    /// The type parameter for it, with its bounds, unless the argument has the type that the user wrote.
    parameter: Option<(Ident, TokenStream)>,
    declaration: TokenStream,
}

impl Argument {
    fn new(index: usize, argument: &PatType, is_local: impl Fn(&Type) -> bool) -> Self {
        let cfgs: Vec<_> = argument.attrs.iter().filter(|attr| ast::is_cfg(attr)).collect();
        let ty = &*argument.ty;
        if is_argument_type(ty) && !is_local(ty) && !is_evidently_unsized(ty) {
            return Argument { parameter: None, declaration: quote!(#(#cfgs)* _: #ty) };
        }
        let name = format_ident!("__Argument{}", index);
        let bounds = match ty {
            // A closure whose arguments have no types requires the bound.
            Type::ImplTrait(ty) if !is_local(&argument.ty) => ty.bounds.to_token_stream(),
            _ => TokenStream::new(),
        };
        let declaration = quote!(#(#cfgs)* _: #name);
        Argument { parameter: Some((name, bounds)), declaration }
    }
}

/// Returns the return type of `method` if it is valid outside the trait, or `()` otherwise.
fn usable_return(method: &TraitItemFn, is_local: impl Fn(&Type) -> bool) -> TokenStream {
    let ReturnType::Type(_, ty) = &method.sig.output else { return quote!(()) };
    let is_future = method.sig.asyncness.is_none() && may_be_future(ty);
    let output = if is_future { future_output(ty) } else { None };
    let ty = output.unwrap_or(ty);
    let is_usable = is_argument_type(ty) && !has_hidden_lifetime(ty);
    if is_usable && !is_local(ty) && !is_evidently_unsized(ty) {
        with_static_lifetimes(ty.to_token_stream())
    } else {
        quote!(())
    }
}

/// Replaces the elided lifetimes in a type, because the client's futures borrow nothing.
fn with_static_lifetimes(tokens: TokenStream) -> TokenStream {
    let mut result = TokenStream::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => {
                let content = with_static_lifetimes(group.stream());
                result.append(Group::new(group.delimiter(), content));
            }
            TokenTree::Punct(punct) if punct.as_char() == '&' => {
                let is_lifetime = matches!(tokens.peek(),
                    Some(TokenTree::Punct(next)) if next.as_char() == '\'');
                result.append(punct);
                if !is_lifetime {
                    result.extend(quote!('static));
                }
            }
            TokenTree::Ident(name) if name == "_" => {
                result.append(Ident::new("static", name.span()));
            }
            token => result.append(token),
        }
    }
    result
}

//! Generates the items that are emitted together with errors. They are the items of a valid service, so
//! other uses of the service in the user's crate cause no further errors. The trait contains invalid methods
//! as the user wrote them, as far as Rust accepts them. The client contains them with arguments of any type.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, format_ident, quote};
use syn::{
    FnArg, Ident, ItemTrait, Path, ReceiverKind, ReturnType, TraitItem, TraitItemFn, Type,
    ext::IdentExt as _,
    visit::{self, Visit},
};

use crate::{
    ast, check,
    expand::{self, client, common::root},
    model::{Method, Service},
    names::RESERVED,
};

/// Generates the items of a trait with errors. `model` contains only the valid methods.
pub(crate) fn expand(service: &ItemTrait, model: &Service) -> TokenStream {
    let root = root(model);
    let the_trait = lenient_trait(service);
    let anything = quote!(#root::Send + #root::Sync + 'static);
    let calls = ast::methods(service).enumerate().filter_map(|(index, method)| {
        let has_other_name =
            |earlier: &TraitItemFn| earlier.sig.ident.unraw() != method.sig.ident.unraw();
        let is_new = ast::methods(service).take(index).all(has_other_name);
        is_new.then(|| client_method(service, model, method))
    });
    let handler = quote!(#root::unreachable());
    let items = expand::expand_for(model, &anything, &handler, &calls.collect());
    quote!(#the_trait #items)
}

/// Returns the trait without the parts for which rustc would report a second error.
fn lenient_trait(service: &ItemTrait) -> TokenStream {
    let mut service = service.clone();
    service.attrs.retain(|attr| !ast::is_rpc(attr) && !ast::is_fly_rpc(attr));
    service.modifiers.auto_token = None;
    // Methods that return `Self` require it to be `Sized`.
    service.supertraits.push(syn::parse_quote!(::core::marker::Sized));
    service.colon_token.get_or_insert_default();
    let mut seen = std::collections::HashSet::new();
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
    let declared: Vec<Ident> = declared.collect();
    for item in &mut service.items {
        if let TraitItem::Fn(method) = item {
            make_lenient(method, &declared);
        }
    }
    service.to_token_stream()
}

fn make_lenient(method: &mut TraitItemFn, declared: &[Ident]) {
    method.attrs.retain(|attr| !ast::is_rpc(attr));
    method.modifiers.defaultness = None;
    let signature = &mut method.sig;
    signature.constness = None;
    signature.abi = None;
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
                argument.attrs.clear();
                if method.default.is_none() {
                    *argument.pat = syn::parse_quote!(_);
                }
                replace_unwritable(&mut argument.ty, declared);
            }
        }
    }
    if let ReturnType::Type(_, ty) = &mut signature.output {
        replace_unwritable(ty, declared);
    }
}

/// Replaces a type with `()` if it contains something that Rust does not accept in a signature: `_`, or an
/// associated type that is not among the `declared` ones.
fn replace_unwritable(ty: &mut Type, declared: &[Ident]) {
    struct Unwritable<'a> {
        declared: &'a [Ident],
        found: bool,
    }

    impl Visit<'_> for Unwritable<'_> {
        fn visit_type_infer(&mut self, _: &syn::TypeInfer) {
            self.found = true;
        }

        fn visit_path(&mut self, path: &Path) {
            let mut segments = path.segments.iter();
            if segments.next().is_some_and(|first| first.ident == "Self") {
                self.found |=
                    segments.next().is_some_and(|name| !self.declared.contains(&name.ident));
            }
            visit::visit_path(self, path);
        }
    }

    let mut unwritable = Unwritable { declared, found: false };
    unwritable.visit_type(ty);
    if unwritable.found {
        *ty = syn::parse_quote!(());
    }
}

fn client_method(service: &ItemTrait, model: &Service, method: &TraitItemFn) -> TokenStream {
    let name = &method.sig.ident;
    let same_name = |valid: &&Method| valid.ident == *name;
    if let Some(valid) = model.methods.iter().find(same_name) {
        return client::call(model, valid);
    }
    if RESERVED.contains(&name.unraw().to_string().as_str()) {
        return TokenStream::new();
    }
    let root = root(model);
    let vis = model.generated_vis();
    let via = &model.names.via;
    let generics: Vec<_> = ast::arguments(&method.sig)
        .enumerate()
        .map(|(index, _)| format_ident!("__Argument{}", index))
        .collect();
    let returns = usable_return(service, method);
    let cfgs = method.attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
    quote! {
        #(#cfgs)*
        #[allow(missing_docs)]
        #vis fn #name<#(#generics),*>(&self #(, _: #generics)*)
            -> impl #root::Future<Output = #root::Result<#returns, #root::RpcError>>
            + 'static + use<#via #(, #generics)*>
        {
            #root::never_built()
        }
    }
}

/// Returns the return type of `method` if it is valid outside the trait, or `()` otherwise.
fn usable_return(service: &ItemTrait, method: &TraitItemFn) -> TokenStream {
    let has_generics =
        !service.generics.params.is_empty() || !method.sig.generics.params.is_empty();
    match &method.sig.output {
        ReturnType::Type(_, ty) if !has_generics && check::is_allowed(ty) => ty.to_token_stream(),
        _ => quote!(()),
    }
}

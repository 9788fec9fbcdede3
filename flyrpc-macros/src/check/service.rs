//! The rules for the trait itself.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Attribute, ItemTrait, TraitItem, TraitItemFn, ext::IdentExt as _};

use super::{method, scope::Scope, wire_name::wire_name};
use crate::{
    ast::{self, Parsed},
    attr,
    errors::Errors,
    model::{Attrs, Service},
    names::{RESERVED, ServiceNames},
};

/// The result of [`check`]: a service with the valid methods of the trait, and all errors.
pub(crate) struct Checked {
    pub(crate) model: Service,
    /// A `compile_error!` for each error; `None` if the trait is valid.
    pub(crate) errors: Option<TokenStream>,
}

/// Checks an annotated trait and the arguments of its `#[fly_rpc(…)]`.
pub(crate) fn check(arguments: TokenStream, parsed: &Parsed) -> Checked {
    let Parsed { service, visibilities } = parsed;
    let mut errors = Errors::default();
    for (vis, method) in visibilities {
        errors.push(
            vis,
            format_args!("method `{method}` has a visibility"),
            "remove it; the methods of a trait are as visible as the trait",
        );
    }
    let options = attr::service_options(arguments, &mut errors);
    let wire_name = wire_name(options.name, &service.ident, &mut errors);
    let names = ServiceNames::of(service, options.crate_path.as_ref());
    let methods = if is_rewritten_by_async_trait(service) {
        refuse_async_trait(&service.ident, service, &mut errors);
        Vec::new()
    } else {
        check_trait(service, &mut errors);
        check_items(service, &mut errors);
        check_duplicates(service, &mut errors);
        method::check_methods(service, &Scope::of(service), &mut errors)
    };
    // The methods' types could name the parameters, which are not in scope outside the trait.
    let methods = if service.generics.params.is_empty() { methods } else { Vec::new() };
    let model = Service {
        crate_path: options.crate_path.unwrap_or_else(|| syn::parse_quote!(::flyrpc)),
        attrs: Attrs::new(&service.attrs),
        vis: service.vis.clone(),
        ident: service.ident.clone(),
        names,
        wire_name,
        methods,
        taken: RESERVED.into_iter().filter(|name| ast::has_method(service, name)).collect(),
    };
    Checked { model, errors: errors.into_tokens() }
}

/// Returns whether `#[async_trait]` is above `#[fly_rpc]` and has already replaced the `async fn`s. Each of
/// them would break several rules.
fn is_rewritten_by_async_trait(service: &ItemTrait) -> bool {
    ast::methods(service).any(|method| {
        method.sig.generics.lifetimes().any(|parameter| parameter.lifetime.ident == "async_trait")
    })
}

fn refuse_async_trait(at: impl ToTokens, service: &ItemTrait, errors: &mut Errors) {
    errors.push(
        at,
        format_args!("trait `{}` uses `#[async_trait]`, which a service cannot use", service.ident),
        "remove `#[async_trait]` from the trait and from its `impl`s; both use plain `async fn`",
    );
}

fn check_trait(service: &ItemTrait, errors: &mut Errors) {
    let name = &service.ident;
    for attr in service.attrs.iter().filter(|attr| ast::is_rpc(attr)) {
        errors.push(
            attr.path(),
            format_args!("`#[rpc]` applies to methods and arguments, not to trait `{name}`"),
            "options of the trait go in `#[fly_rpc(…)]`: `name = \"…\"` and `crate = path`",
        );
    }
    if let Some(attr) = service.attrs.iter().find(|attr| ast::is_fly_rpc(attr)) {
        errors.push(
            attr.path(),
            format_args!("trait `{name}` has two `#[fly_rpc]` attributes"),
            "remove one of them",
        );
    }
    let is_async_trait = |attr: &&Attribute| {
        attr.path().segments.last().is_some_and(|segment| segment.ident == "async_trait")
    };
    if let Some(attr) = service.attrs.iter().find(is_async_trait) {
        refuse_async_trait(attr.path(), service, errors);
    }
    if let Some(unsafety) = &service.unsafety {
        errors.push(unsafety, format_args!("trait `{name}` is `unsafe`"), "remove `unsafe`");
    }
    if let Some(auto) = &service.modifiers.auto_token {
        errors.push(auto, format_args!("trait `{name}` is an `auto` trait"), "remove `auto`");
    }
    if !service.generics.params.is_empty() {
        errors.push(
            &service.generics,
            format_args!("trait `{name}` has generic parameters, which a service cannot have"),
            "use concrete types, or declare one trait for each type",
        );
    } else if let Some(clause) = &service.generics.where_clause {
        errors.push(
            clause,
            format_args!("trait `{name}` has a `where` clause, which a service cannot have"),
            "put the bounds on the types that implement the trait",
        );
    }
    if !service.supertraits.is_empty() {
        errors.push(
            &service.supertraits,
            format_args!("trait `{name}` has supertraits, which a service cannot have"),
            "put the bounds on the types that implement the trait; `Send + Sync + 'static` is implied",
        );
    }
}

fn check_items(service: &ItemTrait, errors: &mut Errors) {
    for item in &service.items {
        match item {
            TraitItem::Fn(_) => {}
            TraitItem::Type(item) => errors.push(
                &item.ident,
                format_args!("associated type `{}` is not allowed in a service", item.ident),
                "use the concrete type in each method",
            ),
            TraitItem::Const(item) => errors.push(
                &item.ident,
                format_args!("associated constant `{}` is not allowed in a service", item.ident),
                "define the constant outside the trait, or declare a method that returns its value",
            ),
            TraitItem::Macro(item) => errors.push(
                &item.mac.path,
                "a macro is not allowed in a service: `#[fly_rpc]` cannot see its expansion",
                "declare the methods without a macro",
            ),
            item => {
                errors.push(item, "this item is not a method", "a service can only have methods")
            }
        }
    }
}

/// Reports methods with the same name, unless both have a `#[cfg]`: their conditions may exclude each other.
fn check_duplicates(service: &ItemTrait, errors: &mut Errors) {
    let methods: Vec<&TraitItemFn> = ast::methods(service).collect();
    for (index, method) in methods.iter().enumerate() {
        let name = method.sig.ident.unraw();
        let has_same_name = |earlier: &&&TraitItemFn| {
            earlier.sig.ident.unraw() == name
                && !(ast::has_cfg(&earlier.attrs) && ast::has_cfg(&method.attrs))
        };
        if methods[..index].iter().find(has_same_name).is_some() {
            errors.push(
                &method.sig.ident,
                format_args!("method `{name}` is declared twice"),
                "rename one of them, or put a `#[cfg]` on both",
            );
        }
    }
}

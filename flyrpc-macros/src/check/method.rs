//! The rules for methods.

use syn::{
    Attribute, Ident, ItemTrait, Meta, ReceiverKind, ReturnType, Safety, Signature, Token,
    TraitItemFn, Type, ext::IdentExt as _, punctuated::Punctuated,
};

use super::{argument, types::check_type, wire_name};
use crate::{
    ast,
    attr::{self, Hedge, MethodOptions},
    errors::Errors,
    model::{Attrs, Method},
    names::{self, RESERVED},
};

/// Checks the methods of a trait and returns the valid ones.
pub(super) fn check_methods(service: &ItemTrait, errors: &mut Errors) -> Vec<Method> {
    let idents: Vec<&Ident> = ast::methods(service).map(|method| &method.sig.ident).collect();
    let variants = names::variants(&idents);
    let mut methods: Vec<Method> = Vec::new();
    for (method, variant) in ast::methods(service).zip(variants) {
        let Some(method) = check_method(method, variant, errors) else { continue };
        if wire_name::is_unique(&method, &methods, errors) {
            methods.push(method);
        }
    }
    methods
}

fn check_method(method: &TraitItemFn, variant: Ident, errors: &mut Errors) -> Option<Method> {
    let before = errors.len();
    let signature = &method.sig;
    check_name(signature, errors);
    check_qualifiers(method, errors);
    check_generics(signature, errors);
    check_receiver(signature, errors);
    let arguments = argument::check_arguments(signature, errors);
    let returns = check_return(signature, errors);
    check_body(method, errors);
    check_cfg_attr(&method.attrs, errors);
    let mut options = attr::method_options(&method.attrs, errors);
    let wire_name = wire_name::wire_name(options.name.take(), &signature.ident, errors);
    check_timeout(&options, signature, errors);
    check_hedge(&options, signature, errors);
    (errors.len() == before).then(|| Method {
        attrs: Attrs::new(&method.attrs),
        ident: signature.ident.clone(),
        variant,
        wire_name,
        options,
        arguments,
        returns,
    })
}

fn check_name(signature: &Signature, errors: &mut Errors) {
    let name = signature.ident.unraw().to_string();
    if RESERVED.contains(&name.as_str()) {
        errors.push(
            &signature.ident,
            format_args!("the generated client reserves the name of method `{name}`"),
            format_args!(
                "rename the method; `#[rpc(name = \"{name}\")]` keeps `{name}` as its wire name"
            ),
        );
    }
}

fn check_qualifiers(method: &TraitItemFn, errors: &mut Errors) {
    let signature = &method.sig;
    let name = &signature.ident;
    if signature.asyncness.is_none() {
        errors.push(
            signature.fn_token,
            format_args!("method `{name}` is not `async`"),
            format_args!("write `async fn {name}(&self, …) -> …;`"),
        );
    }
    if let Some(token) = &signature.constness {
        errors.push(token, format_args!("method `{name}` is `const`"), "remove `const`");
    }
    match &signature.safety {
        Safety::Unsafe(token) => {
            errors.push(token, format_args!("method `{name}` is `unsafe`"), "remove `unsafe`");
        }
        Safety::Safe(token) => {
            errors.push(token, format_args!("method `{name}` is `safe`"), "remove `safe`");
        }
        Safety::Default => {}
    }
    if let Some(abi) = &signature.abi {
        errors.push(abi, format_args!("method `{name}` is `extern`"), "remove `extern`");
    }
    if let Some(token) = &method.modifiers.defaultness {
        errors.push(token, format_args!("method `{name}` is `default`"), "remove `default`");
    }
}

fn check_generics(signature: &Signature, errors: &mut Errors) {
    let name = &signature.ident;
    if !signature.generics.params.is_empty() {
        errors.push(
            &signature.generics,
            format_args!("method `{name}` has generic parameters, but its types must be concrete"),
            "use concrete types that own their data, or declare one method for each type",
        );
    }
    if let Some(clause) = &signature.generics.where_clause {
        errors.push(
            clause,
            format_args!("method `{name}` has a `where` clause"),
            "remove the clause; all types of a service are concrete",
        );
    }
}

fn check_receiver(signature: &Signature, errors: &mut Errors) {
    let name = &signature.ident;
    let form = format!("write `async fn {name}(&self, …) -> …;`");
    let Some(receiver) = signature.receiver() else {
        errors.push(&signature.ident, format_args!("method `{name}` does not take `&self`"), form);
        return;
    };
    for attr in &receiver.attrs {
        errors.push(
            attr.path(),
            format_args!("the `self` of method `{name}` has an attribute"),
            "remove the attribute",
        );
    }
    let wrong = match &receiver.kind {
        ReceiverKind::Reference(_, None, None) => return,
        ReceiverKind::Reference(_, _, Some(_)) => {
            "takes `&mut self`, but calls to one service run concurrently"
        }
        ReceiverKind::Reference(_, Some(_), None) => "gives `&self` an explicit lifetime",
        ReceiverKind::Typed(..) => "gives `self` an explicit type",
        _ => "takes `self` by value, but one implementation serves many calls",
    };
    let fix = match &receiver.kind {
        ReceiverKind::Reference(_, _, Some(_)) => {
            format!("{form} and keep mutable state in a `Mutex` or an atomic")
        }
        _ => form,
    };
    errors.push(receiver, format_args!("method `{name}` {wrong}"), fix);
}

fn check_return(signature: &Signature, errors: &mut Errors) -> Type {
    let ReturnType::Type(_, ty) = &signature.output else { return syn::parse_quote!(()) };
    // For `fn … -> impl Future`, only the missing `async` is reported.
    let is_future = signature.asyncness.is_none() && matches!(**ty, Type::ImplTrait(_));
    if !is_future {
        let place = format!("the return type of `{}`", signature.ident);
        check_type(ty, &place, errors);
    }
    (**ty).clone()
}

fn check_body(method: &TraitItemFn, errors: &mut Errors) {
    if let Some(body) = &method.default {
        errors.push(
            body,
            format_args!("method `{}` has a default body", method.sig.ident),
            "end the declaration with `;` and write the body in the `impl`",
        );
    }
}

fn check_timeout(options: &MethodOptions, signature: &Signature, errors: &mut Errors) {
    if options.timeout.is_some_and(|timeout| timeout.0 == 0) {
        errors.push(
            &signature.ident,
            format_args!("the timeout of method `{}` is zero", signature.ident),
            "use a timeout longer than zero",
        );
    }
}

fn check_hedge(options: &MethodOptions, signature: &Signature, errors: &mut Errors) {
    let Some((path, hedge)) = &options.hedge else { return };
    let method = &signature.ident;
    if !options.idempotent {
        errors.push(
            path,
            format_args!(
                "method `{method}` is not declared idempotent, but `hedge` may execute it twice"
            ),
            "add `idempotent` if the method may be executed twice: `#[rpc(idempotent, hedge = \"p95\")]`",
        );
    }
    if options.detached {
        errors.push(
            path,
            format_args!(
                "`hedge` cancels the slower execution of method `{method}`, which is detached"
            ),
            "remove `detached` or `hedge`",
        );
    }
    if let (Hedge::After(delay), Some(timeout)) = (hedge, options.timeout)
        && *delay >= timeout
    {
        errors.push(
            path,
            format_args!("method `{method}` times out before its second attempt starts"),
            "use a delay shorter than the `timeout`",
        );
    }
}

/// Rejects `#[cfg_attr]` around an attribute that this macro reads, because the macro cannot evaluate the
/// condition.
fn check_cfg_attr(attrs: &[Attribute], errors: &mut Errors) {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("cfg_attr")) {
        let parser = Punctuated::<Meta, Token![,]>::parse_terminated;
        let Ok(nested) = attr.parse_args_with(parser) else { continue };
        for meta in nested.iter().skip(1) {
            if meta.path().is_ident("rpc") || meta.path().is_ident("cfg") {
                let name = meta.path().get_ident().map(Ident::to_string).unwrap_or_default();
                errors.push(
                    meta.path(),
                    format_args!("`#[{name}]` is not supported inside `#[cfg_attr]`"),
                    "declare the method twice, each time with its own `#[cfg]`",
                );
            }
        }
    }
}

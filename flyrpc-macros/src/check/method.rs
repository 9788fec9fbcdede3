//! The rules for methods.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{
    Attribute, GenericParam, Ident, ItemTrait, Lifetime, ReceiverKind, ReturnType, Safety,
    Signature, TraitItemFn, Type, ext::IdentExt as _,
};

use super::{argument, scope::Scope, types::check_type, wire_name};
use crate::{
    ast,
    attr::{self, Hedge, MethodOptions},
    errors::Errors,
    model::{Attrs, Method},
    names::{self, ParameterNames, RESERVED},
    types::may_be_future,
};

/// Checks the methods of a trait and returns the valid ones.
pub(super) fn check_methods(
    service: &ItemTrait,
    scope: &Scope<'_>,
    errors: &mut Errors,
) -> Vec<Method> {
    let idents: Vec<&Ident> = ast::methods(service).map(|method| &method.sig.ident).collect();
    let variants = names::variants(&idents);
    let mut methods: Vec<Method> = Vec::new();
    for (method, variant) in ast::methods(service).zip(variants) {
        let Some(method) = check_method(method, variant, scope, errors) else { continue };
        if wire_name::is_unique(&method, &methods, errors) {
            methods.push(method);
        }
    }
    methods
}

fn check_method(
    method: &TraitItemFn,
    variant: Ident,
    scope: &Scope<'_>,
    errors: &mut Errors,
) -> Option<Method> {
    let before = errors.len();
    let signature = &method.sig;
    check_name(signature, errors);
    check_form(method, errors);
    check_generics(signature, errors);
    check_receiver_attributes(signature, errors);
    if signature.receiver().is_none() && signature.asyncness.is_none() {
        // Probably a constructor, which does not belong in the trait. Its types do not matter.
        return None;
    }
    let arguments = argument::check_arguments(signature, scope, errors);
    let returns = check_return(signature, scope, errors);
    check_cfg_attr(&method.attrs, errors);
    let mut options = attr::method_options(&method.attrs, errors);
    let wire_name = wire_name::wire_name(options.name.take(), &signature.ident, errors);
    check_hedge(&options, signature, errors);
    let method = Method {
        attrs: Attrs::new(&method.attrs),
        ident: signature.ident.clone(),
        variant,
        wire_name,
        options,
        arguments,
        returns,
    };
    let is_valid = errors.len() == before && !method.types().any(|ty| scope.has_associated(ty));
    is_valid.then_some(method)
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

/// A deviation from the form `async fn name(&self, …) -> …;`.
struct Deviation {
    /// The tokens that deviate.
    at: TokenStream,
    /// What is wrong with the method, as a predicate: "is `const`".
    wrong: &'static str,
    /// The end of the sentence if this is the only deviation, with a comma.
    why: &'static str,
    fix: String,
}

/// Checks the form of a method. A method that deviates from it in several ways gets one error.
fn check_form(method: &TraitItemFn, errors: &mut Errors) {
    let name = &method.sig.ident;
    let form = format!("write `async fn {name}(&self, …) -> …;`");
    let deviations: Vec<Deviation> = qualifiers(method, &form)
        .into_iter()
        .chain(receiver(&method.sig, &form))
        .chain(default_body(method))
        .collect();
    match deviations.as_slice() {
        [] => {}
        [Deviation { at, wrong, why, fix }] => {
            errors.push(at, format_args!("method `{name}` {wrong}{why}"), fix);
        }
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(|deviation| deviation.wrong).collect();
            errors.push(
                name,
                format_args!("method `{name}` {} and {}", first.join(", "), last.wrong),
                format_args!("{form}, or move the function out of the trait"),
            );
        }
    }
}

/// Returns a missing `async`, and qualifiers that a method cannot have.
fn qualifiers(method: &TraitItemFn, form: &str) -> Vec<Deviation> {
    let signature = &method.sig;
    let mut deviations = Vec::new();
    if signature.asyncness.is_none() {
        let at = signature.fn_token.to_token_stream();
        deviations.push(Deviation { at, wrong: "is not `async`", why: "", fix: form.to_owned() });
    }
    let mut refuse = |at: Option<TokenStream>, wrong, fix: &str| {
        deviations.extend(at.map(|at| Deviation { at, wrong, why: "", fix: fix.to_owned() }));
    };
    let (unsafety, safety) = match &signature.safety {
        Safety::Unsafe(token) => (Some(token.to_token_stream()), None),
        Safety::Safe(token) => (None, Some(token.to_token_stream())),
        Safety::Default => (None, None),
    };
    refuse(tokens(&signature.constness), "is `const`", "remove `const`");
    refuse(unsafety, "is `unsafe`", "remove `unsafe`");
    refuse(safety, "is `safe`", "remove `safe`");
    refuse(tokens(&signature.abi), "is `extern`", "remove `extern`");
    refuse(tokens(&method.modifiers.defaultness), "is `default`", "remove `default`");
    deviations
}

fn tokens(token: &Option<impl ToTokens>) -> Option<TokenStream> {
    token.as_ref().map(ToTokens::to_token_stream)
}

/// Checks that a method has no generic parameters and no `where` clause. Each use of a lifetime parameter in a type has
/// an error of its own, which covers the parameter.
fn check_generics(signature: &Signature, errors: &mut Errors) {
    let name = &signature.ident;
    let generics = &signature.generics;
    let is_lifetime = |parameter: &GenericParam| matches!(parameter, GenericParam::Lifetime(_));
    let is_covered = generics.params.iter().all(is_lifetime) && uses_lifetimes(signature);
    if !generics.params.is_empty() && !is_covered {
        errors.push(
            generics,
            format_args!("method `{name}` has generic parameters, but its types must be concrete"),
            "use concrete types that own their data, or declare one method for each type",
        );
    } else if let Some(clause) = &generics.where_clause {
        errors.push(
            clause,
            format_args!("method `{name}` has a `where` clause"),
            "remove the clause; all types of a service are concrete",
        );
    }
}

/// Returns whether the type of an argument or the return type uses a lifetime parameter of the method.
fn uses_lifetimes(signature: &Signature) -> bool {
    let names = ParameterNames::of(&signature.generics);
    let mut types = ast::arguments(signature).map(|argument| &*argument.ty);
    let returns = match &signature.output {
        ReturnType::Type(_, ty) => Some(&**ty),
        ReturnType::Default => None,
    };
    types.any(|ty| names.occur_in(ty)) || returns.is_some_and(|ty| names.occur_in(ty))
}

/// Checks the attributes of the receiver.
fn check_receiver_attributes(signature: &Signature, errors: &mut Errors) {
    let name = &signature.ident;
    for attr in signature.receiver().map_or(&[][..], |receiver| &receiver.attrs) {
        errors.push(
            attr.path(),
            format_args!("the `self` of method `{name}` has an attribute"),
            "remove the attribute",
        );
    }
}

/// Returns a receiver other than `&self`. Its lifetime, if it is a parameter of the method, has an error as such.
fn receiver(signature: &Signature, form: &str) -> Option<Deviation> {
    let Some(receiver) = signature.receiver() else {
        let at = signature.ident.to_token_stream();
        let fix = form.to_owned();
        return Some(Deviation { at, wrong: "does not take `&self`", why: "", fix });
    };
    let is_parameter = |lifetime: &Lifetime| {
        signature.generics.lifetimes().any(|parameter| parameter.lifetime == *lifetime)
    };
    let (wrong, why) = match &receiver.kind {
        ReceiverKind::Reference(_, None, None) => return None,
        ReceiverKind::Reference(_, _, Some(_)) => {
            ("takes `&mut self`", ", but calls to one service run concurrently")
        }
        ReceiverKind::Reference(_, Some(lifetime), None) if is_parameter(lifetime) => return None,
        ReceiverKind::Reference(_, Some(_), None) => ("gives `&self` an explicit lifetime", ""),
        ReceiverKind::Typed(..) => ("gives `self` an explicit type", ""),
        _ => ("takes `self` by value", ", but one implementation serves many calls"),
    };
    let fix = match &receiver.kind {
        ReceiverKind::Reference(_, _, Some(_)) => {
            format!("{form} and keep mutable state in a `Mutex` or an atomic")
        }
        _ => form.to_owned(),
    };
    Some(Deviation { at: receiver.to_token_stream(), wrong, why, fix })
}

fn check_return(signature: &Signature, scope: &Scope<'_>, errors: &mut Errors) -> Type {
    let ReturnType::Type(_, ty) = &signature.output else { return syn::parse_quote!(()) };
    // For `fn … -> impl Future`, only the missing `async` is reported.
    let is_future = signature.asyncness.is_none() && may_be_future(ty);
    if !is_future {
        let place = format!("the return type of `{}`", signature.ident);
        check_type(ty, &place, scope, errors);
    }
    (**ty).clone()
}

fn default_body(method: &TraitItemFn) -> Option<Deviation> {
    let fix = "end the declaration with `;` and write the body in the `impl`".to_owned();
    let at = tokens(&method.default)?;
    Some(Deviation { at, wrong: "has a default body", why: "", fix })
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
    for meta in attrs.iter().flat_map(ast::nested_in_cfg_attr) {
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

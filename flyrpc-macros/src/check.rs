//! From what the user wrote to a model that expansion can trust. Each rule is a function, and all
//! of them run, so that one build reports everything.

mod types;

use proc_macro2::TokenStream;
use syn::{
    Ident, ItemTrait, Pat, PatType, ReceiverKind, ReturnType, Safety, Signature, TraitItem,
    TraitItemFn, Type, ext::IdentExt as _,
};

pub(crate) use self::types::{can_cross, innermost, is_plain};
use crate::{
    ast,
    attr::{self, MethodOptions},
    errors::Errors,
    model::{Argument, Attrs, Method, Service},
    names::{self, RESERVED, ServiceNames, type_text},
};

/// A service with the methods that are right, and what is wrong with the others.
pub(crate) struct Checked {
    pub(crate) model: Service,
    /// A `compile_error!` for each error, if there are any.
    pub(crate) errors: Option<TokenStream>,
}

/// Checks a trait.
pub(crate) fn check(arguments: TokenStream, service: &ItemTrait) -> Checked {
    let mut errors = Errors::default();
    let options = attr::service_options(arguments, &mut errors);
    check_trait(service, &mut errors);
    check_items(service, &mut errors);
    check_duplicates(service, &mut errors);
    let wire_name = wire_name(options.name, &service.ident, &mut errors);
    let mut methods = check_methods(service, &mut errors);
    if !service.generics.params.is_empty() {
        // Their types could name the parameters, which nothing outside the trait has.
        methods.clear();
    }
    let model = Service {
        crate_path: options.crate_path.unwrap_or_else(attr::default_crate),
        attrs: Attrs::new(&service.attrs),
        vis: service.vis.clone(),
        ident: service.ident.clone(),
        names: ServiceNames::of(&service.ident),
        wire_name,
        methods,
    };
    Checked { model, errors: errors.into_tokens() }
}

fn check_trait(service: &ItemTrait, errors: &mut Errors) {
    let name = &service.ident;
    for attr in service.attrs.iter().filter(|attr| attr::is_rpc(attr)) {
        errors.push(
            attr.path(),
            format_args!("`rpc` is for methods and arguments, not for trait `{name}`"),
            "options of the trait are in `#[fly_rpc(…)]`: `name = \"…\"` and `crate = path`",
        );
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
            format_args!("trait `{name}` has generic parameters, and a service has none"),
            "name the types, or write one trait for each",
        );
    }
    if let Some(clause) = &service.generics.where_clause {
        errors.push(
            clause,
            format_args!("trait `{name}` has a `where` clause, and a service has none"),
            "put the bounds on the types that implement it",
        );
    }
    if !service.supertraits.is_empty() {
        errors.push(
            &service.supertraits,
            format_args!("trait `{name}` has supertraits, and a service has none of its own"),
            "put the bounds on the types that implement it; `Send + Sync + 'static` is implied",
        );
    }
}

fn check_items(service: &ItemTrait, errors: &mut Errors) {
    for item in &service.items {
        match item {
            TraitItem::Fn(_) => {}
            TraitItem::Type(item) => errors.push(
                &item.ident,
                format_args!("associated type `{}` in a service", item.ident),
                "name the type where it is used",
            ),
            TraitItem::Const(item) => errors.push(
                &item.ident,
                format_args!("associated constant `{}` in a service", item.ident),
                "write a constant beside the trait, or a method that returns the value",
            ),
            TraitItem::Macro(item) => errors.push(
                &item.mac.path,
                "a macro in a service: `#[fly_rpc]` cannot see what it expands to",
                "write the methods out",
            ),
            item => errors.push(item, "this is not a method", "a service has methods alone"),
        }
    }
}

/// The same name twice. Two methods that are both under a `#[cfg]` may exclude each other.
fn check_duplicates(service: &ItemTrait, errors: &mut Errors) {
    let methods: Vec<&TraitItemFn> = ast::methods(service).collect();
    for (index, method) in methods.iter().enumerate() {
        let name = method.sig.ident.unraw();
        let is_first = |earlier: &&&TraitItemFn| {
            earlier.sig.ident.unraw() == name
                && !(ast::has_cfg(&earlier.attrs) && ast::has_cfg(&method.attrs))
        };
        if methods[..index].iter().find(is_first).is_some() {
            errors.push(
                &method.sig.ident,
                format_args!("method `{name}` is declared twice"),
                "give one of them another name, or both of them a `#[cfg]`",
            );
        }
    }
}

fn check_methods(service: &ItemTrait, errors: &mut Errors) -> Vec<Method> {
    let idents: Vec<&Ident> = ast::methods(service).map(|method| &method.sig.ident).collect();
    let variants = names::variants(&idents);
    let mut methods: Vec<Method> = Vec::new();
    for (method, variant) in ast::methods(service).zip(variants) {
        let Some(method) = check_method(method, variant, errors) else { continue };
        if check_wire_name(&method, &methods, errors) {
            methods.push(method);
        }
    }
    methods
}

/// Two methods of one name on the wire; those of one name in Rust are reported elsewhere.
fn check_wire_name(method: &Method, earlier: &[Method], errors: &mut Errors) -> bool {
    let clash = |other: &&Method| {
        other.wire_name == method.wire_name
            && !(ast::has_cfg(other.attrs.all()) && ast::has_cfg(method.attrs.all()))
    };
    let Some(other) = earlier.iter().find(clash) else { return true };
    if other.ident.unraw() != method.ident.unraw() {
        errors.push(
            &method.ident,
            format_args!(
                "methods `{}` and `{}` are both called \"{}\" on the wire",
                other.ident, method.ident, method.wire_name
            ),
            "give one of them another `#[rpc(name = \"…\")]`",
        );
    }
    false
}

fn check_method(method: &TraitItemFn, variant: Ident, errors: &mut Errors) -> Option<Method> {
    let before = errors.len();
    let signature = &method.sig;
    check_name(signature, errors);
    check_qualifiers(method, errors);
    check_generics(signature, errors);
    check_receiver(signature, errors);
    let arguments = check_arguments(signature, errors);
    let returns = check_return(signature, errors);
    check_body(method, errors);
    attr::check_cfg_attr(&method.attrs, errors);
    let mut options = attr::method_options(&method.attrs, errors);
    let wire_name = wire_name(options.name.take(), &signature.ident, errors);
    check_timeout(&options, signature, errors);
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
            format_args!("method `{name}` clashes with the client's own `{name}`"),
            format_args!(
                "give it another name; `#[rpc(name = \"{name}\")]` keeps this one on the wire"
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
            format_args!("method `{name}` has generic parameters, which a call cannot carry"),
            "name the types, or write one method for each; use types that own what they hold",
        );
    }
    if let Some(clause) = &signature.generics.where_clause {
        errors.push(
            clause,
            format_args!("method `{name}` has a `where` clause"),
            "remove it: the types of a service are all named",
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
            format_args!("an attribute on the `self` of method `{name}`"),
            "remove it",
        );
    }
    let wrong = match &receiver.kind {
        ReceiverKind::Reference(_, None, None) => return,
        ReceiverKind::Reference(_, _, Some(_)) => {
            "takes `&mut self`, and calls of one service run at the same time"
        }
        ReceiverKind::Reference(_, Some(_), None) => "names the lifetime of `&self`",
        ReceiverKind::Typed(..) => "writes out the type of `self`",
        _ => "takes `self` by value, and a service serves many calls",
    };
    let fix = match &receiver.kind {
        ReceiverKind::Reference(_, _, Some(_)) => {
            format!("{form} and put what changes in a `Mutex` or an atomic")
        }
        _ => form,
    };
    errors.push(receiver, format_args!("method `{name}` {wrong}"), fix);
}

fn check_arguments(signature: &Signature, errors: &mut Errors) -> Vec<Argument> {
    if let Some(variadic) = &signature.variadic {
        errors.push(
            variadic.dots,
            format_args!("method `{}` takes a variable number of arguments", signature.ident),
            "take a `Vec`",
        );
    }
    let mut arguments: Vec<Argument> = Vec::new();
    for argument in ast::arguments(signature) {
        let Some(argument) = check_argument(argument, signature, errors) else { continue };
        if arguments.iter().any(|earlier| earlier.wire_name == argument.wire_name) {
            errors.push(
                &argument.ident,
                format_args!(
                    "argument `{}` of `{}` is declared twice",
                    argument.wire_name, signature.ident
                ),
                "give one of them another name",
            );
        }
        arguments.push(argument);
    }
    arguments
}

fn check_argument(
    argument: &PatType,
    signature: &Signature,
    errors: &mut Errors,
) -> Option<Argument> {
    let method = &signature.ident;
    let options = attr::argument_options(&argument.attrs, errors);
    check_argument_attributes(argument, errors);
    let Some(name) = ast::plain_name(argument) else {
        check_pattern(&argument.pat, method, errors);
        types::check_type(&argument.ty, &format!("the type of an argument of `{method}`"), errors);
        return None;
    };
    let place = format!("the type of argument `{name}` of `{method}`");
    types::check_type(&argument.ty, &place, errors);
    Some(Argument {
        attrs: Attrs::new(&argument.attrs),
        ident: name.clone(),
        wire_name: name.unraw().to_string(),
        ty: (*argument.ty).clone(),
        has_default: options.default,
    })
}

fn check_argument_attributes(argument: &PatType, errors: &mut Errors) {
    let lints = ["allow", "expect", "warn", "deny", "forbid"];
    for attr in argument.attrs.iter().filter(|attr| !attr::is_rpc(attr)) {
        if lints.iter().any(|lint| attr.path().is_ident(lint)) {
            continue;
        }
        let name = type_text(attr.path());
        let fix = match name.as_str() {
            "cfg" | "cfg_attr" => "write the method twice, each under its own `#[cfg]`",
            "doc" => "describe the argument in the documentation of the method",
            _ => "remove it; an argument takes `#[rpc(default)]`",
        };
        errors.push(attr.path(), format_args!("`{name}` cannot be put on an argument"), fix);
    }
}

fn check_pattern(pattern: &Pat, method: &Ident, errors: &mut Errors) {
    let text = match pattern {
        Pat::Wild(_) => "`_` is no name, and arguments are sent by name".to_owned(),
        Pat::Ident(name) if name.subpat.is_none() && name.by_ref.is_none() => {
            format!("`mut {}` is for an implementation to choose", name.ident)
        }
        _ => "a pattern is no name, and arguments are sent by name".to_owned(),
    };
    let fix = match pattern {
        Pat::Wild(_) => "give the argument a name".to_owned(),
        Pat::Ident(name) => format!(
            "write `{0}` here; the `impl` can still say `mut {0}` or take it apart",
            name.ident
        ),
        _ => "give the argument a name, and take it apart in the `impl`".to_owned(),
    };
    errors.push(pattern, format_args!("argument of `{method}`: {text}"), fix);
}

fn check_return(signature: &Signature, errors: &mut Errors) -> Type {
    let ReturnType::Type(_, ty) = &signature.output else { return syn::parse_quote!(()) };
    // `fn` for `async fn` is wrong once: its `impl Future` goes with the missing `async`.
    let is_future = signature.asyncness.is_none() && matches!(**ty, Type::ImplTrait(_));
    if !is_future {
        let place = format!("the return type of `{}`", signature.ident);
        types::check_type(ty, &place, errors);
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
            format_args!("calls of `{}` would have no time at all", signature.ident),
            "write a timeout longer than zero",
        );
    }
}

/// The name on the wire: what was given, else the name in Rust.
fn wire_name(given: Option<syn::LitStr>, ident: &Ident, errors: &mut Errors) -> String {
    let Some(given) = given else { return ident.unraw().to_string() };
    let name = given.value();
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        errors.push(
            &given,
            format_args!("{name:?} cannot be a name on the wire"),
            "a name has at least one character and no white space",
        );
    }
    name
}

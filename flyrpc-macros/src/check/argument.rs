//! The rules of arguments.

use syn::{Ident, Pat, PatType, Signature, ext::IdentExt as _};

use super::types::check_type;
use crate::{
    ast, attr,
    errors::Errors,
    model::{Argument, Attrs},
    names::type_text,
};

/// The valid arguments of a method.
pub(super) fn check_arguments(signature: &Signature, errors: &mut Errors) -> Vec<Argument> {
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
        check_type(&argument.ty, &format!("the type of an argument of `{method}`"), errors);
        return None;
    };
    let place = format!("the type of argument `{name}` of `{method}`");
    check_type(&argument.ty, &place, errors);
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
    for attr in argument.attrs.iter().filter(|attr| !ast::is_rpc(attr)) {
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

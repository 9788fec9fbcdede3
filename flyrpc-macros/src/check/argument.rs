//! The rules for arguments.

use syn::{Ident, Pat, PatType, Signature, ext::IdentExt as _};

use super::{scope::Scope, types::check_type};
use crate::{
    ast, attr,
    errors::Errors,
    model::{Argument, Attrs},
    names::type_text,
};

/// Each argument nests a type of the generated code one level deeper. By default, rustc allows 128 levels.
const MAX_ARGUMENTS: usize = 100;

/// Checks the arguments of a method and returns those with a plain name.
pub(super) fn check_arguments(
    signature: &Signature,
    scope: &Scope<'_>,
    errors: &mut Errors,
) -> Vec<Argument> {
    if let Some(variadic) = &signature.variadic {
        errors.push(
            variadic.dots,
            format_args!("method `{}` takes a variable number of arguments", signature.ident),
            "use a `Vec` instead",
        );
    }
    if ast::arguments(signature).count() > MAX_ARGUMENTS {
        errors.push(
            &signature.ident,
            format_args!("method `{}` has more than {MAX_ARGUMENTS} arguments", signature.ident),
            "use a struct with a field for each value",
        );
    }
    let mut arguments: Vec<Argument> = Vec::new();
    for argument in ast::arguments(signature) {
        let Some(argument) = check_argument(argument, signature, scope, errors) else { continue };
        if arguments.iter().any(|earlier| earlier.wire_name == argument.wire_name) {
            errors.push(
                &argument.ident,
                format_args!(
                    "argument `{}` of `{}` is declared twice",
                    argument.wire_name, signature.ident
                ),
                "rename one of them",
            );
        }
        arguments.push(argument);
    }
    arguments
}

fn check_argument(
    argument: &PatType,
    signature: &Signature,
    scope: &Scope<'_>,
    errors: &mut Errors,
) -> Option<Argument> {
    let method = &signature.ident;
    let options = attr::argument_options(&argument.attrs, errors);
    check_argument_attributes(argument, errors);
    let Some(name) = ast::plain_name(argument) else {
        check_pattern(&argument.pat, method, errors);
        let place = format!("the type of an argument of `{method}`");
        check_type(&argument.ty, &place, scope, errors);
        return None;
    };
    let place = format!("the type of argument `{name}` of `{method}`");
    check_type(&argument.ty, &place, scope, errors);
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
            "cfg" | "cfg_attr" => "declare the method twice, each time with its own `#[cfg]`",
            "doc" => "describe the argument in the method's documentation",
            _ => "remove it; an argument accepts only `#[rpc(default)]` and lint attributes",
        };
        errors.push(attr.path(), format_args!("`#[{name}]` is not allowed on an argument"), fix);
    }
}

fn check_pattern(pattern: &Pat, method: &Ident, errors: &mut Errors) {
    let wrong = match pattern {
        Pat::Wild(_) => {
            format!("an argument of `{method}` has no name, but arguments are sent by name")
        }
        Pat::Ident(name) if name.subpat.is_none() && name.by_ref.is_none() => format!(
            "argument `{}` of `{method}` is declared `mut`, which belongs in the `impl`",
            name.ident
        ),
        _ => format!("an argument of `{method}` is a pattern, but arguments are sent by name"),
    };
    let fix = match pattern {
        Pat::Wild(_) => "give the argument a name".to_owned(),
        Pat::Ident(name) => format!(
            "write `{0}` here; the `impl` can declare it as `mut {0}` or destructure it",
            name.ident
        ),
        _ => "give the argument a name, and destructure it in the `impl`".to_owned(),
    };
    errors.push(pattern, wrong, fix);
}

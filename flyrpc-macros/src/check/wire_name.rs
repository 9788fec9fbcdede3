//! The rules for wire names.

use syn::{Ident, LitStr, ext::IdentExt as _};

use crate::{ast, errors::Errors, model::Method};

/// Returns the wire name of an item: the given name, or the Rust name if none is given.
pub(super) fn wire_name(given: Option<LitStr>, ident: &Ident, errors: &mut Errors) -> String {
    let Some(given) = given else { return ident.unraw().to_string() };
    let name = given.value();
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        errors.push(
            &given,
            format_args!("{name:?} is not a valid wire name"),
            "a wire name has at least one character, and no whitespace or control characters",
        );
    }
    name
}

/// Returns whether no earlier method has the wire name of `method`, and reports an error otherwise.
///
/// Two methods that both have a `#[cfg]` may share a wire name, because their conditions may exclude each
/// other. No error is reported for methods that share a Rust name, because another rule reports them.
pub(super) fn is_unique(method: &Method, earlier: &[Method], errors: &mut Errors) -> bool {
    let clash = |other: &&Method| {
        other.wire_name == method.wire_name
            && !(ast::has_cfg(other.attrs.all()) && ast::has_cfg(method.attrs.all()))
    };
    let Some(other) = earlier.iter().find(clash) else { return true };
    if other.ident.unraw() != method.ident.unraw() {
        errors.push(
            &method.ident,
            format_args!(
                "methods `{}` and `{}` have the same wire name \"{}\"",
                other.ident, method.ident, method.wire_name
            ),
            "give one of them another wire name: `#[rpc(name = \"…\")]`",
        );
    }
    false
}

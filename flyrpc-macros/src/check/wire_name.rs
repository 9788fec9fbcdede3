//! Names on the wire.

use syn::{Ident, LitStr, ext::IdentExt as _};

use crate::{ast, errors::Errors, model::Method};

/// The name on the wire: the one given, or else the name in Rust.
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

/// Whether no earlier method has the name of `method` on the wire. Two methods that are both under a
/// `#[cfg]` may exclude each other. Methods with one name in Rust are reported by another rule.
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

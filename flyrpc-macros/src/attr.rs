//! The attributes: the options in `#[fly_rpc(…)]` and `#[rpc(…)]`, and where the others belong.

use std::collections::HashSet;

use proc_macro2::TokenStream;
use syn::{
    Attribute, Ident, LitStr, Meta, Path, Token,
    ext::IdentExt as _,
    meta::ParseNestedMeta,
    parse::{ParseStream, Parser as _},
};

use crate::errors::Errors;

/// Where `#[fly_rpc]` finds flyrpc if it is not told.
pub(crate) fn default_crate() -> Path {
    syn::parse_quote!(::flyrpc)
}

/// The options in `#[fly_rpc(…)]`.
#[derive(Default)]
pub(crate) struct ServiceOptions {
    pub(crate) name: Option<LitStr>,
    pub(crate) crate_path: Option<Path>,
}

/// The options in the `#[rpc(…)]` of a method.
#[derive(Default)]
pub(crate) struct MethodOptions {
    pub(crate) primary: bool,
    pub(crate) idempotent: bool,
    pub(crate) detached: bool,
    pub(crate) timeout: Option<Micros>,
    pub(crate) wait: Option<Micros>,
    pub(crate) name: Option<LitStr>,
}

/// The options in the `#[rpc(…)]` of an argument.
#[derive(Default)]
pub(crate) struct ArgumentOptions {
    pub(crate) default: bool,
}

/// A length of time in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Micros(pub(crate) u64);

const METHOD_OPTIONS: &str = "`primary`, `idempotent`, `detached`, `timeout = \"2s\"`, \
                              `wait = \"10s\"` and `name = \"…\"`";

/// Reads `#[fly_rpc(…)]`.
pub(crate) fn service_options(arguments: TokenStream, errors: &mut Errors) -> ServiceOptions {
    let mut options = ServiceOptions::default();
    let mut seen = Seen::default();
    let read = syn::meta::parser(|meta| {
        seen.check(&meta, errors);
        if meta.path.is_ident("name") {
            options.name = value(&meta, "name = \"…\"", errors)?;
        } else if meta.path.is_ident("crate") {
            options.crate_path = crate_path(&meta, errors)?;
        } else {
            unknown(&meta, "fly_rpc", "`name = \"…\"` and `crate = path`", errors)?;
        }
        Ok(())
    })
    .parse2(arguments);
    if let Err(error) = read {
        errors.push_syn(error);
    }
    options
}

/// Reads every `#[rpc(…)]` of a method.
pub(crate) fn method_options(attrs: &[Attribute], errors: &mut Errors) -> MethodOptions {
    let mut options = MethodOptions::default();
    read_rpc(attrs, METHOD_OPTIONS, errors, |meta, errors| {
        let known = meta.path.get_ident().map(Ident::to_string);
        match known.as_deref() {
            Some("primary") => options.primary = flag(meta, errors)?,
            Some("idempotent") => options.idempotent = flag(meta, errors)?,
            Some("detached") => options.detached = flag(meta, errors)?,
            Some("timeout") => options.timeout = duration(meta, "timeout = \"2s\"", errors)?,
            Some("wait") => options.wait = duration(meta, "wait = \"10s\"", errors)?,
            Some("name") => options.name = value(meta, "name = \"…\"", errors)?,
            Some("default") => {
                errors.push(
                    &meta.path,
                    "`default` is an option of arguments, not of methods",
                    "write it before the argument: `#[rpc(default)] argument: Type`",
                );
                skip_value(meta.input)?;
            }
            _ => unknown(meta, "rpc", METHOD_OPTIONS, errors)?,
        }
        Ok(())
    });
    options
}

/// Reads every `#[rpc(…)]` of an argument.
pub(crate) fn argument_options(attrs: &[Attribute], errors: &mut Errors) -> ArgumentOptions {
    let mut options = ArgumentOptions::default();
    read_rpc(attrs, "`default`", errors, |meta, errors| {
        let known = meta.path.get_ident().map(Ident::to_string);
        match known.as_deref() {
            Some("default") => options.default = flag(meta, errors)?,
            Some(name @ ("primary" | "idempotent" | "detached" | "timeout" | "wait" | "name")) => {
                errors.push(
                    &meta.path,
                    format_args!("`{name}` is an option of methods, not of arguments"),
                    "write it before the method; an argument takes `#[rpc(default)]`",
                );
                skip_value(meta.input)?;
            }
            _ => unknown(meta, "rpc", "on an argument `default`", errors)?,
        }
        Ok(())
    });
    options
}

/// Whether an attribute is `#[rpc…]`.
pub(crate) fn is_rpc(attr: &Attribute) -> bool {
    attr.path().is_ident("rpc")
}

/// Refuses `#[cfg_attr]` around attributes that this macro has to read: it cannot know whether the
/// condition holds.
pub(crate) fn check_cfg_attr(attrs: &[Attribute], errors: &mut Errors) {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("cfg_attr")) {
        let nested = syn::punctuated::Punctuated::<Meta, Token![,]>::parse_terminated;
        let Ok(nested) = attr.parse_args_with(nested) else { continue };
        for meta in nested.iter().skip(1) {
            if meta.path().is_ident("rpc") || meta.path().is_ident("cfg") {
                let name = meta.path().get_ident().map(Ident::to_string).unwrap_or_default();
                errors.push(
                    meta.path(),
                    format_args!("`{name}` cannot be given through `#[cfg_attr]` here"),
                    "write the method twice, each under its own `#[cfg]`",
                );
            }
        }
    }
}

fn read_rpc(
    attrs: &[Attribute],
    options: &str,
    errors: &mut Errors,
    mut read: impl FnMut(&ParseNestedMeta<'_>, &mut Errors) -> syn::Result<()>,
) {
    let mut seen = Seen::default();
    for attr in attrs.iter().filter(|attr| is_rpc(attr)) {
        if !matches!(attr.meta, Meta::List(_)) {
            errors.push(
                attr.path(),
                "`#[rpc]` needs options in parentheses",
                format_args!("they are {options}"),
            );
            continue;
        }
        let result = attr.parse_nested_meta(|meta| {
            seen.check(&meta, errors);
            read(&meta, errors)
        });
        if let Err(error) = result {
            errors.push_syn(error);
        }
    }
}

/// The options read so far.
#[derive(Default)]
struct Seen(HashSet<String>);

impl Seen {
    fn check(&mut self, meta: &ParseNestedMeta<'_>, errors: &mut Errors) {
        let Some(name) = meta.path.get_ident().map(Ident::to_string) else { return };
        if !self.0.insert(name.clone()) {
            errors.push(&meta.path, format_args!("`{name}` is given twice"), "remove one of them");
        }
    }
}

fn unknown(
    meta: &ParseNestedMeta<'_>,
    attribute: &str,
    options: &str,
    errors: &mut Errors,
) -> syn::Result<()> {
    let path = &meta.path;
    let name = path.segments.iter().map(|s| s.ident.unraw().to_string()).collect::<Vec<_>>();
    errors.push(
        path,
        format_args!("unknown option `{}` in `#[{attribute}]`", name.join("::")),
        format_args!("the options are {options}"),
    );
    skip_value(meta.input)
}

/// Reads past the value of an option that was refused, so that those after it are still read.
fn skip_value(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<proc_macro2::TokenTree>()?;
    }
    Ok(())
}

fn flag(meta: &ParseNestedMeta<'_>, errors: &mut Errors) -> syn::Result<bool> {
    if !meta.input.is_empty() && !meta.input.peek(Token![,]) {
        let name = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
        errors.push(
            &meta.path,
            format_args!("`{name}` takes no value"),
            format_args!("write `#[rpc({name})]`"),
        );
        skip_value(meta.input)?;
    }
    Ok(true)
}

fn value(
    meta: &ParseNestedMeta<'_>,
    form: &str,
    errors: &mut Errors,
) -> syn::Result<Option<LitStr>> {
    if meta.input.peek(Token![=]) && meta.input.peek2(syn::LitStr) {
        return meta.value()?.parse().map(Some);
    }
    let name = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
    errors.push(
        &meta.path,
        format_args!("`{name}` needs a string as its value"),
        format_args!("write `{form}`"),
    );
    skip_value(meta.input)?;
    Ok(None)
}

fn crate_path(meta: &ParseNestedMeta<'_>, errors: &mut Errors) -> syn::Result<Option<Path>> {
    if meta.input.peek(Token![=]) && !meta.input.peek2(syn::Lit) {
        return meta.value()?.call(Path::parse_mod_style).map(Some);
    }
    errors.push(
        &meta.path,
        "`crate` needs a path as its value",
        "write the path of flyrpc without quotes: `crate = my_crate::flyrpc`",
    );
    skip_value(meta.input)?;
    Ok(None)
}

fn duration(
    meta: &ParseNestedMeta<'_>,
    form: &str,
    errors: &mut Errors,
) -> syn::Result<Option<Micros>> {
    let Some(literal) = value(meta, form, errors)? else { return Ok(None) };
    let micros = micros(&literal.value());
    if micros.is_none() {
        errors.push(
            &literal,
            format_args!("`{}` is not a length of time", literal.value()),
            "write a whole number and a unit, one of `us`, `ms`, `s`, `m` and `h`: `\"250ms\"`",
        );
    }
    Ok(micros)
}

fn micros(text: &str) -> Option<Micros> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let in_micros = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60 * 1_000_000,
        "h" => 60 * 60 * 1_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(in_micros).map(Micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_whole_number_and_a_unit() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(micros(text), expected.map(Micros), "{text}");
        };
        check("7us", Some(7));
        check("250ms", Some(250_000));
        check("2s", Some(2_000_000));
        check("5m", Some(300_000_000));
        check("1h", Some(3_600_000_000));
        for wrong in ["", "2", "s", "-2s", "1.5s", "2 s", "2sec", "99999999999999999999s"] {
            check(wrong, None);
        }
        check("18446744073709551615s", None);
    }
}

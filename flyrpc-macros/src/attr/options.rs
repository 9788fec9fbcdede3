//! Defines the available options, and which of them the trait, a method or an argument accepts.

use std::collections::HashSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Expr, ExprLit, Ident, Lit, LitStr, Meta, Path, ext::IdentExt as _,
    meta::ParseNestedMeta, parse::Parser as _,
};

use super::values::{
    Hedge, Micros, count, duration, flag, hedge, path, positive_duration, skip_value, string,
};
use crate::{ast, errors::Errors};

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
    /// The delay, and the path of the option, for errors.
    pub(crate) hedge: Option<(Path, Hedge)>,
    pub(crate) max_in_flight: Option<u32>,
    pub(crate) name: Option<LitStr>,
}

/// The options in the `#[rpc(…)]` of an argument.
#[derive(Default)]
pub(crate) struct ArgumentOptions {
    pub(crate) default: bool,
}

/// The options in `#[flyrpc_testkit::test(…)]`.
#[derive(Default)]
pub(crate) struct TestOptions {
    pub(crate) seeds: Option<Expr>,
    pub(crate) time_limit: Option<Micros>,
    pub(crate) check_determinism: bool,
    pub(crate) allow_escaped_tasks: bool,
    pub(crate) crate_path: Option<Path>,
}

const TEST_OPTIONS: &str = "available options: `seeds = 0..100`, `time_limit = \"1h\"`, \
                            `check_determinism`, `allow_escaped_tasks`, `crate = path`";

const SERVICE_OPTIONS: &str = "available options: `name = \"…\"`, `crate = path`";

const METHOD_OPTIONS: &str = "available options: `primary`, `idempotent`, `detached`, \
                              `timeout = \"2s\"`, `wait = \"10s\"`, `hedge = \"p95\"`, \
                              `max_in_flight = 64`, `name = \"…\"`";

const ARGUMENT_OPTIONS: &str = "available options on an argument: `default`";

/// The options that only methods have.
const METHOD_ONLY: [&str; 7] =
    ["primary", "idempotent", "detached", "timeout", "wait", "hedge", "max_in_flight"];

/// Reads the options in `#[flyrpc_testkit::test(…)]`.
pub(crate) fn test_options(arguments: TokenStream, errors: &mut Errors) -> TestOptions {
    let mut options = TestOptions::default();
    let mut seen = Seen::default();
    let read = syn::meta::parser(|meta| {
        seen.check(&meta, errors);
        if meta.path.is_ident("seeds") {
            let seeds = meta.value()?.parse()?;
            if matches!(&seeds, Expr::Lit(ExprLit { lit: Lit::Str(_), .. })) {
                errors.push(
                    &seeds,
                    "the seeds are a number or a range, not a string",
                    "write `seeds = 0..100`",
                );
            }
            options.seeds = Some(seeds);
        } else if meta.path.is_ident("time_limit") {
            options.time_limit = duration(&meta, "time_limit = \"1h\"", errors)?;
        } else if meta.path.is_ident("check_determinism") {
            options.check_determinism = flag(&meta, "flyrpc_testkit::test", errors)?;
        } else if meta.path.is_ident("allow_escaped_tasks") {
            options.allow_escaped_tasks = flag(&meta, "flyrpc_testkit::test", errors)?;
        } else if meta.path.is_ident("crate") {
            options.crate_path = path(&meta, errors)?;
        } else {
            unknown(&meta, "flyrpc_testkit::test", TEST_OPTIONS, errors)?;
        }
        Ok(())
    })
    .parse2(arguments);
    if let Err(error) = read {
        errors.push_syn(error);
    }
    options
}

/// Reads the options in `#[fly_rpc(…)]`.
pub(crate) fn service_options(arguments: TokenStream, errors: &mut Errors) -> ServiceOptions {
    let mut options = ServiceOptions::default();
    if refuse_quoted(&arguments, "fly_rpc", SERVICE_OPTIONS, errors) {
        return options;
    }
    let mut seen = Seen::default();
    let read = syn::meta::parser(|meta| {
        seen.check(&meta, errors);
        if meta.path.is_ident("name") {
            options.name = string(&meta, "name = \"…\"", errors)?;
        } else if meta.path.is_ident("crate") {
            options.crate_path = path(&meta, errors)?;
        } else if let Some(name) = METHOD_ONLY.iter().find(|name| meta.path.is_ident(name)) {
            errors.push(
                &meta.path,
                format_args!("`{name}` is an option for methods, not for the trait"),
                "put it in the `#[rpc(…)]` of a method",
            );
            skip_value(meta.input)?;
        } else {
            unknown(&meta, "fly_rpc", SERVICE_OPTIONS, errors)?;
        }
        Ok(())
    })
    .parse2(arguments);
    if let Err(error) = read {
        errors.push_syn(error);
    }
    options
}

/// Reads the options in every `#[rpc(…)]` of a method.
pub(crate) fn method_options(attrs: &[Attribute], errors: &mut Errors) -> MethodOptions {
    let mut options = MethodOptions::default();
    read_rpc(attrs, METHOD_OPTIONS, errors, |meta, errors| {
        let known = meta.path.get_ident().map(Ident::to_string);
        match known.as_deref() {
            Some("primary") => options.primary = flag(meta, "rpc", errors)?,
            Some("idempotent") => options.idempotent = flag(meta, "rpc", errors)?,
            Some("detached") => options.detached = flag(meta, "rpc", errors)?,
            Some("timeout") => {
                options.timeout = positive_duration(meta, "timeout = \"2s\"", errors)?;
            }
            Some("wait") => options.wait = duration(meta, "wait = \"10s\"", errors)?,
            Some("hedge") => {
                options.hedge = hedge(meta, errors)?.map(|hedge| (meta.path.clone(), hedge));
            }
            Some("max_in_flight") => {
                options.max_in_flight = count(meta, "max_in_flight = 64", errors)?;
            }
            Some("name") => options.name = string(meta, "name = \"…\"", errors)?,
            Some("default") => {
                errors.push(
                    &meta.path,
                    "`default` is an option for arguments, not for methods",
                    "put it on the argument: `#[rpc(default)] argument: Type`",
                );
                skip_value(meta.input)?;
            }
            _ => unknown(meta, "rpc", METHOD_OPTIONS, errors)?,
        }
        Ok(())
    });
    options
}

/// Reads the options in every `#[rpc(…)]` of an argument.
pub(crate) fn argument_options(attrs: &[Attribute], errors: &mut Errors) -> ArgumentOptions {
    let mut options = ArgumentOptions::default();
    read_rpc(attrs, ARGUMENT_OPTIONS, errors, |meta, errors| {
        let known = meta.path.get_ident().map(Ident::to_string);
        match known.as_deref() {
            Some("default") => options.default = flag(meta, "rpc", errors)?,
            Some(name) if name == "name" || METHOD_ONLY.contains(&name) => {
                errors.push(
                    &meta.path,
                    format_args!("`{name}` is an option for methods, not for arguments"),
                    "put it on the method; the only option for arguments is `default`",
                );
                skip_value(meta.input)?;
            }
            _ => unknown(meta, "rpc", ARGUMENT_OPTIONS, errors)?,
        }
        Ok(())
    });
    options
}

fn read_rpc(
    attrs: &[Attribute],
    available: &str,
    errors: &mut Errors,
    mut read: impl FnMut(&ParseNestedMeta<'_>, &mut Errors) -> syn::Result<()>,
) {
    let mut seen = Seen::default();
    for attr in attrs.iter().filter(|attr| ast::is_rpc(attr)) {
        let Meta::List(list) = &attr.meta else {
            errors.push(attr.path(), "`#[rpc]` requires options in parentheses", available);
            continue;
        };
        if refuse_quoted(&list.tokens, "rpc", available, errors) {
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

/// Reports the first option that is a literal, such as `"primary"`. Returns whether there is one.
fn refuse_quoted(
    options: &TokenStream,
    attribute: &str,
    available: &str,
    errors: &mut Errors,
) -> bool {
    let mut is_start = true;
    for token in options.clone() {
        if let TokenTree::Literal(literal) = &token
            && is_start
        {
            let wrong = format_args!("`{literal}` is not an option of `#[{attribute}]`");
            errors.push(literal, wrong, format_args!("options are not quoted; {available}"));
            return true;
        }
        is_start = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == ',');
    }
    false
}

/// The names of the options read so far.
#[derive(Default)]
struct Seen(HashSet<String>);

impl Seen {
    fn check(&mut self, meta: &ParseNestedMeta<'_>, errors: &mut Errors) {
        let Some(name) = meta.path.get_ident().map(Ident::to_string) else { return };
        if !self.0.insert(name.clone()) {
            errors.push(
                &meta.path,
                format_args!("duplicate option `{name}`"),
                "remove one of them",
            );
        }
    }
}

fn unknown(
    meta: &ParseNestedMeta<'_>,
    attribute: &str,
    available: &str,
    errors: &mut Errors,
) -> syn::Result<()> {
    let path = &meta.path;
    let name = path.segments.iter().map(|s| s.ident.unraw().to_string()).collect::<Vec<_>>();
    errors.push(
        path,
        format_args!("unknown option `{}` in `#[{attribute}]`", name.join("::")),
        available,
    );
    skip_value(meta.input)
}

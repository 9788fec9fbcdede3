//! Parses the values of options.

use syn::{
    Ident, LitBool, LitInt, LitStr, Path, Token, ext::IdentExt as _, meta::ParseNestedMeta,
    parse::ParseStream,
};

use crate::errors::Errors;

/// A duration in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Micros(pub(crate) u64);

/// When a second attempt of a call starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hedge {
    After(Micros),
    /// After this percentage of calls of the method have usually returned.
    Percentile(u8),
}

/// Reads an option of `attribute` that takes no value, such as `primary`. Returns `true` because the option is present.
pub(super) fn flag(
    meta: &ParseNestedMeta<'_>,
    attribute: &str,
    errors: &mut Errors,
) -> syn::Result<bool> {
    let name = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
    if meta.input.peek(Ident::peek_any) || meta.input.peek(Token![;]) {
        errors.push(
            &meta.path,
            format_args!("there is no comma after `{name}`"),
            format_args!("separate options by commas: `#[{attribute}({name}, …)]`"),
        );
        skip_value(meta.input)?;
    } else if !meta.input.is_empty() && !meta.input.peek(Token![,]) {
        let value = meta.input.fork();
        let is_false = value.parse::<Token![=]>().is_ok()
            && value.parse::<LitBool>().is_ok_and(|value| !value.value);
        let fix = match is_false {
            true => format!("remove `{name} = false`"),
            false => format!("write `#[{attribute}({name})]`"),
        };
        errors.push(&meta.path, format_args!("`{name}` takes no value"), fix);
        skip_value(meta.input)?;
    }
    Ok(true)
}

/// Reads an option with a string value, such as `name = "…"`. The error shows `form` as the correct form.
pub(super) fn string(
    meta: &ParseNestedMeta<'_>,
    form: &str,
    errors: &mut Errors,
) -> syn::Result<Option<LitStr>> {
    if meta.input.peek(Token![=]) && meta.input.peek2(LitStr) {
        return meta.value()?.parse().map(Some);
    }
    let name = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
    errors.push(
        &meta.path,
        format_args!("`{name}` requires a string value"),
        format_args!("write `{form}`"),
    );
    skip_value(meta.input)?;
    Ok(None)
}

/// Reads the option `crate = path`.
pub(super) fn path(meta: &ParseNestedMeta<'_>, errors: &mut Errors) -> syn::Result<Option<Path>> {
    if meta.input.peek(Token![=]) && !meta.input.peek2(syn::Lit) {
        return meta.value()?.call(Path::parse_mod_style).map(Some);
    }
    errors.push(
        &meta.path,
        "`crate` requires a path",
        "write the path to flyrpc without quotes: `crate = my_crate::flyrpc`",
    );
    skip_value(meta.input)?;
    Ok(None)
}

/// Reads an option with a duration, such as `timeout = "2s"`. The error shows `form` as the correct form.
pub(super) fn duration(
    meta: &ParseNestedMeta<'_>,
    form: &str,
    errors: &mut Errors,
) -> syn::Result<Option<Micros>> {
    let Some(literal) = string(meta, form, errors)? else { return Ok(None) };
    let text = literal.value();
    let duration = micros(&text);
    if duration.is_none() {
        let is_too_long = number_and_unit(&text).is_some_and(|(number, _)| !number.is_empty());
        let fix = match is_too_long {
            true => "write less than 584,542 years, such as `\"24h\"`",
            false => {
                "write an integer and a unit (`us`, `ms`, `s`, `m` or `h`), such as `\"250ms\"`"
            }
        };
        errors.push(&literal, format_args!("`{text}` is not a valid duration"), fix);
    }
    Ok(duration)
}

/// Reads an option with a duration longer than zero.
pub(super) fn positive_duration(
    meta: &ParseNestedMeta<'_>,
    form: &str,
    errors: &mut Errors,
) -> syn::Result<Option<Micros>> {
    let value = meta.input.fork();
    let duration = duration(meta, form, errors)?;
    if duration.is_some_and(|duration| duration.0 == 0) {
        let value = value.parse::<Token![=]>().and_then(|_| value.parse::<LitStr>())?;
        let name = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
        errors.push(value, format_args!("the {name} is zero"), "use a duration longer than zero");
    }
    Ok(duration)
}

/// Reads the option `hedge`, whose value is a percentile or a duration.
pub(super) fn hedge(meta: &ParseNestedMeta<'_>, errors: &mut Errors) -> syn::Result<Option<Hedge>> {
    let Some(literal) = string(meta, "hedge = \"p95\"", errors)? else { return Ok(None) };
    let text = literal.value();
    let hedge = percentile(&text).map(Hedge::Percentile);
    let hedge = hedge.or_else(|| micros(&text).filter(|delay| delay.0 > 0).map(Hedge::After));
    if hedge.is_none() {
        errors.push(
            &literal,
            format_args!("`{text}` is not a valid delay of a second attempt"),
            "write a percentile from `\"p50\"` to `\"p99\"`, or a duration longer than zero, as an integer and \
             a unit (`us`, `ms`, `s`, `m` or `h`), such as `\"50ms\"`",
        );
    }
    Ok(hedge)
}

fn percentile(text: &str) -> Option<u8> {
    let digits = text.strip_prefix('p').filter(|digits| digits.len() == 2)?;
    digits.parse().ok().filter(|percent| (50..100).contains(percent))
}

/// Reads an option whose value is a positive integer. The error shows `form` as the correct form.
pub(super) fn count(
    meta: &ParseNestedMeta<'_>,
    form: &str,
    errors: &mut Errors,
) -> syn::Result<Option<u32>> {
    if meta.input.peek(Token![=]) && meta.input.peek2(LitInt) {
        let literal: LitInt = meta.value()?.parse()?;
        let value = literal.base10_parse().ok().filter(|&value: &u32| value > 0);
        if value.is_none() {
            errors.push(
                &literal,
                format_args!("`{literal}` is not a valid limit"),
                format_args!("write an integer from 1 to {}", u32::MAX),
            );
        }
        return Ok(value);
    }
    let name = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
    errors.push(
        &meta.path,
        format_args!("`{name}` requires an integer literal"),
        format_args!("write `{form}`"),
    );
    skip_value(meta.input)?;
    Ok(None)
}

fn micros(text: &str) -> Option<Micros> {
    let (number, unit) = number_and_unit(text)?;
    number.parse::<u64>().ok()?.checked_mul(unit).map(Micros)
}

/// Splits a duration into its digits and its unit, in microseconds. Returns `None` if it has no known unit.
fn number_and_unit(text: &str) -> Option<(&str, u64)> {
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
    Some((number, in_micros))
}

/// Skips the value of an invalid option, so that the options after it are still read.
pub(super) fn skip_value(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<proc_macro2::TokenTree>()?;
    }
    Ok(())
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

    #[test]
    fn percentiles_are_from_50_to_99() {
        for (text, expected) in [("p50", Some(50)), ("p95", Some(95)), ("p99", Some(99))] {
            assert_eq!(percentile(text), expected, "{text}");
        }
        for wrong in ["p49", "p100", "p9", "95", "p", "p+5", "P95"] {
            assert_eq!(percentile(wrong), None, "{wrong}");
        }
    }
}

//! Every derived identifier, and the text of types.

use std::collections::HashMap;

use proc_macro2::{Delimiter, Ident, Spacing, TokenStream, TokenTree};
use quote::{ToTokens, format_ident};
use syn::ext::IdentExt as _;

/// Names that the client has of its own, so that no method can.
pub(crate) const RESERVED: [&str; 6] =
    ["on_region", "on_primary", "on_node", "timeout", "wait", "from_stub"];

/// The items beside a trait.
pub(crate) struct ServiceNames {
    pub(crate) serve: Ident,
    pub(crate) request: Ident,
    pub(crate) response: Ident,
    pub(crate) client: Ident,
}

impl ServiceNames {
    pub(crate) fn of(service: &Ident) -> Self {
        ServiceNames {
            serve: format_ident!("Serve{}", service),
            request: format_ident!("{}Request", service),
            response: format_ident!("{}Response", service),
            client: format_ident!("{}Client", service),
        }
    }
}

/// The variant of each method: its name in upper camel case, as in tarpc; or its name as it is where
/// that would be no identifier or the variant of another method too.
pub(crate) fn variants(methods: &[&Ident]) -> Vec<Ident> {
    let mut variants: Vec<String> =
        methods.iter().map(|method| camel(method).unwrap_or_else(|| method.to_string())).collect();
    // A method that falls back may take a name that was another's, which falls back in turn. Each
    // round makes at least one fall back for good, so the rounds come to an end.
    loop {
        let clashing = clashing(methods, &variants);
        if clashing.is_empty() {
            break;
        }
        for index in clashing {
            variants[index] = methods[index].to_string();
        }
    }
    let ident = |(method, variant): (&&Ident, String)| match variant.strip_prefix("r#") {
        Some(raw) => Ident::new_raw(raw, method.span()),
        None => Ident::new(&variant, method.span()),
    };
    methods.iter().zip(variants).map(ident).collect()
}

/// The methods that could fall back to their own names and share a variant with another.
fn clashing(methods: &[&Ident], variants: &[String]) -> Vec<usize> {
    let mut owners: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, variant) in variants.iter().enumerate() {
        owners.entry(variant).or_default().push(index);
    }
    let is_shared = |index: &usize| {
        owners[variants[*index].as_str()].iter().any(|other| methods[*other] != methods[*index])
    };
    let can_fall_back = |index: &usize| *methods[*index] != variants[*index];
    (0..methods.len()).filter(is_shared).filter(can_fall_back).collect()
}

fn camel(method: &Ident) -> Option<String> {
    let mut camel = String::new();
    for word in method.unraw().to_string().split('_').filter(|word| !word.is_empty()) {
        let mut letters = word.chars();
        camel.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        camel.extend(letters.flat_map(char::to_lowercase));
    }
    syn::parse_str::<Ident>(&camel).is_ok().then_some(camel)
}

/// A type as a programmer would write it: `HashMap<String, Vec<u8>>`.
pub(crate) fn type_text(ty: &impl ToTokens) -> String {
    let mut text = String::new();
    write_tokens(ty.to_token_stream(), &mut text, &mut Last::Open);
    text
}

/// What the text ends with, as far as it decides on a space.
#[derive(PartialEq)]
enum Last {
    Open,
    Word,
    Close,
    Comma,
    Operator,
}

fn write_tokens(tokens: TokenStream, text: &mut String, last: &mut Last) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
                write_tokens(group.stream(), text, last);
            }
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    _ => ("{ ", " }"),
                };
                space_if(matches!(last, Last::Comma | Last::Operator), text);
                text.push_str(open);
                *last = Last::Open;
                write_tokens(group.stream(), text, last);
                text.push_str(close);
                *last = Last::Close;
            }
            TokenTree::Punct(punct) => {
                let closes = matches!(tokens.peek(),
                    Some(TokenTree::Punct(next)) if next.as_char() == '>');
                if punct.as_char() == ',' && closes {
                    continue;
                }
                write_punct(punct.as_char(), punct.spacing(), text, last);
            }
            word => {
                space_if(*last != Last::Open, text);
                text.push_str(&word.to_string());
                *last = Last::Word;
            }
        }
    }
}

fn write_punct(punct: char, spacing: Spacing, text: &mut String, last: &mut Last) {
    match punct {
        ',' | ';' => *last = Last::Comma,
        '>' if text.ends_with('-') || text.ends_with('=') => *last = Last::Operator,
        '>' => *last = Last::Close,
        '<' => {
            space_if(matches!(last, Last::Comma | Last::Operator), text);
            *last = Last::Open;
        }
        ':' | '\'' | '&' | '!' | '.' => {
            space_if(matches!(last, Last::Comma | Last::Operator), text);
            *last = Last::Open;
        }
        _ => {
            space_if(*last != Last::Open, text);
            let joined = spacing == Spacing::Joint;
            *last = if joined { Last::Open } else { Last::Operator };
        }
    }
    text.push(punct);
}

fn space_if(condition: bool, text: &mut String) {
    if condition {
        text.push(' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_unique_and_camel_case_where_that_can_be() {
        let check = |methods: &[&str], expected: &[&str]| {
            let methods: Vec<Ident> =
                methods.iter().map(|name| syn::parse_str(name).expect("an identifier")).collect();
            let variants = variants(&methods.iter().collect::<Vec<_>>());
            let variants: Vec<String> = variants.iter().map(Ident::to_string).collect();
            assert_eq!(variants, expected);
        };
        check(&["upcase", "foo_bar", "r#type"], &["Upcase", "FooBar", "Type"]);
        check(&["foo_bar", "foo__bar", "other"], &["foo_bar", "foo__bar", "Other"]);
        check(&["foobar", "fooBar"], &["foobar", "fooBar"]);
        check(&["__", "_1", "self_", "r#match"], &["__", "_1", "self_", "Match"]);
        // `a_b` and `a__b` fall back; `AB` is its own camel case no more than `Ab` is.
        check(&["a_b", "a__b", "AB"], &["a_b", "a__b", "Ab"]);
        // `Ab` cannot be another name than `Ab`, so `ab` gives way.
        check(&["Ab", "ab"], &["Ab", "ab"]);
        // A chain: `x_y` gives way to `XY`'s own name only once that has fallen back.
        check(&["XY", "X_y", "x_Y"], &["Xy", "X_y", "x_Y"]);
        // The same name twice, under different conditions: one variant.
        check(&["now", "now"], &["Now", "Now"]);
    }

    #[test]
    fn types_read_as_a_programmer_writes_them() {
        let check = |ty: &str| {
            let parsed: syn::Type = syn::parse_str(ty).expect("a type");
            assert_eq!(type_text(&parsed), ty);
        };
        check("String");
        check("Option<Vec<String>>");
        check("HashMap<String, Vec<(u8, [u32; 4])>>");
        check("::std::result::Result<(), my::Error>");
        check("<Vec<u8> as Trait<u8>>::Item");
        check("Cow<'static, str>");
        check("Grid<3, { N + 1 }>");
        check("[u8; N * 2]");
        check("(u8,)");
        check("r#type::Name");
        check("shape![u8]");
        assert_eq!(type_text(&quote::quote!(Vec<u8,>)), "Vec<u8>");
    }
}

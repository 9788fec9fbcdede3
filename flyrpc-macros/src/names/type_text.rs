//! Formats types as text, for the wire and for errors.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;

/// Formats a type with the usual spacing: `HashMap<String, Vec<u8>>`.
pub(crate) fn type_text(ty: &impl ToTokens) -> String {
    let mut text = String::new();
    write_tokens(ty.to_token_stream(), &mut text, &mut Last::Open);
    text
}

/// The kind of token at the end of the text, which decides whether a space follows.
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
    fn types_have_the_usual_spacing() {
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

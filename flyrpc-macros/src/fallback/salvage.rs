//! Reads what can be read of a trait that has syntax errors.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::{ToTokens as _, format_ident, quote};
use syn::{FnArg, ItemTrait, PatType, Type};

/// Returns a trait with the methods of a trait that has syntax errors, as far as they can be read, or `None` if the item
/// is not a trait.
pub(super) fn salvage(item: TokenStream) -> Option<ItemTrait> {
    let tokens: Vec<TokenTree> = item.into_iter().collect();
    let at = tokens.iter().position(|token| is_ident(token, "trait"))?;
    let name = tokens.get(at + 1)?;
    let body = tokens.iter().find_map(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group.stream()),
        _ => None,
    });
    let methods = methods(&body?.into_iter().collect::<Vec<_>>());
    // Attributes and generic parameters are left out.
    let first = tokens.iter().position(|token| is_ident(token, "pub")).unwrap_or(at);
    let vis = &tokens[first.min(at)..at];
    syn::parse2(quote!(#(#vis)* trait #name { #methods })).ok()
}

/// Returns the declarations of the functions in the body of a trait.
fn methods(body: &[TokenTree]) -> TokenStream {
    let starts = body.iter().enumerate().filter(|(_, token)| is_ident(token, "fn"));
    let methods = starts.filter_map(|(at, _)| {
        let TokenTree::Ident(name) = body.get(at + 1)? else { return None };
        let name = &escaped(name)?;
        let TokenTree::Group(arguments) = body.get(at + 2)? else { return None };
        let returns = body[at + 3..].iter().take_while(|token| !is_end(token)).cloned();
        Some(method(name, arguments.stream(), returns.collect()))
    });
    methods.collect()
}

fn method(name: &Ident, arguments: TokenStream, returns: TokenStream) -> TokenStream {
    let arguments = split(arguments).into_iter().enumerate().filter_map(|(index, argument)| {
        let name = format_ident!("argument_{}", index);
        match syn::parse2::<FnArg>(argument.clone()) {
            Ok(FnArg::Receiver(_)) => None,
            Ok(FnArg::Typed(PatType { ty, .. })) => Some(quote!(#name: #ty)),
            Err(_) => Some(match type_after_name(argument) {
                Some(ty) => quote!(#name: #ty),
                None => quote!(#name: impl ::core::marker::Sized),
            }),
        }
    });
    let arguments: Vec<_> = arguments.collect();
    // After the arrow.
    let returns = syn::parse2::<Type>(returns.into_iter().skip(2).collect());
    let returns = returns.ok().map(|ty| quote!(-> #ty));
    quote!(async fn #name(&self #(, #arguments)*) #returns;)
}

/// Returns the type of an argument whose name is wrong, such as a keyword.
fn type_after_name(argument: TokenStream) -> Option<Type> {
    let mut tokens = argument.into_iter().skip(1);
    let is_colon = matches!(tokens.next(), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    if is_colon { syn::parse2(tokens.collect()).ok() } else { None }
}

/// Returns a name as rustc reads it: a keyword as if it was escaped. `None` for a keyword that cannot be escaped.
fn escaped(name: &Ident) -> Option<Ident> {
    if syn::parse2::<Ident>(name.to_token_stream()).is_ok() {
        return Some(name.clone());
    }
    let can_be_escaped = !["crate", "self", "super", "Self", "_"].iter().any(|other| name == other);
    can_be_escaped.then(|| Ident::new_raw(&name.to_string(), name.span()))
}

/// Splits a list at its commas, except those between `<` and `>`.
fn split(list: TokenStream) -> Vec<TokenStream> {
    let mut parts = vec![TokenStream::new()];
    let mut depth = 0_usize;
    let mut is_arrow = false;
    for token in list {
        if let TokenTree::Punct(punct) = &token {
            match punct.as_char() {
                '<' => depth += 1,
                '>' if !is_arrow => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    parts.push(TokenStream::new());
                    is_arrow = false;
                    continue;
                }
                _ => {}
            }
            is_arrow = matches!(punct.as_char(), '-' | '=');
        } else {
            is_arrow = false;
        }
        if let Some(last) = parts.last_mut() {
            last.extend([token]);
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn is_end(token: &TokenTree) -> bool {
    match token {
        TokenTree::Punct(punct) => punct.as_char() == ';',
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        _ => false,
    }
}

fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_read_as_far_as_possible() {
        let broken = quote! {
            #[doc = "…"]
            pub(crate) trait Notes<T> {
                async fn find(&self, by: HashMap<String, u8>, n, type: String) -> Vec<u8>;
                async fn save(&self, note: Note tags: u8) -> ;
                fn count(f: fn(u8) -> u8, n: u8) { 1 }
                async fn move(&self);
                async fn self(&self);
                let x = 3;
            }
        };
        let expected = quote! {
            pub(crate) trait Notes {
                async fn find(&self, argument_1: HashMap<String, u8>, argument_2: impl ::core::marker::Sized, argument_3: String) -> Vec<u8>;
                async fn save(&self, argument_1: impl ::core::marker::Sized);
                async fn count(&self, argument_0: fn(u8) -> u8, argument_1: u8);
                async fn r#move(&self);
            }
        };
        let salvaged = salvage(broken).expect("a trait").to_token_stream();
        assert_eq!(salvaged.to_string(), expected.to_string());
        assert!(salvage(quote!(struct Notes { n })).is_none());
    }
}

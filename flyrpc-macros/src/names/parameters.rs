//! The names of generic parameters, and where they are used.

use std::collections::HashSet;

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{GenericParam, Generics, Type};

/// The names of generic parameters. Those of lifetimes are without the apostrophe.
#[derive(Debug, Default)]
pub(crate) struct ParameterNames(HashSet<Ident>);

impl ParameterNames {
    pub(crate) fn of(generics: &Generics) -> Self {
        let names = generics.params.iter().map(|parameter| match parameter {
            GenericParam::Type(parameter) => parameter.ident.clone(),
            GenericParam::Const(parameter) => parameter.ident.clone(),
            GenericParam::Lifetime(parameter) => parameter.lifetime.ident.clone(),
        });
        ParameterNames(names.collect())
    }

    /// Returns whether a type uses one of the parameters, judged by the identifiers in it.
    pub(crate) fn occur_in(&self, ty: &Type) -> bool {
        has_ident(ty.to_token_stream(), &|name| self.0.contains(name))
    }
}

/// Returns whether `is_wanted` applies to an identifier or keyword among the tokens.
pub(crate) fn has_ident(tokens: TokenStream, is_wanted: &dyn Fn(&Ident) -> bool) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(name) => is_wanted(&name),
        TokenTree::Group(group) => has_ident(group.stream(), is_wanted),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_uses_the_parameters_that_it_names() {
        let generics: Generics =
            syn::parse_str("<'a, T: Clone, const N: usize>").expect("generics");
        let names = ParameterNames::of(&generics);
        let check = |ty: &str, expected: bool| {
            let ty: Type = syn::parse_str(ty).expect("a type");
            assert_eq!(names.occur_in(&ty), expected, "{}", ty.to_token_stream());
        };
        check("&'a str", true);
        check("Vec<(u8, T)>", true);
        check("[u8; N]", true);
        check("Clone", false);
        check("&'b Vec<u8>", false);
    }
}

//! Collects every error of a trait, so that one build reports all of them.

use std::fmt::Display;

use proc_macro2::TokenStream;
use quote::ToTokens;

/// The errors found so far.
///
/// # Panics
///
/// Panics when dropped without a call to [`into_tokens`](Errors::into_tokens), because a lost error would let
/// invalid code compile.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    errors: Vec<syn::Error>,
    reported: bool,
}

impl Errors {
    /// Reports an error at `at`. `fix` tells the user what to write instead.
    pub(crate) fn push(&mut self, at: impl ToTokens, wrong: impl Display, fix: impl Display) {
        let message = format!("{wrong}\n\n  = note: {fix}");
        self.errors.push(syn::Error::new_spanned(at, message));
    }

    /// Reports an error from syn.
    pub(crate) fn push_syn(&mut self, error: syn::Error) {
        self.errors.push(error);
    }

    /// Returns the number of errors so far, so that the caller can tell whether a check added any.
    pub(crate) fn len(&self) -> usize {
        self.errors.len()
    }

    /// Converts each error into a `compile_error!`. Returns `None` if there are no errors.
    pub(crate) fn into_tokens(mut self) -> Option<TokenStream> {
        self.reported = true;
        let errors = std::mem::take(&mut self.errors);
        let all = errors.into_iter().reduce(|mut all, error| {
            all.combine(error);
            all
        })?;
        Some(all.to_compile_error())
    }
}

impl Drop for Errors {
    fn drop(&mut self) {
        if !self.reported && !std::thread::panicking() {
            panic!("errors were dropped unreported: {:?}", self.errors);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "dropped unreported")]
    fn unreported_errors_panic() {
        drop(Errors::default());
    }

    #[test]
    fn every_error_is_emitted() {
        let mut errors = Errors::default();
        errors.push(quote::quote!(a), "first", "fix");
        errors.push(quote::quote!(b), "second", "fix");
        let tokens = errors.into_tokens().expect("two errors").to_string();
        assert_eq!(tokens.matches("compile_error").count(), 2);
    }
}

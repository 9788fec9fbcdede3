//! Collects everything that is wrong with a trait, so that one build reports all of it.

use std::fmt::Display;

use proc_macro2::TokenStream;
use quote::ToTokens;

/// The errors found so far.
///
/// # Panics
///
/// When dropped without [`into_tokens`](Errors::into_tokens): an error that nobody reads would let
/// wrong code through.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    found: Vec<syn::Error>,
    read: bool,
}

impl Errors {
    /// Reports that `at` is wrong. `fix` says what to write instead.
    pub(crate) fn push(&mut self, at: impl ToTokens, wrong: impl Display, fix: impl Display) {
        let message = format!("{wrong}\n\n  = note: {fix}");
        self.found.push(syn::Error::new_spanned(at, message));
    }

    /// Reports what syn found wrong.
    pub(crate) fn push_syn(&mut self, error: syn::Error) {
        self.found.push(error);
    }

    /// How many there are, to tell whether a check added any.
    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    /// A `compile_error!` for each, or nothing if there are none.
    pub(crate) fn into_tokens(mut self) -> Option<TokenStream> {
        self.read = true;
        let found = std::mem::take(&mut self.found);
        let all = found.into_iter().reduce(|mut all, error| {
            all.combine(error);
            all
        })?;
        Some(all.to_compile_error())
    }
}

impl Drop for Errors {
    fn drop(&mut self) {
        if !self.read && !std::thread::panicking() {
            panic!("errors were dropped unread: {:?}", self.found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "dropped unread")]
    fn errors_that_nobody_reads_panic() {
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

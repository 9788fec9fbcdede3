//! The pipeline of `#[fly_rpc]`: parse, check, expand.

use proc_macro2::TokenStream;
use quote::quote;

use crate::{
    ast::{self, NoTrait},
    check::{self, Checked},
    expand, fallback,
};

/// Expands `#[fly_rpc(arguments)] item`. Each error becomes a `compile_error!` invocation.
pub(crate) fn fly_rpc(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let parsed = match ast::parse(item.clone()) {
        Ok(parsed) => parsed,
        Err(NoTrait::Mock) => return item,
        Err(NoTrait::Unreadable) => return fallback::expand_unreadable(arguments, item),
        Err(NoTrait::OtherItem(error)) => {
            let error = error.to_compile_error();
            return quote!(#error #item);
        }
    };
    let Checked { model, errors } = check::check(arguments, &parsed);
    match errors {
        None => expand::expand(&model),
        Some(errors) => {
            let fallback = fallback::expand(&parsed.service, &model);
            quote!(#errors #fallback)
        }
    }
}

//! The attribute macro of flyrpc. Its documentation is at `flyrpc::fly_rpc`.
//!
//! `ast` and `attr` read what the user wrote, `check` makes a `model` of it or says what is
//! wrong, `expand` turns the model into code. A model cannot be invalid, so expansion cannot fail.
//! What is emitted beside errors comes from `fallback`.

mod ast;
mod attr;
mod check;
mod errors;
mod expand;
mod fallback;
mod model;
mod names;

use proc_macro2::TokenStream;

/// See `flyrpc::fly_rpc`.
#[proc_macro_attribute]
pub fn fly_rpc(
    arguments: proc_macro::TokenStream,
    item: proc_macro::TokenStream,
) -> proc_macro::TokenStream {
    fly_rpc_tokens(arguments.into(), item.into()).into()
}

fn fly_rpc_tokens(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let service = match ast::parse(item.clone()) {
        Ok(service) => service,
        Err(error) => {
            let error = error.to_compile_error();
            return quote::quote!(#error #item);
        }
    };
    let checked = check::check(arguments, &service);
    match checked.errors {
        None => expand::expand(&checked.model),
        Some(errors) => {
            let fallback = fallback::expand(&service, &checked.model);
            quote::quote!(#errors #fallback)
        }
    }
}

#[cfg(test)]
mod tests;

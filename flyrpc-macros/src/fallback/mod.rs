//! Generates the items that are emitted together with errors. They are the items of a valid service, so
//! other uses of the service in the user's crate cause no further errors. The trait contains invalid methods
//! as the user wrote them, as far as Rust accepts them. The client contains them with the same arguments.

mod client_methods;
mod lenient_trait;
mod salvage;
mod unwritable;

use proc_macro2::TokenStream;
use quote::quote;
use syn::ItemTrait;

use self::{client_methods::client_methods, lenient_trait::lenient_trait, salvage::salvage};
use crate::{
    ast::Parsed,
    check::{self, Checked},
    expand::{self, common::root},
    model::Service,
};

/// Generates the items of a trait with errors. `model` contains only the valid methods.
pub(crate) fn expand(service: &ItemTrait, model: &Service) -> TokenStream {
    let the_trait = lenient_trait(service);
    let items = expand_items(service, model);
    quote!(#the_trait #items)
}

/// Generates the items of a trait with syntax errors, which rustc has reported. Other items remain as they are.
pub(crate) fn expand_unreadable(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let items = salvage(item.clone()).map(|service| {
        let parsed = Parsed { service, visibilities: Vec::new() };
        let Checked { mut model, .. } = check::check(arguments, &parsed);
        model.methods.clear();
        expand_items(&parsed.service, &model)
    });
    quote!(#item #items)
}

fn expand_items(service: &ItemTrait, model: &Service) -> TokenStream {
    let root = root(model);
    let anything = quote!(#root::Send + #root::Sync + 'static);
    let calls = client_methods(service, model);
    let handler = quote!(#root::unreachable());
    expand::expand_for(model, &anything, &handler, &calls)
}

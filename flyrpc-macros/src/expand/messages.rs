//! Generates the request and response enums.

use std::collections::HashSet;

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use syn::{Ident, LitStr, Type, spanned::Spanned as _};

use super::common::{attrs_of_items, root, sends};
use crate::{
    model::{Argument, Method, Service},
    names::{generated, type_text},
    types::is_plain,
};

/// Generates the two enums.
pub(super) fn types(service: &Service) -> TokenStream {
    let request = request_enum(service);
    let response = response_enum(service);
    quote!(#request #response)
}

fn request_enum(service: &Service) -> TokenStream {
    let mut bounds = SerdeBounds::new(service);
    let variants = service.methods.iter().map(|method| {
        let Method { variant, ident, arguments, .. } = method;
        let doc = format!("The arguments of `{ident}`.");
        let cfgs = method.attrs.cfgs();
        let fields = arguments.iter().map(|argument| {
            let Argument { ident, ty, .. } = argument;
            let doc = format!("The argument `{ident}`.");
            let bound = bounds.for_field(method, ty);
            let name = generated(ident);
            quote!(#[doc = #doc] #bound #name: #ty)
        });
        quote!(#cfgs #[doc = #doc] #variant { #(#fields),* })
    });
    let name = &service.names.request;
    let doc = format!("A call to a method of `{}`, sent to the serving node.", service.ident);
    enum_item(service, name, &doc, variants)
}

fn response_enum(service: &Service) -> TokenStream {
    let mut bounds = SerdeBounds::new(service);
    let variants = service.methods.iter().map(|method| {
        let Method { variant, ident, returns, .. } = method;
        let doc = format!("The value returned by `{ident}`.");
        let cfgs = method.attrs.cfgs();
        let bound = bounds.for_field(method, returns);
        quote!(#cfgs #[doc = #doc] #variant(#bound #returns))
    });
    let name = &service.names.response;
    let doc = format!("The value returned by a method of `{}`, sent to the client.", service.ident);
    enum_item(service, name, &doc, variants)
}

fn enum_item(
    service: &Service,
    name: &Ident,
    doc: &str,
    variants: impl Iterator<Item = TokenStream>,
) -> TokenStream {
    let root = root(service);
    let vis = service.generated_vis();
    let attrs = attrs_of_items(service);
    let serde = format!("{root}::serde");
    quote! {
        #attrs
        #[doc = #doc]
        #[derive(#root::serde::Serialize, #root::serde::Deserialize)]
        #[serde(crate = #serde)]
        #vis enum #name { #(#variants),* }
    }
}

/// Implements `Debug`, which shows the method but not the values, because the user's types need not
/// implement `Debug`.
pub(super) fn implement_debug(service: &Service) -> TokenStream {
    let root = root(service);
    let (request, response) = (&service.names.request, &service.names.response);
    let sends = sends(service);
    quote! {
        impl #root::fmt::Debug for #request
        where
            #sends
        {
            fn fmt(&self, f: &mut #root::fmt::Formatter<'_>) -> #root::fmt::Result {
                f.write_str(#root::request_name(self))
            }
        }

        impl #root::fmt::Debug for #response
        where
            #sends
        {
            fn fmt(&self, f: &mut #root::fmt::Formatter<'_>) -> #root::fmt::Result {
                f.write_str(#root::response_name::<#request>(self))
            }
        }
    }
}

/// Generates the bounds under which serde's derived impls assume that every field meets the requirements,
/// so that only `requirements` reports a type that does not.
///
/// Each type gets its bounds once. A service with many methods and types gets none, because serde repeats
/// the `where` clauses for every variant, which slows compilation. In such a service, serde's impls also
/// report a type that does not meet the requirements.
struct SerdeBounds {
    root: String,
    seen: HashSet<String>,
    affordable: bool,
}

/// The largest product of the number of methods and the number of non-standard types for which
/// [`SerdeBounds`] generates bounds. With 100 methods and 10 such types, the bounds took a fifth of the
/// compile time.
const AFFORDABLE_BOUNDS: usize = 400;

impl SerdeBounds {
    fn new(service: &Service) -> Self {
        let types = service.methods.iter().flat_map(Method::types);
        let bounded: HashSet<String> = types.filter(|ty| !is_plain(ty)).map(type_text).collect();
        SerdeBounds {
            root: service.names.private.to_string(),
            seen: HashSet::new(),
            affordable: bounded.len() * service.methods.len() <= AFFORDABLE_BOUNDS,
        }
    }

    /// Returns the `#[serde(bound(…))]` of a field, if the field needs one. A type that contains the
    /// `$crate` of a user's macro gets none, because serde parses bounds from text and rejects `$crate`
    /// there.
    fn for_field(&mut self, method: &Method, ty: &Type) -> Option<TokenStream> {
        let text = ty.to_token_stream().to_string();
        if !self.affordable || is_plain(ty) || text.contains('$') || self.seen.contains(&text) {
            return None;
        }
        let SerdeBounds { root, .. } = self;
        let span = ty.span();
        let serialize = format!("for<'__wire> {text}: {root}::Encodes<'__wire>");
        let serialize = LitStr::new(&serialize, span);
        let deserialize = format!("for<'__wire> {text}: {root}::Decodes<'__wire>");
        let deserialize = LitStr::new(&deserialize, span);
        // A field under a `#[cfg]` may be absent together with its bounds, so later fields repeat them.
        if !method.attrs.is_conditional() {
            self.seen.insert(text);
        }
        Some(quote!(#[serde(bound(serialize = #serialize, deserialize = #deserialize))]))
    }
}

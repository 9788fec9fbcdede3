//! Generates the request and response enums.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Ident, ext::IdentExt as _, spanned::Spanned as _};

use super::{
    common::{attrs_of_items, codec, root, sends},
    method_table::for_each,
};
use crate::{
    model::{Argument, Method, Service},
    names::{ServiceNames, generated},
    types::is_plain,
};

/// Generates the two enums.
pub(super) fn types(service: &Service) -> TokenStream {
    let request = request_enum(service);
    let response = response_enum(service);
    quote!(#request #response)
}

fn request_enum(service: &Service) -> TokenStream {
    let variants = service.methods.iter().map(|method| {
        let Method { variant, ident, arguments, .. } = method;
        let doc = format!("The arguments of `{ident}`.");
        let cfgs = method.attrs.cfgs();
        let fields = arguments.iter().map(|argument| {
            let Argument { ident, ty, .. } = argument;
            let doc = format!("The argument `{ident}`.");
            let name = generated(ident);
            quote!(#[doc = #doc] #name: #ty)
        });
        quote!(#cfgs #[doc = #doc] #variant { #(#fields),* })
    });
    let name = &service.names.request;
    let doc = format!("A call to a method of `{}`, sent to the serving node.", service.ident);
    enum_item(service, name, &doc, variants)
}

fn response_enum(service: &Service) -> TokenStream {
    let variants = service.methods.iter().map(|method| {
        let Method { variant, ident, returns, .. } = method;
        let doc = format!("The value returned by `{ident}`.");
        let cfgs = method.attrs.cfgs();
        quote!(#cfgs #[doc = #doc] #variant(#returns))
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
    let vis = service.generated_vis();
    let attrs = attrs_of_items(service);
    quote! {
        #attrs
        #[doc = #doc]
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

/// Implements serde's traits in the format of serde's derive macros, with a few lines for each method.
pub(super) fn implement_serde(service: &Service) -> TokenStream {
    let root = root(service);
    let ServiceNames { request, response, .. } = &service.names;
    let variants = implement_variants(service);
    let of_request = implement_serde_for(
        service,
        request,
        &quote!(#root::serialize_request),
        &quote!(#root::deserialize_request),
    );
    let of_response = implement_serde_for(
        service,
        response,
        &quote!(#root::serialize_response::<#request, _>),
        &quote!(#root::deserialize_response::<#request, _>),
    );
    quote!(#variants #of_request #of_response)
}

/// Implements serde's traits for the enum of requests or of responses by calls of two functions.
fn implement_serde_for(
    service: &Service,
    name: &Ident,
    serialize: &TokenStream,
    deserialize: &TokenStream,
) -> TokenStream {
    let root = root(service);
    let format = &service.names.format;
    let text = name.to_string();
    let sends = sends(service);
    quote! {
        impl #root::Serialize for #name
        where
            #sends
        {
            fn serialize<#format: #root::Serializer>(
                &self,
                to: #format,
            ) -> #root::Result<#format::Ok, #format::Error> {
                #serialize(#text, self, to)
            }
        }

        impl<'__wire> #root::Deserialize<'__wire> for #name
        where
            #sends
        {
            fn deserialize<#format: #root::Deserializer<'__wire>>(
                body: #format,
            ) -> #root::Result<Self, #format::Error> {
                #deserialize(#text, body)
            }
        }
    }
}

fn implement_variants(service: &Service) -> TokenStream {
    let root = root(service);
    let ServiceNames { request, response, format, .. } = &service.names;
    let sends = sends(service);
    let text = |method: &Method| method.variant.unraw().to_string();
    let names = for_each(service, &|method| {
        let name = text(method);
        quote!(#name)
    });
    let read = for_each(service, &|method| {
        let (name, read) = (text(method), read_fields(service, method));
        quote!(#name => #read)
    });
    let read_response = for_each(service, &|method| {
        let Method { variant, returns, .. } = method;
        let (name, read) = (text(method), codec(&root, returns, "read"));
        quote!(#name => #root::Result::map(#read(body), #response::#variant))
    });
    quote! {
        #[doc(hidden)]
        impl #root::Variants for #request
        where
            #sends
        {
            const NAMES: &'static [&'static #root::str] = &[#names];

            fn read<'__wire, #format: #root::VariantAccess<'__wire>>(
                name: &#root::str,
                body: #format,
            ) -> #root::Result<Self, #format::Error> {
                match name {
                    #read
                    _ => #root::unknown_variant::<_, #format>(name),
                }
            }

            fn read_response<'__wire, #format: #root::VariantAccess<'__wire>>(
                name: &#root::str,
                body: #format,
            ) -> #root::Result<#response, #format::Error> {
                match name {
                    #read_response
                    _ => #root::unknown_variant::<_, #format>(name),
                }
            }
        }
    }
}

/// Generates the expression that reads a request of one method. The values are nested pairs:
/// `(first, (second, ()))`.
fn read_fields(service: &Service, method: &Method) -> TokenStream {
    let root = root(service);
    let request = &service.names.request;
    let variant = &method.variant;
    let names = method.arguments.iter().map(|argument| &argument.wire_name);
    let types = method.arguments.iter().rev().fold(quote!(()), |rest, argument| {
        let field = codec(&root, &argument.ty, "field");
        quote!(#field(#rest))
    });
    let variables: Vec<_> = method.bindings().map(|(_, variable)| variable).collect();
    let variables = variables.iter().rev().fold(quote!(()), |rest, name| quote!((#name, #rest)));
    let fields = method.bindings().map(|(Argument { ident, .. }, value)| quote!(#ident: #value));
    // An error about an argument that borrows then has the span of its type, as the other errors about it. The
    // compiler reports errors with one span once. The span of a call begins at its first token.
    let may_borrow = method.arguments.iter().map(|argument| &argument.ty).find(|ty| !is_plain(ty));
    let span =
        may_borrow.map_or_else(Span::call_site, |ty| Span::mixed_site().located_at(ty.span()));
    let body = quote!(body);
    let read = quote_spanned! {span=>
        <#root::Codec<#request>>::read_fields(#body, &[#(#names),*], #types)
    };
    quote! {
        #root::Result::map(#read, |#variables| #request::#variant { #(#fields),* })
    }
}

//! Generates the impl of `Request`: the table of methods, and the encoding of requests and responses.
//!
//! The code for each method is written to compile fast. It does not use `?`, because the compiler would
//! resolve the traits of `?` at each use.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};

use super::common::{codec, root, sends};
use crate::{
    attr::{Hedge, MethodOptions, Micros},
    model::{Argument, Method, Service},
    names::{ServiceNames, type_text},
    types::may_be_result,
};

pub(super) fn implement_request(service: &Service) -> TokenStream {
    let root = root(service);
    let Service { wire_name, methods, .. } = service;
    let (request, response) = (&service.names.request, &service.names.response);
    let sends = sends(service);
    let index_enum = index_enum(service);
    let table = methods.iter().map(|method| table_entry(service, method));
    let indices = index_functions(service);
    let encoding = encoding_functions(service);
    quote! {
        #index_enum

        #[doc(hidden)]
        impl #root::Request for #request
        where
            #sends
        {
            type Response = #response;

            const SERVICE: &'static #root::str = #wire_name;

            fn methods() -> &'static [#root::Method<Self>] {
                const { &[#(#table),*] }
            }

            #indices
            #encoding
        }
    }
}

/// Generates `Request::method` and `Request::method_of`.
fn index_functions(service: &Service) -> TokenStream {
    let root = root(service);
    let ServiceNames { request, response, index, .. } = &service.names;
    let of_request = for_each(
        service,
        &|Method { variant, .. }| quote!(#request::#variant { .. } => #index::#variant as #root::usize),
    );
    let of_response = for_each(
        service,
        &|Method { variant, .. }| quote!(#response::#variant(..) => #index::#variant as #root::usize),
    );
    quote! {
        fn method(&self) -> #root::usize {
            match *self { #of_request }
        }

        fn method_of(response: &#response) -> #root::usize {
            match *response { #of_response }
        }
    }
}

/// Generates `Request::encode` and `Request::encode_response`.
fn encoding_functions(service: &Service) -> TokenStream {
    let root = root(service);
    let ServiceNames { response, format, .. } = &service.names;
    let encode = for_each(service, &|method| encode_arm(service, method));
    let encode_response = for_each(service, &|Method { variant, returns, .. }| {
        let encode = codec(&root, returns, "encode");
        quote!(#response::#variant(ref value) => #encode(value, to))
    });
    quote! {
        fn encode<#format: #root::ArgumentSink>(
            &self,
            arguments: &mut #format,
        ) -> #root::Result<(), #format::Error> {
            match *self { #encode }
        }

        fn encode_response<#format: #root::ResponseSink>(
            response: &#response,
            to: #format,
        ) -> #root::Result<#format::Ok, #format::Error> {
            match *response { #encode_response }
        }
    }
}

/// Generates an enum with the position of each method in the table. The compiler assigns the positions
/// after it has evaluated each `#[cfg]`, which the macro cannot evaluate.
fn index_enum(service: &Service) -> TokenStream {
    let variants = for_each(service, &|method| method.variant.to_token_stream());
    let index = &service.names.index;
    quote! {
        enum #index { #variants }
    }
}

/// Generates a list of variants or match arms: the result of `item` for each method, with the method's
/// `#[cfg]`.
pub(super) fn for_each(service: &Service, item: &dyn Fn(&Method) -> TokenStream) -> TokenStream {
    let items = service.methods.iter().map(|method| {
        let (cfgs, item) = (method.attrs.cfgs(), item(method));
        quote!(#cfgs #item,)
    });
    items.collect()
}

fn table_entry(service: &Service, method: &Method) -> TokenStream {
    let root = root(service);
    let (request, response) = (&service.names.request, &service.names.response);
    let Method { variant, wire_name, returns, .. } = method;
    let cfgs = method.attrs.cfgs();
    let full_name = format!("{}.{wire_name}", service.wire_name);
    let rpc_method = format!("{}/{wire_name}", service.wire_name);
    let arguments = method.arguments.iter().map(|argument| describe_argument(&root, argument));
    let returns_text = type_text(returns);
    let options = options(&root, &method.options);
    let reader = if method.arguments.is_empty() { quote!(_) } else { quote!(arguments) };
    let fields = method.arguments.iter().map(|argument| read_argument(&root, argument));
    let decode_response = codec(&root, returns, "decode");
    let (returns_result, is_err) = if may_be_result(returns) {
        let (is_result, is_err) =
            (codec(&root, returns, "IS_RESULT"), codec(&root, returns, "is_err"));
        let is_err = quote! {
            |response| match response {
                #response::#variant(value) => #is_err(value),
                _ => false,
            }
        };
        (is_result, is_err)
    } else {
        (quote!(false), quote!(|_| false))
    };
    quote! {
        #cfgs
        #root::Method {
            name: #wire_name,
            full_name: #full_name,
            rpc_method: #rpc_method,
            arguments: &[#(#arguments),*],
            returns: #returns_text,
            options: #options,
            decode: |#reader| #root::Result::Ok(#request::#variant { #(#fields),* }),
            decode_response: |body| #root::Result::map(#decode_response(body), #response::#variant),
            returns_result: #returns_result,
            is_err: #is_err,
        }
    }
}

fn describe_argument(root: &TokenStream, argument: &Argument) -> TokenStream {
    let name = &argument.wire_name;
    let ty = type_text(&argument.ty);
    let optional = if argument.has_default {
        quote!(|| true)
    } else {
        codec(root, &argument.ty, "is_optional")
    };
    quote!(#root::Argument { name: #name, ty: #ty, optional: #optional })
}

fn read_argument(root: &TokenStream, argument: &Argument) -> TokenStream {
    let Argument { ident, wire_name, .. } = argument;
    let take = if argument.has_default { "take_or_default" } else { "take" };
    let take = codec(root, &argument.ty, take);
    quote! {
        #ident: match #take(arguments, #wire_name) {
            #root::Result::Ok(value) => value,
            #root::Result::Err(error) => return #root::Result::Err(error),
        }
    }
}

fn options(root: &TokenStream, options: &MethodOptions) -> TokenStream {
    let MethodOptions {
        primary,
        idempotent,
        detached,
        timeout,
        wait,
        hedge,
        max_in_flight,
        name: _,
    } = options;
    let flag = |set: &bool, name: TokenStream| set.then(|| quote!(.#name()));
    let micros = |set: &Option<Micros>, name: TokenStream| {
        set.map(|Micros(micros)| quote!(.#name(#root::Duration::from_micros(#micros))))
    };
    let set = [
        flag(primary, quote!(primary)),
        flag(idempotent, quote!(idempotent)),
        flag(detached, quote!(detached)),
        micros(timeout, quote!(timeout)),
        micros(wait, quote!(wait)),
        hedge.as_ref().map(|(_, hedge)| match hedge {
            Hedge::After(Micros(micros)) => {
                quote!(.hedge(#root::Hedge::After(#root::Duration::from_micros(#micros))))
            }
            Hedge::Percentile(percent) => quote!(.hedge(#root::Hedge::Percentile(#percent))),
        }),
        max_in_flight.map(|limit| quote!(.max_in_flight(#limit))),
    ];
    let set = set.iter().flatten();
    quote!(#root::MethodOptions::new() #(#set)*)
}

/// Generates the match arm that writes a method's arguments.
fn encode_arm(service: &Service, method: &Method) -> TokenStream {
    let root = root(service);
    let request = &service.names.request;
    let variant = &method.variant;
    let fields =
        method.bindings().map(|(Argument { ident, .. }, value)| quote!(#ident: ref #value));
    let puts = method.bindings().map(|(argument, value)| {
        let name = &argument.wire_name;
        let put = if argument.has_default { "put_or_default" } else { "put" };
        let put = codec(&root, &argument.ty, put);
        quote! {
            if let #root::Result::Err(error) = #put(arguments, #name, #value) {
                return #root::Result::Err(error);
            }
        }
    });
    quote! {
        #request::#variant { #(#fields),* } => {
            #(#puts)*
            #root::Result::Ok(())
        }
    }
}

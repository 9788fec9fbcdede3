//! The request and reply enums, and what a node has to know of the methods.

use std::collections::HashSet;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::{Ident, LitStr, Type, spanned::Spanned as _};

use super::{allow_names, on_items, root, sends};
use crate::{
    attr::Micros,
    check::{innermost, is_plain},
    model::{Argument, Method, Service},
    names::type_text,
};

pub(crate) fn expand(service: &Service) -> TokenStream {
    let request = request_enum(service);
    let response = response_enum(service);
    let on_items = on_items(service);
    let root = root(service);
    let names = names(service);
    let implementation = implement_request(service);
    let verdicts = verdicts(service);
    quote! {
        #request
        #response
        #on_items
        const _: () = {
            #[allow(unused_imports)]
            use #root::Unfit as _;
            #names
            #implementation
            #verdicts
        };
    }
}

fn request_enum(service: &Service) -> TokenStream {
    let mut bounds = Bounds::new(service);
    let variants = service.methods.iter().map(|method| {
        let Method { variant, ident, arguments, .. } = method;
        let doc = format!("The arguments of `{ident}`.");
        let cfgs = method.attrs.cfgs();
        let fields = arguments.iter().map(|argument| {
            let Argument { ident, ty, .. } = argument;
            let doc = format!("The argument `{ident}`.");
            let bound = bounds.of(method, ty);
            quote!(#[doc = #doc] #bound #ident: #ty)
        });
        quote!(#cfgs #[doc = #doc] #variant { #(#fields),* })
    });
    let name = &service.names.request;
    let doc = format!("A call of a method of `{}`: what crosses to the server.", service.ident);
    enum_item(service, name, &doc, variants)
}

fn response_enum(service: &Service) -> TokenStream {
    let mut bounds = Bounds::new(service);
    let variants = service.methods.iter().map(|method| {
        let Method { variant, ident, returns, .. } = method;
        let doc = format!("The value of `{ident}`.");
        let cfgs = method.attrs.cfgs();
        let bound = bounds.of(method, returns);
        quote!(#cfgs #[doc = #doc] #variant(#bound #returns))
    });
    let name = &service.names.response;
    let doc = format!("What a method of `{}` gave: what crosses to the client.", service.ident);
    enum_item(service, name, &doc, variants)
}

fn enum_item(
    service: &Service,
    name: &Ident,
    doc: &str,
    variants: impl Iterator<Item = TokenStream>,
) -> TokenStream {
    let root = root(service);
    let vis = &service.vis;
    let on_items = on_items(service);
    let allow_names = allow_names();
    let serde = type_text(&quote!(#root::serde));
    quote! {
        #on_items
        #[doc = #doc]
        #allow_names
        #[derive(#root::serde::Serialize, #root::serde::Deserialize)]
        #[serde(crate = #serde)]
        #vis enum #name { #(#variants),* }
    }
}

/// Lets serde's derived impls assume of fields what the verdict has checked: see
/// `__private/codec.rs`.
///
/// Once for each type, and not in services with many methods and types: serde repeats the `where`
/// clauses for every method, and each costs the compiler time. There a type that cannot cross
/// between nodes is reported by serde too.
struct Bounds {
    root: String,
    seen: HashSet<String>,
    affordable: bool,
}

/// The most methods times types of a user's own with which [`Bounds`] are given. With 100 methods
/// and 10 types they took a fifth of the compiler's time.
const AFFORDABLE_BOUNDS: usize = 400;

impl Bounds {
    fn new(service: &Service) -> Self {
        let own: HashSet<String> =
            all_types(service).filter(|ty| !is_plain(ty)).map(type_text).collect();
        Bounds {
            root: type_text(&root(service)),
            seen: HashSet::new(),
            affordable: own.len() * service.methods.len() <= AFFORDABLE_BOUNDS,
        }
    }

    /// The attribute for a field, if it needs one. serde wants it as text, in which `$crate` of a
    /// user's macro means nothing.
    fn of(&mut self, method: &Method, ty: &Type) -> Option<TokenStream> {
        let text = ty.to_token_stream().to_string();
        if !self.affordable || is_plain(ty) || text.contains('$') || self.seen.contains(&text) {
            return None;
        }
        let Bounds { root, .. } = self;
        let span = ty.span();
        let serialize = format!("for<'__wire> {text}: {root}::Encodes<'__wire>");
        let serialize = LitStr::new(&serialize, span);
        let deserialize = format!("for<'__wire> {text}: {root}::Decodes<'__wire>");
        let deserialize = LitStr::new(&deserialize, span);
        // A field under a condition may be gone, and its bound with it.
        if !method.attrs.is_conditional() {
            self.seen.insert(text);
        }
        Some(quote!(#[serde(bound(serialize = #serialize, deserialize = #deserialize))]))
    }
}

fn all_types(service: &Service) -> impl Iterator<Item = &Type> {
    service.methods.iter().flat_map(types_of)
}

fn types_of(method: &Method) -> impl Iterator<Item = &Type> {
    method.arguments.iter().map(|argument| &argument.ty).chain([&method.returns])
}

/// The numbers of the methods, in an enum so that they are right whatever conditions hold, and what
/// tells one by its name.
fn names(service: &Service) -> TokenStream {
    let root = root(service);
    let Service { wire_name, .. } = service;
    let (request, response) = (&service.names.request, &service.names.response);
    let each = |arm: &dyn Fn(&Method) -> TokenStream| -> TokenStream {
        let each = service.methods.iter().map(|method| {
            let (cfgs, arm) = (method.attrs.cfgs(), arm(method));
            quote!(#cfgs #arm,)
        });
        quote!(#(#each)*)
    };
    let variants = each(&|method| method.variant.to_token_stream());
    let full_names = each(&|method| format!("{wire_name}.{}", method.wire_name).to_token_stream());
    let of_requests = each(&|method| {
        let variant = &method.variant;
        quote!(#request::#variant { .. } => __Number::#variant as usize)
    });
    let of_replies = each(&|method| {
        let variant = &method.variant;
        quote!(#response::#variant(..) => __Number::#variant as usize)
    });
    let allow_names = allow_names();
    quote! {
        #allow_names
        enum __Number { #variants }

        const __NAMES: &[&str] = &[#full_names];

        fn __number_of(request: &#request) -> usize {
            match *request { #of_requests }
        }

        fn __number_of_reply(reply: &#response) -> usize {
            match *reply { #of_replies }
        }

        impl #root::tarpc::RequestName for #request {
            fn name(&self) -> &str {
                __NAMES[__number_of(self)]
            }
        }

        impl #root::fmt::Debug for #request {
            fn fmt(&self, f: &mut #root::fmt::Formatter<'_>) -> #root::fmt::Result {
                f.write_str(__NAMES[__number_of(self)])
            }
        }

        impl #root::fmt::Debug for #response {
            fn fmt(&self, f: &mut #root::fmt::Formatter<'_>) -> #root::fmt::Result {
                f.write_str(__NAMES[__number_of_reply(self)])
            }
        }
    }
}

fn implement_request(service: &Service) -> TokenStream {
    let root = root(service);
    let Service { wire_name, methods, .. } = service;
    let (request, response) = (&service.names.request, &service.names.response);
    let sends = sends(service);
    let table = methods.iter().map(|method| describe(service, method));
    let encode = methods.iter().map(|method| encode(service, method));
    let encode_reply = methods.iter().map(|Method { variant, attrs, returns, .. }| {
        let cfgs = attrs.cfgs();
        let returns = codec(&root, returns);
        quote!(#cfgs #response::#variant(ref value) => #returns::encode(value, to),)
    });
    quote! {
        impl #root::Request for #request
        where
            #sends
        {
            type Response = #response;

            const SERVICE: &'static str = #wire_name;

            fn methods() -> &'static [#root::Method<Self>] {
                const { &[#(#table),*] }
            }

            fn method(&self) -> usize {
                __number_of(self)
            }

            #[allow(unused_variables)]
            fn encode(
                &self,
                arguments: &mut #root::ArgsWriter<'_>,
            ) -> #root::Result<(), #root::ArgumentError> {
                match *self { #(#encode)* }
            }

            #[allow(unused_variables)]
            fn encode_reply(
                reply: &#response,
                to: &mut #root::Vec<u8>,
            ) -> #root::Result<(), #root::BodyError> {
                match *reply { #(#encode_reply)* }
            }
        }
    }
}

/// A method's entry in the table.
fn describe(service: &Service, method: &Method) -> TokenStream {
    let root = root(service);
    let (request, response) = (&service.names.request, &service.names.response);
    let Method { variant, wire_name, returns, .. } = method;
    let cfgs = method.attrs.cfgs();
    let options = options(&root, method);
    let arguments = method.arguments.iter().map(|argument| {
        let name = &argument.wire_name;
        let ty = type_text(&argument.ty);
        let codec = codec(&root, &argument.ty);
        let optional =
            if argument.has_default { quote!(|| true) } else { quote!(#codec::is_optional) };
        quote!(#root::Argument { name: #name, ty: #ty, optional: #optional })
    });
    let fields = method.arguments.iter().map(|argument| {
        let Argument { ident, wire_name, .. } = argument;
        let codec = codec(&root, &argument.ty);
        let take = if argument.has_default { quote!(take_or_default) } else { quote!(take) };
        quote!(#ident: #codec::#take(arguments, #wire_name)?)
    });
    let reader = if method.arguments.is_empty() { quote!(_) } else { quote!(arguments) };
    let returns_text = type_text(returns);
    let returns = codec(&root, returns);
    quote! {
        #cfgs
        #root::Method {
            name: #wire_name,
            arguments: &[#(#arguments),*],
            returns: #returns_text,
            options: #options,
            decode: |#reader| #root::Result::Ok(#request::#variant { #(#fields),* }),
            decode_reply: |body| #root::Result::Ok(#response::#variant(#returns::decode(body)?)),
        }
    }
}

/// How many fields `MethodOptions` has.
const ALL_OPTIONS: usize = 5;

fn options(root: &TokenStream, method: &Method) -> TokenStream {
    let options = &method.options;
    let flags = [
        ("primary", options.primary),
        ("idempotent", options.idempotent),
        ("detached", options.detached),
    ];
    let flags = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| {
        let name = Ident::new(name, Span::mixed_site());
        quote!(#name: true,)
    });
    let times = [("timeout", options.timeout), ("wait", options.wait)];
    let times = times.into_iter().filter_map(|(name, time)| {
        let name = Ident::new(name, Span::mixed_site());
        let Micros(micros) = time?;
        Some(quote! {
            #name: #root::Option::Some(#root::Duration::from_micros(#micros)),
        })
    });
    let set: Vec<TokenStream> = flags.chain(times).collect();
    if set.is_empty() {
        return quote!(#root::MethodOptions::NONE);
    }
    // Where every field is set, clippy calls the rest of nothing needless.
    let rest = (set.len() < ALL_OPTIONS).then(|| quote!(..#root::MethodOptions::NONE));
    quote!(#root::MethodOptions { #(#set)* #rest })
}

/// The arm that writes a method's arguments.
fn encode(service: &Service, method: &Method) -> TokenStream {
    let root = root(service);
    let request = &service.names.request;
    let variant = &method.variant;
    let cfgs = method.attrs.cfgs();
    let values: Vec<Ident> = locals(method);
    let fields = method
        .arguments
        .iter()
        .zip(&values)
        .map(|(Argument { ident, .. }, value)| quote!(#ident: ref #value));
    let puts = method.arguments.iter().zip(&values).map(|(argument, value)| {
        let name = &argument.wire_name;
        let codec = codec(&root, &argument.ty);
        let put = if argument.has_default { quote!(put_or_default) } else { quote!(put) };
        quote!(#codec::#put(arguments, #name, #value)?;)
    });
    quote! {
        #cfgs
        #request::#variant { #(#fields),* } => {
            #(#puts)*
            #root::Result::Ok(())
        }
    }
}

/// Names for the values of a method's arguments that mean nothing outside generated code: an
/// argument's own name could be that of a constant.
pub(crate) fn locals(method: &Method) -> Vec<Ident> {
    (0..method.arguments.len())
        .map(|index| Ident::new(&format!("argument_{index}"), Span::mixed_site()))
        .collect()
}

fn codec(root: &TokenStream, ty: &Type) -> TokenStream {
    quote!(<#root::Codec<#ty>>)
}

/// Demands of each type what it must have to cross between nodes: the one place where a type that
/// lacks it is reported, at the type in the trait. Of `Vec<Note>` it is `Note` that lacks it.
fn verdicts(service: &Service) -> TokenStream {
    let root = root(service);
    // Those under no condition first: they need not be asked again under one.
    let (sometimes, always): (Vec<_>, Vec<_>) =
        service.methods.iter().partition(|method| method.attrs.is_conditional());
    let mut asked = HashSet::new();
    let mut all = TokenStream::new();
    for method in always.into_iter().chain(sometimes) {
        let cfgs = method.attrs.cfgs();
        for ty in types_of(method).flat_map(|ty| innermost(ty).into_iter().chain([ty])) {
            let text = type_text(ty);
            if !asked.contains(&text) {
                let verdict = verdict(&root, ty);
                all.extend(quote!(#cfgs { #verdict }));
            }
            if !method.attrs.is_conditional() {
                asked.insert(text);
            }
        }
        for argument in method.arguments.iter().filter(|argument| argument.has_default) {
            let ty = &argument.ty;
            let span = Span::mixed_site().located_at(ty.span());
            all.extend(quote_spanned!(span=> #cfgs #root::has_default::<#ty>();));
        }
    }
    quote! {
        #[allow(dead_code)]
        fn __verdicts() { #all }
    }
}

fn verdict(root: &TokenStream, ty: &Type) -> TokenStream {
    let span = Span::mixed_site().located_at(ty.span());
    let of = |ty: &Type| {
        quote_spanned! {span=>
            #root::Verdict::of(
                <#root::Codec<#ty>>::encodes(),
                <#root::Codec<#ty>>::decodes(),
                <#root::Codec<#ty>>::sends(),
            )
        }
    };
    let mut verdict = of(ty);
    for inner in
        innermost(ty).into_iter().filter(|inner| !is_plain(inner) && !std::ptr::eq(*inner, ty))
    {
        let inner = of(inner);
        verdict = quote_spanned!(span=> #verdict.after(&#inner));
    }
    quote_spanned!(span=> #verdict.crosses_between_nodes::<#ty>();)
}

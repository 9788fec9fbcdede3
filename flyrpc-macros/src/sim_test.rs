//! Expands `#[flyrpc_testkit::test]`: a test function that runs its body once for each seed.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use syn::{FnArg, ItemFn, parse_quote};

use crate::{
    attr::{TestOptions, test_options},
    errors::Errors,
};

/// Expands `#[flyrpc_testkit::test(arguments)] item`. Each error becomes a `compile_error!` invocation.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = error.to_compile_error();
            return quote!(#error #item);
        }
    };
    let mut errors = Errors::default();
    let options = test_options(arguments, &mut errors);
    check(&function, &mut errors);
    match errors.into_tokens() {
        Some(errors) => {
            // The function itself, so that rustc reports no further errors about missing or unused items.
            quote!(#errors #[allow(unused)] #item)
        }
        None => test(function, options),
    }
}

fn check(function: &ItemFn, errors: &mut Errors) {
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        errors.push(
            signature.fn_token,
            "a simulated test must be async",
            "write `async fn`, or use `#[test]` for a test without a cluster",
        );
    }
    if !signature.generics.params.is_empty() {
        errors.push(
            &signature.generics,
            "a test cannot be generic",
            "call a generic function from a test",
        );
    }
    if signature.inputs.len() > 1 || signature.receiver().is_some() {
        errors.push(
            &signature.inputs,
            "a simulated test takes no argument, or its seed",
            "write `async fn name()` or `async fn name(seed: u64)`",
        );
    }
    let is_test = |path: &syn::Path| path.segments.last().is_some_and(|last| last.ident == "test");
    for attribute in function.attrs.iter().filter(|attribute| is_test(attribute.path())) {
        errors.push(
            attribute,
            "the function is marked as a test twice",
            "remove this attribute: `#[flyrpc_testkit::test]` makes the function a test",
        );
    }
}

fn test(function: ItemFn, options: TestOptions) -> TokenStream {
    let ItemFn { attrs, vis, sig, block, .. } = function;
    let krate = options.crate_path.unwrap_or_else(|| parse_quote!(::flyrpc_testkit));
    let (name, inputs, output) = (&sig.ident, &sig.inputs, &sig.output);
    let seeds = options.seeds.map(|seeds| quote!(.seeds(#seeds)));
    let time_limit = options.time_limit.map(|limit| {
        let micros = limit.0;
        quote!(.time_limit(::core::time::Duration::from_micros(#micros)))
    });
    let check_determinism = options.check_determinism.then(|| quote!(.check_determinism()));
    let allow_escaped_tasks = options.allow_escaped_tasks.then(|| quote!(.allow_escaped_tasks()));
    let run = match inputs.first() {
        Some(FnArg::Typed(_)) => name.to_token_stream(),
        _ => quote!(|_| #name()),
    };
    quote! {
        #[::core::prelude::v1::test]
        #(#attrs)*
        #vis fn #name() {
            async fn #name(#inputs) #output #block

            #krate::Simulation::new()
                .name(::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name)))
                #seeds
                #time_limit
                #check_determinism
                #allow_escaped_tasks
                .run(#run);
        }
    }
}

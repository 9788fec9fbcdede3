//! Generates the client.

use proc_macro2::TokenStream;
use quote::quote;

use super::common::{root, sends};
use crate::{
    model::{Argument, Method, Service},
    names::{ServiceNames, generated},
};

/// Generates the impls of the client, with `calls` as its methods.
pub(super) fn implement(service: &Service, calls: &TokenStream) -> TokenStream {
    let standard_traits = standard_traits(service);
    let client = implement_client(service);
    let calls = implement_calls(service, calls);
    let items = [selectors(service), fallbacks(service), options(service)];
    let items = own_items(service, items.into_iter().flatten());
    let each = own_items(service, [each(service)]);
    let name = &service.names.client;
    let sends = sends(service);
    quote! {
        #standard_traits
        #client
        #calls

        impl #name {
            #items
        }

        impl #name
        where
            #sends
        {
            #each
        }
    }
}

/// An item of the client itself, and its name.
type OwnItem = (&'static str, TokenStream);

/// Returns the client's own items, except those whose name a method has.
fn own_items(service: &Service, items: impl IntoIterator<Item = OwnItem>) -> TokenStream {
    let items = items.into_iter().filter(|(name, _)| !service.taken.contains(name));
    items.map(|(_, item)| item).collect()
}

/// Generates the type of the client.
pub(super) fn the_type(service: &Service) -> TokenStream {
    let root = root(service);
    let ident = &service.ident;
    let vis = service.generated_vis();
    let ServiceNames { client, via, .. } = &service.names;
    let attrs = service.attrs.for_types();
    let doc = format!(
        "Calls the methods of `{ident}` on the node that the client's selector chooses.\n\nCreated \
         by `Node::client`, or by `from_stub` with flyrpc's `tarpc` feature. Selectors (`on_…`) \
         and options (`timeout`, `wait`, `metadata`) return a new client. Clients are cheap to clone. `each` \
         calls many nodes.\n\nEach \
         method returns a future of a `Result`: the return value of the trait's method, or an \
         error if the call failed. The future owns everything it needs and does nothing until it \
         is polled. Dropping it cancels the call."
    );
    quote! {
        #(#attrs)*
        #[doc = #doc]
        #vis struct #client<#via = #root::Routed> {
            via: #via,
        }
    }
}

fn standard_traits(service: &Service) -> TokenStream {
    let root = root(service);
    let ServiceNames { client, via, .. } = &service.names;
    let text = client.to_string();
    quote! {
        impl<#via: #root::Clone> #root::Clone for #client<#via> {
            fn clone(&self) -> Self {
                #client { via: #root::Clone::clone(&self.via) }
            }
        }

        impl<#via: #root::fmt::Debug> #root::fmt::Debug for #client<#via> {
            fn fmt(&self, f: &mut #root::fmt::Formatter<'_>) -> #root::fmt::Result {
                #root::debug_client(f, #text, &self.via)
            }
        }
    }
}

fn implement_client(service: &Service) -> TokenStream {
    let root = root(service);
    let (client, request) = (&service.names.client, &service.names.request);
    let sends = sends(service);
    quote! {
        impl #root::Client for #client
        where
            #sends
        {
            type Request = #request;

            fn from_routed(routed: #root::Routed) -> Self {
                #client { via: routed }
            }
        }
    }
}

fn implement_calls(service: &Service, calls: &TokenStream) -> TokenStream {
    let root = root(service);
    let ServiceNames { client, request, via, .. } = &service.names;
    let sends = sends(service);
    quote! {
        impl<#via: #root::Caller<#request>> #client<#via>
        where
            #sends
        {
            #calls
        }
    }
}

/// Generates the client's methods.
pub(super) fn calls(service: &Service) -> TokenStream {
    service.methods.iter().map(|method| call(service, method)).collect()
}

/// Generates the client's method for a method of the trait.
pub(crate) fn call(service: &Service, method: &Method) -> TokenStream {
    let root = root(service);
    let vis = service.generated_vis();
    let ServiceNames { request, response, via, .. } = &service.names;
    let Method { ident, variant, wire_name, returns, .. } = method;
    let service_name = &service.wire_name;
    let name = generated(ident);
    let attrs = method.attrs.for_client();
    let doc = (!method.attrs.has("doc")).then(|| {
        let doc = format!("Calls `{}::{ident}`.", service.ident);
        quote!(#[doc = #doc])
    });
    let parameters =
        method.arguments.iter().map(|Argument { ident, ty, .. }| quote!(, #ident: #ty));
    let fields = method.arguments.iter().map(|Argument { ident, .. }| ident);
    quote! {
        #doc
        #(#attrs)*
        #vis fn #name(&self #(#parameters)*)
            -> impl #root::Future<Output = #root::Result<#returns, #root::RpcError>>
            + 'static + use<#via>
        {
            #root::call(
                &self.via,
                #request::#variant { #(#fields),* },
                |response| match response {
                    #response::#variant(value) => #root::Result::Ok(value),
                    _ => #root::wrong_response(#service_name, #wire_name),
                },
            )
        }
    }
}

fn selectors(service: &Service) -> Vec<OwnItem> {
    let root = root(service);
    let vis = service.generated_vis();
    let client = &service.names.client;
    let wire_name = &service.wire_name;
    let name = quote! {
        /// The name of the service on the wire.
        #vis const NAME: &'static #root::str = #wire_name;
    };
    let on_region = quote! {
        /// Selects a node in `region`. If this node is in that region and serves the method, it
        /// serves the call in process. The name of a region is case-insensitive.
        #[must_use = "selectors return a new client"]
        #vis fn on_region(&self, region: impl #root::Into<#root::Region>) -> Self {
            #client { via: #root::Routed::on_region(&self.via, #root::Into::into(region)) }
        }
    };
    let on_primary = quote! {
        /// Selects a node in the primary region. The node must also be primary in its own view.
        #[must_use = "selectors return a new client"]
        #vis fn on_primary(&self) -> Self {
            #client { via: #root::Routed::on_primary(&self.via) }
        }
    };
    let on_node = quote! {
        /// Selects one boot of one node. A call never goes to another node or to a later boot.
        #[must_use = "selectors return a new client"]
        #vis fn on_node(&self, id: impl #root::Into<#root::NodeId>) -> Self {
            #client { via: #root::Routed::on_node(&self.via, #root::Into::into(id)) }
        }
    };
    let nearest = quote! {
        /// Selects this node if it serves the method, otherwise a node in the nearest region that
        /// does. A method that runs only on primary nodes is called in the primary region. This is
        /// the selection of a client on which no selector was called.
        #[must_use = "selectors return a new client"]
        #vis fn nearest(&self) -> Self {
            #client { via: #root::Routed::nearest(&self.via) }
        }
    };
    vec![
        ("NAME", name),
        ("on_region", on_region),
        ("on_primary", on_primary),
        ("on_node", on_node),
        ("nearest", nearest),
    ]
}

/// Generates the methods that append a target.
fn fallbacks(service: &Service) -> Vec<OwnItem> {
    let root = root(service);
    let vis = service.generated_vis();
    let client = &service.names.client;
    let or_region = quote! {
        /// Appends a region to the targets. If no node of the earlier targets can take the call, or an attempt
        /// there failed and the call may be retried, a node in `region` is tried, within the same timeout.
        /// Ignored by methods that run only on primary nodes.
        #[must_use = "selectors return a new client"]
        #vis fn or_region(&self, region: impl #root::Into<#root::Region>) -> Self {
            #client { via: #root::Routed::or_region(&self.via, #root::Into::into(region)) }
        }
    };
    let or_nearest = quote! {
        /// Appends the nearest node to the targets, as `or_region` appends a region.
        #[must_use = "selectors return a new client"]
        #vis fn or_nearest(&self) -> Self {
            #client { via: #root::Routed::or_nearest(&self.via) }
        }
    };
    let or_primary = quote! {
        /// Appends the primary region to the targets, as `or_region` appends a region.
        #[must_use = "selectors return a new client"]
        #vis fn or_primary(&self) -> Self {
            #client { via: #root::Routed::or_primary(&self.via) }
        }
    };
    vec![("or_region", or_region), ("or_nearest", or_nearest), ("or_primary", or_primary)]
}

fn options(service: &Service) -> Vec<OwnItem> {
    let root = root(service);
    let vis = service.generated_vis();
    let client = &service.names.client;
    let timeout = quote! {
        /// Sets the timeout of each call. The default is the method's timeout, or 5 s if the
        /// method has none. In a handler, a call is also limited to the remaining time of the call
        /// that the handler serves.
        #[must_use = "options return a new client"]
        #vis fn timeout(&self, timeout: #root::Duration) -> Self {
            #client { via: #root::Routed::timeout(&self.via, timeout) }
        }
    };
    let wait = quote! {
        /// Lets each call wait up to this long, within its timeout, for a node that can serve
        /// it, instead of failing at once.
        #[must_use = "options return a new client"]
        #vis fn wait(&self, wait: #root::Duration) -> Self {
            #client { via: #root::Routed::wait(&self.via, wait) }
        }
    };
    let metadata = quote! {
        /// Sends a name and a value with each call, which the handler reads with
        /// `flyrpc::context().metadata()`. A later value of a name replaces an earlier one. A call
        /// whose names and values have more than 1 KiB in all, or that has more than 128 names, fails with
        /// `RpcError::Encode`.
        #[must_use = "options return a new client"]
        #vis fn metadata(&self, name: &#root::str, value: &#root::str) -> Self {
            #client { via: #root::Routed::metadata(&self.via, name, value) }
        }
    };
    vec![("timeout", timeout), ("wait", wait), ("metadata", metadata)]
}

fn each(service: &Service) -> OwnItem {
    let root = root(service);
    let vis = service.generated_vis();
    let each = quote! {
        /// Makes a call on each of the `nodes`, and returns the stream of their replies. `call`
        /// receives a client that targets one of the nodes, in place of this client's target.
        #vis fn each<F, Fut, T>(&self, nodes: #root::Nodes, call: F) -> #root::Replies<T>
        where
            F: #root::FnMut(Self) -> Fut + #root::Send + 'static,
            Fut: #root::Future<Output = #root::Result<T, #root::RpcError>> + #root::Send + 'static,
            T: #root::Send + 'static,
        {
            #root::Routed::each(&self.via, nodes, call)
        }
    };
    ("each", each)
}

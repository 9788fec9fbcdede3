//! A service that passed every check: the input of expansion.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Attribute, Ident, Path, Token, Type, Visibility};

use crate::{
    ast,
    attr::MethodOptions,
    names::{ServiceNames, generated_span},
};

/// An annotated trait.
pub(crate) struct Service {
    /// The path of flyrpc.
    pub(crate) crate_path: Path,
    pub(crate) attrs: Attrs,
    pub(crate) vis: Visibility,
    pub(crate) ident: Ident,
    pub(crate) names: ServiceNames,
    pub(crate) wire_name: String,
    pub(crate) methods: Vec<Method>,
    /// The [reserved names](crate::names::RESERVED) that methods have nevertheless, if the trait has such errors.
    pub(crate) taken: Vec<&'static str>,
}

impl Service {
    /// Returns the visibility of the trait, for use on generated items.
    pub(crate) fn generated_vis(&self) -> Visibility {
        let mut vis = self.vis.clone();
        let token = match &mut vis {
            Visibility::Public(token) => token,
            Visibility::Restricted(restricted) => &mut restricted.pub_token,
            Visibility::Inherited => return vis,
        };
        token.span = generated_span(token.span);
        vis
    }
}

/// A method of the trait.
pub(crate) struct Method {
    pub(crate) attrs: Attrs,
    pub(crate) ident: Ident,
    /// The variant of the request and response enums.
    pub(crate) variant: Ident,
    pub(crate) wire_name: String,
    pub(crate) options: MethodOptions,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) returns: Type,
}

impl Method {
    /// Returns each argument with a variable for its value. The variable does not have the argument's name,
    /// because a constant may have that name, and a pattern would then match the constant instead of binding.
    pub(crate) fn bindings(&self) -> impl Iterator<Item = (&Argument, Ident)> {
        let variable = |index| Ident::new(&format!("argument_{index}"), Span::mixed_site());
        self.arguments.iter().zip((0..).map(variable))
    }

    /// Returns the types of the arguments, then the return type.
    pub(crate) fn types(&self) -> impl Iterator<Item = &Type> {
        self.arguments.iter().map(|argument| &argument.ty).chain([&self.returns])
    }
}

/// An argument of a method.
pub(crate) struct Argument {
    pub(crate) attrs: Attrs,
    pub(crate) ident: Ident,
    pub(crate) wire_name: String,
    pub(crate) ty: Type,
    pub(crate) has_default: bool,
}

/// The attributes that the user wrote on an item, except the macro's own `#[rpc(…)]`.
pub(crate) struct Attrs(Vec<Attribute>);

impl Attrs {
    pub(crate) fn new(attrs: &[Attribute]) -> Self {
        Attrs(attrs.iter().filter(|attr| !ast::is_rpc(attr)).cloned().collect())
    }

    /// Returns all attributes, for the item that the user wrote.
    pub(crate) fn all(&self) -> &[Attribute] {
        &self.0
    }

    /// Returns the `#[cfg]` attributes, which apply to everything generated from the item.
    pub(crate) fn cfgs(&self) -> TokenStream {
        self.named(&["cfg"]).map(ToTokens::to_token_stream).collect()
    }

    pub(crate) fn is_conditional(&self) -> bool {
        self.has("cfg")
    }

    /// Returns the attributes of a trait that also apply to its client and its serving type.
    pub(crate) fn for_types(&self) -> impl Iterator<Item = &Attribute> {
        self.named(&["cfg", "allow", "deprecated"])
    }

    /// Returns the attributes of a trait that also apply to every other generated item.
    pub(crate) fn for_items(&self) -> impl Iterator<Item = &Attribute> {
        self.named(&["cfg", "allow"])
    }

    /// Returns the attributes of a method that also apply to the client's method. `#[expect]` is
    /// not among them, because the lint might not occur at one of the two copies.
    ///
    /// rustdoc would test the examples in the documentation twice, so the copy is absent when it collects
    /// them.
    pub(crate) fn for_client(&self) -> impl Iterator<Item = TokenStream> {
        let attrs = self.named(&["cfg", "doc", "deprecated", "must_use", "allow"]);
        attrs.map(|attr| match &attr.meta {
            doc if doc.path().is_ident("doc") => quote!(#[cfg_attr(not(doctest), #doc)]),
            _ => attr.to_token_stream(),
        })
    }

    /// Returns whether the user allows, or expects, the use of deprecated items.
    pub(crate) fn allow_deprecated(&self) -> bool {
        self.named(&["allow", "expect"]).any(|attr| {
            let mut is_allowed = false;
            let read = attr.parse_nested_meta(|meta| {
                is_allowed |= meta.path.is_ident("deprecated");
                // A `reason` has a value.
                if meta.input.peek(Token![=]) {
                    meta.value()?.parse::<TokenTree>()?;
                }
                Ok(())
            });
            read.is_ok() && is_allowed
        })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|attr| attr.path().is_ident(name))
    }

    fn named(&self, names: &'static [&'static str]) -> impl Iterator<Item = &Attribute> {
        self.0.iter().filter(|attr| names.iter().any(|name| attr.path().is_ident(name)))
    }
}

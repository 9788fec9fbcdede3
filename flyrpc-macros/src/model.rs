//! A service that passed every check: what expansion works from.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Attribute, Ident, Path, Type, Visibility};

use crate::{attr, names::ServiceNames};

/// An annotated trait.
pub(crate) struct Service {
    /// Where flyrpc is.
    pub(crate) crate_path: Path,
    pub(crate) attrs: Attrs,
    pub(crate) vis: Visibility,
    pub(crate) ident: Ident,
    pub(crate) names: ServiceNames,
    pub(crate) wire_name: String,
    pub(crate) methods: Vec<Method>,
}

/// A method of it.
pub(crate) struct Method {
    pub(crate) attrs: Attrs,
    pub(crate) ident: Ident,
    /// The variant of the request and reply enums.
    pub(crate) variant: Ident,
    pub(crate) wire_name: String,
    pub(crate) options: attr::MethodOptions,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) returns: Type,
}

/// An argument of a method.
pub(crate) struct Argument {
    pub(crate) attrs: Attrs,
    pub(crate) ident: Ident,
    pub(crate) wire_name: String,
    pub(crate) ty: Type,
    pub(crate) has_default: bool,
}

/// The attributes that were written on something, without ours.
pub(crate) struct Attrs(Vec<Attribute>);

impl Attrs {
    pub(crate) fn new(attrs: &[Attribute]) -> Self {
        Attrs(attrs.iter().filter(|attr| !attr::is_rpc(attr)).cloned().collect())
    }

    /// All of them: for what the user wrote.
    pub(crate) fn all(&self) -> &[Attribute] {
        &self.0
    }

    /// The conditions, which everything that comes of the annotated thing has too.
    pub(crate) fn cfgs(&self) -> TokenStream {
        self.named(&["cfg"]).map(ToTokens::to_token_stream).collect()
    }

    pub(crate) fn is_conditional(&self) -> bool {
        self.has("cfg")
    }

    /// Those of a trait that its client and its server have too.
    pub(crate) fn for_types(&self) -> impl Iterator<Item = &Attribute> {
        self.named(&["cfg", "deprecated"])
    }

    /// Those of a method that the client's method has too. Not `expect`: of two copies one may not
    /// be fulfilled.
    pub(crate) fn for_client(&self) -> impl Iterator<Item = &Attribute> {
        self.named(&["cfg", "doc", "deprecated", "must_use", "allow"])
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|attr| attr.path().is_ident(name))
    }

    fn named(&self, names: &'static [&'static str]) -> impl Iterator<Item = &Attribute> {
        self.0.iter().filter(|attr| names.iter().any(|name| attr.path().is_ident(name)))
    }
}

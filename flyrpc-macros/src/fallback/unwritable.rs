//! Finds what Rust does not accept in a signature.

use syn::{
    Ident, Path, PathSegment, Type,
    visit::{self, Visit},
};

use crate::types::is_cow_without_lifetime;

/// The names that a trait declares.
pub(super) struct Declared {
    pub(super) service: Ident,
    /// The associated types.
    pub(super) types: Vec<Ident>,
}

/// Returns whether a type contains `_`, the trait, or an associated type that the trait does not declare.
pub(super) fn has_unwritable(ty: &Type, declared: &Declared) -> bool {
    struct Unwritable<'a> {
        declared: &'a Declared,
        found: bool,
    }

    impl Visit<'_> for Unwritable<'_> {
        fn visit_type_infer(&mut self, _: &syn::TypeInfer) {
            self.found = true;
        }

        fn visit_path(&mut self, path: &Path) {
            self.found |= path.is_ident(&self.declared.service);
            let mut segments = path.segments.iter();
            if segments.next().is_some_and(|first| first.ident == "Self") {
                self.found |=
                    segments.next().is_some_and(|name| !self.declared.types.contains(&name.ident));
            }
            visit::visit_path(self, path);
        }
    }

    let mut unwritable = Unwritable { declared, found: false };
    unwritable.visit_type(ty);
    unwritable.found
}

/// Returns whether a type can be the type of an argument of a function outside the trait, judged by its text.
pub(super) fn is_argument_type(ty: &Type) -> bool {
    struct Refused(bool);

    impl Visit<'_> for Refused {
        fn visit_type(&mut self, ty: &Type) {
            self.0 |= matches!(ty, Type::ImplTrait(_) | Type::Infer(_) | Type::Never(_));
            visit::visit_type(self, ty);
        }

        fn visit_lifetime(&mut self, lifetime: &syn::Lifetime) {
            self.0 |= lifetime.ident != "static" && lifetime.ident != "_";
        }

        // Its lifetimes are its own.
        fn visit_type_fn_ptr(&mut self, _: &syn::TypeFnPtr) {}

        fn visit_path(&mut self, path: &Path) {
            self.0 |= path.segments.first().is_some_and(|first| first.ident == "Self");
            visit::visit_path(self, path);
        }
    }

    let mut refused = Refused(false);
    refused.visit_type(ty);
    !refused.0
}

/// Returns whether a type contains a `Cow` without its lifetime, which would be the client's in a return type.
pub(super) fn has_hidden_lifetime(ty: &Type) -> bool {
    struct Hidden(bool);

    impl Visit<'_> for Hidden {
        fn visit_path_segment(&mut self, segment: &PathSegment) {
            self.0 |= is_cow_without_lifetime(segment);
            visit::visit_path_segment(self, segment);
        }
    }

    let mut hidden = Hidden(false);
    hidden.visit_type(ty);
    hidden.0
}

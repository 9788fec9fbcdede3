//! The rules for types: arguments and return values own their data, and their types are explicit.

use quote::ToTokens;
use syn::{
    Lifetime, Path, PathArguments, PathSegment, Type, TypeReference,
    visit::{self, Visit},
};

use crate::{ast, errors::Errors, names::type_text, types::is_cow_without_lifetime};

/// Checks a type and every type nested in it. `place` describes the position of the type in errors, for
/// example "the type of argument `text` of `upcase`".
pub(super) fn check_type(ty: &Type, place: &str, errors: &mut Errors) {
    let mut walk = Walk { place, errors };
    match ast::bare(ty) {
        Type::Slice(slice) => {
            let owned = format!("Vec<{}>", type_text(&slice.elem));
            walk.refuse(slice, "is unsized", format!("use `{owned}`"));
        }
        Type::Path(path) if path.path.is_ident("str") => {
            walk.refuse(path, "is unsized", "use `String`".to_owned());
        }
        ty => walk.visit_type(ty),
    }
}

/// Returns whether [`check_type`] accepts a type.
pub(crate) fn is_allowed(ty: &Type) -> bool {
    let mut errors = Errors::default();
    check_type(ty, "", &mut errors);
    errors.into_tokens().is_none()
}

struct Walk<'a> {
    place: &'a str,
    errors: &'a mut Errors,
}

impl Walk<'_> {
    fn refuse(&mut self, at: impl ToTokens, why: &str, fix: String) {
        let text = type_text(&at);
        let place = self.place;
        self.errors.push(at, format_args!("`{text}` is not allowed in {place}: it {why}"), fix);
    }

    fn refuse_reference(&mut self, reference: &TypeReference) {
        let owned = match ast::bare(&reference.elem) {
            Type::Path(path) if path.path.is_ident("str") => "String".to_owned(),
            Type::Slice(slice) => format!("Vec<{}>", type_text(&slice.elem)),
            Type::TraitObject(_) => "an enum or a struct".to_owned(),
            owned => type_text(owned),
        };
        let owned = if owned.contains(' ') && owned.starts_with("an ") {
            owned
        } else {
            format!("`{owned}`")
        };
        self.refuse(
            reference,
            "borrows, but values sent between nodes must be owned",
            format!("use {owned}"),
        );
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_type(&mut self, ty: &'ast Type) {
        match ty {
            Type::Reference(reference) => self.refuse_reference(reference),
            Type::ImplTrait(ty) => self.refuse(
                ty,
                "is not a concrete type",
                "use a type that implements `Serialize` and `Deserialize`".to_owned(),
            ),
            Type::TraitObject(ty) => self.refuse(
                ty,
                "is a trait object, which cannot be decoded",
                "use an enum or a struct".to_owned(),
            ),
            Type::Ptr(ty) => self.refuse(
                ty,
                "is an address, which is meaningless in another process",
                format!("use `{}`", type_text(&ty.elem)),
            ),
            Type::FnPtr(ty) => self.refuse(
                ty,
                "is an address, which is meaningless in another process",
                "send data that describes the action, such as an enum".to_owned(),
            ),
            Type::Never(ty) => {
                self.refuse(ty, "has no values", "omit the return type, or use `()`".to_owned())
            }
            Type::Infer(ty) => {
                self.refuse(ty, "is a placeholder", "write the type explicitly".to_owned())
            }
            ty => visit::visit_type(self, ty),
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        match path.segments.first() {
            Some(first) if first.ident == "Self" => self.refuse(
                path,
                "is the implementing type, which is unknown to callers",
                "use a concrete type".to_owned(),
            ),
            _ => visit::visit_path(self, path),
        }
    }

    fn visit_path_segment(&mut self, segment: &'ast PathSegment) {
        if is_cow_without_lifetime(segment) {
            let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return };
            let borrowed = type_text(&arguments.args);
            self.refuse(
                segment,
                "may borrow, but values sent between nodes must be owned",
                format!("use `Cow<'static, {borrowed}>`, or the owned type"),
            );
        } else {
            visit::visit_path_segment(self, segment);
        }
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident != "static" {
            self.refuse(
                lifetime,
                "is the lifetime of a borrow, but values sent between nodes must be owned",
                "use `'static` or a type that owns its data".to_owned(),
            );
        }
    }
}

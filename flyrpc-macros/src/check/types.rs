//! The rules for types: arguments and return values own their data, and their types are explicit.

use quote::ToTokens;
use syn::{
    Ident, Lifetime, Path, PathArguments, PathSegment, Type, TypeReference,
    visit::{self, Visit},
};

use super::scope::{Misused, Scope};
use crate::{
    ast,
    errors::Errors,
    names::type_text,
    types::{contents, is_cow_without_lifetime, is_long, is_rc, owned_form},
};

/// Checks a type and every type nested in it. `place` describes the position of the type in errors, for
/// example "the type of argument `text` of `upcase`".
pub(super) fn check_type(ty: &Type, place: &str, scope: &Scope<'_>, errors: &mut Errors) {
    let mut walk = Walk { place, scope, errors };
    walk.refuse_unreadable(ty);
    walk.visit_type(ast::bare(ty));
}

struct Walk<'a> {
    place: &'a str,
    scope: &'a Scope<'a>,
    errors: &'a mut Errors,
}

impl Walk<'_> {
    fn refuse(&mut self, at: impl ToTokens, why: &str, fix: String) {
        let text = type_text(&at);
        let place = self.place;
        self.errors.push(at, format_args!("`{text}` is not allowed in {place}: it {why}"), fix);
    }

    /// Refuses a type that is not a value that serde reads: an unsized type or a long array. It is an argument, a return
    /// value, or within a container: a generic type of the user may well accept it. Other names than `str` may be
    /// types of the user, such as `Path`.
    fn refuse_unreadable(&mut self, ty: &Type) {
        match ast::bare(ty) {
            Type::Slice(slice) => {
                let owned = format!("Vec<{}>", type_text(&slice.elem));
                self.refuse(slice, "is unsized", format!("use `{owned}`"));
            }
            Type::Path(path) if path.path.is_ident("str") => {
                self.refuse(path, "is unsized", "use `String`".to_owned());
            }
            Type::Array(array) if is_long(array) => self.refuse(
                array,
                "has more than 32 elements, for which serde has no implementation",
                format!("use `Vec<{}>`", type_text(&array.elem)),
            ),
            _ => {}
        }
    }

    fn refuse_reference(&mut self, reference: &TypeReference) {
        let fix = match ast::bare(&reference.elem) {
            Type::TraitObject(_) => "use an enum or a struct".to_owned(),
            Type::Slice(slice) if is_owned(&slice.elem) => {
                format!("use `Vec<{}>`", type_text(&slice.elem))
            }
            ty if is_owned(ty) => {
                let owned = owned_form(ty).map_or_else(|| type_text(ty), str::to_owned);
                format!("use `{owned}`")
            }
            _ => "use a type that owns its data".to_owned(),
        };
        self.refuse(reference, "borrows, but values sent between nodes must be owned", fix);
    }
}

/// Returns whether a type contains neither a reference, a lifetime, a trait object, a slice nor `Self`.
fn is_owned(ty: &Type) -> bool {
    struct Owned(bool);

    impl Visit<'_> for Owned {
        fn visit_type(&mut self, ty: &Type) {
            self.0 &= !matches!(ty, Type::Reference(_) | Type::TraitObject(_) | Type::Slice(_));
            visit::visit_type(self, ty);
        }

        fn visit_lifetime(&mut self, _: &Lifetime) {
            self.0 = false;
        }

        fn visit_ident(&mut self, name: &Ident) {
            self.0 &= name != "Self";
        }
    }

    let mut owned = Owned(true);
    owned.visit_type(ty);
    owned.0
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_type(&mut self, ty: &'ast Type) {
        match ty {
            Type::Reference(reference) => self.refuse_reference(reference),
            ty if is_rc(ty) => self.refuse(
                ty,
                "cannot be sent between threads",
                "use the type in it, or an `Arc`".to_owned(),
            ),
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
            ty => {
                contents(ty).into_iter().flatten().for_each(|inner| self.refuse_unreadable(inner));
                visit::visit_type(self, ty);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        match self.scope.misused(path) {
            None => visit::visit_path(self, path),
            Some(Misused::Associated) => {}
            Some(Misused::Implementation) => self.refuse(
                path,
                "is the implementing type, which is unknown to callers",
                "use a concrete type".to_owned(),
            ),
            Some(Misused::Trait) => self.refuse(
                path,
                "is this trait, not a type",
                "use the type of a value that can be sent, such as a struct".to_owned(),
            ),
            Some(Misused::Generated) => self.refuse(
                path,
                "has the name of a type that `#[fly_rpc]` generates",
                "rename your type".to_owned(),
            ),
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

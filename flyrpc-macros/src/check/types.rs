//! Which types can be arguments and return types: those that own what they hold and are written out.

use quote::ToTokens;
use syn::{
    GenericArgument, Lifetime, Path, PathArguments, PathSegment, Type, TypeReference,
    visit::{self, Visit},
};

use crate::{ast, errors::Errors, names::type_text};

/// Checks a type and all types in it. `place` says where it stands: "argument `text` of `upcase`".
pub(super) fn check_type(ty: &Type, place: &str, errors: &mut Errors) {
    let mut walk = Walk { place, errors };
    match ast::bare(ty) {
        Type::Slice(slice) => {
            let owned = format!("Vec<{}>", type_text(&slice.elem));
            walk.refuse(slice, "has no known size", format!("use `{owned}`"));
        }
        Type::Path(path) if path.path.is_ident("str") => {
            walk.refuse(path, "has no known size", "use `String`".to_owned());
        }
        ty => walk.visit_type(ty),
    }
}

/// Whether a type is one that [`check_type`] finds nothing wrong with.
pub(crate) fn can_cross(ty: &Type) -> bool {
    let mut errors = Errors::default();
    check_type(ty, "", &mut errors);
    errors.into_tokens().is_none()
}

/// Whether a type is one of those that everybody knows to cross between nodes. What has a shadowed
/// name is only reported less well.
pub(crate) fn is_plain(ty: &Type) -> bool {
    const PLAIN: [&str; 19] = [
        "String",
        "bool",
        "char",
        "u8",
        "u16",
        "u32",
        "u64",
        "u128",
        "usize",
        "i8",
        "i16",
        "i32",
        "i64",
        "i128",
        "isize",
        "f32",
        "f64",
        "Duration",
        "SystemTime",
    ];
    match contents(ty) {
        Some(contents) => contents.into_iter().all(is_plain),
        None => single_segment(ty).is_some_and(|segment| {
            segment.arguments.is_none() && PLAIN.iter().any(|plain| segment.ident == plain)
        }),
    }
}

/// The types in a container that crosses between nodes if they do, as far as its name tells.
fn contents(ty: &Type) -> Option<Vec<&Type>> {
    const CONTAINERS: [&str; 8] =
        ["Option", "Vec", "Box", "Result", "HashMap", "BTreeMap", "HashSet", "BTreeSet"];
    if let Type::Tuple(tuple) = ast::bare(ty) {
        return (tuple.elems.len() <= 16).then(|| tuple.elems.iter().collect());
    }
    let segment = single_segment(ty)?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    let types = arguments.args.iter().map(|argument| match argument {
        GenericArgument::Type(ty @ Type::Slice(_)) => Err(ty),
        GenericArgument::Type(ty) if single_segment(ty).is_none_or(|name| name.ident != "str") => {
            Ok(ty)
        }
        _ => Err(ty),
    });
    let is_container = CONTAINERS.iter().any(|container| segment.ident == container);
    types.collect::<Result<_, _>>().ok().filter(|_| is_container)
}

/// The types in a type that are no containers, itself if it is none.
pub(crate) fn innermost(ty: &Type) -> Vec<&Type> {
    match contents(ty) {
        Some(contents) => contents.into_iter().flat_map(innermost).collect(),
        None => vec![ty],
    }
}

fn single_segment(ty: &Type) -> Option<&PathSegment> {
    match ast::bare(ty) {
        Type::Path(path) if path.qself.is_none() && path.path.segments.len() == 1 => {
            path.path.segments.first()
        }
        _ => None,
    }
}

struct Walk<'a> {
    place: &'a str,
    errors: &'a mut Errors,
}

impl Walk<'_> {
    fn refuse(&mut self, at: impl ToTokens, why: &str, fix: String) {
        let text = type_text(&at);
        let place = self.place;
        self.errors.push(at, format_args!("`{text}` cannot be {place}: it {why}"), fix);
    }

    fn refuse_reference(&mut self, reference: &TypeReference) {
        let owned = match ast::bare(&reference.elem) {
            Type::Path(path) if path.path.is_ident("str") => "String".to_owned(),
            Type::Slice(slice) => format!("Vec<{}>", type_text(&slice.elem)),
            Type::TraitObject(_) => "an enum or struct of your own".to_owned(),
            owned => type_text(owned),
        };
        let owned = if owned.contains(' ') && owned.starts_with("an ") {
            owned
        } else {
            format!("`{owned}`")
        };
        self.refuse(
            reference,
            "borrows, and what crosses between nodes is owned",
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
                "is not one type",
                "name a type that is `Serialize` and `Deserialize`".to_owned(),
            ),
            Type::TraitObject(ty) => self.refuse(
                ty,
                "is a trait object, which cannot be decoded",
                "use an enum or struct of your own".to_owned(),
            ),
            Type::Ptr(ty) => self.refuse(
                ty,
                "is an address, which means nothing in another process",
                format!("use `{}`", type_text(&ty.elem)),
            ),
            Type::FnPtr(ty) => self.refuse(
                ty,
                "is an address, which means nothing in another process",
                "send data that says what to do: an enum, for instance".to_owned(),
            ),
            Type::Never(ty) => self.refuse(
                ty,
                "has no values",
                "leave out the return type, or use `()`".to_owned(),
            ),
            Type::Infer(ty) => self.refuse(ty, "is not written out", "write the type".to_owned()),
            ty => visit::visit_type(self, ty),
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        match path.segments.first() {
            Some(first) if first.ident == "Self" => self.refuse(
                path,
                "stands for the implementing type, which callers do not know",
                "name a type".to_owned(),
            ),
            _ => visit::visit_path(self, path),
        }
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident != "static" {
            self.refuse(
                lifetime,
                "is the lifetime of a borrow, and what crosses between nodes is owned",
                "use `'static` or a type that owns what it holds".to_owned(),
            );
        }
    }
}

//! Properties of types, judged by their names.

use syn::{
    AssocType, Expr, ExprLit, GenericArgument, Lit, PathArguments, PathSegment, Type, TypeArray,
    TypePath, visit::Visit,
};

use crate::ast;

/// Returns whether a type consists of standard types that can be sent between nodes, judged by their names.
/// If a user's type shadows one of these names and cannot be sent, its own requirement still reports it.
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
        Some(contents) => !is_result_alias(ty) && !is_arc(ty) && contents.into_iter().all(is_plain),
        None => standard_segment(ty).is_some_and(|segment| {
            segment.arguments.is_none() && PLAIN.iter().any(|plain| segment.ident == plain)
        }),
    }
}

/// Returns the contents of a standard container, judged by its name, or `None` for another type. The
/// container can be sent between nodes if its contents can.
pub(crate) fn contents(ty: &Type) -> Option<Vec<&Type>> {
    const CONTAINERS: [&str; 11] = [
        "Arc",
        "Option",
        "Vec",
        "VecDeque",
        "LinkedList",
        "Box",
        "Result",
        "HashMap",
        "BTreeMap",
        "HashSet",
        "BTreeSet",
    ];
    match ast::bare(ty) {
        Type::Tuple(tuple) => {
            return (tuple.elems.len() <= 16).then(|| tuple.elems.iter().collect());
        }
        Type::Array(array) => return is_short(array).then(|| vec![&*array.elem]),
        _ => {}
    }
    if is_result_alias(ty) {
        return type_arguments(last_segment(ty)?);
    }
    let segment = standard_segment(ty)?;
    if !CONTAINERS.iter().any(|container| segment.ident == container) {
        return None;
    }
    let types = type_arguments(segment)?;
    let is_set = segment.ident.to_string().ends_with("Set");
    let most = if is_set { 1 } else { 2 };
    // A further type, such as the hasher of a map, is not sent.
    if types.len() > most {
        return None;
    }
    // Other types in a pointer may be unsized, such as `Path`. They implement the traits only in the pointer.
    let is_sized = |ty: &&Type| is_plain(ty) || contents(ty).is_some();
    let is_pointer = segment.ident == "Box" || segment.ident == "Arc";
    (!is_pointer || types.iter().all(is_sized)).then_some(types)
}

/// Returns whether serde's traits are implemented for an array of this length, if the type contains the number.
fn is_short(array: &TypeArray) -> bool {
    array_length(array).is_some_and(|length| length <= 32)
}

/// Returns whether serde's traits are not implemented for an array of this length, if the type contains the number.
pub(crate) fn is_long(array: &TypeArray) -> bool {
    array_length(array).is_some_and(|length| length > 32)
}

fn array_length(array: &TypeArray) -> Option<u64> {
    let Expr::Lit(ExprLit { lit: Lit::Int(length), .. }) = &array.len else { return None };
    length.base10_parse().ok()
}

/// Returns the types inside containers at any depth, or the type itself if it is not a container. Two containers are
/// returned after their contents: an alias of `Result`, because it contains another type, which it does not name, and an
/// `Arc`, because serde's feature `rc` decides whether it can be sent.
pub(crate) fn innermost(ty: &Type) -> Vec<&Type> {
    let Some(contents) = contents(ty) else { return vec![ty] };
    let container = (is_result_alias(ty) || is_arc(ty)).then_some(ty);
    contents.into_iter().flat_map(innermost).chain(container).collect()
}

/// Returns whether a type is a `Result` without its error type, such as `anyhow::Result<T>`, judged by its
/// name.
pub(crate) fn is_result_alias(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|segment| {
        segment.ident == "Result" && type_arguments(segment).is_some_and(|types| types.len() == 1)
    })
}

/// Returns whether a type may be a `Result`, judged by its name. An alias may have any name.
pub(crate) fn may_be_result(ty: &Type) -> bool {
    let is_named = last_segment(ty).is_some_and(|segment| segment.ident == "Result");
    is_named || !is_plain(ty)
}

/// Returns whether a type is unsized, as far as its text shows it.
pub(crate) fn is_evidently_unsized(ty: &Type) -> bool {
    match ast::bare(ty) {
        Type::Slice(_) | Type::TraitObject(_) => true,
        Type::Path(path) if path.path.is_ident("str") => true,
        ty => contents(ty).is_some_and(|contents| contents.into_iter().any(is_evidently_unsized)),
    }
}

/// The names of types that may be futures. The last type argument of those after the first is the output.
const FUTURES: [&str; 3] = ["Pin", "BoxFuture", "LocalBoxFuture"];

/// Returns whether a type may be a future, such as `Pin<Box<dyn Future>>`, judged by its name.
pub(crate) fn may_be_future(ty: &Type) -> bool {
    let is_future = |segment: &PathSegment| FUTURES.iter().any(|future| segment.ident == future);
    matches!(ty, Type::ImplTrait(_)) || last_segment(ty).is_some_and(is_future)
}

/// Returns the output of a future, if the type contains it: `T` in `Pin<Box<dyn Future<Output = T>>>` or in
/// `BoxFuture<'_, T>`.
pub(crate) fn future_output(ty: &Type) -> Option<&Type> {
    struct Output<'a>(Option<&'a Type>);

    impl<'a> Visit<'a> for Output<'a> {
        fn visit_assoc_type(&mut self, assigned: &'a AssocType) {
            if assigned.ident == "Output" {
                self.0.get_or_insert(&assigned.ty);
            }
        }
    }

    let boxed =
        last_segment(ty).filter(|segment| FUTURES[1..].iter().any(|of| segment.ident == of));
    if let Some(PathArguments::AngleBracketed(arguments)) = boxed.map(|segment| &segment.arguments)
        && let Some(GenericArgument::Type(output)) = arguments.args.last()
    {
        return Some(output);
    }
    let mut output = Output(None);
    output.visit_type(ty);
    output.0
}

/// Returns whether a type is an `Arc`, judged by its name.
pub(crate) fn is_arc(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|segment| segment.ident == "Arc")
}

/// Returns whether a type is an `Rc` with a type, judged by its name.
pub(crate) fn is_rc(ty: &Type) -> bool {
    standard_segment(ty).is_some_and(|segment| {
        segment.ident == "Rc" && type_arguments(segment).is_some_and(|types| types.len() == 1)
    })
}

/// Returns the owned form of a standard unsized type, judged by its name.
pub(crate) fn owned_form(ty: &Type) -> Option<&'static str> {
    const OWNED: [(&str, &str); 4] =
        [("str", "String"), ("Path", "PathBuf"), ("CStr", "CString"), ("OsStr", "OsString")];
    let segment = last_segment(ty).filter(|segment| segment.arguments.is_none())?;
    OWNED
        .into_iter()
        .find(|(unsized_type, _)| segment.ident == unsized_type)
        .map(|(_, owned)| owned)
}

/// Returns the type in a `Box`, judged by its name, or the type itself if it is not a `Box`.
pub(crate) fn unboxed(ty: &Type) -> &Type {
    let contents =
        last_segment(ty).filter(|segment| segment.ident == "Box").and_then(type_arguments);
    match contents.as_deref() {
        Some([contents]) => unboxed(contents),
        _ => ty,
    }
}

/// Returns whether a type is a `Cow` of a standard unsized type without its lifetime, judged by its name.
pub(crate) fn is_cow_without_lifetime(segment: &PathSegment) -> bool {
    if segment.ident != "Cow" {
        return false;
    }
    match type_arguments(segment).as_deref() {
        Some([ty]) => matches!(ast::bare(ty), Type::Slice(_)) || owned_form(ty).is_some(),
        _ => false,
    }
}

/// Returns the generic arguments of a path's segment, if there are any and all are types.
fn type_arguments(segment: &PathSegment) -> Option<Vec<&Type>> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    let types = arguments.args.iter().map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.collect()
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ast::bare(ty) {
        Type::Path(path) if path.qself.is_none() => path.path.segments.last(),
        _ => None,
    }
}

/// Returns the last segment of a path that consists of one segment or begins with the name of a standard crate, or of a
/// module that is usually imported.
fn standard_segment(ty: &Type) -> Option<&PathSegment> {
    const CRATES: [&str; 5] = ["std", "core", "alloc", "collections", "rc"];
    let Type::Path(TypePath { qself: None, path, .. }) = ast::bare(ty) else { return None };
    let first = path.segments.first()?;
    let is_standard = path.segments.len() == 1 || CRATES.iter().any(|name| first.ident == name);
    path.segments.last().filter(|_| is_standard)
}

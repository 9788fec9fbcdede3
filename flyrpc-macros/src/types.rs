//! Properties of types, judged by their names.

use syn::{GenericArgument, PathArguments, PathSegment, Type};

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
        Some(contents) => !is_result_alias(ty) && contents.into_iter().all(is_plain),
        None => single_segment(ty).is_some_and(|segment| {
            segment.arguments.is_none() && PLAIN.iter().any(|plain| segment.ident == plain)
        }),
    }
}

/// Returns the contents of a standard container, judged by its name, or `None` for another type. The
/// container can be sent between nodes if its contents can.
fn contents(ty: &Type) -> Option<Vec<&Type>> {
    const CONTAINERS: [&str; 8] =
        ["Option", "Vec", "Box", "Result", "HashMap", "BTreeMap", "HashSet", "BTreeSet"];
    if let Type::Tuple(tuple) = ast::bare(ty) {
        return (tuple.elems.len() <= 16).then(|| tuple.elems.iter().collect());
    }
    if is_result_alias(ty) {
        return type_arguments(last_segment(ty)?);
    }
    let segment = single_segment(ty)?;
    if !CONTAINERS.iter().any(|container| segment.ident == container) {
        return None;
    }
    let types = type_arguments(segment)?;
    // Other types in a `Box` may be unsized, such as `Path`. They implement the traits only in the `Box`.
    let is_sized = |ty: &&Type| is_plain(ty) || contents(ty).is_some();
    (segment.ident != "Box" || types.iter().all(is_sized)).then_some(types)
}

/// Returns the types inside containers at any depth, or the type itself if it is not a container. An alias
/// of `Result` is returned after its contents, because it contains another type, which it does not name.
pub(crate) fn innermost(ty: &Type) -> Vec<&Type> {
    let Some(contents) = contents(ty) else { return vec![ty] };
    let alias = is_result_alias(ty).then_some(ty);
    contents.into_iter().flat_map(innermost).chain(alias).collect()
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

/// Returns whether a type is an `Arc` or an `Rc`, judged by its name.
pub(crate) fn is_shared_pointer(ty: &Type) -> bool {
    last_segment(ty).is_some_and(|segment| segment.ident == "Arc" || segment.ident == "Rc")
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
    const UNSIZED: [&str; 4] = ["str", "Path", "CStr", "OsStr"];
    if segment.ident != "Cow" {
        return false;
    }
    match type_arguments(segment).as_deref() {
        Some([Type::Slice(_)]) => true,
        Some([ty]) => last_segment(ty).is_some_and(|segment| {
            UNSIZED.iter().any(|unsized_type| segment.ident == unsized_type)
        }),
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

fn single_segment(ty: &Type) -> Option<&PathSegment> {
    match ast::bare(ty) {
        Type::Path(path) if path.qself.is_none() && path.path.segments.len() == 1 => {
            path.path.segments.first()
        }
        _ => None,
    }
}

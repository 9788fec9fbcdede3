//! Properties of types, judged by their names.

use syn::{GenericArgument, PathArguments, PathSegment, Type};

use crate::ast;

/// Returns whether a type consists of standard types that can be sent between nodes, judged by their names.
/// If a user's type shadows one of these names and cannot be sent, serde's derive still reports it.
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

/// Returns the contents of a standard container, judged by its name, or `None` for another type. The
/// container can be sent between nodes if its contents can.
fn contents(ty: &Type) -> Option<Vec<&Type>> {
    const CONTAINERS: [&str; 8] =
        ["Option", "Vec", "Box", "Result", "HashMap", "BTreeMap", "HashSet", "BTreeSet"];
    if let Type::Tuple(tuple) = ast::bare(ty) {
        return (tuple.elems.len() <= 16).then(|| tuple.elems.iter().collect());
    }
    let segment = single_segment(ty)?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    if !CONTAINERS.iter().any(|container| segment.ident == container) {
        return None;
    }
    let sized = |ty: &Type| {
        !matches!(ty, Type::Slice(_)) && single_segment(ty).is_none_or(|name| name.ident != "str")
    };
    let types = arguments.args.iter().map(|argument| match argument {
        GenericArgument::Type(ty) if sized(ty) => Some(ty),
        _ => None,
    });
    types.collect()
}

/// Returns the types inside containers at any depth, or the type itself if it is not a container.
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

//! The variants of the request and response enums.

use std::collections::HashMap;

use proc_macro2::Ident;
use syn::ext::IdentExt as _;

use super::items::generated;

/// Returns the variant of each method: the method's name in upper camel case, as in tarpc. If that is not an
/// identifier, or is also another method's variant, the method falls back to its own name.
pub(crate) fn variants(methods: &[&Ident]) -> Vec<Ident> {
    let mut variants: Vec<String> =
        methods.iter().map(|method| camel(method).unwrap_or_else(|| method.to_string())).collect();
    // A method that falls back may collide with the variant of another method, which then also
    // falls back. Each round makes at least one method fall back permanently, so the loop
    // terminates.
    loop {
        let clashing = clashing(methods, &variants);
        if clashing.is_empty() {
            break;
        }
        for index in clashing {
            variants[index] = methods[index].to_string();
        }
    }
    let ident = |(method, variant): (&&Ident, String)| {
        // `Ident::new` panics for what is not an identifier, such as a name with an emoji, which rustc reports.
        let is_own = **method == variant;
        generated(&if is_own { (*method).clone() } else { Ident::new(&variant, method.span()) })
    };
    methods.iter().zip(variants).map(ident).collect()
}

/// Returns the indices of the methods that share a variant with another method and can still fall back to
/// their own names.
fn clashing(methods: &[&Ident], variants: &[String]) -> Vec<usize> {
    let mut owners: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, variant) in variants.iter().enumerate() {
        owners.entry(variant).or_default().push(index);
    }
    let is_shared = |index: &usize| {
        owners[variants[*index].as_str()].iter().any(|other| methods[*other] != methods[*index])
    };
    let can_fall_back = |index: &usize| *methods[*index] != variants[*index];
    (0..methods.len()).filter(is_shared).filter(can_fall_back).collect()
}

fn camel(method: &Ident) -> Option<String> {
    let mut camel = String::new();
    for word in method.unraw().to_string().split('_').filter(|word| !word.is_empty()) {
        let mut letters = word.chars();
        camel.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        camel.extend(letters.flat_map(char::to_lowercase));
    }
    syn::parse_str::<Ident>(&camel).is_ok().then_some(camel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_unique_and_camel_case_where_possible() {
        let check = |methods: &[&str], expected: &[&str]| {
            let methods: Vec<Ident> =
                methods.iter().map(|name| syn::parse_str(name).expect("an identifier")).collect();
            let variants = variants(&methods.iter().collect::<Vec<_>>());
            let variants: Vec<String> = variants.iter().map(Ident::to_string).collect();
            assert_eq!(variants, expected);
        };
        check(&["upcase", "foo_bar", "r#type"], &["Upcase", "FooBar", "Type"]);
        check(&["foo_bar", "foo__bar", "other"], &["foo_bar", "foo__bar", "Other"]);
        check(&["foobar", "fooBar"], &["foobar", "fooBar"]);
        check(&["__", "_1", "self_", "r#match"], &["__", "_1", "self_", "Match"]);
        // `a_b` and `a__b` fall back; the camel case of `AB` is `Ab`.
        check(&["a_b", "a__b", "AB"], &["a_b", "a__b", "Ab"]);
        // `Ab` has no other name to fall back to, so `ab` falls back.
        check(&["Ab", "ab"], &["Ab", "ab"]);
        // A chain: the last two fall back first, and their names do not collide with `Xy`.
        check(&["XY", "X_y", "x_Y"], &["Xy", "X_y", "x_Y"]);
        // One name under two conditions has one variant.
        check(&["now", "now"], &["Now", "Now"]);
    }
}

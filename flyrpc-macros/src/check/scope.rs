//! The names in a trait that types must not use.

use syn::{
    Ident, ItemTrait, Path, TraitItem, Type,
    visit::{self, Visit},
};

use crate::names::ServiceNames;

/// The names in a trait that types must not use.
pub(super) struct Scope<'a> {
    service: &'a Ident,
    generated: [Ident; 4],
    associated_types: Vec<&'a Ident>,
}

/// What is wrong with a path in a type.
pub(super) enum Misused {
    /// It names the trait.
    Trait,
    /// It names a type that is generated from the trait. Most likely, a type of the user has the same name.
    Generated,
    /// It names the implementing type, or an item of it.
    Implementation,
    /// It names an associated type of the trait. The declaration of this type is an error that covers its uses.
    Associated,
}

impl<'a> Scope<'a> {
    pub(super) fn of(service: &'a ItemTrait) -> Self {
        let associated_types = service.items.iter().filter_map(|item| match item {
            TraitItem::Type(item) => Some(&item.ident),
            _ => None,
        });
        let generated = ServiceNames::types(&service.ident);
        let associated_types = associated_types.collect();
        Scope { service: &service.ident, generated, associated_types }
    }

    /// Returns whether a type contains an associated type of the trait.
    pub(super) fn has_associated(&self, ty: &Type) -> bool {
        struct Find<'a>(&'a Scope<'a>, bool);

        impl Visit<'_> for Find<'_> {
            fn visit_path(&mut self, path: &Path) {
                self.1 |= matches!(self.0.misused(path), Some(Misused::Associated));
                visit::visit_path(self, path);
            }
        }

        let mut find = Find(self, false);
        find.visit_type(ty);
        find.1
    }

    /// Returns what is wrong with a path in a type, judged by its text.
    pub(super) fn misused(&self, path: &Path) -> Option<Misused> {
        let mut segments = path.segments.iter().map(|segment| &segment.ident);
        let (first, second) = (segments.next()?, segments.next());
        if first == "Self" {
            let is_associated = second.is_some_and(|name| self.associated_types.contains(&name));
            return Some(if is_associated { Misused::Associated } else { Misused::Implementation });
        }
        match second {
            None if first == self.service => Some(Misused::Trait),
            None if self.generated.contains(first) => Some(Misused::Generated),
            _ => None,
        }
    }
}

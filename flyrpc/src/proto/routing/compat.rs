//! The compatibility of a node's version of a service with the caller's. The comparison uses the names of
//! methods and arguments and whether arguments are optional, but not their types.

use std::any::TypeId;

use crate::{
    error::Unsupported,
    proto::wire::ids::MethodIndex,
    types::{Argument, ArgumentSpec, MethodSpec, ServiceSpec, Signature},
};

/// How each method of a caller's trait matches the services of one node, in the order of the trait.
pub(crate) type Compats = [Compat];

/// How one method of a caller's trait matches the services of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Compat {
    /// The node can be called.
    Callable {
        /// Identifies the method on links to that node.
        method: MethodIndex,
        /// Optional arguments of the caller that the node does not list. A call must omit them.
        missing_args: Box<[&'static str]>,
    },
    /// The node cannot be called.
    Incompatible(Unsupported),
}

/// A service's trait as a caller in this program declares it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallerTrait {
    /// Identifies the trait within this program, which may have several versions of one service.
    pub(crate) id: TypeId,
    /// The service's name on the wire.
    pub(crate) service: &'static str,
    /// Lists the methods. It is a function, because the list is built only for a comparison.
    pub(crate) signatures: fn() -> Vec<Signature>,
}

impl CallerTrait {
    /// Compares all methods with the services of a node.
    pub(crate) fn compare(&self, served: &[ServiceSpec]) -> Box<Compats> {
        let signatures = (self.signatures)().into_iter();
        let Some(at) = served.iter().position(|served| served.name == self.service) else {
            return signatures.map(|_| Compat::Incompatible(Unsupported::Service)).collect();
        };
        // Method indices count across all services of a node.
        let first = served[..at].iter().map(|served| served.methods.len() as u64).sum();
        signatures.map(|ours| compare_method(ours, &served[at].methods, first)).collect()
    }

    /// Describes the methods that cannot be called on a node that serves another version of the
    /// trait. Returns an empty list if the node does not serve the service.
    pub(crate) fn incompatibilities(&self, compats: &Compats) -> Vec<String> {
        let describe = |(method, compat): (Signature, &Compat)| match compat {
            Compat::Incompatible(Unsupported::Service) | Compat::Callable { .. } => None,
            Compat::Incompatible(why) => Some(format!("{}: {why}", method.name)),
        };
        (self.signatures)().into_iter().zip(compats).filter_map(describe).collect()
    }
}

/// Compares one method. `first` is the index of the first of `methods` on links to the node.
fn compare_method(ours: Signature, methods: &[MethodSpec], first: u64) -> Compat {
    let Some(at) = methods.iter().position(|method| method.name == ours.name) else {
        return Compat::Incompatible(Unsupported::Method);
    };
    let (ours, theirs) = (ours.arguments, &methods[at].arguments);
    let is_missing_here = |argument: &&ArgumentSpec| {
        !argument.optional && !ours.iter().any(|our| our.name == argument.name)
    };
    if let Some(ArgumentSpec { name, ty, .. }) = theirs.iter().find(is_missing_here) {
        let detail = format!("it needs `{name}: {ty}`, which this caller does not have");
        return Compat::Incompatible(Unsupported::Arguments(detail));
    }
    let is_missing_there = |our: &&Argument| !theirs.iter().any(|their| their.name == our.name);
    let missing: Vec<&Argument> = ours.iter().filter(is_missing_there).collect();
    if let Some(argument) = missing.iter().find(|argument| !(argument.optional)()) {
        let detail = format!("it does not take `{}: {}`", argument.name, argument.ty);
        return Compat::Incompatible(Unsupported::Arguments(detail));
    }
    Compat::Callable {
        method: MethodIndex(first + at as u64),
        missing_args: missing.iter().map(|argument| argument.name).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, arguments: &[(&str, bool)]) -> MethodSpec {
        MethodSpec {
            name: name.to_owned(),
            arguments: arguments
                .iter()
                .map(|&(name, optional)| ArgumentSpec {
                    name: name.to_owned(),
                    ty: "u8".to_owned(),
                    optional,
                })
                .collect(),
            returns: "()".to_owned(),
            primary: false,
            idempotent: false,
            detached: false,
        }
    }

    const OURS: &[Argument] = &[
        Argument { name: "id", ty: "u8", optional: || false },
        Argument { name: "dry_run", ty: "Option<bool>", optional: || true },
    ];

    fn save() -> Signature {
        Signature { name: "save", arguments: OURS }
    }

    fn callable(method: u64, missing_args: &[&'static str]) -> Compat {
        Compat::Callable { method: MethodIndex(method), missing_args: missing_args.into() }
    }

    #[track_caller]
    fn check(theirs: &[(&str, bool)], expected: Compat) {
        let methods = [spec("other", &[]), spec("save", theirs)];
        assert_eq!(compare_method(save(), &methods, 10), expected);
    }

    fn arguments(detail: &str) -> Compat {
        Compat::Incompatible(Unsupported::Arguments(detail.to_owned()))
    }

    #[test]
    fn a_method_is_found_by_its_name_at_any_position() {
        check(&[("dry_run", true), ("id", false)], callable(11, &[]));
        assert_eq!(
            compare_method(save(), &[spec("load", &[])], 0),
            Compat::Incompatible(Unsupported::Method)
        );
    }

    #[test]
    fn an_optional_argument_may_be_missing_on_either_side() {
        check(&[("id", false)], callable(11, &["dry_run"]));
        check(&[("id", false), ("dry_run", true), ("new", true)], callable(11, &[]));
    }

    #[test]
    fn a_required_argument_may_not_be_missing_on_either_side() {
        check(&[("dry_run", true)], arguments("it does not take `id: u8`"));
        check(
            &[("id", false), ("new", false)],
            arguments("it needs `new: u8`, which this caller does not have"),
        );
    }
}

//! Whether a node's version of a service fits the caller's, as far as names tell.

use crate::{
    error::Unsupported,
    proto::wire::ids::MethodIndex,
    types::{Argument, ArgumentSpec, MethodSpec, ServiceSpec, Signature},
};

/// How each method of a caller's trait fits one node, in the order of the trait.
pub(crate) type Compats = [Compat];

/// How one method fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Compat {
    /// It can be called.
    Yes {
        /// Its number on links to that node.
        number: MethodIndex,
        /// Arguments of the caller that the node does not list: they must be none.
        unlisted: Box<[&'static str]>,
    },
    /// It cannot.
    No(Unsupported),
}

impl Compat {
    /// Compares all methods of a caller's trait with what a node serves.
    pub(crate) fn all(
        service: &str,
        methods: impl Iterator<Item = Signature>,
        served: &[ServiceSpec],
    ) -> Box<Compats> {
        let before = served.iter().take_while(|served| served.name != service);
        let first = before.map(|served| served.methods.len() as u64).sum();
        let service = served.iter().find(|served| served.name == service);
        let fit = |method: Signature| match service {
            Some(service) => fit_method(method.name, method.arguments, &service.methods, first),
            None => Compat::No(Unsupported::Service),
        };
        methods.map(fit).collect()
    }

    /// Which methods of a trait cannot be called on a node that serves another version of it, and why
    /// not. None if it does not serve it at all.
    pub(crate) fn unfit(
        methods: impl Iterator<Item = Signature>,
        fits: &Compats,
    ) -> impl Iterator<Item = String> {
        methods.zip(fits).filter_map(|(method, fit)| match fit {
            Compat::No(Unsupported::Service) | Compat::Yes { .. } => None,
            Compat::No(why) => Some(format!("{}: {why}", method.name)),
        })
    }
}

fn fit_method(name: &str, ours: &[Argument], methods: &[MethodSpec], first: u64) -> Compat {
    let Some(place) = methods.iter().position(|method| method.name == name) else {
        return Compat::No(Unsupported::Method);
    };
    let theirs = &methods[place].arguments;
    let lacks = |argument: &&ArgumentSpec| {
        !argument.optional && !ours.iter().any(|our| our.name == argument.name)
    };
    if let Some(ArgumentSpec { name, ty, .. }) = theirs.iter().find(lacks) {
        let detail = format!("it needs `{name}: {ty}`, which this caller does not have");
        return Compat::No(Unsupported::Arguments(detail));
    }
    let unlisted = ours.iter().filter(|our| !theirs.iter().any(|their| their.name == our.name));
    let unlisted: Vec<&Argument> = unlisted.collect();
    if let Some(argument) = unlisted.iter().find(|argument| !(argument.optional)()) {
        let detail = format!("it does not take `{}: {}`", argument.name, argument.ty);
        return Compat::No(Unsupported::Arguments(detail));
    }
    Compat::Yes {
        number: MethodIndex(first + place as u64),
        unlisted: unlisted.iter().map(|argument| argument.name).collect(),
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

    #[track_caller]
    fn check(theirs: &[(&str, bool)], expected: Compat) {
        let methods = [spec("other", &[]), spec("save", theirs)];
        assert_eq!(fit_method("save", OURS, &methods, 10), expected);
    }

    fn arguments(detail: &str) -> Compat {
        Compat::No(Unsupported::Arguments(detail.to_owned()))
    }

    #[test]
    fn a_method_is_found_by_its_name_wherever_it_stands() {
        check(
            &[("dry_run", true), ("id", false)],
            Compat::Yes { number: MethodIndex(11), unlisted: [].into() },
        );
        assert_eq!(
            fit_method("gone", OURS, &[spec("save", &[])], 0),
            Compat::No(Unsupported::Method)
        );
    }

    #[test]
    fn an_optional_argument_may_be_missing_on_either_side() {
        check(
            &[("id", false)],
            Compat::Yes { number: MethodIndex(11), unlisted: ["dry_run"].into() },
        );
        check(
            &[("id", false), ("dry_run", true), ("new", true)],
            Compat::Yes { number: MethodIndex(11), unlisted: [].into() },
        );
    }

    #[test]
    fn any_other_argument_may_not() {
        check(&[("dry_run", true)], arguments("it does not take `id: u8`"));
        check(
            &[("id", false), ("new", false)],
            arguments("it needs `new: u8`, which this caller does not have"),
        );
    }
}

//! Whether a node's version of a service fits the caller's, as far as names tell.

use crate::{
    ArgumentSpec, MethodSpec, ServiceSpec, Unsupported,
    service::{Argument, Method, Request},
};

/// How each method of a caller's trait fits one node, in the order of the trait.
pub(crate) type Fits = [Fit];

/// How one method fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It can be called.
    Yes {
        /// Its number on links to that node.
        number: u64,
        /// Arguments of the caller that the node does not list: they must be none.
        unlisted: Box<[&'static str]>,
    },
    /// It cannot.
    No(Unsupported),
}

impl Fit {
    /// Compares all methods of a caller's trait with what a node serves.
    pub(crate) fn all<R: Request>(served: &[ServiceSpec]) -> Box<Fits> {
        let before = served.iter().take_while(|service| service.name != R::SERVICE);
        let first = before.map(|service| service.methods.len() as u64).sum();
        let service = served.iter().find(|service| service.name == R::SERVICE);
        let fit = |method: &Method<R>| match service {
            Some(service) => fit_method(method.name, method.arguments, &service.methods, first),
            None => Fit::No(Unsupported::Service),
        };
        R::methods().iter().map(fit).collect()
    }

    /// Which methods of a trait cannot be called on a node that serves another version of it, and why
    /// not. None if it does not serve it at all.
    pub(crate) fn unfit<R: Request>(fits: &Fits) -> impl Iterator<Item = String> {
        R::methods().iter().zip(fits).filter_map(|(method, fit)| match fit {
            Fit::No(Unsupported::Service) | Fit::Yes { .. } => None,
            Fit::No(why) => Some(format!("{}: {why}", method.name)),
        })
    }
}

fn fit_method(name: &str, ours: &[Argument], methods: &[MethodSpec], first: u64) -> Fit {
    let Some(place) = methods.iter().position(|method| method.name == name) else {
        return Fit::No(Unsupported::Method);
    };
    let theirs = &methods[place].arguments;
    let lacks = |argument: &&ArgumentSpec| {
        !argument.optional && !ours.iter().any(|our| our.name == argument.name)
    };
    if let Some(ArgumentSpec { name, ty, .. }) = theirs.iter().find(lacks) {
        let detail = format!("it needs `{name}: {ty}`, which this caller does not have");
        return Fit::No(Unsupported::Arguments(detail));
    }
    let unlisted = ours.iter().filter(|our| !theirs.iter().any(|their| their.name == our.name));
    let unlisted: Vec<&Argument> = unlisted.collect();
    if let Some(argument) = unlisted.iter().find(|argument| !(argument.optional)()) {
        let detail = format!("it does not take `{}: {}`", argument.name, argument.ty);
        return Fit::No(Unsupported::Arguments(detail));
    }
    Fit::Yes {
        number: first + place as u64,
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
    fn check(theirs: &[(&str, bool)], expected: Fit) {
        let methods = [spec("other", &[]), spec("save", theirs)];
        assert_eq!(fit_method("save", OURS, &methods, 10), expected);
    }

    fn arguments(detail: &str) -> Fit {
        Fit::No(Unsupported::Arguments(detail.to_owned()))
    }

    #[test]
    fn a_method_is_found_by_its_name_wherever_it_stands() {
        check(&[("dry_run", true), ("id", false)], Fit::Yes { number: 11, unlisted: [].into() });
        assert_eq!(fit_method("gone", OURS, &[spec("save", &[])], 0), Fit::No(Unsupported::Method));
    }

    #[test]
    fn an_optional_argument_may_be_missing_on_either_side() {
        check(&[("id", false)], Fit::Yes { number: 11, unlisted: ["dry_run"].into() });
        check(
            &[("id", false), ("dry_run", true), ("new", true)],
            Fit::Yes { number: 11, unlisted: [].into() },
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

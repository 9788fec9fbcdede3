//! Limits on the services that a node announces in its hello.

use crate::{codec, types::ServiceSpec};

/// Upper bound on the services that a node announces, and on the services that it withdraws.
pub(super) const MAX_SERVICES: usize = 1024;

/// Upper bound on the methods that a node announces, over all of its services.
const MAX_METHODS: usize = 8192;

/// Upper bound on the arguments of methods that a node announces, over all of its services.
const MAX_ARGUMENTS: usize = 65_536;

/// Upper bound on the encoded services that a node announces, in bytes. Together with the other fields,
/// a hello remains smaller than the largest frame.
const MAX_ENCODED_SERVICES: usize = (1 << 20) - (64 << 10);

/// Checks whether a node may announce these services. Peers keep a copy of them for each link.
///
/// # Errors
///
/// Returns the limit that the services exceed.
pub(crate) fn check_services(services: &[ServiceSpec]) -> Result<(), ServicesLimit> {
    let methods = || services.iter().flat_map(|service| &service.methods);
    let arguments = methods().map(|method| method.arguments.len()).sum();
    check("services", services.len(), MAX_SERVICES)?;
    check("methods", methods().count(), MAX_METHODS)?;
    check("arguments", arguments, MAX_ARGUMENTS)
}

/// Checks whether the encoded form of these services fits in a hello.
///
/// # Errors
///
/// Returns the limit that the services exceed.
pub(crate) fn check_own_services(services: &[ServiceSpec]) -> Result<(), ServicesLimit> {
    check_services(services)?;
    check("bytes of encoded descriptions", encoded_len(services), MAX_ENCODED_SERVICES)
}

fn check(what: &'static str, count: usize, limit: usize) -> Result<(), ServicesLimit> {
    if count > limit { Err(ServicesLimit { what, count, limit }) } else { Ok(()) }
}

/// A limit on services that a node exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServicesLimit {
    pub(crate) what: &'static str,
    pub(crate) count: usize,
    pub(crate) limit: usize,
}

fn encoded_len(services: &[ServiceSpec]) -> usize {
    let mut encoded = Vec::new();
    codec::encode(&services, &mut encoded).expect("descriptions of services always encode");
    encoded.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ArgumentSpec, MethodSpec};

    fn services(count: usize, methods: usize, arguments: usize) -> Vec<ServiceSpec> {
        let argument = ArgumentSpec { name: "text".into(), ty: "String".into(), optional: false };
        let method = MethodSpec {
            name: "upcase".to_owned(),
            arguments: vec![argument; arguments],
            returns: "String".to_owned(),
            primary: false,
            idempotent: false,
            detached: false,
        };
        vec![ServiceSpec { name: "Strings".to_owned(), methods: vec![method; methods] }; count]
    }

    #[test]
    fn services_methods_and_arguments_are_bounded() {
        for (count, methods, arguments, ok) in [
            (MAX_SERVICES, 1, 1, true),
            (MAX_SERVICES + 1, 1, 1, false),
            (2, MAX_METHODS / 2, 0, true),
            (2, MAX_METHODS / 2 + 1, 0, false),
            (1, 2, MAX_ARGUMENTS / 2, true),
            (1, 2, MAX_ARGUMENTS / 2 + 1, false),
        ] {
            assert_eq!(check_services(&services(count, methods, arguments)).is_ok(), ok);
        }
    }

    #[test]
    fn the_services_of_a_node_must_fit_a_hello() {
        let limit = check_own_services(&services(1, MAX_METHODS, 2)).unwrap_err();
        let expected = ("bytes of encoded descriptions", MAX_ENCODED_SERVICES);
        assert_eq!((limit.what, limit.limit), expected);
        assert!(check_own_services(&services(10, 100, 2)).is_ok());
    }
}

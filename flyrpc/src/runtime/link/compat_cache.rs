//! How the services of one peer match the traits that this process calls.

use std::{any::TypeId, sync::OnceLock};

use crate::{
    proto::routing::{CallerTrait, Compats},
    types::{NodeInfo, ServiceSpec},
};

/// The result of comparing each trait with the peer's services, computed once per trait.
#[derive(Debug)]
pub(super) struct CompatCache {
    /// A list, to which traits are only added, so that it is read without a lock. Few programs call more
    /// than a few traits on one peer.
    first: OnceLock<Box<Compared>>,
    /// The span of the node's log lines. The caller's task has another span, or none.
    span: tracing::Span,
}

/// The result for one trait.
#[derive(Debug)]
struct Compared {
    id: TypeId,
    compats: Box<Compats>,
    next: OnceLock<Box<Compared>>,
}

impl CompatCache {
    /// Creates an empty cache that logs in the current span.
    pub(super) fn new() -> Self {
        CompatCache { first: OnceLock::new(), span: tracing::Span::current() }
    }

    /// Returns how the methods of a caller's trait match the services of `peer`.
    pub(super) fn get(
        &self,
        caller: &CallerTrait,
        peer: &NodeInfo,
        services: &[ServiceSpec],
    ) -> &Compats {
        let mut place = &self.first;
        loop {
            let compared = match place.get() {
                Some(compared) => compared,
                // Another thread may add another trait in this place first.
                None => place.get_or_init(|| self.compare(caller, peer, services)),
            };
            if compared.id == caller.id {
                return &compared.compats;
            }
            place = &compared.next;
        }
    }

    #[cold]
    fn compare(
        &self,
        caller: &CallerTrait,
        peer: &NodeInfo,
        services: &[ServiceSpec],
    ) -> Box<Compared> {
        let compats = caller.compare(services);
        let incompatible = caller.incompatibilities(&compats);
        if !incompatible.is_empty() {
            let (node, service) = (peer, caller.service);
            self.span.in_scope(|| {
                tracing::info!(%node, service, ?incompatible, "node serves another version of a service");
            });
        }
        Box::new(Compared { id: caller.id, compats, next: OnceLock::new() })
    }
}

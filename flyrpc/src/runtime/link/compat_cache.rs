//! How the services of peers match the traits that this process calls, and the medians of their methods.

use std::{
    any::TypeId,
    sync::{Arc, OnceLock},
};

use super::medians::Medians;
use crate::{
    proto::{
        routing::{CallerTrait, Compat, Compats, Median},
        wire::ids::MethodIndex,
    },
    service::ServiceKind,
    types::{NodeInfo, ServiceSpec},
};

/// The result of comparing each trait with a list of services, computed once per trait. The links of a region to nodes
/// with equal lists share it, so that it stays in the processor's cache. It logs incompatibilities once, with the first
/// node.
#[derive(Debug)]
pub(super) struct CompatCache {
    services: Arc<[ServiceSpec]>,
    /// A list, to which traits are only added, so that it is read without a lock. Few programs call more
    /// than a few traits on one peer.
    first: OnceLock<Box<Compared>>,
    /// The median latency in the region of each method in the list that a compared trait calls. Empty until a trait is
    /// compared.
    medians: OnceLock<Box<[OnceLock<Arc<Median>>]>>,
    region_medians: Arc<Medians>,
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
    /// Creates an empty cache for peers in the region of these medians. It logs in the current span.
    pub(super) fn new(services: Arc<[ServiceSpec]>, region_medians: Arc<Medians>) -> Self {
        let (first, medians) = (OnceLock::new(), OnceLock::new());
        CompatCache { services, first, medians, region_medians, span: tracing::Span::current() }
    }

    /// The services with which traits are compared.
    pub(super) fn services(&self) -> &Arc<[ServiceSpec]> {
        &self.services
    }

    /// Returns the median latency of a method of a peer in its region. `None` for methods of the internal service,
    /// which take different times for each node.
    #[inline(always)]
    pub(super) fn median(&self, method: MethodIndex) -> Option<&Median> {
        let median = self.medians.get()?.get(method.0 as usize)?.get()?;
        Some(median)
    }

    /// Returns how the methods of a caller's trait match the services. `peer` serves them, and is named in the log.
    pub(super) fn get(&self, caller: &CallerTrait, peer: &NodeInfo) -> &Compats {
        let mut place = &self.first;
        loop {
            let compared = match place.get() {
                Some(compared) => compared,
                // Another thread may add another trait in this place first.
                None => place.get_or_init(|| self.compare(caller, peer)),
            };
            if compared.id == caller.id {
                return &compared.compats;
            }
            place = &compared.next;
        }
    }

    #[cold]
    fn compare(&self, caller: &CallerTrait, peer: &NodeInfo) -> Box<Compared> {
        let compats = caller.compare(&self.services);
        let incompatible = caller.incompatibilities(&compats);
        if !incompatible.is_empty() {
            let (node, service) = (peer, caller.service);
            self.span.in_scope(|| {
                tracing::info!(%node, service, ?incompatible, "node serves another version of a service");
            });
        }
        if ServiceKind::of(caller.service) == ServiceKind::User {
            self.resolve_medians(caller, &compats);
        }
        Box::new(Compared { id: caller.id, compats, next: OnceLock::new() })
    }

    fn resolve_medians(&self, caller: &CallerTrait, compats: &Compats) {
        let count = self.services.iter().map(|service| service.methods.len()).sum();
        let empty = || (0..count).map(|_| OnceLock::new()).collect();
        let medians = self.medians.get_or_init(empty);
        for (signature, compat) in (caller.signatures)().into_iter().zip(compats) {
            let Compat::Callable { method, .. } = compat else { continue };
            if let Some(median) = medians.get(method.0 as usize) {
                median.get_or_init(|| self.region_medians.get(caller.service, signature.name));
            }
        }
    }
}

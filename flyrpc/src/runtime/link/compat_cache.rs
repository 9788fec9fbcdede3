//! How the services of one peer match the traits that this process calls, and the medians of their methods.

use std::{
    any::TypeId,
    sync::{Arc, OnceLock},
};

use super::region_calls::RegionCalls;
use crate::{
    proto::{
        routing::{CallerTrait, Compat, Compats, Median},
        wire::ids::MethodIndex,
    },
    service::ServiceKind,
    types::{NodeInfo, ServiceSpec},
};

/// The result of comparing each trait with the peer's services, computed once per trait.
#[derive(Debug)]
pub(super) struct CompatCache {
    /// A list, to which traits are only added, so that it is read without a lock. Few programs call more
    /// than a few traits on one peer.
    first: OnceLock<Box<Compared>>,
    /// The median latency in the peer's region of each method of the peer that a compared trait calls. Empty until
    /// a trait is compared.
    medians: OnceLock<Box<[OnceLock<Arc<Median>>]>>,
    region: Arc<RegionCalls>,
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
    /// Creates an empty cache for a peer in this region. It logs in the current span.
    pub(super) fn new(region: Arc<RegionCalls>) -> Self {
        let (first, medians) = (OnceLock::new(), OnceLock::new());
        CompatCache { first, medians, region, span: tracing::Span::current() }
    }

    /// Returns the median latency of a method of the peer in its region. `None` for methods of the internal service,
    /// which take different times for each node.
    #[inline(always)]
    pub(super) fn median(&self, method: MethodIndex) -> Option<&Median> {
        let median = self.medians.get()?.get(method.0 as usize)?.get()?;
        Some(median)
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
        if ServiceKind::of(caller.service) == ServiceKind::User {
            self.resolve_medians(caller, &compats, services);
        }
        Box::new(Compared { id: caller.id, compats, next: OnceLock::new() })
    }

    fn resolve_medians(&self, caller: &CallerTrait, compats: &Compats, services: &[ServiceSpec]) {
        let count = services.iter().map(|service| service.methods.len()).sum();
        let empty = || (0..count).map(|_| OnceLock::new()).collect();
        let medians = self.medians.get_or_init(empty);
        for (signature, compat) in (caller.signatures)().into_iter().zip(compats) {
            let Compat::Callable { method, .. } = compat else { continue };
            if let Some(median) = medians.get(method.0 as usize) {
                median.get_or_init(|| self.region.median(caller.service, signature.name));
            }
        }
    }
}

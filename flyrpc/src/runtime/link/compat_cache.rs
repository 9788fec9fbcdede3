//! How the services of one peer match the traits that this process calls.

use std::{any::TypeId, sync::Arc};

use arc_swap::ArcSwap;

use crate::{
    proto::routing::{CallerTrait, Compats},
    types::{NodeInfo, ServiceSpec},
};

/// The result of comparing each trait with the peer's services, computed once per trait.
#[derive(Debug)]
pub(super) struct CompatCache {
    by_trait: ArcSwap<Vec<(TypeId, Arc<Compats>)>>,
    /// The span of the node's log lines. The caller's task has another span, or none.
    span: tracing::Span,
}

impl CompatCache {
    /// Creates an empty cache that logs in the current span.
    pub(super) fn new() -> Self {
        CompatCache { by_trait: ArcSwap::default(), span: tracing::Span::current() }
    }

    /// Returns how the methods of a caller's trait match the services of `peer`.
    pub(super) fn get(
        &self,
        caller: &CallerTrait,
        peer: &NodeInfo,
        services: &[ServiceSpec],
    ) -> Arc<Compats> {
        if let Some((_, compats)) = self.by_trait.load().iter().find(|(id, _)| *id == caller.id) {
            return Arc::clone(compats);
        }
        self.compare(caller, peer, services)
    }

    #[cold]
    fn compare(
        &self,
        caller: &CallerTrait,
        peer: &NodeInfo,
        services: &[ServiceSpec],
    ) -> Arc<Compats> {
        let new: Arc<Compats> = caller.compare(services).into();
        let before = self.by_trait.rcu(|known| {
            let mut known = Vec::clone(known);
            known.push((caller.id, Arc::clone(&new)));
            known
        });
        let incompatible = caller.incompatibilities(&new);
        if !incompatible.is_empty() && before.iter().all(|(id, _)| *id != caller.id) {
            let (node, service) = (peer, caller.service);
            self.span.in_scope(|| {
                tracing::info!(%node, service, ?incompatible, "node serves another version of a service");
            });
        }
        new
    }
}

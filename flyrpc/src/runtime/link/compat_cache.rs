//! How the services of one peer fit the traits that this process calls.

use std::{any::TypeId, sync::Arc};

use arc_swap::ArcSwap;

use crate::{
    proto::routing::{Compat, Compats},
    service::{Request, signatures},
    types::{NodeInfo, ServiceSpec},
};

/// The comparison of each trait with the peer's services, made once.
#[derive(Debug, Default)]
pub(super) struct CompatCache {
    by_trait: ArcSwap<Vec<(TypeId, Arc<Compats>)>>,
}

impl CompatCache {
    /// How the methods of the trait behind `R` fit what `peer` serves.
    pub(super) fn get<R: Request>(
        &self,
        peer: &NodeInfo,
        services: &[ServiceSpec],
    ) -> Arc<Compats> {
        let id = TypeId::of::<R>();
        if let Some((_, compats)) = self.by_trait.load().iter().find(|(of, _)| *of == id) {
            return Arc::clone(compats);
        }
        self.compare::<R>(id, peer, services)
    }

    #[cold]
    fn compare<R: Request>(
        &self,
        id: TypeId,
        peer: &NodeInfo,
        services: &[ServiceSpec],
    ) -> Arc<Compats> {
        let new: Arc<Compats> = Compat::all(R::SERVICE, signatures::<R>(), services).into();
        let before = self.by_trait.rcu(|known| {
            let mut known = Vec::clone(known);
            known.push((id, Arc::clone(&new)));
            known
        });
        let incompatible: Vec<String> = Compat::unfit(signatures::<R>(), &new).collect();
        if !incompatible.is_empty() && before.iter().all(|(of, _)| *of != id) {
            let (node, service) = (peer, R::SERVICE);
            tracing::info!(%node, service, ?incompatible, "node serves another version of a service");
        }
        new
    }
}

//! What a node serves, and what it accepts of it.

use std::{
    any::Any,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;

use super::{
    admission::{Admission, InFlightGuard, Limits, Permit},
    registry::{Registry, ServedMethod},
};
use crate::{
    env::Env,
    error::StartError,
    proto::wire::{frame::RequestHead, hello::State, status::Status},
    service::{Service, ServiceKind},
    types::{NodeInfo, ServiceSpec},
};

/// The serving side of a node.
pub(crate) struct Server {
    pub(super) env: Arc<dyn Env>,
    me: NodeInfo,
    registry: Registry,
    admission: Admission,
    state: ArcSwap<State>,
    /// Held while `state` is replaced.
    changing: Mutex<()>,
}

impl Server {
    /// A server of `services`, the first of which is the internal one and always accepted.
    ///
    /// # Errors
    ///
    /// If two have one name.
    pub(crate) fn new(
        env: Arc<dyn Env>,
        me: NodeInfo,
        services: Vec<Arc<dyn Service>>,
        state: State,
        limits: Limits,
    ) -> Result<Self, StartError> {
        Ok(Server {
            env,
            me,
            registry: Registry::new(services, limits.inline_after)?,
            admission: Admission::new(limits),
            state: ArcSwap::from_pointee(state),
            changing: Mutex::default(),
        })
    }

    /// What is announced to peers of the services.
    pub(crate) fn specs(&self) -> &Arc<[ServiceSpec]> {
        self.registry.specs()
    }

    /// What is accepted at present.
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Changes what is accepted, at once.
    pub(crate) fn change_state(&self, change: impl FnOnce(&mut State)) {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = State::clone(&self.state.load());
        change(&mut state);
        self.state.store(Arc::new(state));
    }

    /// Keeps the server from being idle while it is held, for a call that nobody waits for.
    pub(crate) fn in_flight_guard(&self) -> InFlightGuard {
        self.admission.enter()
    }

    /// Waits until no call of another node executes. Dropping the future changes nothing.
    pub(crate) async fn idle(&self) {
        self.admission.idle().await;
    }

    /// The service called `name`, its spec, and its local handler.
    pub(crate) fn service(
        &self,
        name: &str,
    ) -> Option<(&Arc<dyn Service>, &ServiceSpec, &(dyn Any + Send + Sync))> {
        self.registry.find(name)
    }

    /// Decides whether a request may start at all; `others` is how many requests of its link are not
    /// finished.
    pub(super) fn admit(
        &self,
        head: &RequestHead,
        size: u64,
        others: usize,
    ) -> Result<Permit, Status> {
        let method = self.registry.method(head.method).ok_or(Status::NoMethod)?;
        self.accepts(method, head.primary)?;
        self.admission.admit(method, size, others)
    }

    fn accepts(&self, method: &ServedMethod, targets_primary: bool) -> Result<(), Status> {
        if method.kind() == ServiceKind::Internal {
            return Ok(());
        }
        let state = self.state.load();
        if state.draining {
            return Err(Status::Draining);
        }
        let name = self.registry.service_name(method);
        if !state.accepting || state.withdrawn.iter().any(|withdrawn| withdrawn == name) {
            return Err(Status::Held);
        }
        let primary = state.primary_region == *self.me.region();
        if (targets_primary || method.primary) && !primary {
            return Err(Status::NotPrimary { theirs: state.primary_region.clone() });
        }
        Ok(())
    }
}

//! The services of a node, and which requests it currently accepts.

use std::{
    any::Any,
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::{
    admission::{Capacity, InFlightGuard, Limits, PeerLoad, Permit},
    authorize::{Admission, Authorizer},
    method_limit::MethodPermit,
    refusals::Refusals,
    registry::{Registry, ServedMethod},
    serve_report::ServeReporter,
    watch::{Recorded, Watch},
    workers::Workers,
};
use crate::{
    env::Env,
    error::StartError,
    proto::wire::{
        frame::RequestHead, ids::MethodIndex, request_fields::RequestFields, state::State,
        status::Status,
    },
    runtime::{context::Host, link::Admitted},
    service::{Service, ServiceKind},
    telemetry::Observers,
    types::{HandlerStats, NodeInfo, ServiceSpec},
};

/// Every service accepts requests.
const ALL_ACCEPT: u8 = 1;
/// The region of this node is the primary.
const IS_PRIMARY: u8 = 2;

/// The serving side of a node.
pub(crate) struct Server {
    pub(super) env: Arc<dyn Env>,
    /// For the contexts of handlers.
    host: Arc<Host>,
    me: NodeInfo,
    registry: Registry,
    watch: Watch,
    pub(super) refusals: Refusals,
    authorizer: Option<Authorizer>,
    capacity: Capacity,
    /// The tasks of requests that run in their own tasks.
    pub(super) workers: Arc<Workers<Alone>>,
    state: ArcSwap<State>,
    /// What `state` means for most requests, as a set of the flags above.
    summary: AtomicU8,
    /// Locked while `state` is replaced.
    changing: Mutex<()>,
}

/// What a server holds and has done, as in [`Stats`](crate::Stats).
pub(crate) struct ServerStats {
    pub(crate) in_flight: u64,
    pub(crate) body_bytes: u64,
    pub(crate) held: u64,
    pub(crate) refusals: BTreeMap<&'static str, u64>,
    pub(crate) handlers: Vec<HandlerStats>,
}

/// A request that runs in its own task.
pub(super) struct Alone {
    pub(super) server: Arc<Server>,
    pub(super) admitted: Admitted<Permit>,
    pub(super) deadline: Instant,
    /// The number of cancellations on the link before the request started.
    pub(super) cancellations: u32,
}

impl Server {
    /// Creates a server for `services`. The first must be the internal service, whose requests are
    /// always accepted.
    ///
    /// # Errors
    ///
    /// Returns an error if two services have the same name.
    pub(crate) fn new(
        env: Arc<dyn Env>,
        me: NodeInfo,
        services: Vec<Arc<dyn Service>>,
        state: State,
        limits: Limits,
        authorizer: Option<Authorizer>,
        observers: Option<&Arc<Observers>>,
    ) -> Result<Self, StartError> {
        let summary = AtomicU8::new(summary(&state, &me));
        let registry = Registry::new(services, limits.inline_after, observers, &me)?;
        Ok(Server {
            host: Host::new(Arc::clone(&env)),
            env,
            me,
            registry,
            watch: Watch::default(),
            refusals: Refusals::default(),
            authorizer,
            capacity: Capacity::new(limits, observers.cloned()),
            workers: Arc::default(),
            state: ArcSwap::from_pointee(state),
            summary,
            changing: Mutex::default(),
        })
    }

    /// Returns what the contexts of this node's handlers refer to.
    pub(crate) fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Returns the services as they are announced to peers.
    pub(crate) fn specs(&self) -> &Arc<[ServiceSpec]> {
        self.registry.specs()
    }

    /// Returns which requests are currently accepted.
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Changes which requests are accepted. Takes effect immediately.
    pub(crate) fn change_state(&self, change: impl FnOnce(&mut State)) {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = State::clone(&self.state.load());
        change(&mut state);
        let summary = summary(&state, &self.me);
        self.state.store(Arc::new(state));
        self.summary.store(summary, Ordering::Release);
    }

    /// Returns the number of calls from other nodes in progress.
    pub(crate) fn in_flight(&self) -> u64 {
        self.capacity.in_flight() as u64
    }

    /// Describes what the server holds and has done.
    pub(crate) fn stats(&self) -> ServerStats {
        let handler = |method: &Arc<ServedMethod>| {
            let (calls, time) = method.time.read();
            let service = self.registry.service_name(method).to_owned();
            HandlerStats {
                service,
                method: self.registry.method_name(method).to_owned(),
                calls,
                time,
            }
        };
        ServerStats {
            in_flight: self.in_flight(),
            body_bytes: self.capacity.body_bytes(),
            held: self.capacity.held(),
            refusals: self.refusals.read(),
            handlers: self.registry.user_methods().map(handler).collect(),
        }
    }

    /// Returns the bytes of bodies that the node holds for a peer.
    pub(crate) fn body_bytes_of(&self, peer: &NodeInfo) -> u64 {
        self.peer_load(peer).body_bytes()
    }

    /// Keeps the server from being idle until the guard is dropped, for a detached call.
    pub(crate) fn in_flight_guard(&self) -> InFlightGuard {
        self.capacity.enter()
    }

    /// Waits until no call from another node and no detached call is in progress. Dropping the
    /// future has no effect.
    pub(crate) async fn idle(&self) {
        self.capacity.idle().await;
    }

    /// Whether calls are recorded for an operator, including local ones.
    #[inline]
    pub(crate) fn is_recording(&self) -> bool {
        self.watch.is_on()
    }

    /// Returns the calls that were recorded, and records for another minute.
    pub(crate) fn recorded(&self) -> Recorded {
        self.watch.recorded(&self.registry, self.env.now())
    }

    /// Stops recording if no operator has asked for a minute. Otherwise, returns after what time to call this again.
    pub(crate) fn stop_recording(&self) -> Option<Duration> {
        self.watch.stop(&self.registry, self.env.now())
    }

    /// Returns the kind of the service and the wire name of the method at this index, if there is one.
    pub(super) fn method_at(&self, index: MethodIndex) -> Option<(ServiceKind, &str)> {
        let method = self.registry.method(index)?;
        Some((method.kind(), self.registry.method_name(method)))
    }

    /// Returns the service called `name`, its spec, and its local handler.
    pub(crate) fn service(
        &self,
        name: &str,
    ) -> Option<(&Arc<dyn Service>, &ServiceSpec, &(dyn Any + Send + Sync))> {
        self.registry.find(name)
    }

    /// Takes a permit for a call from this process. Returns `None` if the limit of the method is reached.
    pub(crate) fn take_method_permit(&self, service: &str, method: usize) -> Option<MethodPermit> {
        let served = self.registry.method_of(service, method);
        MethodPermit::take(served.and_then(|served| served.limit.as_ref()))
    }

    /// Returns what reports the calls of a method of this node, if they have to be reported.
    pub(crate) fn reporter(&self, service: &str, method: usize) -> Option<&Arc<ServeReporter>> {
        let reporter = &self.registry.method_of(service, method)?.reporter;
        reporter.is_active().then_some(reporter)
    }

    /// Returns the part of the node's limits that `peer` holds.
    pub(super) fn peer_load(&self, peer: &NodeInfo) -> Arc<PeerLoad> {
        self.capacity.peer(peer.id())
    }

    /// Decides whether a request from `caller`, which holds the part `peer` of the limits, may start.
    #[inline(always)]
    pub(super) fn admit(
        &self,
        caller: &NodeInfo,
        peer: &Arc<PeerLoad>,
        head: &RequestHead,
        fields: Option<&RequestFields>,
        size: u64,
    ) -> Result<Permit, Cow<'static, Status>> {
        let Some(method) = self.registry.method(head.method) else {
            self.refusals.add(&Status::NoMethod);
            return Err(Cow::Borrowed(&Status::NoMethod));
        };
        let admitted = self.admit_to(method, caller, peer, head.primary, fields, size);
        let attempt = u32::try_from(head.attempt).unwrap_or(u32::MAX);
        self.report_admission(method, caller, attempt, &admitted);
        admitted
    }

    /// Decides whether a request of a visitor, which is linked to this node, may start: like a request of another node.
    pub(crate) fn admit_relayed(
        &self,
        visitor: &NodeInfo,
        service: &str,
        method: usize,
        for_primary: bool,
        size: u64,
    ) -> Result<impl Send + use<>, Cow<'static, Status>> {
        let method =
            self.registry.method_of(service, method).ok_or(Cow::Borrowed(&Status::NoMethod))?;
        let fields = RequestFields { is_relayed: true, ..RequestFields::default() };
        let peer = self.peer_load(visitor);
        let admitted = self.admit_to(method, visitor, &peer, for_primary, Some(&fields), size);
        let admitted = admitted.and_then(|mut permit| {
            let starts = permit.on_handler_starts();
            if starts { Ok(permit) } else { Err(Cow::Borrowed(&Status::MethodOverloaded)) }
        });
        self.report_admission(method, visitor, 1, &admitted);
        admitted
    }

    /// Counts and reports whether a request was admitted.
    #[inline]
    fn report_admission(
        &self,
        method: &ServedMethod,
        caller: &NodeInfo,
        attempt: u32,
        admitted: &Result<Permit, Cow<'static, Status>>,
    ) {
        if let Err(status) = admitted {
            self.refusals.add(status);
        }
        let reporter = &method.reporter;
        if reporter.is_active() {
            match admitted {
                Ok(_) => reporter.admitted(caller, attempt),
                Err(status) => reporter.refused(caller, attempt, status),
            }
        }
    }

    /// Counts a request that is refused with this status.
    pub(super) fn refuse(&self, status: Status) -> Cow<'static, Status> {
        self.refusals.add(&status);
        Cow::Owned(status)
    }

    /// Counts the time of a handler that ran for a visitor.
    pub(crate) fn add_time(&self, service: &str, method: usize, took: Duration) {
        if let Some(method) = self.registry.method_of(service, method) {
            method.time.add(took);
        }
    }

    /// Decides whether a request to a method may start. `for_primary` states whether its target is the primary.
    #[inline(always)]
    fn admit_to(
        &self,
        method: &Arc<ServedMethod>,
        caller: &NodeInfo,
        peer: &Arc<PeerLoad>,
        for_primary: bool,
        fields: Option<&RequestFields>,
        size: u64,
    ) -> Result<Permit, Cow<'static, Status>> {
        if method.kind() == ServiceKind::User {
            let for_primary = for_primary || method.primary;
            self.accepts(method, for_primary)?;
            if let Some(authorizer) = &self.authorizer {
                let is_relayed = fields.is_some_and(|fields| fields.is_relayed);
                self.authorize(authorizer, method, caller, for_primary, is_relayed)?;
            }
        }
        self.capacity.take(peer, method, size)
    }

    fn authorize(
        &self,
        authorizer: &Authorizer,
        method: &ServedMethod,
        caller: &NodeInfo,
        is_for_primary: bool,
        is_relayed: bool,
    ) -> Result<(), Cow<'static, Status>> {
        let service = self.registry.service_name(method);
        let name = self.registry.method_name(method);
        authorizer.check(&Admission { caller, service, method: name, is_for_primary, is_relayed })
    }

    /// Checks that the node accepts calls to a method of the user at this time.
    #[inline(always)]
    fn accepts(
        &self,
        method: &ServedMethod,
        for_primary: bool,
    ) -> Result<(), Cow<'static, Status>> {
        let needed = if for_primary { ALL_ACCEPT | IS_PRIMARY } else { ALL_ACCEPT };
        if self.summary.load(Ordering::Acquire) & needed == needed {
            return Ok(());
        }
        self.why_not_accepted(method, for_primary)
    }

    #[inline(never)]
    fn why_not_accepted(
        &self,
        method: &ServedMethod,
        for_primary: bool,
    ) -> Result<(), Cow<'static, Status>> {
        let state = self.state.load();
        if state.draining {
            return Err(Cow::Borrowed(&Status::Draining));
        }
        let name = self.registry.service_name(method);
        if !state.accepting || state.withdrawn.iter().any(|withdrawn| withdrawn == name) {
            return Err(Cow::Borrowed(&Status::Held));
        }
        if for_primary && state.primary_region != *self.me.region() {
            let theirs = state.primary_region.clone();
            return Err(Cow::Owned(Status::NotPrimary { theirs }));
        }
        Ok(())
    }
}

fn summary(state: &State, me: &NodeInfo) -> u8 {
    let mut summary = 0;
    if !state.is_restricted() {
        summary |= ALL_ACCEPT;
    }
    if state.primary_region == *me.region() {
        summary |= IS_PRIMARY;
    }
    summary
}

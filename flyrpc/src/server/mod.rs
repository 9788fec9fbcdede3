//! The serving side of a call: which services this node has, and the life of a request from its
//! admission to its answer.

mod dispatch;
mod pace;
mod plain_tarpc;
mod running;

use std::{
    any::Any,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use self::pace::Pace;
pub(crate) use self::pace::FIRST as INLINE_AFTER;
pub use self::plain_tarpc::serve_tarpc;
pub(crate) use self::running::{Ended, Execution, Running, guarded};
use crate::{
    NodeInfo, ServiceSpec, StartError,
    env::Env,
    link::{Incoming, Link, OWN_BODY, Serve},
    service::Service,
    wire::{fault::Fault, frame::Request, hello::State},
};

/// How many times `max_body` the bodies of all requests that arrive in chunks may take up together.
const LONG_BODIES: usize = 8;

/// How many requests to flyrpc's own service may run on one link, besides its share of all others.
const INTERNAL: usize = 1024;

/// What a node serves, and what it accepts of it.
pub(crate) struct Server {
    env: Arc<dyn Env>,
    me: NodeInfo,
    services: Vec<Arc<dyn Service>>,
    specs: Arc<[ServiceSpec]>,
    locals: Vec<Box<dyn Any + Send + Sync>>,
    /// By the number that a method has on every link.
    methods: Vec<ServedMethod>,
    state: ArcSwap<State>,
    changing: Mutex<()>,
    load: Arc<Load>,
    max_in_flight: usize,
    max_body: usize,
}

#[derive(Debug)]
struct ServedMethod {
    service: usize,
    method: usize,
    primary: bool,
    detached: bool,
    pace: Pace,
}

/// What executes for others at present.
#[derive(Debug, Default)]
struct Load {
    calls: AtomicUsize,
    /// Bytes announced for bodies in chunks.
    bytes: AtomicUsize,
    idle: Notify,
}

/// One call's part of the load.
#[derive(Debug)]
pub(crate) struct Admission {
    /// The method's number.
    method: usize,
    bytes: usize,
    load: Arc<Load>,
    /// None for flyrpc's own service.
    busy: Option<Busy>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.load.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// While it is held, the server is not idle.
#[derive(Debug)]
pub(crate) struct Busy {
    load: Arc<Load>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.load.calls.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.load.idle.notify_waiters();
        }
    }
}

/// The bounds of a [`Server`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_in_flight: usize,
    pub(crate) max_body: usize,
    /// How many quick calls of a method in a row let the next ones run inline, at first.
    pub(crate) inline_after: u32,
}

impl Server {
    /// A server of `services`, the first of which is flyrpc's own and always accepted.
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
        let specs: Arc<[ServiceSpec]> = services.iter().map(|service| service.spec()).collect();
        for (at, spec) in specs.iter().enumerate() {
            if let Some(first) = specs[..at].iter().position(|first| first.name == spec.name) {
                return Err(StartError::DuplicateService {
                    name: spec.name.clone(),
                    first: services[first].type_name(),
                    second: services[at].type_name(),
                });
            }
        }
        let methods = specs.iter().enumerate().flat_map(|(service, spec)| {
            spec.methods.iter().enumerate().map(move |(method, spec)| ServedMethod {
                service,
                method,
                primary: spec.primary,
                detached: spec.detached,
                pace: Pace::requiring(limits.inline_after),
            })
        });
        Ok(Server {
            methods: methods.collect(),
            locals: services.iter().map(|service| service.local()).collect(),
            env,
            me,
            services,
            specs,
            state: ArcSwap::from_pointee(state),
            changing: Mutex::default(),
            load: Arc::default(),
            max_in_flight: limits.max_in_flight,
            max_body: limits.max_body,
        })
    }

    /// What peers are told of the services.
    pub(crate) fn specs(&self) -> &Arc<[ServiceSpec]> {
        &self.specs
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
    pub(crate) fn busy(&self) -> Busy {
        self.enter().0
    }

    /// Counts one more call, and tells how many there were before.
    fn enter(&self) -> (Busy, usize) {
        let before = self.load.calls.fetch_add(1, Ordering::AcqRel);
        (Busy { load: Arc::clone(&self.load) }, before)
    }

    /// The service called `name`, its spec, and its local handler.
    pub(crate) fn service(
        &self,
        name: &str,
    ) -> Option<(&Arc<dyn Service>, &ServiceSpec, &(dyn Any + Send + Sync))> {
        let at = self.specs.iter().position(|spec| spec.name == name)?;
        Some((&self.services[at], &self.specs[at], &*self.locals[at]))
    }

    /// Waits until nothing executes for others.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.load.idle.notified();
            if self.load.calls.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Whether a method is of flyrpc's own service.
    fn is_own(&self, method: usize) -> bool {
        self.methods[method].service == 0
    }

    fn accepts(&self, method: &ServedMethod, aimed_at_primary: bool) -> Result<(), Fault> {
        if method.service == 0 {
            return Ok(());
        }
        let state = self.state.load();
        if state.draining {
            return Err(Fault::Draining);
        }
        let name = &self.specs[method.service].name;
        if !state.accepting || state.withdrawn.contains(name) {
            return Err(Fault::Held);
        }
        let primary = state.primary_region == *self.me.region();
        if (aimed_at_primary || method.primary) && !primary {
            return Err(Fault::NotPrimary { theirs: state.primary_region.clone() });
        }
        Ok(())
    }
}

impl Serve for Server {
    type Admission = Admission;

    fn admit(&self, head: &Request, size: u64, beside: usize) -> Result<Admission, Fault> {
        let number = usize::try_from(head.method).unwrap_or(usize::MAX);
        let method = self.methods.get(number).ok_or(Fault::NoMethod)?;
        self.accepts(method, head.primary)?;
        let limit = if method.service == 0 { self.max_body.max(OWN_BODY) } else { self.max_body };
        let bytes = usize::try_from(size).ok().filter(|&size| size <= limit);
        let bytes = bytes.ok_or(Fault::ArgumentsTooLarge { size, limit: limit as u64 })?;
        let bytes = if bytes > crate::wire::frame::WHOLE { bytes } else { 0 };
        let waiting = self.load.bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut admission =
            Admission { method: number, bytes, load: Arc::clone(&self.load), busy: None };
        if waiting + bytes > LONG_BODIES * limit {
            return Err(Fault::Overloaded);
        }
        if method.service == 0 {
            // What nodes ask each other is neither a user's load nor held up by it. No link has
            // many such requests at once, unless its peer floods it.
            let flooded = beside >= self.max_in_flight.saturating_add(INTERNAL);
            return if flooded { Err(Fault::Overloaded) } else { Ok(admission) };
        }
        let (busy, calls) = self.enter();
        admission.busy = Some(busy);
        if calls >= self.max_in_flight {
            return Err(Fault::Overloaded);
        }
        Ok(admission)
    }

    fn start(self: &Arc<Self>, link: &Arc<Link>, requests: Vec<(Admission, Incoming)>) {
        dispatch::start(self, link, requests);
    }
}

//! An address that leads to a random node, as the address of a load balancer does.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use flyrpc::Env;
use flyrpc_testkit::SimEnv;

use super::rng::PlanRng;
use crate::hooked_env::HookedEnv;

#[derive(Debug, Clone)]
pub(super) struct Balancer(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    rng: PlanRng,
    targets: Vec<SocketAddr>,
}

impl Balancer {
    pub(super) fn new(seed: u64) -> Self {
        Balancer(Arc::new(Mutex::new(Inner { rng: PlanRng::new(seed), targets: Vec::new() })))
    }

    /// The address of the balancer, at which no host listens.
    pub(super) fn addr(&self) -> SocketAddr {
        SocketAddr::from(([10, 200, 0, 1], 3590))
    }

    pub(super) fn add_target(&self, target: SocketAddr) {
        self.with(|inner| inner.targets.push(target));
    }

    /// Returns the environment of a host behind the balancer.
    pub(super) fn env_behind(&self, env: &SimEnv) -> impl Env + use<> {
        let balancer = self.clone();
        HookedEnv::new(env.clone(), move |env, to| {
            env.connect(if to == balancer.addr() { balancer.pick() } else { to })
        })
    }

    fn pick(&self) -> SocketAddr {
        self.with(|inner| *inner.rng.pick(&inner.targets))
    }

    fn with<R>(&self, use_it: impl FnOnce(&mut Inner) -> R) -> R {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

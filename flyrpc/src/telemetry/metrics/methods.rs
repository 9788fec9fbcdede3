//! The metrics of calls, by method.

use std::{sync::Arc, time::Duration};

use metrics::{Counter, Histogram, SharedString, counter, histogram};

use super::{
    cache::Cache,
    names::{
        ATTEMPTS, CLIENT_DURATION, MAX_SERIES, OTHER_REGION, REFUSALS, RETRIES, SERVER_DURATION,
    },
};
use crate::types::Region;

/// The metrics of all methods.
#[derive(Debug, Default)]
pub(super) struct Methods {
    services: Cache<String, Arc<Cache<String, Arc<MethodMetrics>>>>,
    retries: Cache<&'static str, Counter>,
}

/// The metrics of one method.
#[derive(Debug)]
pub(super) struct MethodMetrics {
    /// Service and method, as in `Strings/upcase`.
    name: SharedString,
    client: Durations,
    server: Durations,
    attempts: Cache<&'static str, Counter>,
    refusals: Cache<&'static str, Counter>,
}

/// The durations of calls of one method, by region and status.
type Durations = Cache<(Region, &'static str), Histogram>;

impl Methods {
    pub(super) fn get(&self, service: &str, method: &str) -> Arc<MethodMetrics> {
        let methods = || (service.to_owned(), Arc::default());
        self.services.with(service, methods, |methods| {
            let create = || (method.to_owned(), Arc::new(MethodMetrics::new(service, method)));
            methods.with(method, create, Arc::clone)
        })
    }

    /// Records an attempt after the first one of a call.
    pub(super) fn retry(&self, reason: &'static str) {
        let create = || (reason, counter!(RETRIES, "reason" => reason));
        self.retries.with(&reason, create, |counter| counter.increment(1));
    }
}

impl MethodMetrics {
    fn new(service: &str, method: &str) -> Self {
        MethodMetrics {
            name: SharedString::from_shared(format!("{service}/{method}").into()),
            client: Cache::default(),
            server: Cache::default(),
            attempts: Cache::default(),
            refusals: Cache::default(),
        }
    }

    /// Records a call of this node, which the node of a `region` executed, if there was one.
    pub(super) fn client(&self, region: Option<&Region>, status: &'static str, took: Duration) {
        let none = Region::from("");
        self.record(CLIENT_DURATION, &self.client, region.unwrap_or(&none), status, took);
    }

    /// Records a handler.
    pub(super) fn server(&self, region: &Region, status: &'static str, took: Duration) {
        self.record(SERVER_DURATION, &self.server, region, status, took);
    }

    /// Records an attempt of a call of this node.
    pub(super) fn attempt(&self, outcome: &'static str) {
        let method = || self.name.clone();
        let create =
            || (outcome, counter!(ATTEMPTS, "rpc_method" => method(), "outcome" => outcome));
        self.attempts.with(&outcome, create, |counter| counter.increment(1));
    }

    /// Records a request that this node refused.
    pub(super) fn refusal(&self, status: &'static str) {
        let method = || self.name.clone();
        let create =
            || (status, counter!(REFUSALS, "rpc_method" => method(), "rpc_status_code" => status));
        self.refusals.with(&status, create, |counter| counter.increment(1));
    }

    fn record(
        &self,
        name: &'static str,
        durations: &Durations,
        region: &Region,
        status: &'static str,
        took: Duration,
    ) {
        let mut key = (region.clone(), status);
        if durations.get(&key, |histogram| histogram.record(took)).is_some() {
            return;
        }
        if durations.len() >= MAX_SERIES {
            key.0 = Region::from(OTHER_REGION);
        }
        let create = || {
            let histogram = histogram!(
                name,
                "rpc_system_name" => "flyrpc",
                "rpc_method" => self.name.clone(),
                "rpc_status_code" => status,
                "server_address" => key.0.to_string(),
            );
            (key.clone(), histogram)
        };
        durations.with(&key, create, |histogram| histogram.record(took));
    }
}

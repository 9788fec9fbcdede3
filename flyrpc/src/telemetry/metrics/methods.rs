//! The metrics of calls, by method.

use std::{sync::Arc, time::Duration};

use metrics::{Counter, SharedString, counter};

use super::{
    by_status::ByStatus,
    cache::Cache,
    durations::Durations,
    names::{ATTEMPTS, CLIENT_DURATION, REFUSALS, RETRIES, SERVER_DURATION},
};
use crate::{telemetry::status::CallStatus, types::Region};

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
    attempts: ByStatus<Counter>,
    refusals: ByStatus<Counter>,
}

impl Methods {
    /// Uses the metrics of a method.
    pub(super) fn with(&self, service: &str, method: &str, run: impl FnOnce(&MethodMetrics)) {
        let methods = || (service.to_owned(), Arc::default());
        self.services.with(service, methods, |methods| {
            let create = || (method.to_owned(), Arc::new(MethodMetrics::new(service, method)));
            methods.with(method, create, |method| run(method));
        });
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
            client: Durations::new(CLIENT_DURATION),
            server: Durations::new(SERVER_DURATION),
            attempts: ByStatus::default(),
            refusals: ByStatus::default(),
        }
    }

    /// Records a call of this node, which the node of a `region` executed, if there was one.
    pub(super) fn client(&self, region: Option<&Region>, status: CallStatus, took: Duration) {
        let none = Region::from("");
        self.client.record(&self.name, region.unwrap_or(&none), status, took);
    }

    /// Records a handler.
    pub(super) fn server(&self, region: &Region, status: CallStatus, took: Duration) {
        self.server.record(&self.name, region, status, took);
    }

    /// Records an attempt of a call of this node.
    pub(super) fn attempt(&self, outcome: CallStatus) {
        let method = || self.name.clone();
        let create = || counter!(ATTEMPTS, "rpc_method" => method(), "outcome" => outcome.as_str());
        self.attempts.get_or_create(outcome, create).increment(1);
    }

    /// Records a request that this node refused.
    pub(super) fn refusal(&self, status: CallStatus) {
        let method = || self.name.clone();
        let create =
            || counter!(REFUSALS, "rpc_method" => method(), "rpc_status_code" => status.as_str());
        self.refusals.get_or_create(status, create).increment(1);
    }
}

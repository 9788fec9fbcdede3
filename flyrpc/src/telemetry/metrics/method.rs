//! [`MethodMetrics`]: the metrics of the calls of one method.

use std::time::Duration;

use metrics::{Counter, SharedString, counter};

use super::{
    by_status::ByStatus,
    durations::Durations,
    names::{ATTEMPTS, CLIENT_DURATION, REFUSALS, SERVER_DURATION},
};
use crate::{telemetry::status::CallStatus, types::Region};

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

impl MethodMetrics {
    pub(super) fn new(service: &str, method: &str) -> Self {
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
        match region {
            Some(region) => self.client.record(&self.name, region, status, took),
            None => self.client.record(&self.name, &Region::from(""), status, took),
        }
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

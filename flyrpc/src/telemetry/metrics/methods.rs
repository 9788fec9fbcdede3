//! The metrics of calls, by method.

use std::sync::Arc;

use metrics::{Counter, counter};

use super::{by_name::ByName, cache::Cache, method::MethodMetrics, names::RETRIES};

/// The metrics of all methods.
#[derive(Debug, Default)]
pub(super) struct Methods {
    by_name: ByName,
    services: Cache<String, Arc<Cache<String, Arc<MethodMetrics>>>>,
    retries: Cache<&'static str, Counter>,
}

impl Methods {
    /// Uses the metrics of a method.
    #[inline]
    pub(super) fn with(
        &self,
        service: &'static str,
        method: &'static str,
        run: impl FnOnce(&MethodMetrics),
    ) {
        match self.by_name.get(service, method) {
            Some(metrics) => run(metrics),
            None => run(&self.look_up(service, method)),
        }
    }

    #[cold]
    fn look_up(&self, service: &'static str, method: &'static str) -> Arc<MethodMetrics> {
        let methods = || (service.to_owned(), Arc::default());
        let metrics = self.services.with(service, methods, |methods| {
            let create = || (method.to_owned(), Arc::new(MethodMetrics::new(service, method)));
            methods.with(method, create, Arc::clone)
        });
        self.by_name.insert(service, method, &metrics);
        metrics
    }

    /// Records an attempt after the first one of a call.
    pub(super) fn retry(&self, reason: &'static str) {
        let create = || (reason, counter!(RETRIES, "reason" => reason));
        self.retries.with(&reason, create, |counter| counter.increment(1));
    }
}

//! Reports of served calls to the observers of the node. Without observers, the only cost is a check of an `Option`.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::handler_future::Ended;
use crate::{
    env::Env,
    error::ErrorKind,
    proto::wire::status::Status,
    runtime::link::ResponseResult,
    telemetry::{Observed, Observers, ServeOutcome, Served},
    types::NodeInfo,
};

/// Reports the calls of one method.
pub(crate) struct ServeReporter {
    pub(super) observers: Arc<Observers>,
    /// This node.
    pub(super) node: NodeInfo,
    pub(super) service: String,
    pub(super) method: String,
}

impl ServeReporter {
    /// Describes attempt `attempt` of a call of another node.
    pub(super) fn served<'a>(&'a self, caller: &'a NodeInfo, attempt: u32) -> Served<'a> {
        let ServeReporter { node, service, method, .. } = self;
        Served { node, caller, service, method, attempt, local: false }
    }

    #[inline(never)]
    pub(super) fn admitted(&self, caller: &NodeInfo, attempt: u32) {
        self.observers.observe(&Observed::Admitted(&self.served(caller, attempt)));
    }

    #[inline(never)]
    pub(super) fn refused(&self, caller: &NodeInfo, attempt: u32, status: &Status) {
        let served = self.served(caller, attempt);
        self.observers.observe(&Observed::Refused(&served, kind_of(status)));
    }

    #[inline(never)]
    pub(super) fn started(&self, caller: &NodeInfo, attempt: u32) {
        self.observers.observe(&Observed::ServeStarted(&self.served(caller, attempt)));
    }

    /// Reports how a handler ended.
    #[inline(never)]
    pub(super) fn ended(
        &self,
        caller: &NodeInfo,
        attempt: u32,
        outcome: ServeOutcome,
        took: Duration,
    ) {
        let served = self.served(caller, attempt);
        self.observers.observe(&Observed::ServeEnded(&served, outcome, took));
    }

    /// Runs the handler of attempt `attempt` of a call of this node itself, and reports its start and its end.
    pub(crate) async fn run_local<T: ServeResult>(
        self: Arc<Self>,
        env: Arc<dyn Env>,
        me: NodeInfo,
        attempt: u32,
        handler: impl Future<Output = T>,
    ) -> T {
        let mut report = LocalReport {
            start: env.now(),
            env,
            me,
            attempt,
            reporter: self,
            outcome: ServeOutcome::Cancelled,
        };
        report.reporter.observers.observe(&Observed::ServeStarted(&report.served()));
        let result = handler.await;
        report.outcome = result.outcome();
        result
    }
}

/// Reports the end of a handler when it is dropped.
struct LocalReport {
    env: Arc<dyn Env>,
    me: NodeInfo,
    attempt: u32,
    reporter: Arc<ServeReporter>,
    start: Instant,
    /// Canceled, until the handler has ended.
    outcome: ServeOutcome,
}

impl LocalReport {
    fn served(&self) -> Served<'_> {
        Served { local: true, ..self.reporter.served(&self.me, self.attempt) }
    }
}

impl Drop for LocalReport {
    fn drop(&mut self) {
        let took = self.env.now().saturating_duration_since(self.start);
        let ended = Observed::ServeEnded(&self.served(), self.outcome, took);
        self.reporter.observers.observe(&ended);
    }
}

/// The result of a handler.
pub(crate) trait ServeResult {
    fn outcome(&self) -> ServeOutcome;
}

impl<T> ServeResult for Ended<T> {
    fn outcome(&self) -> ServeOutcome {
        match self {
            Ended::Value(_) => ServeOutcome::Replied,
            Ended::Panicked(_) => ServeOutcome::Failed(ErrorKind::Panicked),
            Ended::Expired | Ended::TimedOut => ServeOutcome::Failed(ErrorKind::Timeout),
        }
    }
}

impl ServeResult for ResponseResult {
    fn outcome(&self) -> ServeOutcome {
        match self {
            Ok(_) => ServeOutcome::Replied,
            Err(status) => ServeOutcome::Failed(kind_of(status)),
        }
    }
}

/// Returns the kind of the error that the caller receives for a status.
fn kind_of(status: &Status) -> ErrorKind {
    match status {
        Status::NotPrimary { .. } => ErrorKind::NotPrimary,
        Status::Draining
        | Status::Overloaded
        | Status::MethodOverloaded
        | Status::Memory
        | Status::Held => ErrorKind::Refused,
        Status::Denied { .. } => ErrorKind::Denied,
        Status::NoMethod | Status::BadArguments { .. } => ErrorKind::Unsupported,
        Status::ArgumentsTooLarge { .. } => ErrorKind::ArgumentsTooLarge,
        Status::Expired | Status::TimedOut => ErrorKind::Timeout,
        Status::Panicked { .. } => ErrorKind::Panicked,
        Status::ReplyTooLarge { .. } => ErrorKind::ReplyTooLarge,
        Status::BadReply { .. } => ErrorKind::BadReply,
    }
}

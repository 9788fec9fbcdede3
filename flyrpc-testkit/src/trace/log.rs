//! The log that records a running cluster.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use flyrpc::{Attempt, ErrorKind, Observed, Observer, Outcome, Region, ServeOutcome, Served};
use tokio::{sync::Notify, time::Instant};

use super::{
    arrivals::{Arrivals, ExecutionIndex},
    call::{AttemptNumber, CallEnd, CallNumber, CallOutcome, Delivery, Request, TracedCall},
    delivery::deliveries,
    event::{Occurrence, TracedEvent},
    execution::{ExecutionEnd, ExecutionNumber, ExecutionOutcome, ServedRequest, TracedExecution},
    node_boot::NodeBoot,
    run_trace::Trace,
    time::Stamp,
};

/// Records calls, executions and events in order. Clones share the log.
#[derive(Clone)]
pub(crate) struct TraceLog(Arc<Shared>);

struct Shared {
    seed: u64,
    start: Instant,
    records: Mutex<Records>,
    /// Notified when something is recorded.
    changes: Notify,
}

#[derive(Default)]
struct Records {
    next_seq: u64,
    boots: Vec<Arc<NodeBoot>>,
    calls: Vec<TracedCall>,
    executions: Vec<TracedExecution>,
    arrivals: Arrivals,
    events: Vec<TracedEvent>,
    in_flight: BTreeMap<AttemptKey, CallIndex>,
    running: BTreeMap<ExecutionKey, ExecutionIndex>,
}

/// An index into `Records::calls`.
#[derive(Debug, Clone, Copy)]
struct CallIndex(usize);

/// An index into `Records::boots`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct BootIndex(usize);

/// Identifies an attempt in the run. It contains the boot, since calls are numbered per boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct AttemptKey {
    boot: BootIndex,
    call: CallNumber,
    attempt: AttemptNumber,
}

/// Identifies an execution in the run. Executions are numbered per boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ExecutionKey {
    boot: BootIndex,
    number: ExecutionNumber,
}

impl TraceLog {
    /// Creates an empty log for a run with this seed that begins at `start`.
    pub(crate) fn new(seed: u64, start: Instant) -> Self {
        let (records, changes) = (Mutex::default(), Notify::new());
        TraceLog(Arc::new(Shared { seed, start, records, changes }))
    }

    /// Returns the observer for one boot of the node `name`. A node that restarts needs a new observer.
    pub(crate) fn observer(&self, name: &str, region: &Region) -> Recorder {
        let boots = &mut self.lock().records.boots;
        let earlier = boots.iter().filter(|boot| boot.name == name).count();
        let number = u32::try_from(earlier + 1).unwrap_or(u32::MAX);
        let boot = NodeBoot { name: name.to_owned(), region: region.clone(), boot: number };
        let boot = Arc::new(boot);
        boots.push(boot.clone());
        Recorder { log: self.clone(), boot, index: BootIndex(boots.len() - 1) }
    }

    /// Records that a fault started or ended.
    pub(crate) fn fault(&self, text: impl Into<String>) {
        self.lock().record_event(None, Occurrence::Fault(text.into()));
    }

    /// Ends the executions on a node whose programs were stopped by a fault.
    pub(crate) fn crashed(&self, node: &str) {
        let mut log = self.lock();
        let Records { boots, running, .. } = &mut *log.records;
        let mut stopped = Vec::new();
        running.retain(|key, execution| {
            let runs_on = boots[key.boot.0].name == node;
            stopped.extend(runs_on.then_some(*execution));
            !runs_on
        });
        for execution in stopped {
            log.end_execution(execution, ExecutionOutcome::Crashed);
        }
    }

    /// Records a note from the test.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.lock().record_event(None, Occurrence::Note(text.into()));
    }

    /// Returns the time since the start of the run.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.start.elapsed()
    }

    /// Waits until something is recorded. For one task.
    pub(crate) async fn changed(&self) {
        self.0.changes.notified().await;
    }

    /// Returns the trace of the run so far.
    pub(crate) fn snapshot(&self) -> Trace {
        let LogWriter { records, .. } = self.lock();
        let Records { boots, calls, executions, arrivals, .. } = &*records;
        let is_recorded = |name: &str| boots.iter().any(|boot| boot.name == name);
        let deliveries = deliveries(calls, arrivals.all(), executions, is_recorded);
        let delivered =
            |(call, delivery): (&TracedCall, Delivery)| TracedCall { delivery, ..call.clone() };
        Trace {
            seed: self.0.seed,
            nodes: boots.clone(),
            calls: calls.iter().zip(deliveries).map(delivered).collect(),
            executions: executions.clone(),
            events: records.events.clone(),
        }
    }

    fn lock(&self) -> LogWriter<'_> {
        let Shared { start, records, changes, .. } = &*self.0;
        // The records are consistent even if a thread panicked while it held the lock, and a test that
        // panics still needs its trace.
        let records = records.lock().unwrap_or_else(PoisonError::into_inner);
        LogWriter { records, start: *start, changes }
    }
}

/// The locked log.
struct LogWriter<'a> {
    records: MutexGuard<'a, Records>,
    start: Instant,
    changes: &'a Notify,
}

impl LogWriter<'_> {
    fn stamp(&mut self) -> Stamp {
        let seq = self.records.next_seq;
        self.records.next_seq += 1;
        self.changes.notify_one();
        Stamp { seq, at: Instant::now().saturating_duration_since(self.start) }
    }

    fn record_event(&mut self, node: Option<Arc<NodeBoot>>, occurrence: Occurrence) {
        let stamp = self.stamp();
        self.records.events.push(TracedEvent { stamp, node, occurrence });
    }

    fn end_execution(&mut self, ExecutionIndex(index): ExecutionIndex, outcome: ExecutionOutcome) {
        let stamp = self.stamp();
        self.records.executions[index].end = Some(ExecutionEnd { stamp, outcome });
    }
}

/// The observer of one boot of one node.
pub(crate) struct Recorder {
    log: TraceLog,
    boot: Arc<NodeBoot>,
    index: BootIndex,
}

impl Recorder {
    pub(super) fn on_start(&self, request: Request) {
        let mut log = self.log.lock();
        let started = log.stamp();
        let key = self.key(request.call, request.attempt);
        let index = CallIndex(log.records.calls.len());
        log.records.in_flight.insert(key, index);
        let caller = self.boot.clone();
        let delivery = Delivery::default();
        log.records.calls.push(TracedCall { caller, request, started, end: None, delivery });
    }

    pub(super) fn on_end(
        &self,
        call: CallNumber,
        attempt: AttemptNumber,
        outcome: CallOutcome,
        bytes: Option<usize>,
    ) {
        let mut log = self.log.lock();
        let Some(index) = log.records.in_flight.remove(&self.key(call, attempt)) else {
            return;
        };
        let stamp = log.stamp();
        log.records.calls[index.0].end = Some(CallEnd { stamp, outcome, bytes });
    }

    pub(super) fn on_admitted(&self, request: &ServedRequest) {
        let mut log = self.log.lock();
        let stamp = log.stamp();
        log.records.arrivals.on_admitted(request, stamp);
    }

    pub(super) fn on_refused(&self, request: &ServedRequest, kind: ErrorKind) {
        let mut log = self.log.lock();
        let stamp = log.stamp();
        log.records.arrivals.on_refused(request, stamp, kind);
    }

    pub(super) fn on_execution_start(&self, number: ExecutionNumber, served: ServedRequest) {
        let mut log = self.log.lock();
        let started = log.stamp();
        let records = &mut *log.records;
        let index = ExecutionIndex(records.executions.len());
        records.arrivals.on_started(&served, started, index);
        records.running.insert(ExecutionKey { boot: self.index, number }, index);
        let node = self.boot.clone();
        records.executions.push(TracedExecution { node, served, started, end: None });
    }

    pub(super) fn on_execution_end(&self, number: ExecutionNumber, outcome: ExecutionOutcome) {
        let mut log = self.log.lock();
        // An execution whose node has crashed has already ended.
        let running = log.records.running.remove(&ExecutionKey { boot: self.index, number });
        if let Some(index) = running {
            log.end_execution(index, outcome);
        }
    }

    pub(super) fn on_event(&self, occurrence: Occurrence) {
        self.log.lock().record_event(Some(self.boot.clone()), occurrence);
    }

    fn key(&self, call: CallNumber, attempt: AttemptNumber) -> AttemptKey {
        AttemptKey { boot: self.index, call, attempt }
    }
}

impl Observer for Recorder {
    fn observe(&self, observed: &Observed<'_>) {
        match observed {
            Observed::Started(attempt) => self.on_start(request(attempt)),
            Observed::Ended(attempt, outcome) => {
                let (outcome, bytes) = match outcome {
                    Outcome::Replied(bytes) | Outcome::RepliedErr(bytes) => {
                        (CallOutcome::Replied, *bytes)
                    }
                    Outcome::Failed(error) => {
                        (CallOutcome::Failed(Arc::new((*error).clone())), None)
                    }
                    Outcome::Cancelled => (CallOutcome::Cancelled, None),
                    // A newer version of flyrpc may have more outcomes.
                    _ => return,
                };
                let (call, number) = (CallNumber(attempt.call), AttemptNumber(attempt.number));
                self.on_end(call, number, outcome, bytes);
            }
            Observed::Admitted(served) => self.on_admitted(&served_request(served)),
            Observed::Refused(served, kind) => self.on_refused(&served_request(served), *kind),
            Observed::ServeStarted(served) => {
                let number = ExecutionNumber(served.execution.unwrap_or_default());
                self.on_execution_start(number, served_request(served));
            }
            Observed::ServeEnded(served, outcome, _) => {
                let outcome = match outcome {
                    ServeOutcome::Replied => ExecutionOutcome::Replied,
                    ServeOutcome::RepliedErr => ExecutionOutcome::RepliedErr,
                    ServeOutcome::Failed(kind) => ExecutionOutcome::Failed(*kind),
                    ServeOutcome::Cancelled => ExecutionOutcome::Cancelled,
                    // A newer version of flyrpc may have more outcomes.
                    _ => return,
                };
                let number = ExecutionNumber(served.execution.unwrap_or_default());
                self.on_execution_end(number, outcome);
            }
            Observed::LinkOpened(node) => self.on_event(Occurrence::LinkOpened((*node).clone())),
            Observed::LinkClosed(node, why) => {
                self.on_event(Occurrence::LinkClosed((*node).clone(), (*why).to_owned()));
            }
            Observed::Event(event) => self.on_event(Occurrence::Membership((*event).clone())),
            // A newer version of flyrpc may have more observations.
            _ => {}
        }
    }
}

fn request(attempt: &Attempt<'_>) -> Request {
    Request {
        call: CallNumber(attempt.call),
        attempt: AttemptNumber(attempt.number),
        service: attempt.service,
        method: attempt.method,
        target: attempt.target.clone(),
        node: attempt.node.cloned(),
        bytes: attempt.request_bytes,
    }
}

fn served_request(served: &Served<'_>) -> ServedRequest {
    ServedRequest {
        node: served.node.clone(),
        caller: served.caller.clone(),
        service: served.service.to_owned(),
        method: served.method.to_owned(),
        attempt: served.attempt,
        is_local: served.local,
    }
}

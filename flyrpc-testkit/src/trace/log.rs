//! What a trace is recorded in while the run goes on.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use flyrpc::{Attempt, Observed, Observer, Outcome, Region};
use tokio::time::Instant;

use super::{
    CallOutcome, Occurrence, Site, Stamp, Trace, TracedCall, TracedEvent,
    call::{Ended, Request},
};

/// Takes down what happens, in the order in which it happens. Clones share what they hold.
#[derive(Clone)]
pub(crate) struct TraceLog(Arc<Shared>);

struct Shared {
    seed: u64,
    start: Instant,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    next: u64,
    sites: Vec<Arc<Site>>,
    calls: Vec<TracedCall>,
    events: Vec<TracedEvent>,
    /// Where in `calls` the attempts are that have not ended.
    under_way: BTreeMap<AttemptKey, usize>,
}

/// The site's place in `Written::sites`, since calls are numbered anew in each boot; the call's
/// number and the attempt's.
type AttemptKey = (usize, u64, u32);

impl TraceLog {
    /// An empty log of a run with this seed that begins at `start`.
    pub(crate) fn new(seed: u64, start: Instant) -> Self {
        TraceLog(Arc::new(Shared { seed, start, written: Mutex::default() }))
    }

    /// Writes down what one boot of the node `name` does. A node that starts again needs another.
    pub(crate) fn observer(&self, name: &str, region: &Region) -> Recorder {
        let sites = &mut self.lock().written.sites;
        let earlier = sites.iter().filter(|site| site.name == name).count();
        let boot = u32::try_from(earlier + 1).unwrap_or(u32::MAX);
        let site = Arc::new(Site { name: name.to_owned(), region: region.clone(), boot });
        sites.push(site.clone());
        Recorder { log: self.clone(), site, place: sites.len() - 1 }
    }

    /// Records that a fault began or ended.
    pub(crate) fn fault(&self, text: impl Into<String>) {
        self.lock().happened(None, Occurrence::Fault(text.into()));
    }

    /// Records a remark of the test.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.lock().happened(None, Occurrence::Note(text.into()));
    }

    /// How long the run has gone on.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.start.elapsed()
    }

    /// What has happened so far.
    pub(crate) fn snapshot(&self) -> Trace {
        let Page { written, .. } = self.lock();
        Trace {
            seed: self.0.seed,
            nodes: written.sites.clone(),
            calls: written.calls.clone(),
            events: written.events.clone(),
        }
    }

    fn lock(&self) -> Page<'_> {
        let Shared { start, written, .. } = &*self.0;
        // Nothing that is done under the lock leaves it half done: a test that panics elsewhere
        // still wants its trace.
        let written = written.lock().unwrap_or_else(PoisonError::into_inner);
        Page { written, start: *start }
    }
}

/// The log, opened for writing.
struct Page<'a> {
    written: MutexGuard<'a, Written>,
    start: Instant,
}

impl Page<'_> {
    fn stamp(&mut self) -> Stamp {
        let number = self.written.next;
        self.written.next += 1;
        Stamp { number, at: Instant::now().saturating_duration_since(self.start) }
    }

    fn happened(&mut self, site: Option<Arc<Site>>, what: Occurrence) {
        let stamp = self.stamp();
        self.written.events.push(TracedEvent { stamp, site, what });
    }
}

/// The observer of one boot of one node.
pub(crate) struct Recorder {
    log: TraceLog,
    site: Arc<Site>,
    place: usize,
}

impl Recorder {
    pub(super) fn started(&self, request: Request) {
        let mut page = self.log.lock();
        let started = page.stamp();
        let key = (self.place, request.call, request.attempt);
        let index = page.written.calls.len();
        page.written.under_way.insert(key, index);
        let caller = self.site.clone();
        page.written.calls.push(TracedCall { caller, request, started, ended: None });
    }

    pub(super) fn ended(
        &self,
        call: u64,
        attempt: u32,
        outcome: CallOutcome,
        bytes: Option<usize>,
    ) {
        let mut page = self.log.lock();
        let Some(index) = page.written.under_way.remove(&(self.place, call, attempt)) else {
            return;
        };
        let stamp = page.stamp();
        page.written.calls[index].ended = Some(Ended { stamp, outcome, bytes });
    }

    pub(super) fn happened(&self, what: Occurrence) {
        self.log.lock().happened(Some(self.site.clone()), what);
    }
}

impl Observer for Recorder {
    fn observe(&self, observed: &Observed<'_>) {
        match observed {
            Observed::Started(attempt) => self.started(request(attempt)),
            Observed::Ended(attempt, outcome) => {
                let (outcome, bytes) = match outcome {
                    Outcome::Replied(bytes) => (CallOutcome::Replied, *bytes),
                    Outcome::Failed(error) => {
                        (CallOutcome::Failed(Arc::new((*error).clone())), None)
                    }
                    Outcome::Cancelled => (CallOutcome::Cancelled, None),
                    // An end that this testkit does not know of yet.
                    _ => return,
                };
                self.ended(attempt.call, attempt.number, outcome, bytes);
            }
            Observed::LinkOpened(node) => self.happened(Occurrence::LinkOpened((*node).clone())),
            Observed::LinkClosed(node, why) => {
                self.happened(Occurrence::LinkClosed((*node).clone(), (*why).to_owned()));
            }
            Observed::Event(event) => self.happened(Occurrence::Membership((*event).clone())),
            // The runtime may learn to tell more than a trace shows.
            _ => {}
        }
    }
}

fn request(attempt: &Attempt<'_>) -> Request {
    Request {
        call: attempt.call,
        attempt: attempt.number,
        service: attempt.service,
        method: attempt.method,
        target: attempt.target.clone(),
        node: attempt.node.cloned(),
        bytes: attempt.request_bytes,
    }
}

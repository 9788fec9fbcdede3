//! Asks the nodes, for all viewers at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use flyrpc::{
    ErrorInfo, ErrorKind, Node, NodeId, NodeInfo, WeakNode,
    operations::{NodeReport, WatchReport},
};
use futures_util::{StreamExt as _, stream};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    snapshot::{Asked, Collection, Health, NoAnswer, Snapshot},
    window::Window,
};

/// The time that a node has to answer. A frozen node is on the page after this, the age of the last collection
/// (1 s) and the pause between refreshes (2 s).
const ASK_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The number of nodes that are asked at the same time.
const MAX_CONCURRENT: usize = 32;

/// The number of nodes that are asked besides the reporter. Each answer describes all nodes, so that asking every node
/// of a large cluster would take too much memory and bandwidth. The page shows the others as the reporter sees them.
const MAX_ASKED: usize = 100;

/// The pause between the starts of two collections, in a cluster of up to [`NODES_PER_PAUSE`] nodes. Larger clusters
/// have longer ones.
const PAUSE: Duration = Duration::from_secs(1);
const NODES_PER_PAUSE: usize = 100;
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// How long a node is shown after it has left.
const SHOWN_AFTER_LEAVE: Duration = Duration::from_secs(60);

/// Collects the reports of nodes when a viewer asks. It has no task of its own, so nothing runs while nobody looks, and the
/// nodes stop recording a minute after the last viewer.
#[derive(Debug)]
pub(crate) struct Collector {
    node: WeakNode,
    /// Locked during a collection: there is one at a time.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the last collection began. Its future may have been dropped since.
    started: Option<Instant>,
    pause: Duration,
    collected: Option<Arc<Collected>>,
    window: Window,
    /// The nodes that the reporter has listed in the last minute, when it last did so, and how they were then.
    recent: BTreeMap<NodeId, (NodeInfo, Instant, Health)>,
}

/// The result of a collection.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) snapshot: Snapshot,
    /// The reports without the services of peers.
    pub(crate) reports: BTreeMap<NodeId, Arc<NodeReport>>,
}

/// Why there is nothing to show.
#[derive(Debug)]
pub(crate) enum Ended {
    /// No handle of the node of the page is left.
    Dropped,
    /// The node of the page does not answer its own process, for example because it was shut down.
    Unanswered(String),
}

impl Collector {
    pub(crate) fn new(node: WeakNode) -> Self {
        Collector { node, state: Mutex::default() }
    }

    /// Returns the last collection, or makes one if it is too old. Dropping the future cancels the questions, unless they have
    /// been answered.
    pub(crate) async fn collected(&self) -> Result<Arc<Collected>, Ended> {
        let mut state = self.state.lock().await;
        let next = state.started.map(|started| started + state.pause);
        if let Some(next) = next.filter(|next| Instant::now() < *next) {
            match &state.collected {
                Some(collected) if !self.has_ended() => return Ok(Arc::clone(collected)),
                Some(_) => return Err(Ended::Dropped),
                // The last collection was canceled.
                None => sleep_until(next).await,
            }
        }
        let node = self.node.upgrade().ok_or(Ended::Dropped)?;
        state.started = Some(Instant::now());
        state.pause = PAUSE;
        state.collected = None;
        let (mut collection, watched) = collect(&node).await?;
        let (now, nodes) = (Instant::now(), collection.reporter.peers.len());
        state.pause = (PAUSE * nodes.div_ceil(NODES_PER_PAUSE).max(1) as u32).min(MAX_PAUSE);
        state.window.record(now, watched);
        collection.recent = state.recent(now);
        let collected = Arc::new(collected(collection, &state.window));
        state.remember(&collected, now);
        state.collected = Some(Arc::clone(&collected));
        Ok(collected)
    }

    /// Asks one node, which the last collection may have left out.
    pub(crate) async fn report_of(&self, id: &NodeId) -> Result<Arc<NodeReport>, String> {
        let node = self.node.upgrade().ok_or("the node of this page has ended")?;
        let report = node.status_of(id);
        drop(node);
        let report = within(report).await.map(without_services);
        report.map(Arc::new).map_err(NoAnswer::into_message)
    }

    fn has_ended(&self) -> bool {
        self.node.upgrade().is_none()
    }
}

impl State {
    /// Returns the nodes that the reporter has listed in the last minute.
    fn recent(&mut self, now: Instant) -> Vec<(NodeInfo, Health)> {
        self.recent.retain(|_, (_, listed, _)| now.duration_since(*listed) <= SHOWN_AFTER_LEAVE);
        self.recent.values().map(|(node, _, health)| (node.clone(), *health)).collect()
    }

    /// Remembers the nodes that the reporter lists.
    fn remember(&mut self, collected: &Collected, now: Instant) {
        let Some(report) = collected.reports.get(&collected.snapshot.reporter) else { return };
        let listed = report.peers.iter().filter_map(|peer| Some(peer.node.as_ref()?.id()));
        let listed: BTreeSet<&NodeId> = listed.collect();
        for entry in &collected.snapshot.nodes {
            if listed.contains(entry.node.id()) {
                let node = entry.node.clone();
                self.recent.insert(node.id().clone(), (node, now, entry.health));
            }
        }
    }
}

/// Asks the node itself, then all others. Returns their recorded calls, too.
async fn collect(node: &Node) -> Result<(Collection, Vec<WatchReport>), Ended> {
    let (start, unix_time) = (Instant::now(), unix_time(node));
    let me = node.id().clone();
    let reporter =
        within(node.status_of(&me)).await.map_err(|it| Ended::Unanswered(it.into_message()))?;
    let answers = stream::iter(to_ask(&reporter)).map(|id| ask(node, id));
    let answers = answers.buffer_unordered(MAX_CONCURRENT).collect::<Vec<_>>();
    let (own, answers) = tokio::join!(within(node.watch(&me)), answers);
    let mut watched = Vec::from_iter(own.ok());
    let mut asked = BTreeMap::new();
    for (id, answer, calls) in answers {
        watched.extend(calls);
        asked.insert(id, answer);
    }
    let seconds = start.elapsed().as_secs_f64();
    let (recent, window, methods) = (Vec::new(), 0.0, Vec::new());
    let collection = Collection { unix_time, seconds, reporter, asked, recent, window, methods };
    Ok((collection, watched))
}

/// Chooses the nodes to ask: those that may have a link, from each region in turn.
fn to_ask(reporter: &NodeReport) -> Vec<NodeId> {
    let mut regions = BTreeMap::<_, Vec<_>>::new();
    for peer in &reporter.peers {
        let is_reachable = matches!(&*peer.state, "linked" | "quiet" | "unlinked");
        if let Some(node) = peer.node.as_ref().filter(|_| is_reachable) {
            regions.entry(node.region()).or_default().push(node.id());
        }
    }
    let mut ranked: Vec<(usize, &NodeId)> = Vec::new();
    for ids in regions.values_mut() {
        ids.sort();
        ranked.extend(ids.iter().copied().enumerate());
    }
    ranked.sort();
    ranked.into_iter().take(MAX_ASKED).map(|(_, id)| id.clone()).collect()
}

async fn ask(node: &Node, id: NodeId) -> (NodeId, Asked, Option<WatchReport>) {
    let (start, unix_time) = (Instant::now(), unix_time(node));
    // The calls are recorded by nodes of a version that has a status, so the second answer is optional.
    let status = async { (within(node.status_of(&id)).await, start.elapsed()) };
    let ((report, took), calls) = tokio::join!(status, within(node.watch(&id)));
    let is_own = |found: &NodeId| *found == id;
    let report = report.and_then(|report| match is_own(report.node.id()) {
        true => Ok(without_services(report)),
        false => Err(NoAnswer::Failed("it reported another node".to_owned())),
    });
    let calls = calls.ok().filter(|calls| is_own(calls.node.id()));
    (id, Asked { report, unix_time, seconds: took.as_secs_f64() }, calls)
}

/// Awaits an answer for a limited time.
async fn within<T>(answer: impl Future<Output = Result<T, ErrorInfo>>) -> Result<T, NoAnswer> {
    match timeout(ASK_TIMEOUT, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) if error.kind == ErrorKind::Unsupported => {
            Err(NoAnswer::Unsupported(error.message))
        }
        Ok(Err(error)) => Err(NoAnswer::Failed(error.message)),
        Err(_) => {
            Err(NoAnswer::Failed(format!("no answer within {} s", ASK_TIMEOUT.as_secs_f64())))
        }
    }
}

impl NoAnswer {
    fn into_message(self) -> String {
        match self {
            NoAnswer::Failed(message) | NoAnswer::Unsupported(message) => message,
        }
    }
}

/// Removes the services of peers, which make up most of a report. Each node reports its own.
fn without_services(mut report: NodeReport) -> NodeReport {
    for peer in &mut report.peers {
        peer.services = Vec::new();
    }
    report
}

fn collected(mut collection: Collection, window: &Window) -> Collected {
    collection.window = window.seconds();
    collection.methods = window.methods();
    let snapshot = collection.snapshot();
    let reports = collection.asked.into_iter();
    let mut reports: BTreeMap<NodeId, Arc<NodeReport>> =
        reports.filter_map(|(id, asked)| Some((id, Arc::new(asked.report.ok()?)))).collect();
    let reporter = without_services(collection.reporter);
    reports.insert(reporter.node.id().clone(), Arc::new(reporter));
    Collected { snapshot, reports }
}

/// Returns the time on the node's wall clock, with which the clocks of other nodes are compared.
fn unix_time(node: &Node) -> f64 {
    node.system_time().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

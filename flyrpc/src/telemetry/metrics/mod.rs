//! [`Metrics`]: an observer that records metrics through the facade of the crate `metrics`.

mod by_name;
mod by_status;
mod cache;
mod cluster;
mod durations;
mod gauge_share;
mod method;
mod methods;
mod names;

use std::{sync::OnceLock, time::Duration};

use metrics::{
    Counter, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
};

use self::{
    cache::Cache,
    cluster::ClusterMetrics,
    gauge_share::GaugeShare,
    method::MethodMetrics,
    methods::Methods,
    names::{
        ATTEMPTS, CLIENT_DURATION, DROPPED, HANDSHAKES, HELD, IN_FLIGHT, LINKS, NODES, REFUSALS,
        RETRIES, SERVER_DURATION,
    },
};
use super::{
    Attempt, Called, Observed, Observer, Outcome, ServeOutcome, Served, status, status::CallStatus,
};

/// Records the calls, links and peers of a node as metrics, with the recorder of the crate
/// [`metrics`](https://docs.rs/metrics) that the application has installed.
///
/// | metric | kind | labels | what |
/// |---|---|---|---|
/// | `rpc_client_call_duration_seconds` | histogram | `rpc_system_name`, `rpc_method`, `rpc_status_code`, `server_address` | calls of this node, with their retries |
/// | `rpc_server_call_duration_seconds` | histogram | the same | handlers that this node ran, also for its own calls |
/// | `flyrpc_calls_in_flight` | gauge | `side` (`client` or `server`) | calls of this node, and handlers, in progress |
/// | `flyrpc_attempts_total` | counter | `rpc_method`, `outcome` | ended attempts of calls of this node. A call that found no node has none |
/// | `flyrpc_retries_total` | counter | `reason` | attempts after the first one of a call. The reason is the kind of error of the attempt before, or `NOT_FAILED`: its node was quiet, or the call was hedged |
/// | `flyrpc_refusals_total` | counter | `rpc_method`, `rpc_status_code` | requests of other nodes that this node refused. They run no handler, and are in no histogram |
/// | `flyrpc_requests_held` | gauge | | requests of other nodes that this node holds, because it does not know whether their callers still wait |
/// | `flyrpc_link_handshakes_total` | counter | `result` | handshakes of links. The result is `OK`, or the kind of the failure, such as `NOT_FLYRPC` or `OTHER_SECRET` |
/// | `flyrpc_gossip_dropped_total` | counter | `reason` | datagrams that were dropped, for a reason such as `NOT_SEALED` or `OTHER_CLUSTER` |
/// | `flyrpc_nodes` | gauge | `region`, `state` (`up` or `ejected`) | other nodes of the cluster. An ejected node is up, too. One that comes back is counted as ejected after its next failure |
/// | `flyrpc_links` | gauge | `region`, `state` (`open`) | open links to other nodes |
///
/// The names and labels of the first two are the Prometheus form of the RPC conventions 1.45 of OpenTelemetry.
/// `rpc_system_name` is `flyrpc`, and `rpc_method` is the service and the method, such as `Strings/upcase`. A status or
/// an outcome is `OK`, `ERR` if the handler returned an `Err`, the text of an [`ErrorKind`](crate::ErrorKind), or `CANCELLED` if the caller
/// dropped the call. `server_address` is the region of the node that executed the call. For calls that found
/// no node, it is empty. No label contains the id or the address of a node, so the number of series does not grow with
/// restarts and deploys. Regions beyond 512 series of a metric and method, which only a faulty node causes, are counted
/// as `other`.
///
/// # Use
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), flyrpc::StartError> {
/// // Install a recorder first, for example that of the crate `metrics-exporter-prometheus`.
/// let node = flyrpc::Node::builder().observer(flyrpc::Metrics::new()).start().await?;
/// # node.shutdown().await;
/// # Ok(())
/// # }
/// ```
///
/// A metric is registered when it is recorded for the first time, and keeps the recorder that is installed then. Each
/// node needs a `Metrics` of its own. Several nodes of one process are added up, and a node that has ended no longer
/// counts in the gauges.
///
/// Exporters have default buckets of their own. For the durations, the conventions advise 0.005, 0.01, 0.025, 0.05, 0.075,
/// 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5 and 10 seconds.
#[derive(Debug, Default)]
pub struct Metrics {
    methods: Methods,
    cluster: ClusterMetrics,
    gauges: OnceLock<Gauges>,
    handshakes: Cache<String, Counter>,
    dropped: Cache<String, Counter>,
}

/// The gauges without labels that peers choose. They are registered together, so that each exists from the start.
#[derive(Debug)]
struct Gauges {
    client: GaugeShare,
    server: GaugeShare,
    held: GaugeShare,
}

impl Metrics {
    /// Creates an observer that has recorded nothing yet.
    pub fn new() -> Self {
        Metrics::default()
    }

    fn gauges(&self) -> &Gauges {
        self.gauges.get_or_init(|| {
            describe();
            Gauges {
                client: GaugeShare::new(gauge!(IN_FLIGHT, "side" => "client")),
                server: GaugeShare::new(gauge!(IN_FLIGHT, "side" => "server")),
                held: GaugeShare::new(gauge!(HELD)),
            }
        })
    }

    fn on_attempt_started(&self, attempt: &Attempt<'_>) {
        if attempt.number == 1 {
            self.gauges().client.add(1);
        } else if attempt.node.is_some() {
            self.methods.retry(status::reason_for_retry(attempt.previous));
        }
    }

    fn on_called(&self, called: &Called<'_>, outcome: &Outcome<'_>) {
        self.gauges().client.add(-1);
        let region = called.node.map(|node| node.region());
        self.methods.with(called.service, called.method, |method| {
            method.client(region, outcome.into(), called.took);
        });
    }

    fn on_serve_ended(&self, served: &Served<'_>, outcome: ServeOutcome, took: Duration) {
        self.gauges().server.add(-1);
        self.methods.with(served.service, served.method, |method| {
            method.server(served.node.region(), outcome.into(), took);
        });
    }
}

impl Observer for Metrics {
    fn observe(&self, observed: &Observed<'_>) {
        // Registers and describes the metrics.
        self.gauges();
        match observed {
            Observed::Started(attempt) => self.on_attempt_started(attempt),
            // Not an attempt, but the failure of a call outside of its attempts.
            Observed::Ended(Attempt { node: None, .. }, _) => {}
            Observed::Ended(attempt, outcome) => {
                let count = |method: &MethodMetrics| method.attempt(outcome.into());
                self.methods.with(attempt.service, attempt.method, count);
            }
            Observed::Called(called, outcome) => self.on_called(called, outcome),
            Observed::Admitted(_) => {}
            Observed::Refused(served, kind) => {
                let count = |method: &MethodMetrics| method.refusal(CallStatus::Failed(*kind));
                self.methods.with(served.service, served.method, count);
            }
            Observed::ServeStarted(_) => self.gauges().server.add(1),
            Observed::ServeEnded(served, outcome, took) => {
                self.on_serve_ended(served, *outcome, *took);
            }
            Observed::Held(held) => self.gauges().held.set(*held as i64),
            Observed::Handshake(result) => {
                let create = || counter!(HANDSHAKES, "result" => (*result).to_owned());
                count(&self.handshakes, result, create);
            }
            Observed::DatagramDropped(reason) => {
                let create = || counter!(DROPPED, "reason" => (*reason).to_owned());
                count(&self.dropped, reason, create);
            }
            Observed::LinkOpened(node) => self.cluster.on_link_opened(node),
            Observed::LinkClosed(node, _) => self.cluster.on_link_closed(node),
            Observed::Event(event) => self.cluster.on_event(event),
        }
    }
}

fn count(counters: &Cache<String, Counter>, label: &str, create: impl Fn() -> Counter) {
    let create = || (label.to_owned(), create());
    counters.with(label, create, |counter| counter.increment(1));
}

fn describe() {
    describe_histogram!(CLIENT_DURATION, Unit::Seconds, "The duration of calls of this node.");
    describe_histogram!(SERVER_DURATION, Unit::Seconds, "The duration of handlers.");
    describe_gauge!(IN_FLIGHT, "Calls of this node, and handlers, in progress.");
    describe_counter!(ATTEMPTS, "Ended attempts of calls of this node.");
    describe_counter!(RETRIES, "Attempts after the first one of a call.");
    describe_counter!(REFUSALS, "Requests of other nodes that this node refused.");
    describe_gauge!(HELD, "Requests of other nodes that this node holds.");
    describe_counter!(HANDSHAKES, "Handshakes of links.");
    describe_counter!(DROPPED, "Datagrams that were dropped.");
    describe_gauge!(NODES, "Other nodes of the cluster.");
    describe_gauge!(LINKS, "Open links to other nodes.");
}

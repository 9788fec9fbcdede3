//! The names of the metrics, and the bound on their series.

pub(super) const CLIENT_DURATION: &str = "rpc_client_call_duration_seconds";
pub(super) const SERVER_DURATION: &str = "rpc_server_call_duration_seconds";
pub(super) const IN_FLIGHT: &str = "flyrpc_calls_in_flight";
pub(super) const ATTEMPTS: &str = "flyrpc_attempts_total";
pub(super) const RETRIES: &str = "flyrpc_retries_total";
pub(super) const REFUSALS: &str = "flyrpc_refusals_total";
pub(super) const HANDSHAKES: &str = "flyrpc_link_handshakes_total";
pub(super) const DROPPED: &str = "flyrpc_gossip_dropped_total";
pub(super) const HELD: &str = "flyrpc_requests_held";
pub(super) const NODES: &str = "flyrpc_nodes";
pub(super) const LINKS: &str = "flyrpc_links";

/// Upper bound on the series of a metric for each method, or for links and nodes together. Peers choose the names of
/// their regions, so a faulty one could add any number.
pub(super) const MAX_SERIES: usize = 512;

/// The region of series beyond [`MAX_SERIES`].
pub(super) const OTHER_REGION: &str = "other";

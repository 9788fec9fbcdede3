//! Each method and each function of flyrpc-testkit, with its signature.

use std::{
    fmt::Display,
    io,
    net::{IpAddr, SocketAddr},
    ops::RangeBounds,
    path::Path,
    time::Duration,
};

use flyrpc::{Node, NodeBuilder, NodeId, NodeInfo, Region, RpcError, Service, Target};
use flyrpc_testkit::{
    CallOutcome, Calls, Events, FaultGuard, Occurrence, Release, Rollout, RoundTrips, SimCluster,
    SimClusterBuilder, SimEnv, SimNet, SimNetBuilder, SimNode, Trace, TracedCall, TracedEvent,
    real_io,
};

use crate::is;

fn calls<'a, B: RangeBounds<Duration>, R: Into<Region>>() {
    let _: fn(Calls<'a>, u32) -> Calls<'a> = Calls::attempt;
    let _: fn(Calls<'a>, B) -> Calls<'a> = Calls::between;
    let _: fn(Calls<'a>) -> Calls<'a> = Calls::cancelled;
    let _: fn(Calls<'a>) -> Calls<'a> = Calls::failed;
    let _: fn(Calls<'a>, &str) -> Calls<'a> = Calls::from_node;
    let _: fn(Calls<'a>, R) -> Calls<'a> = Calls::from_region;
    let _: fn(Calls<'a>) -> Calls<'a> = Calls::local;
    let _: fn(Calls<'a>, &str) -> Calls<'a> = Calls::method;
    let _: fn(Calls<'a>) -> Calls<'a> = Calls::ok;
    let _: fn(Calls<'a>) -> Calls<'a> = Calls::remote;
    let _: fn(Calls<'a>, &str) -> Calls<'a> = Calls::service;
    let _: fn(Calls<'a>, Duration) -> Calls<'a> = Calls::since;
    let _: fn(Calls<'a>) -> Calls<'a> = Calls::to_no_node;
    let _: fn(Calls<'a>, &str) -> Calls<'a> = Calls::to_node;
    let _: fn(Calls<'a>, R) -> Calls<'a> = Calls::to_region;
    let _: fn(Calls<'a>) -> Calls<'a> = Calls::under_way;
}

fn events<'a, B: RangeBounds<Duration>, R: Into<Region>>() {
    let _: fn(Events<'a>, &str) -> Events<'a> = Events::about;
    let _: fn(Events<'a>, B) -> Events<'a> = Events::between;
    let _: fn(Events<'a>, &str) -> Events<'a> = Events::down;
    let _: fn(Events<'a>) -> Events<'a> = Events::faults;
    let _: fn(Events<'a>, &str) -> Events<'a> = Events::left;
    let _: fn(Events<'a>) -> Events<'a> = Events::links;
    let _: fn(Events<'a>) -> Events<'a> = Events::membership;
    let _: fn(Events<'a>) -> Events<'a> = Events::notes;
    let _: fn(Events<'a>, &str) -> Events<'a> = Events::of_node;
    let _: fn(Events<'a>, R) -> Events<'a> = Events::of_region;
    let _: fn(Events<'a>, Duration) -> Events<'a> = Events::since;
    let _: fn(Events<'a>, &str) -> Events<'a> = Events::up;
}

fn fault_guard() {
    let _: fn(FaultGuard) = FaultGuard::keep;
}

fn occurrence() {
    let _: fn(&Occurrence) -> &'static str = Occurrence::label;
}

fn release<
    Boot: Fn(SimNode, NodeBuilder) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Node, X>> + Send + 'static,
    X: Display,
    Configure: Fn(&SimNode, NodeBuilder) -> NodeBuilder + Send + Sync + 'static,
    Program: Fn(SimEnv) -> G + Send + Sync + 'static,
    G: Future<Output = ()> + Send + 'static,
    Serve: Fn(&SimNode) -> S + Send + Sync + 'static,
    S: Service,
>() {
    let _: fn(Release, Boot) -> Release = Release::boot;
    let _: fn(Release, Configure) -> Release = Release::configure;
    let _: fn() -> Release = Release::http_server;
    let _: fn() -> Release = Release::new;
    let _: fn(Program) -> Release = Release::program;
    let _: fn(Release, Serve) -> Release = Release::serve;
    let _: fn() -> Release = Release::without_flyrpc;
}

fn rollout<'a>() {
    let _: for<'r> fn(&'r Rollout<'a>) -> &'r [String] = Rollout::left;
}

fn round_trips<R: Into<Region>, Q: Into<Region>>() {
    let _: fn(&RoundTrips, &Region, &Region) -> Option<Duration> = RoundTrips::between;
    let _: fn(&mut RoundTrips, R, Q, Duration) = RoundTrips::set;
}

fn sim_cluster<N: AsRef<str>, T: Into<String>>() {
    let _: fn() -> SimClusterBuilder = SimCluster::builder;
    let _: fn(&SimCluster, N) = SimCluster::crash;
    let _: fn(&SimCluster) -> Duration = SimCluster::elapsed;
    let _: fn(&SimCluster, N) -> bool = SimCluster::is_up;
    let _: fn(&SimCluster) -> Vec<String> = SimCluster::names;
    let _: fn(&SimCluster, N) -> Node = SimCluster::node;
    let _: fn(&SimCluster) -> Vec<Node> = SimCluster::nodes;
    let _: fn(&SimCluster, T) = SimCluster::note;
    let _: fn(&SimCluster) -> &Region = SimCluster::primary_region;
    let _: fn(&SimCluster, Release) -> Rollout<'_> = SimCluster::roll;
    let _: fn(&SimCluster) -> u64 = SimCluster::seed;
    let _: fn(&SimCluster) -> Trace = SimCluster::trace;
}

fn sim_cluster_builder<
    Boot: Fn(SimNode, NodeBuilder) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Node, X>> + Send + 'static,
    X: Display,
    Configure: Fn(&SimNode, NodeBuilder) -> NodeBuilder + Send + Sync + 'static,
    T: Into<String>,
    R: Into<Region>,
    Q: Into<Region>,
    Serve: Fn(&SimNode) -> S + Send + Sync + 'static,
    S: Service,
>() {
    let _: fn(SimClusterBuilder, bool) -> SimClusterBuilder = SimClusterBuilder::announce;
    let _: fn(SimClusterBuilder, u64) -> SimClusterBuilder = SimClusterBuilder::bandwidth;
    let _: fn(SimClusterBuilder, Boot) -> SimClusterBuilder = SimClusterBuilder::boot;
    let _: fn(SimClusterBuilder, Configure) -> SimClusterBuilder = SimClusterBuilder::configure;
    let _: fn(SimClusterBuilder, bool) -> SimClusterBuilder = SimClusterBuilder::force_wire;
    let _: fn(SimClusterBuilder, Duration) -> SimClusterBuilder = SimClusterBuilder::jitter;
    let _: fn(SimClusterBuilder, f64) -> SimClusterBuilder = SimClusterBuilder::loss;
    let _: fn(SimClusterBuilder, T, Release) -> SimClusterBuilder = SimClusterBuilder::node;
    let _: fn(SimClusterBuilder, R) -> SimClusterBuilder = SimClusterBuilder::primary;
    let _: fn(SimClusterBuilder, R, usize) -> SimClusterBuilder = SimClusterBuilder::region;
    let _: fn(SimClusterBuilder, Release) -> SimClusterBuilder = SimClusterBuilder::release;
    let _: fn(SimClusterBuilder, RoundTrips) -> SimClusterBuilder = SimClusterBuilder::round_trips;
    let _: fn(SimClusterBuilder, R, Q, Duration) -> SimClusterBuilder = SimClusterBuilder::rtt;
    let _: fn(SimClusterBuilder, u64) -> SimClusterBuilder = SimClusterBuilder::seed;
    let _: fn(SimClusterBuilder, Serve) -> SimClusterBuilder = SimClusterBuilder::serve;
}

fn sim_env() {
    let _: fn(&SimEnv, u16) -> SocketAddr = SimEnv::addr;
    let _: fn(&SimEnv) -> IpAddr = SimEnv::ip;
    let _: fn(&SimEnv) -> String = SimEnv::name;
    let _: fn(&SimEnv) -> Region = SimEnv::region;
}

fn sim_net<
    T: Into<String>,
    R: Into<Region>,
    N: AsRef<str>,
    M: AsRef<str>,
    I: IntoIterator<Item = IpAddr>,
>() {
    let _: fn(&SimNet, T, R) -> SimEnv = SimNet::add_host;
    let _: fn() -> SimNetBuilder = SimNet::builder;
    let _: fn(&SimNet) -> usize = SimNet::connections;
    let _: fn(&SimNet, N) = SimNet::crash;
    let _: fn(&SimNet, N, i64) = SimNet::drift;
    let _: fn(&SimNet, N, i64) -> FaultGuard = SimNet::drifting;
    let _: fn(&SimNet, N) = SimNet::freeze;
    let _: fn(&SimNet, N) -> FaultGuard = SimNet::frozen;
    let _: fn(&SimNet, N, M) = SimNet::heal;
    let _: fn(&SimNet) = SimNet::heal_all;
    let _: fn(&SimNet, N, M) -> FaultGuard = SimNet::hold;
    let _: fn(&SimNet, N, M, Duration) -> FaultGuard = SimNet::jitter;
    let _: fn(&SimNet, N) = SimNet::kill;
    let _: fn(&SimNet, N, M, f64) -> FaultGuard = SimNet::lose;
    let _: fn(&SimNet, N, M) -> FaultGuard = SimNet::partition;
    let _: fn(&SimNet, N, M) -> FaultGuard = SimNet::partition_one_way;
    let _: fn(&SimNet, N, M) = SimNet::release;
    let _: fn(&SimNet, N) -> SimEnv = SimNet::restart;
    let _: fn(&SimNet, N) = SimNet::resume;
    let _: fn(&SimNet, T, I) = SimNet::set_name;
    let _: fn(&SimNet, N, Duration) = SimNet::skew_ahead;
    let _: fn(&SimNet, N, Duration) = SimNet::skew_behind;
    let _: fn(&SimNet, N, Duration) -> FaultGuard = SimNet::skewed_ahead;
    let _: fn(&SimNet, N, Duration) -> FaultGuard = SimNet::skewed_behind;
    let _: fn(&SimNet, N, M, Duration) -> FaultGuard = SimNet::slow;
    let _: fn(&SimNet, N, M, u64) -> FaultGuard = SimNet::throttle;
}

fn sim_net_builder<R: Into<Region>, Q: Into<Region>>() {
    let _: fn(SimNetBuilder, u64) -> SimNetBuilder = SimNetBuilder::bandwidth;
    let _: fn(SimNetBuilder) -> SimNet = SimNetBuilder::build;
    let _: fn(SimNetBuilder, Duration) -> SimNetBuilder = SimNetBuilder::jitter;
    let _: fn(SimNetBuilder, f64) -> SimNetBuilder = SimNetBuilder::loss;
    let _: fn(SimNetBuilder, RoundTrips) -> SimNetBuilder = SimNetBuilder::round_trips;
    let _: fn(SimNetBuilder, R, Q, Duration) -> SimNetBuilder = SimNetBuilder::rtt;
    let _: fn(SimNetBuilder, u64) -> SimNetBuilder = SimNetBuilder::seed;
    let _: fn(SimNetBuilder, usize) -> SimNetBuilder = SimNetBuilder::socket_buffer;
}

fn sim_node() {
    let _: fn(&SimNode) -> &SimEnv = SimNode::env;
    let _: fn(&SimNode) -> bool = SimNode::is_primary;
    let _: fn(&SimNode) -> &str = SimNode::name;
    let _: fn(&SimNode) -> &Region = SimNode::primary_region;
    let _: fn(&SimNode) -> &Region = SimNode::region;
}

fn trace<B: RangeBounds<Duration>, P: AsRef<Path>>() {
    let _: fn(&Trace, B) -> Trace = Trace::between;
    let _: fn(&Trace) -> Calls<'_> = Trace::calls;
    let _: fn(&Trace) -> Events<'_> = Trace::events;
    let _: fn(&Trace) -> u64 = Trace::seed;
    let _: fn(&Trace) -> String = Trace::to_mermaid;
    let _: fn(&Trace, P) -> io::Result<()> = Trace::write_to;
}

fn traced_call() {
    let _: fn(&TracedCall) -> u32 = TracedCall::attempt;
    let _: fn(&TracedCall) -> u64 = TracedCall::call;
    let _: fn(&TracedCall) -> &str = TracedCall::caller;
    let _: fn(&TracedCall) -> u32 = TracedCall::caller_boot;
    let _: fn(&TracedCall) -> &Region = TracedCall::caller_region;
    let _: fn(&TracedCall) -> Option<Duration> = TracedCall::end;
    let _: fn(&TracedCall) -> Option<&RpcError> = TracedCall::error;
    let _: fn(&TracedCall) -> bool = TracedCall::is_local;
    let _: fn(&TracedCall) -> &'static str = TracedCall::method;
    let _: fn(&TracedCall) -> Option<&str> = TracedCall::node;
    let _: fn(&TracedCall) -> Option<&NodeId> = TracedCall::node_id;
    let _: fn(&TracedCall) -> Option<&CallOutcome> = TracedCall::outcome;
    let _: fn(&TracedCall) -> Option<&Region> = TracedCall::region;
    let _: fn(&TracedCall) -> Option<usize> = TracedCall::reply_bytes;
    let _: fn(&TracedCall) -> Option<usize> = TracedCall::request_bytes;
    let _: fn(&TracedCall) -> &'static str = TracedCall::service;
    let _: fn(&TracedCall) -> Duration = TracedCall::start;
    let _: fn(&TracedCall) -> &Target = TracedCall::target;
    let _: fn(&TracedCall) -> Option<Duration> = TracedCall::took;
}

fn traced_event() {
    let _: fn(&TracedEvent) -> Duration = TracedEvent::at;
    let _: fn(&TracedEvent) -> Option<&str> = TracedEvent::node;
    let _: fn(&TracedEvent) -> Option<&Region> = TracedEvent::region;
    let _: fn(&TracedEvent) -> Option<&NodeInfo> = TracedEvent::subject;
    let _: fn(&TracedEvent) -> &Occurrence = TracedEvent::what;
}

/// Futures are `Send`, as `tokio::spawn` requires.
fn futures<R: Into<Region> + Send, N: AsRef<str> + Copy + Send + Sync>(
    builder: SimClusterBuilder,
    cluster: &SimCluster,
    rollout: &mut Rollout<'_>,
    region: R,
    node: N,
    release: Release,
) {
    is::<SimCluster>(builder.start());
    is::<()>(cluster.settled());
    is::<()>(cluster.replace(node, release.clone()));
    is::<()>(cluster.restart(node));
    is::<()>(cluster.shutdown(node));
    is::<String>(cluster.add_node_with(region, release));
    is::<Option<String>>(rollout.step());
    is::<String>(real_io(async { String::new() }));
}

fn add_node<R: Into<Region> + Send>(cluster: &SimCluster, region: R) {
    is::<Node>(cluster.add_node(region));
}

/// The methods of the cluster's network, except `crash` and `restart`, are called on the cluster itself.
fn network_of_a_cluster<T, R, N, M, I>(
    cluster: &SimCluster,
    (text, region, ips): (T, R, I),
    (n, m): (N, M),
    time: Duration,
) where
    T: Into<String> + Copy,
    R: Into<Region>,
    N: AsRef<str> + Copy,
    M: AsRef<str> + Copy,
    I: IntoIterator<Item = IpAddr>,
{
    let _: SimEnv = cluster.add_host(text, region);
    let _: usize = cluster.connections();
    let () = cluster.drift(n, 1);
    let _: FaultGuard = cluster.drifting(n, 1);
    let () = cluster.freeze(n);
    let _: FaultGuard = cluster.frozen(n);
    let () = cluster.heal(n, m);
    let () = cluster.heal_all();
    let _: FaultGuard = cluster.hold(n, m);
    let _: FaultGuard = cluster.jitter(n, m, time);
    let () = cluster.kill(n);
    let _: FaultGuard = cluster.lose(n, m, 0.5);
    let _: FaultGuard = cluster.partition(n, m);
    let _: FaultGuard = cluster.partition_one_way(n, m);
    let () = cluster.release(n, m);
    let () = cluster.resume(n);
    let () = cluster.set_name(text, ips);
    let () = cluster.skew_ahead(n, time);
    let () = cluster.skew_behind(n, time);
    let _: FaultGuard = cluster.skewed_ahead(n, time);
    let _: FaultGuard = cluster.skewed_behind(n, time);
    let _: FaultGuard = cluster.slow(n, m, time);
    let _: FaultGuard = cluster.throttle(n, m, 1);
}

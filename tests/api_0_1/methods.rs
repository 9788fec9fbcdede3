//! Each method and each function of flyrpc, with its signature.

use std::{fmt::Display, io, net::SocketAddr, time::Duration};

use flyrpc::{
    BodyError, Client, Context, Env, Event, Node, NodeBuilder, NodeId, NodeInfo, Observer, Peer,
    Region, RpcError, Service, StartError,
};
use futures_util::{Stream, StreamExt};

use crate::{is, is_static};

const _: Region = Region::LOCAL;

fn body_error<T: Into<String>, D: Display>() {
    let _: fn(&BodyError) -> &str = BodyError::message;
    let _: fn(T, D) -> BodyError = BodyError::new;
    let _: fn(&BodyError) -> &str = BodyError::path;
}

fn context() {
    let _: fn(&Context) -> u32 = Context::attempt;
    let _: fn(&Context) -> &NodeInfo = Context::caller;
    let _: fn(&Context) -> &Region = Context::caller_region;
    let _: fn(&Context) -> bool = Context::is_local;
    let _: fn(&Context) -> Duration = Context::remaining;
    let _: fn() -> Option<Context> = Context::try_current;
}

fn node<C: Client, R: Into<Region>>() {
    let _: fn(&Node) = Node::accept;
    let _: fn(&Node) -> SocketAddr = Node::addr;
    let _: fn() -> NodeBuilder = Node::builder;
    let _: fn(&Node) -> C = Node::client;
    let _: fn() -> Result<NodeBuilder, StartError> = Node::from_env;
    let _: fn(&Node) -> &NodeId = Node::id;
    let _: fn(&Node) -> &NodeInfo = Node::info;
    let _: fn(&Node) -> bool = Node::is_primary;
    let _: fn(&Node, R) -> Vec<NodeInfo> = Node::nodes_in;
    let _: fn(&Node) -> Vec<Peer> = Node::peers;
    let _: fn(&Node) -> &Region = Node::primary_region;
    let _: fn(&Node) -> &Region = Node::region;
    let _: fn(&Node, bool) = Node::set_serving::<C>;
}

fn node_builder<
    T: Into<String>,
    E: Env,
    O: Observer,
    R: Into<Region>,
    I: IntoIterator<Item: ToString>,
    S: Service,
>() {
    let _: fn(NodeBuilder, SocketAddr) -> NodeBuilder = NodeBuilder::advertise;
    let _: fn(NodeBuilder, bool) -> NodeBuilder = NodeBuilder::client_only;
    let _: fn(NodeBuilder, T) -> NodeBuilder = NodeBuilder::cluster;
    let _: fn(NodeBuilder, Duration) -> NodeBuilder = NodeBuilder::drain_timeout;
    let _: fn(NodeBuilder, bool) -> NodeBuilder = NodeBuilder::encode_local_calls;
    let _: fn(NodeBuilder, E) -> NodeBuilder = NodeBuilder::env;
    let _: fn(NodeBuilder, Duration) -> NodeBuilder = NodeBuilder::heartbeat;
    let _: fn(NodeBuilder) -> NodeBuilder = NodeBuilder::hold;
    let _: fn(NodeBuilder, SocketAddr) -> NodeBuilder = NodeBuilder::listen;
    let _: fn(NodeBuilder, usize) -> NodeBuilder = NodeBuilder::max_body;
    let _: fn(NodeBuilder, usize) -> NodeBuilder = NodeBuilder::max_in_flight;
    let _: fn(NodeBuilder, T) -> NodeBuilder = NodeBuilder::name;
    let _: fn(NodeBuilder, O) -> NodeBuilder = NodeBuilder::observer;
    let _: fn(NodeBuilder, R) -> NodeBuilder = NodeBuilder::primary_region;
    let _: fn(NodeBuilder, R) -> NodeBuilder = NodeBuilder::region;
    let _: fn(NodeBuilder, u64) -> NodeBuilder = NodeBuilder::rng_seed;
    let _: fn(NodeBuilder, I) -> NodeBuilder = NodeBuilder::seeds;
    let _: fn(NodeBuilder, S) -> NodeBuilder = NodeBuilder::serve;
}

fn node_id<N: AsRef<str>>() {
    let _: fn(&NodeId) -> u64 = NodeId::boot;
    let _: fn(&NodeId) -> &str = NodeId::name;
    let _: fn(N, u64) -> NodeId = NodeId::new;
}

fn node_info() {
    let _: fn(&NodeInfo) -> SocketAddr = NodeInfo::addr;
    let _: fn(&NodeInfo) -> &NodeId = NodeInfo::id;
    let _: fn(&NodeInfo) -> &str = NodeInfo::name;
    let _: fn(NodeId, Region, SocketAddr) -> NodeInfo = NodeInfo::new;
    let _: fn(&NodeInfo) -> &Region = NodeInfo::region;
}

fn region() {
    let _: fn(&Region) -> &str = Region::as_str;
    let _: fn(&Region) -> bool = Region::is_empty;
}

fn rpc_error() {
    let _: fn(&RpcError) -> bool = RpcError::may_have_executed;
    let _: fn(&RpcError) -> Option<&NodeInfo> = RpcError::node;
}

fn functions() {
    let _: fn() -> Context = flyrpc::context;
}

/// The future of a task under `Context::scope` is `Send` if the task is.
fn futures<F: Future<Output = String> + Send>(
    node: &Node,
    id: &NodeId,
    builder: NodeBuilder,
    context: &Context,
    task: F,
) {
    is::<()>(node.ready());
    is::<()>(node.drain());
    is::<()>(node.shutdown());
    is::<io::Result<()>>(node.run_until_signal());
    is_static::<Result<Region, RpcError>>(node.region_of(id));
    is_static::<Result<bool, RpcError>>(node.supports(id));
    is_static::<Result<Node, StartError>>(builder.start());
    is::<String>(context.scope(task));
}

/// The name of the stream's type has changed.
async fn events(node: &Node) -> Option<Event> {
    let mut events = node.events();
    let _: &(dyn Stream<Item = Event> + Send + Unpin) = &events;
    StreamExt::next(&mut events).await
}

//! Each field of each public struct, and each variant of each public enum with its fields. Values that a program of
//! 0.1 can create are created here. `BoxStream` is the only one of these types that is not `#[non_exhaustive]`, so
//! others may have more fields and variants.

use std::{error::Error, io, net::SocketAddr, sync::Arc, time::Duration};

use flyrpc::{
    ArgumentSpec, Attempt, BodyError, BoxStream, Event, Known, MethodSpec, NoSupport, NodeId,
    NodeInfo, Observed, Outcome, Peer, PeerState, Refusal, Region, RpcError, ServiceSpec,
    StartError, StreamWriter, Support, Target, Unsupported,
};
use flyrpc_testkit::{CallOutcome, Occurrence};
use tokio::io::AsyncRead;

fn argument_spec(argument_spec: ArgumentSpec) {
    let _: String = argument_spec.name;
    let _: String = argument_spec.ty;
    let _: bool = argument_spec.optional;
}

fn attempt<'a>(attempt: Attempt<'a>) {
    let _: u64 = attempt.call;
    let _: u32 = attempt.number;
    let _: &'static str = attempt.service;
    let _: &'static str = attempt.method;
    let _: &'a Target = attempt.target;
    let _: Option<&'a NodeInfo> = attempt.node;
    let _: Option<usize> = attempt.request_bytes;
}

fn event() {
    let _: fn(NodeInfo) -> Event = Event::Up;
    let _: fn(NodeInfo) -> Event = Event::Down;
    let _: fn(NodeInfo) -> Event = Event::Left;
    let _: fn(u64) -> Event = Event::Missed;
    let _ = |addr: SocketAddr, node: Option<NodeInfo>, support: Support| Event::SupportChanged {
        addr,
        node,
        support,
    };
    let _ = |node: NodeInfo, theirs: Region, ours: Region| Event::PrimaryDisagreement {
        node,
        theirs,
        ours,
    };
}

fn method_spec(method_spec: MethodSpec) {
    let _: String = method_spec.name;
    let _: Vec<ArgumentSpec> = method_spec.arguments;
    let _: String = method_spec.returns;
    let _: bool = method_spec.primary;
    let _: bool = method_spec.idempotent;
    let _: bool = method_spec.detached;
}

fn no_support() {
    let _: [NoSupport; 2] = [NoSupport::Mute, NoSupport::Oneself];
    let _: fn(String) -> NoSupport = NoSupport::Unreachable;
    let _: fn(String) -> NoSupport = NoSupport::NotFlyrpc;
    let _: fn(String) -> NoSupport = NoSupport::OtherCluster;
    let _ = |first: u64, last: u64| NoSupport::Protocol { first, last };
}

fn observed<'a>() {
    let _: fn(&'a Attempt<'a>) -> Observed<'a> = Observed::Started;
    let _: fn(&'a Attempt<'a>, Outcome<'a>) -> Observed<'a> = Observed::Ended;
    let _: fn(&'a NodeInfo) -> Observed<'a> = Observed::LinkOpened;
    let _: fn(&'a NodeInfo, &'a str) -> Observed<'a> = Observed::LinkClosed;
    let _: fn(&'a Event) -> Observed<'a> = Observed::Event;
}

fn outcome<'a>() {
    let _: [Outcome<'a>; 1] = [Outcome::Cancelled];
    let _: fn(Option<usize>) -> Outcome<'a> = Outcome::Replied;
    let _: fn(&'a RpcError) -> Outcome<'a> = Outcome::Failed;
}

fn peer(peer: Peer) {
    let _: SocketAddr = peer.addr;
    let _: Option<NodeInfo> = peer.node;
    let _: PeerState = peer.state;
    let _: Support = peer.support;
    let _: bool = peer.accepting;
    let _: Option<Region> = peer.primary_region;
    let _: Vec<ServiceSpec> = peer.services;
    let _: Vec<String> = peer.withdrawn;
    let _: Option<Duration> = peer.round_trip;
}

fn peer_state() {
    let _: [PeerState; 6] = [
        PeerState::Linked,
        PeerState::Quiet,
        PeerState::Unlinked,
        PeerState::Lost,
        PeerState::Unreached,
        PeerState::Left,
    ];
}

fn refusal() {
    let _: [Refusal; 3] = [Refusal::Draining, Refusal::Overloaded, Refusal::Held];
}

fn rpc_error(value: RpcError) {
    match value {
        RpcError::NoNode { target, service, method, known, .. } => {
            let _: (Target, &'static str, &'static str, Known) = (target, service, method, known);
        }
        RpcError::Unsupported { node, service, method, why, .. } => {
            let _: (NodeInfo, &'static str, &'static str, Unsupported) =
                (node, service, method, why);
        }
        RpcError::NotPrimary { node, service, method, theirs, ours, .. } => {
            let _: (NodeInfo, &'static str, &'static str, Region, Region) =
                (node, service, method, theirs, ours);
        }
        RpcError::Refused { node, service, method, reason, .. } => {
            let _: (NodeInfo, &'static str, &'static str, Refusal) =
                (node, service, method, reason);
        }
        RpcError::Timeout { after, node, service, method, sent, .. } => {
            let _: (Duration, Option<NodeInfo>, &'static str, &'static str, bool) =
                (after, node, service, method, sent);
        }
        RpcError::Disconnected { node, service, method, sent, source, .. } => {
            let _: (
                Option<NodeInfo>,
                &'static str,
                &'static str,
                bool,
                Arc<dyn Error + Send + Sync>,
            ) = (node, service, method, sent, source);
        }
        RpcError::Panicked { node, service, method, message, .. } => {
            let _: (NodeInfo, &'static str, &'static str, String) =
                (node, service, method, message);
        }
        RpcError::Encode { service, method, source, .. } => {
            let _: (&'static str, &'static str, BodyError) = (service, method, source);
        }
        RpcError::ArgumentsTooLarge { service, method, size, limit, .. } => {
            let _: (&'static str, &'static str, usize, usize) = (service, method, size, limit);
        }
        RpcError::ReplyTooLarge { node, service, method, size, limit, .. } => {
            let _: (NodeInfo, &'static str, &'static str, usize, usize) =
                (node, service, method, size, limit);
        }
        RpcError::BadReply { node, service, method, source, .. } => {
            let _: (Option<NodeInfo>, &'static str, &'static str, BodyError) =
                (node, service, method, source);
        }
        RpcError::ShutDown { service, method, .. } => {
            let _: (&'static str, &'static str) = (service, method);
        }
        RpcError::Stub { service, method, source, .. } => {
            let _: (&'static str, &'static str, &(dyn Error + Send + Sync)) =
                (service, method, &*source);
        }
        _ => {}
    }
}

fn service_spec(service_spec: ServiceSpec) {
    let _: String = service_spec.name;
    let _: Vec<MethodSpec> = service_spec.methods;
}

fn start_error(value: StartError) {
    match value {
        StartError::Setting { setting, value, expected, .. } => {
            let _: (String, String, String) = (setting, value, expected);
        }
        StartError::Missing { setting, why, .. } => {
            let _: (String, String) = (setting, why);
        }
        StartError::DuplicateService { name, first, second, .. } => {
            let _: (String, &'static str, &'static str) = (name, first, second);
        }
        StartError::Listen { addr, source, .. } => {
            let _: (SocketAddr, io::Error) = (addr, source);
        }
        _ => {}
    }
}

fn support() {
    let _: [Support; 2] = [Support::Unknown, Support::Supported];
    let _: fn(NoSupport) -> Support = Support::Unsupported;
}

fn target() {
    let _: [Target; 1] = [Target::Nearest];
    let _: fn(Region) -> Target = Target::Region;
    let _: fn(Region) -> Target = Target::Primary;
    let _: fn(NodeId) -> Target = Target::Node;
}

fn unsupported() {
    let _: [Unsupported; 3] = [Unsupported::Protocol, Unsupported::Service, Unsupported::Method];
    let _: fn(String) -> Unsupported = Unsupported::Arguments;
}

/// The type of the reading half has changed, but not what it implements.
fn box_stream(stream: BoxStream) -> BoxStream {
    let _: &(dyn AsyncRead + Send + Unpin) = &stream.reader;
    let writer: Box<dyn StreamWriter> = stream.writer;
    BoxStream { reader: stream.reader, writer }
}

/// The type of the counts has changed.
fn known(known: Known) -> bool {
    let Known { unlinked, not_accepting, unsupported, not_flyrpc, unreachable, .. } = known;
    unlinked + not_accepting + unsupported + not_flyrpc + unreachable > 0
}

fn call_outcome() {
    let _: [CallOutcome; 2] = [CallOutcome::Replied, CallOutcome::Cancelled];
    let _: fn(Arc<RpcError>) -> CallOutcome = CallOutcome::Failed;
}

fn occurrence() {
    let _: fn(Event) -> Occurrence = Occurrence::Membership;
    let _: fn(NodeInfo) -> Occurrence = Occurrence::LinkOpened;
    let _: fn(NodeInfo, String) -> Occurrence = Occurrence::LinkClosed;
    let _: fn(String) -> Occurrence = Occurrence::Fault;
    let _: fn(String) -> Occurrence = Occurrence::Note;
}

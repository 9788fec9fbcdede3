//! Typed calls in a chosen region of a cluster.
//!
//! An application runs as nodes in several regions of the world, and some of its work must run in
//! particular regions: writes next to the primary database, a job close to a customer, a cache
//! invalidation [in every region](fly_rpc#many-nodes). With flyrpc, a trait declares the methods, and
//! each call selects a region. A call looks and behaves like a call of an async function, and runs on a
//! node in that region.
//!
//! ```
//! use flyrpc::{Node, fly_rpc};
//!
//! #[fly_rpc]
//! pub trait Strings {
//!     /// Upper-cases `text`.
//!     async fn upcase(&self, text: String) -> String;
//! }
//!
//! struct Shout;
//!
//! impl Strings for Shout {
//!     async fn upcase(&self, text: String) -> String {
//!         text.to_uppercase()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In production, each node is a separate process, configured by `Node::from_env()`.
//! let iad = Node::builder().name("a").region("iad").primary_region("iad");
//! let iad = iad.serve(ServeStrings::new(Shout)).start().await?;
//! let hkg = Node::builder().name("b").region("hkg").primary_region("iad");
//! let hkg = hkg.seeds([iad.addr()]).start().await?;
//! hkg.ready().await;
//!
//! let strings: StringsClient = hkg.client();
//! assert_eq!(strings.on_region("iad").upcase("fly".into()).await?, "FLY");
//! assert_eq!(strings.on_primary().upcase("rpc".into()).await?, "RPC");
//! # hkg.shutdown().await;
//! # iad.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # How the pieces fit
//!
//! 1. [`#[fly_rpc]`](fly_rpc) generates from a trait a type that serves it (`ServeStrings`) and a type
//!    that calls it (`StringsClient`). Its page documents everything that such a trait may contain, and
//!    the options of a client.
//! 2. A [`Node`] is one boot of one process in the cluster. [`Node::from_env`] and [`Node::builder`]
//!    configure it ([settings](NodeBuilder)), `serve` adds a service, and [`start`](NodeBuilder::start)
//!    joins the cluster.
//! 3. [`node.client()`](Node::client) creates a client. A call whose target includes this node runs in
//!    this process. Any other call goes to a live node of the target that supports it, over a link that
//!    was opened beforehand. A call has a deadline, by default 5 s. Dropping its future cancels it. A
//!    call executes at most once, unless its method is declared idempotent.
//! 4. A call returns the declared value or an [`RpcError`], whose
//!    [`may_have_executed`](RpcError::may_have_executed) reports whether it can be repeated safely.
//! 5. Inside a handler, [`context()`] returns the caller, its region, and the time left.
//! 6. [`Node::peers`] and [`Node::events`] report which nodes are up, which are not ready, and why.
//!    [`Node::drain`], [`Node::shutdown`] and [`Node::run_until_signal`] shut a node down gracefully.
//!
//! # Where to find what
//!
//! | to | see |
//! |---|---|
//! | declare, serve and call a service | [`fly_rpc`], [`Service`], [`Client`], [`Routed`] |
//! | run a node | [`Node`], [`WeakNode`], [`NodeBuilder`], [`StartError`] |
//! | select a target | [`Region`], [`NodeId`]; [`Target`] in errors |
//! | call many nodes | [`each`](fly_rpc#many-nodes) of a client, [`Nodes`], [`Replies`] |
//! | handle errors | [`RpcError`], [`ErrorKind`], [`ErrorInfo`], [`Unsupported`], [`Refusal`], [`Known`], [`BodyError`] |
//! | inspect the call that is being handled | [`context()`], [`Context`], [`Metadata`] |
//! | keep strangers out of a cluster | the guide to [security](guide::security), [`Keyring`], [`InvalidKeyring`] |
//! | decide which calls a node serves | [`NodeBuilder::authorize`], [`Admission`], [`Denied`] |
//! | watch the cluster | [`NodeInfo`], [`Peer`], [`PeerState`], [`Support`], [`NoSupport`], [`LinkSecurity`], [`KeyId`], [`Event`], [`Events`], [`ServiceSpec`]; an [`Observer`] receives calls and links. With the feature `metrics`, `Metrics` records them as metrics; [`Spans`] makes a span for each call and each handler: of `tracing`, which [`Propagate`] connects by their [`TraceContext`], or of a [`Tracer`], with [`StartedCall`], [`ClientSpan`], [`HandlerStart`], [`ServerSpan`] and [`SpanEnd`] |
//! | operate a cluster | the command `flyrpc` of the crate `flyrpc-cli`, and the page of the crate `flyrpc-status`; [`operations`] contains what they are built on |
//! | copy a solution for a common task, such as a cache with invalidation | the guide [patterns](guide::patterns) |
//! | deploy a version whose methods or types differ | the guide to [changing a service](guide::changing_a_service) |
//! | run nodes in a simulated environment | [`Env`], [`TokioEnv`], [`BoxStream`], [`Listener`], [`Datagram`]; the crate `flyrpc-testkit` provides a simulated network in virtual time |
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `tarpc` | yes | generated services implement `tarpc::server::Serve`, and generated clients have `from_stub`; without the feature, tarpc and the 20 crates that only tarpc needs, such as OpenTelemetry, are not built |
//! | `metrics` | no | `Metrics`, an observer that records calls, links and peers with the facade of the crate `metrics` |
//!
//! # What it is not
//!
//! - Not a queue: flyrpc does not store a call that received no reply, and does not deliver it later.
//! - Not consensus: each node has its own view of the live nodes, and the primary region is a setting,
//!   not the result of an election. A node that is not primary in its own view refuses calls that must
//!   run on the primary.
//! - Not streaming: a call has one request and one reply, each of at most
//!   [`max_body`](NodeBuilder::max_body) bytes.
//! - Not for callers that do not trust each other: every holder of the cluster's secret can call every
//!   method, unless [`authorize`](NodeBuilder::authorize) denies the call.
//! - Not for other languages: both ends run flyrpc. Their versions may differ.

// If a `match` keeps a guard of the routing table or of a lock alive, the guard is easily held too long.
#![warn(clippy::significant_drop_in_scrutinee)]

mod codec;
mod config;
mod env;
mod error;
mod proto;
mod runtime;
mod service;
mod telemetry;
mod types;

#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz;
pub mod guide;
pub mod operations;
#[cfg(feature = "unstable")]
#[doc(hidden)]
pub mod unstable;

#[doc(hidden)]
pub use self::runtime::private as __private;
#[cfg(feature = "metrics")]
pub use self::telemetry::Metrics;
pub use self::{
    config::{InvalidKeyring, Keyring},
    env::{BoxStream, Datagram, Env, Gate, Listener, StreamReader, StreamWriter, TokioEnv},
    error::{
        BodyError, Closed, Denied, ErrorInfo, ErrorKind, Known, NodeFailure, ParseErrorKindError,
        Refusal, RpcError, StartError, Unsupported,
    },
    runtime::{
        builder::NodeBuilder,
        client::{Client, Replies, Routed},
        context::{Context, barrier, context, spawn},
        events::Events,
        node::{Node, WeakNode},
        server::Admission,
        task::{JoinError, JoinHandle},
    },
    service::Service,
    telemetry::{
        Attempt, Called, ClientSpan, HandlerStart, Observed, Observer, Outcome, Propagate,
        ServeOutcome, Served, ServerSpan, SpanEnd, Spans, StartedCall, Tracer,
    },
    types::{
        ArgumentSpec, Event, GossipStats, HandlerStats, KeyId, LinkSecurity, LinkStats, Metadata,
        MethodSpec, NoSupport, NodeId, NodeInfo, Nodes, ParseNodeIdError, Peer, PeerState, Region,
        RegionStats, ServiceSpec, Stats, Support, Target, TraceContext,
    },
};
#[doc = include_str!("docs/fly_rpc.md")]
#[cfg_attr(feature = "tarpc", doc = "", doc = include_str!("docs/over_tarpc.md"))]
pub use flyrpc_macros::fly_rpc;

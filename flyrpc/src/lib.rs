//! Typed calls in a chosen region of a cluster.
//!
//! An application runs as nodes in several regions of the world, and some of its work must run in a
//! certain one: writes where the primary database lives, a job next to a customer, an invalidation
//! everywhere. With flyrpc a trait says what can be asked for, and a call says where: it looks and
//! behaves like a call of an async function, on a node in that region.
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
//! // In production each node is a process of its own, made by `Node::from_env()`.
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
//! 1. [`#[fly_rpc]`](fly_rpc) makes of a trait a type that serves it (`ServeStrings`) and a type that
//!    calls it (`StringsClient`). Its page lists all that can be written in such a trait, and all
//!    that a client can be told.
//! 2. A [`Node`] is one boot of one process in the cluster. [`Node::from_env`] and
//!    [`Node::builder`] give its [settings](NodeBuilder), `serve` what it does for others, and
//!    [`start`](NodeBuilder::start) joins the cluster.
//! 3. [`node.client()`](Node::client) makes clients. A call runs in this process if it is aimed here.
//!    Else it goes to a live node of the target that supports it, over a link that was opened before
//!    it was needed. It has a deadline, 5 s unless told otherwise; dropping its future cancels it; it
//!    executes at most once.
//! 4. What comes back is the declared value or an [`RpcError`], whose
//!    [`may_have_executed`](RpcError::may_have_executed) says whether the call can be made again
//!    safely.
//! 5. Inside a handler [`context()`] tells who calls, from where, and how much time is left.
//! 6. [`Node::peers`] and [`Node::events`] say who is there, who is not ready, and why.
//!    [`Node::drain`], [`Node::shutdown`] and [`Node::run_until_signal`] end a node in good order.
//!
//! # What is where
//!
//! | to | see |
//! |---|---|
//! | declare, serve and call a service | [`fly_rpc`], [`Service`], [`Client`], [`Routed`] |
//! | run a node | [`Node`], [`NodeBuilder`], [`StartError`] |
//! | say where | [`Region`], [`NodeId`]; [`Target`] in errors |
//! | learn what went wrong | [`RpcError`], [`Unsupported`], [`Refusal`], [`Known`], [`BodyError`] |
//! | ask about the call being handled | [`context()`], [`Context`] |
//! | watch the cluster | [`NodeInfo`], [`Peer`], [`PeerState`], [`Support`], [`NoSupport`], [`Event`], [`ServiceSpec`]; an [`Observer`] of its calls and links |
//! | deploy a version whose methods or types differ | the guide to [changing a service](guide::changing_a_service) |
//! | run nodes in another world than tokio's | [`Env`], [`TokioEnv`], [`BoxStream`], [`Listener`], [`Datagram`]; the package `flyrpc-testkit` has a simulated network in virtual time |
//!
//! # What it is not
//!
//! - Not a queue: a call that is not answered is not stored, and nothing is delivered later.
//! - Not consensus: who is up is each node's own view, and which region is primary is a setting, not
//!   elected. A call aimed at the primary is refused by a node that does not take itself for it.
//! - Not streaming: a call has one request and one reply, of at most
//!   [`max_body`](NodeBuilder::max_body) bytes each.
//! - Not for open networks: links are neither encrypted nor authenticated, and whoever reaches the
//!   port can call. A node listens on loopback or on Fly.io's private network unless told otherwise.
//! - Not for other languages: both ends are flyrpc, of versions that may differ.

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
#[cfg(feature = "unstable")]
#[doc(hidden)]
pub mod unstable;

#[doc(hidden)]
pub use self::runtime::private as __private;
pub use self::{
    env::{BoxStream, Datagram, Env, Listener, StreamWriter, TokioEnv},
    error::{BodyError, Known, Refusal, RpcError, StartError, Unsupported},
    runtime::{
        builder::NodeBuilder,
        client::{Client, Routed},
        context::{Context, context},
        node::Node,
    },
    service::Service,
    telemetry::{Attempt, Observed, Observer, Outcome},
    types::{
        ArgumentSpec, Event, MethodSpec, NoSupport, NodeId, NodeInfo, ParseNodeIdError, Peer,
        PeerState, Region, ServiceSpec, Support, Target,
    },
};
#[doc = include_str!("docs/fly_rpc.md")]
pub use flyrpc_macros::fly_rpc;

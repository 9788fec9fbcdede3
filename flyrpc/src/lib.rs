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

mod client;
mod cluster;
mod config;
mod context;
mod discovery;
mod encoding;
mod env;
mod error;
mod hub;
mod link;
mod membership;
mod node;
mod node_id;
mod observer;
mod peers;
mod region;
mod routing;
mod server;
mod service;
mod spec;
mod target;
mod wire;

#[doc(hidden)]
pub mod __membership;
#[doc(hidden)]
pub mod __private;
#[doc(hidden)]
pub mod __routing;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz;
pub mod guide;
#[cfg(feature = "unstable")]
#[doc(hidden)]
pub mod unstable;

/// Makes a service of a trait: what is called, what serves it, and what calls it.
///
/// The attribute goes on a trait whose methods are `async fn name(&self, argument: Type, …) -> Type;`.
/// It is implemented like any other trait, with plain `async fn`; the `impl` needs no attribute.
///
/// ```
/// use flyrpc::fly_rpc;
///
/// /// Work on text.
/// #[fly_rpc]
/// pub trait Strings {
///     /// Upper-cases `text`.
///     async fn upcase(&self, text: String) -> String;
///
///     /// Joins `parts`, by a space unless told otherwise.
///     #[rpc(idempotent, timeout = "2s")]
///     async fn join(&self, parts: Vec<String>, by: Option<String>) -> String;
/// }
///
/// struct Shout;
///
/// impl Strings for Shout {
///     async fn upcase(&self, text: String) -> String {
///         text.to_uppercase()
///     }
///
///     async fn join(&self, parts: Vec<String>, by: Option<String>) -> String {
///         parts.join(by.as_deref().unwrap_or(" "))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), flyrpc::RpcError> {
/// // Without a node: a served implementation is a tarpc stub too.
/// let strings = StringsClient::from_stub(ServeStrings::new(Shout));
/// assert_eq!(strings.upcase("fly".into()).await?, "FLY");
/// assert_eq!(strings.join(vec!["a".into(), "b".into()], None).await?, "a b");
/// # Ok(())
/// # }
/// ```
///
/// # What is generated
///
/// Beside the trait, as visible as it is, and under its `#[cfg]`s:
///
/// | item | what it is |
/// |---|---|
/// | `Strings` | the trait. Its futures are `Send`, and `Send + Sync + 'static` is implied for what implements it. A future that is not `Send` is an error in the method that makes it |
/// | `ServeStrings<S>` | serves an `S: Strings`: `ServeStrings::new(service)`. A [`Service`] for a node, and a `tarpc::server::Serve`. Cloning it shares the service |
/// | `StringsClient<Via>` | the client, with one method for each of the trait's, [selectors and options](#selectors-and-options), and `from_stub` |
/// | `StringsRequest`, `StringsResponse` | what crosses: enums with a variant for each method, `UpperCamelCase` of its name if that is a name and no other method's too, else its name as it is. Their serde impls are the derived ones, for tarpc's own transports; between nodes arguments travel by name |
///
/// A client's method takes the arguments of the trait's and returns `Result<T, RpcError>`, `T` being the
/// declared return type; if that is a `Result` itself there are two, of which the outer one tells
/// whether the call came through. The future holds all that it needs, so it can be spawned, and does
/// nothing until it is polled; dropping it gives the call up.
///
/// # Selectors and options
///
/// These return a client that is aimed elsewhere or calls otherwise. They do no I/O, and clients are
/// cheap to clone.
///
/// | on a client | means |
/// |---|---|
/// | `on_region("hkg")` | a node in that [`Region`] |
/// | `on_primary()` | a node in the primary region, which must itself think that it is |
/// | `on_node(&id)` | that boot of that node: see [`NodeId`] |
/// | none of them | the primary region for `#[rpc(primary)]` methods; else this node if it serves the service, else the nearest that does |
/// | `timeout(duration)` | how long each call may take, in place of the method's `timeout`, or of 5 s. What is left of the call that a handler is serving is a bound too |
/// | `wait(duration)` | how long each call waits for a node that fits, where it would fail with [`NoNode`](RpcError::NoNode) or [`Refused`](RpcError::Refused), or has no open link. It is part of the timeout, not added to it |
///
/// ```
/// # use std::time::Duration;
/// # use flyrpc::{Node, RpcError, Target, fly_rpc};
/// # #[fly_rpc]
/// # trait Strings {
/// #     async fn upcase(&self, text: String) -> String;
/// # }
/// # struct Shout;
/// # impl Strings for Shout {
/// #     async fn upcase(&self, text: String) -> String {
/// #         text.to_uppercase()
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let node = Node::builder().region("hkg").serve(ServeStrings::new(Shout)).start().await?;
/// let strings: StringsClient = node.client();
/// let hasty = strings.on_region("hkg").timeout(Duration::from_millis(200));
/// assert_eq!(hasty.upcase("fly".into()).await?, "FLY");
///
/// // The same node as before, for what it keeps in memory; never another boot of it.
/// let [info] = &node.nodes_in("hkg")[..] else { panic!("this node is the only one") };
/// assert_eq!(strings.on_node(info.id()).upcase("rpc".into()).await?, "RPC");
///
/// // The future owns all that it needs.
/// let call = tokio::spawn(strings.on_region("syd").upcase("nobody".into()));
/// assert!(matches!(call.await?, Err(RpcError::NoNode { target: Target::Region(_), .. })));
/// # node.shutdown().await;
/// # Ok(())
/// # }
/// ```
///
/// # Over tarpc
///
/// A client made with `from_stub(stub)` calls through any `tarpc::client::stub::Stub`, such as a
/// `tarpc::client::Channel`, and has no selectors or options. A method's `timeout` holds, else 5 s.
/// Its futures are `Send` whenever the stub's are.
///
/// ```
/// # use futures_util::StreamExt;
/// # use flyrpc::fly_rpc;
/// use tarpc::{client, server::{BaseChannel, Channel}, transport};
/// # #[fly_rpc]
/// # trait Strings {
/// #     async fn upcase(&self, text: String) -> String;
/// # }
/// # struct Shout;
/// # impl Strings for Shout {
/// #     async fn upcase(&self, text: String) -> String {
/// #         text.to_uppercase()
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), flyrpc::RpcError> {
/// let (near, far) = transport::channel::unbounded();
/// let served = BaseChannel::with_defaults(far).execute(ServeStrings::new(Shout));
/// tokio::spawn(served.for_each(|call| async { drop(tokio::spawn(call)) }));
///
/// let client::NewClient { client, dispatch } = client::new(Default::default(), near);
/// tokio::spawn(dispatch);
/// let strings = StringsClient::from_stub(client);
/// assert_eq!(strings.upcase("fly".into()).await?, "FLY");
/// # Ok(())
/// # }
/// ```
///
/// # Attributes
///
/// | attribute | on | means |
/// |---|---|---|
/// | `#[fly_rpc(name = "…")]` | the trait | its name on the wire, else the trait's |
/// | `#[fly_rpc(crate = path)]` | the trait | where flyrpc is, if not at `::flyrpc` |
/// | `#[rpc(primary)]` | a method | runs only on nodes that are primary, whatever the selector: elsewhere it is refused, unexecuted, with [`NotPrimary`](RpcError::NotPrimary) |
/// | `#[rpc(idempotent)]` | a method | may be tried again although it may have executed |
/// | `#[rpc(detached)]` | a method | once started it runs to its end, though the caller be dropped, timed out or cut off |
/// | `#[rpc(timeout = "2s")]` | a method | how long a call may take, unless the client says otherwise |
/// | `#[rpc(wait = "10s")]` | a method | how long a call waits for a node, unless the client says otherwise |
/// | `#[rpc(name = "…")]` | a method | its name on the wire, else the method's |
/// | `#[rpc(default)]` | an argument | may be absent on the wire, and is `Default::default()` then. An `Option` may be absent anyhow, and is `None` |
///
/// Lengths of time are a whole number and one of `us`, `ms`, `s`, `m` and `h`.
///
/// `#[cfg]` on a method or the trait holds for everything that comes of it. Documentation,
/// `#[deprecated]`, `#[must_use]` and `#[allow]` of a method are on the client's method too. Other
/// attributes stay on the trait alone.
///
/// # Versions
///
/// Nodes with other versions of a trait can be called as far as they fit. Methods, arguments, fields
/// and variants are known by name, bodies say what they contain, and each node says what it serves
/// before it is called: a call goes to a node that takes it, or fails with an error that says why.
///
/// | change | what happens, whichever side is newer |
/// |---|---|
/// | methods, arguments, fields or variants in another order; types under other names | works |
/// | a method or a service added or removed | calls go to nodes that have it, or are [`Unsupported`](RpcError::Unsupported) at once |
/// | an argument added or removed that is an `Option` or `#[rpc(default)]` | works; a call in which it has a value goes to nodes that list it |
/// | another argument added, removed or renamed | calls go to nodes that list the same, or are `Unsupported` at once |
/// | a field added or removed that is an `Option` or `#[serde(default)]` | works, at any depth |
/// | another field added | not read where it is missing |
/// | a variant added | not read where it is unknown; others are |
/// | another type | read if the value is one of that type too: `7u64` as a `u8`, `0.5f64` as an `f32`, `"High"` as a variant, `T` as an `Option<T>`, a list of integers as bytes |
///
/// What cannot be read is never taken for something else. An argument that cannot be read does not
/// execute: the call is tried on another node of its target, and is `Unsupported` with the path of
/// what does not fit if none can read it. A reply that cannot be read is a
/// [`BadReply`](RpcError::BadReply), and the call has executed. Either concerns that call alone.
///
/// What no check can see is a change of meaning: an amount that was in dollars and is in cents now
/// needs another name. And there is what is refused although the value would fit:
///
/// - `Some(Some(None))`, and deeper;
/// - integers of 128 bits within untagged, internally tagged and flattened types, and keys of
///   flattened maps that are no strings. serde has no place for them;
/// - within such types, a unit where an `Option` is read, and so `Some(())`; and a list or tuple where
///   a struct of its elements in order is read, even if the type means to do that;
/// - the null of a `serde_json::Value` where an `Option` is read.
///
/// # Types
///
/// Arguments and return types own what they hold, and are `serde::Serialize`,
/// `serde::de::DeserializeOwned` and `Send`; neither `Debug` nor `Clone`. A type that is not is one
/// error, at that type in the trait:
///
/// ```compile_fail
/// # use flyrpc::fly_rpc;
/// struct Note;
///
/// #[fly_rpc]
/// trait Notes {
///     async fn save(&self, note: Note); // `Note` is neither `Serialize` nor `Deserialize`
/// }
/// ```
///
/// # What is refused
///
/// Each with an error that says what to write instead, and all of a trait's in one build:
///
/// - generic parameters, `where` clauses and lifetimes, on the trait or a method; supertraits;
///   associated types and constants; `unsafe` and `auto` traits;
/// - methods that are not `async` or do not take `&self`; default bodies; `const`, `unsafe`, `extern`;
/// - arguments that are not a plain name: patterns, `mut x`, `_`;
/// - references, `impl Trait`, `dyn Trait`, pointers, `Self`, `!` and `_` as types or within them;
/// - two methods or two arguments of one name, in Rust or on the wire, unless each is under a `#[cfg]`;
/// - methods called like what the client has of its own: `on_region`, `on_primary`, `on_node`,
///   `timeout`, `wait` and `from_stub`. All other names are free, `new` and `clone` among them.
pub use flyrpc_macros::fly_rpc;

pub use self::{
    client::{Client, Routed},
    context::{Context, context},
    env::{BoxStream, Datagram, Env, Listener, StreamWriter, TokioEnv},
    error::{BodyError, Known, Refusal, RpcError, StartError, Unsupported},
    node::{Node, NodeBuilder},
    node_id::{NodeId, NodeInfo, ParseNodeIdError},
    observer::{Attempt, Observed, Observer, Outcome},
    peers::{Event, NoSupport, Peer, PeerState, Support},
    region::Region,
    service::Service,
    spec::{ArgumentSpec, MethodSpec, ServiceSpec},
    target::Target,
};

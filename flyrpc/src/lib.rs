//! Typed calls in a chosen region of a cluster.

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
mod peers;
mod region;
mod routing;
mod server;
mod service;
mod target;
mod wire;

#[doc(hidden)]
pub mod __private;

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
/// A client made with `from_stub(stub)` calls through any `tarpc::client::stub::Stub` and has none of
/// these. Its futures are `Send` whenever the stub's are.
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
    peers::{Event, NoSupport, Peer, PeerState, Support},
    region::Region,
    service::{ArgumentSpec, MethodSpec, Service, ServiceSpec},
    target::Target,
};

/// The programs in the README compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

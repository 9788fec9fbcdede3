//! The contenders: a module for each, behind one trait.
//!
//! All contenders have the same settings: TCP_NODELAY, messages of up to [`MAX_MESSAGE`] bytes, and limits
//! of calls in flight that no workload reaches. Buffers have the default size of each contender.

pub(crate) mod flyrpc;
mod raw;
pub(crate) mod tarpc;
mod tonic;

use std::{
    any::Any,
    fmt,
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::{Result, bail};
use bytes::Bytes;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};

use crate::handlers::Record;

pub(crate) use self::{flyrpc::Flyrpc, raw::Raw, tarpc::Tarpc, tonic::Tonic};

/// Size of the largest message, in bytes.
const MAX_MESSAGE: usize = 32 << 20;

/// Limit of calls in flight, which no workload reaches.
const MAX_CALLS: usize = 100_000;

/// A contender, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Name {
    Raw,
    RawBatched,
    Tarpc,
    Tonic,
    Flyrpc,
    /// flyrpc with a secret.
    FlyrpcSealed,
    /// tonic with rustls.
    TonicTls,
    /// flyrpc in another build of this program: see the flag `--beside`.
    #[value(skip)]
    Beside,
}

impl Name {
    pub(crate) const ALL: [Name; 4] = [Name::Raw, Name::Tarpc, Name::Tonic, Name::Flyrpc];

    /// All contenders, and raw frames with batching, for workloads in which batching matters.
    pub(crate) const WITH_BATCHED: [Name; 5] =
        [Name::Raw, Name::RawBatched, Name::Tarpc, Name::Tonic, Name::Flyrpc];

    /// All contenders, and flyrpc with a secret.
    pub(crate) const ALL_AND_SEALED: [Name; 5] =
        [Name::Raw, Name::Tarpc, Name::Tonic, Name::Flyrpc, Name::FlyrpcSealed];

    /// flyrpc with and without a secret, and tonic with TLS.
    pub(crate) const SEALED: [Name; 3] = [Name::Flyrpc, Name::FlyrpcSealed, Name::TonicTls];

    /// The contenders whose handlers can wait or compute.
    pub(crate) const WITH_HANDLERS: [Name; 3] = [Name::Tarpc, Name::Tonic, Name::Flyrpc];

    /// Returns the contender that the processes are started as.
    pub(crate) fn role(self) -> Name {
        if self == Name::Beside { Name::Flyrpc } else { self }
    }

    /// Returns the suffix of the names of figures that are measured for flyrpc alone.
    pub(crate) fn suffix(self) -> &'static str {
        if self == Name::Beside { "-beside" } else { "" }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Name::Raw => "raw",
            Name::RawBatched => "raw-batched",
            Name::Tarpc => "tarpc",
            Name::Tonic => "tonic",
            Name::Flyrpc => "flyrpc",
            Name::FlyrpcSealed => "flyrpc-sealed",
            Name::TonicTls => "tonic-tls",
            Name::Beside => "beside",
        })
    }
}

/// Settings of a server that differ from the default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// Address to listen on, if it is not a free port of loopback.
    pub(crate) listen: Option<SocketAddr>,
    /// Address at which clients reach the server, if it is not the listening address. Only flyrpc's nodes
    /// use it.
    pub(crate) advertise: Option<SocketAddr>,
    /// flyrpc only: number of additional nodes in the same process and region.
    pub(crate) more: usize,
    /// flyrpc only: the nodes in this process do not know each other.
    pub(crate) apart: bool,
    /// flyrpc only: address of a node of the same cluster in another process, and number of nodes there.
    pub(crate) elsewhere: Option<(SocketAddr, usize)>,
    /// flyrpc only: each handler runs in a separate task, even if it is quick. Other builds of this
    /// program may not know this field.
    #[serde(default)]
    pub(crate) never_inline: bool,
}

impl Setup {
    /// Returns the address to listen on: by default, a free port of the loopback interface.
    fn listen(&self) -> SocketAddr {
        self.listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into())
    }
}

/// A server that runs until this is dropped, or the process exits.
pub(crate) struct Served {
    pub(crate) addr: SocketAddr,
    _alive: Box<dyn Any + Send>,
}

impl Served {
    fn new(addr: SocketAddr, alive: impl Any + Send) -> Self {
        Served { addr, _alive: Box::new(alive) }
    }
}

/// Listens, and runs `serve_connection` for each connection in a separate task.
async fn accept<A>(
    setup: &Setup,
    serve_connection: impl Fn(TcpStream) -> A + Send + 'static,
) -> Result<Served>
where
    A: Future<Output: Send + 'static> + Send + 'static,
{
    let listener = TcpListener::bind(setup.listen()).await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // An error means that the client closed the connection.
            tokio::spawn(serve_connection(stream));
        }
    });
    Ok(Served::new(addr, ()))
}

/// A client on one connection, which its clones share. The trait also starts the server.
pub(crate) trait Contender: Clone + Send + Sync + 'static {
    /// The type of a record in its messages.
    type Record: From<Record> + Clone + Send + Sync + 'static;

    /// Starts a server on the loopback interface.
    async fn serve(setup: &Setup) -> Result<Served>;

    /// Opens a connection. Calls can be made when this returns.
    async fn connect(to: SocketAddr) -> Result<Self>;

    /// Opens a connection. The first call may have to wait for it.
    async fn start(to: SocketAddr) -> Result<Self> {
        Self::connect(to).await
    }

    /// Upper-cases `text`.
    fn upcase(&self, text: String) -> impl Future<Output = Result<String>> + Send;

    /// Returns `body`.
    fn echo(&self, body: Bytes) -> impl Future<Output = Result<Bytes>> + Send;

    /// Returns `records`.
    fn echo_records(
        &self,
        records: Vec<Self::Record>,
    ) -> impl Future<Output = Result<Vec<Self::Record>>> + Send;

    /// Returns after the handler has slept for `micros` microseconds.
    fn pause(&self, micros: u32) -> impl Future<Output = Result<()>> + Send;

    /// Returns after the handler has computed for `micros` microseconds.
    fn burn(&self, micros: u32) -> impl Future<Output = Result<()>> + Send;

    /// Calls `upcase` with `text` on each of `nodes` servers concurrently.
    fn fan_out(&self, nodes: usize, text: &str) -> impl Future<Output = Result<()>> + Send {
        let _ = (nodes, text);
        async { bail!("this contender has one server per connection") }
    }
}

//! The contenders: a module for each, behind one trait.
//!
//! What is set for one is set for all: TCP_NODELAY, messages of up to [`MAX_MESSAGE`] bytes, and no
//! limit that a workload comes near. Buffers are as each has them.

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

pub(crate) use self::{flyrpc::Flyrpc, raw::Raw, tarpc::Tarpc, tonic::Tonic};

/// The largest message.
const MAX_MESSAGE: usize = 32 << 20;

/// More calls than any workload has waiting at once.
const MAX_CALLS: usize = 100_000;

/// A contender, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Name {
    Raw,
    RawBatched,
    Tarpc,
    Tonic,
    Flyrpc,
    /// Flyrpc in another build of this program: see the flag `--beside`.
    #[value(skip)]
    Beside,
}

impl Name {
    pub(crate) const ALL: [Name; 4] = [Name::Raw, Name::Tarpc, Name::Tonic, Name::Flyrpc];

    /// All, and a second floor where batching matters.
    pub(crate) const WITH_BATCHED: [Name; 5] =
        [Name::Raw, Name::RawBatched, Name::Tarpc, Name::Tonic, Name::Flyrpc];

    /// Those whose handlers can wait or compute.
    pub(crate) const WITH_HANDLERS: [Name; 3] = [Name::Tarpc, Name::Tonic, Name::Flyrpc];

    /// The contender that its processes run.
    pub(crate) fn role(self) -> Name {
        if self == Name::Beside { Name::Flyrpc } else { self }
    }

    /// What names of figures end with that are measured of flyrpc alone.
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
            Name::Beside => "beside",
        })
    }
}

/// How a server is set up, where that is not as usual.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// Where it listens, if that matters.
    pub(crate) listen: Option<SocketAddr>,
    /// Where clients reach it, if not there. To all but flyrpc's nodes it makes no difference.
    pub(crate) advertise: Option<SocketAddr>,
    /// Of flyrpc only: how many further nodes of the cluster there are, in the same process and region.
    pub(crate) more: usize,
    /// Of flyrpc only: whether these know nothing of each other.
    pub(crate) apart: bool,
    /// Of flyrpc only: a node of the cluster in another process, and how many nodes there are.
    pub(crate) elsewhere: Option<(SocketAddr, usize)>,
    /// Of flyrpc only: whether each handler runs in a task of its own, however quick it is. Other
    /// builds of this program may not know it.
    #[serde(default)]
    pub(crate) never_inline: bool,
}

impl Setup {
    /// Where a server listens: on the loopback interface.
    fn listen(&self) -> SocketAddr {
        self.listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into())
    }
}

/// A server that runs until this is dropped, or the process ends.
pub(crate) struct Served {
    pub(crate) addr: SocketAddr,
    _alive: Box<dyn Any + Send>,
}

impl Served {
    fn new(addr: SocketAddr, alive: impl Any + Send) -> Self {
        Served { addr, _alive: Box::new(alive) }
    }
}

/// Listens, and has each connection answered in a task of its own.
async fn accept<A>(
    setup: &Setup,
    answer: impl Fn(TcpStream) -> A + Send + 'static,
) -> Result<Served>
where
    A: Future<Output: Send + 'static> + Send + 'static,
{
    let listener = TcpListener::bind(setup.listen()).await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // An error is a client that is gone.
            tokio::spawn(answer(stream));
        }
    });
    Ok(Served::new(addr, ()))
}

/// A client on one connection, whose clones share it; and how its server is started.
pub(crate) trait Contender: Clone + Send + Sync + 'static {
    /// Serves on the loopback interface.
    async fn serve(setup: &Setup) -> Result<Served>;

    /// Opens a connection; when this returns, calls can be made.
    async fn connect(to: SocketAddr) -> Result<Self>;

    /// `text` in upper case.
    fn upcase(&self, text: String) -> impl Future<Output = Result<String>> + Send;

    /// `body`, back again.
    fn echo(&self, body: Bytes) -> impl Future<Output = Result<Bytes>> + Send;

    /// Returns after `micros`, in which the handler waits.
    fn pause(&self, micros: u32) -> impl Future<Output = Result<()>> + Send;

    /// Returns after `micros`, in which the handler computes.
    fn burn(&self, micros: u32) -> impl Future<Output = Result<()>> + Send;

    /// Has each of `nodes` servers upper-case `text`, at once.
    fn fan_out(&self, nodes: usize, text: &str) -> impl Future<Output = Result<()>> + Send {
        let _ = (nodes, text);
        async { bail!("its connection has one server") }
    }
}

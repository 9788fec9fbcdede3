//! The tasks around a node's two sockets: they accept connections, and carry datagrams.

use std::{collections::VecDeque, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Message;
use crate::{
    env::{Datagram, Env, Listener},
    error::StartError,
    runtime::{
        link::{self, LocalHello},
        shared::NodeShared,
    },
};

/// How many connections may be in their handshake at once. A further one ends the oldest: a node
/// speaks at once, so that has been silent for longest, and must not keep nodes out.
const HANDSHAKES: usize = 256;

/// How many datagrams may wait, to be sent or handled; further ones are lost, as datagrams may be.
pub(super) const DATAGRAMS: usize = 1024;

/// How often a free port is looked for that is free for both sockets.
const TRIES: usize = 32;

/// How long to wait after a connection could not be accepted, as when there are too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A node's sockets: one port, TCP for links and UDP for gossip.
pub(crate) struct Sockets {
    pub(crate) addr: SocketAddr,
    pub(super) listener: Box<dyn Listener>,
    pub(super) datagram: Arc<dyn Datagram>,
}

impl Sockets {
    /// Takes `at`, or a port that is free for both if its port is 0.
    pub(crate) async fn bind(env: &dyn Env, at: SocketAddr) -> Result<Self, StartError> {
        let failed = |source| StartError::Listen { addr: at, source };
        for _ in 0..TRIES {
            let listener = env.listen(at).await.map_err(failed)?;
            let addr = listener.local_addr().map_err(failed)?;
            match env.datagram(addr).await {
                Ok(datagram) => return Ok(Sockets { addr, listener, datagram }),
                // Somebody else has that port for datagrams: try another.
                Err(error) if at.port() == 0 && error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::ErrorKind::AddrInUse.into()))
    }
}

/// Accepts connections, and hands on those that turn out to be nodes of this cluster.
pub(super) async fn accept(
    hub: Arc<NodeShared>,
    mut listener: Box<dyn Listener>,
    introduction: impl Fn() -> Arc<LocalHello> + Send,
    to: mpsc::UnboundedSender<Message>,
) {
    let mut handshakes = VecDeque::<CancellationToken>::with_capacity(HANDSHAKES);
    loop {
        let accepted = tokio::select! {
            biased;
            () = hub.stop().cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (me, env, to) = (introduction(), Arc::clone(hub.env()), to.clone());
        while handshakes.len() >= HANDSHAKES {
            // Those that are over are forgotten here, too.
            if let Some(oldest) = handshakes.pop_front() {
                oldest.cancel();
            }
        }
        let evicted = hub.stop().child_token();
        handshakes.push_back(evicted.clone());
        hub.env().spawn(Box::pin(async move {
            let established = tokio::select! {
                biased;
                () = evicted.cancelled() => return,
                established = link::accept(&*env, stream, &me) => established,
            };
            match established {
                // The node is shut down if nobody receives it.
                Ok(established) => drop(to.send(Message::Accepted(established))),
                Err(error) => tracing::debug!(%from, %error, "a connection was not a node's"),
            }
        }));
    }
}

/// Receives datagrams, whatever they are.
pub(super) async fn receive(
    hub: Arc<NodeShared>,
    datagram: Arc<dyn Datagram>,
    to: mpsc::Sender<Vec<u8>>,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let received = tokio::select! {
            biased;
            () = hub.stop().cancelled() => return,
            received = datagram.receive(&mut buffer) => received,
        };
        match received {
            Ok((length, _)) => {
                // One too many is lost, as the network may lose it.
                let _ = to.try_send(buffer[..length].to_vec());
            }
            // An earlier datagram was refused somewhere: that says nothing of the next.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => {
                tracing::debug!(%error, "no datagram could be received");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Sends datagrams in a task of its own, so that a full socket delays nobody.
pub(super) fn sender(
    hub: &Arc<NodeShared>,
    datagram: Arc<dyn Datagram>,
) -> mpsc::Sender<(SocketAddr, Vec<u8>)> {
    let (to, mut waiting) = mpsc::channel::<(SocketAddr, Vec<u8>)>(DATAGRAMS);
    hub.env().spawn(Box::pin(async move {
        while let Some((to, data)) = waiting.recv().await {
            if let Err(error) = datagram.send(&data, to).await {
                tracing::trace!(%to, %error, "a datagram could not be sent");
            }
        }
    }));
    to
}

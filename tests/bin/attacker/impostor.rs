//! Answers nodes that dial addresses at which the attacker listens.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{net::TcpListener, task::JoinSet};

use crate::{Result, connection};

/// Answers the connections of nodes until it is dropped.
pub(crate) struct Impostor {
    counts: Arc<Counts>,
    answers: u64,
    /// The accept loops, which dropping this value aborts.
    _listeners: JoinSet<()>,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    answered: AtomicU64,
    /// The positions of the answers that were sent.
    sent: Mutex<BTreeSet<u64>>,
    replies: AtomicU64,
}

impl Impostor {
    /// Listens at `addrs`, and answers each connection with the next of `answers`. Wraps around after the last one.
    pub(crate) async fn listen(
        addrs: &[SocketAddr],
        answers: Vec<Vec<u8>>,
        patience: Duration,
    ) -> Result<Self> {
        let counts = Arc::<Counts>::default();
        let mut listeners = JoinSet::new();
        let answers: Arc<[Vec<u8>]> = answers.into();
        let count = answers.len() as u64;
        for addr in addrs {
            let listener = TcpListener::bind(addr).await?;
            let (counts, answers) = (Arc::clone(&counts), Arc::clone(&answers));
            listeners.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (counts, answers) = (Arc::clone(&counts), Arc::clone(&answers));
                    tokio::spawn(async move {
                        let number = counts.accepted.fetch_add(1, Ordering::Relaxed) % count;
                        let answer = &answers[number as usize];
                        // The node ends the connection at any time.
                        if let Ok(replies) = connection::answer(stream, answer, patience).await {
                            counts.answered.fetch_add(1, Ordering::Relaxed);
                            let mut sent =
                                counts.sent.lock().unwrap_or_else(PoisonError::into_inner);
                            sent.insert(number);
                            counts.replies.fetch_add(replies, Ordering::Relaxed);
                        }
                    });
                }
            });
        }
        Ok(Impostor { counts, answers: count, _listeners: listeners })
    }

    /// How many connections were answered.
    pub(crate) fn answered(&self) -> u64 {
        self.counts.answered.load(Ordering::Relaxed)
    }

    /// How many of the answers were never sent.
    pub(crate) fn missing(&self) -> u64 {
        let sent = self.counts.sent.lock().unwrap_or_else(PoisonError::into_inner);
        self.answers - sent.len() as u64
    }

    /// How many replies nodes have sent to calls of the attacker.
    pub(crate) fn replies(&self) -> u64 {
        self.counts.replies.load(Ordering::Relaxed)
    }
}

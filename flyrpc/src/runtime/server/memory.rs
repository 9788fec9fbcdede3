//! The memory for bodies: of requests until they are decoded, and of long replies until they are written.
//!
//! A request that finds no memory is refused. A reply waits, because its handler has already run. The replies
//! of a peer wait one after the other, so at most one reply of each peer competes for memory. Of these
//! replies, the first one whose peer does not exceed its fair share reserves its bytes: no other long body
//! can take the memory that it waits for, so a long reply is not overtaken forever.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::{Context, Poll, Waker},
};

use super::budget::{Budget, Holding};

/// The memory for the bodies of all peers.
#[derive(Debug)]
pub(super) struct Memory {
    budget: Budget,
    queue: Mutex<Queue>,
    /// The number of replies in `queue`.
    queued: AtomicUsize,
}

/// The part of the [`Memory`] that one peer holds.
#[derive(Debug, Default)]
pub(super) struct PeerMemory {
    holding: Holding,
    /// The bytes of replies in `holding`.
    replies: AtomicUsize,
    /// The number of replies that wait.
    waiting: AtomicUsize,
    /// Held by the reply that is in the queue.
    turn: tokio::sync::Mutex<()>,
}

impl PeerMemory {
    /// Returns the bytes that the peer holds.
    pub(super) fn used(&self) -> usize {
        self.holding.amount()
    }
}

/// What a body belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    Request,
    Reply,
}

/// The replies that wait for memory, in the order of arrival.
#[derive(Debug, Default)]
struct Queue {
    last: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// The reply whose bytes are reserved.
    next: Option<u64>,
}

#[derive(Debug)]
struct Waiting {
    peer: Arc<PeerMemory>,
    bytes: usize,
    waker: Waker,
}

impl Memory {
    /// Creates the memory for `limit` bytes of bodies.
    pub(super) fn new(limit: usize) -> Self {
        Memory { budget: Budget::new(limit), queue: Mutex::default(), queued: AtomicUsize::new(0) }
    }

    /// Returns the bytes that are in use.
    pub(super) fn used(&self) -> usize {
        self.budget.used()
    }

    /// Takes memory for the body of a request from `peer`, one of `peers` linked peers. Returns false, and
    /// takes nothing, if the request must be refused.
    pub(super) fn take(&self, peer: &PeerMemory, bytes: usize, peers: &AtomicUsize) -> bool {
        let taken = self.budget.take(&peer.holding, bytes, peers.load(Relaxed));
        if !taken {
            // A waiting reply may have found the bytes in use that this has just returned.
            self.grant_if_queued(peers);
        }
        taken
    }

    /// Takes memory for a reply to `peer`. Returns false, and takes nothing, if the reply must wait. The
    /// only reply to a peer is not bound by the share of the peer. Otherwise, requests of the peer could
    /// delay it forever.
    pub(super) fn take_reply(&self, peer: &PeerMemory, bytes: usize, peers: &AtomicUsize) -> bool {
        if peer.waiting.load(Relaxed) > 0 {
            return false;
        }
        let taken = match peer.replies.fetch_add(bytes, Relaxed) {
            0 => self.budget.take_beyond_share(&peer.holding, bytes),
            _ => self.budget.take(&peer.holding, bytes, peers.load(Relaxed)),
        };
        if !taken {
            peer.replies.fetch_sub(bytes, Relaxed);
            self.grant_if_queued(peers);
        }
        taken
    }

    /// Waits until there is memory for a reply to `peer`, and takes it. Dropping the future earlier takes
    /// nothing.
    pub(super) async fn wait(&self, peer: &Arc<PeerMemory>, bytes: usize, peers: &AtomicUsize) {
        let _waiting = CountWaiting::new(peer);
        let _turn = peer.turn.lock().await;
        let mut wait = Wait { memory: self, peer, bytes, peers, ticket: None, done: false };
        poll_fn(|task| wait.poll(task)).await;
    }

    /// Returns memory that `peer` has taken.
    pub(super) fn give_back(
        &self,
        peer: &PeerMemory,
        kind: BodyKind,
        bytes: usize,
        peers: &AtomicUsize,
    ) {
        if kind == BodyKind::Reply {
            peer.replies.fetch_sub(bytes, Relaxed);
        }
        self.budget.give_back(&peer.holding, bytes);
        self.grant_if_queued(peers);
    }

    fn grant_if_queued(&self, peers: &AtomicUsize) {
        // Either this finds a reply in the queue, or that reply, which looks for memory after it has joined,
        // finds the memory that was returned before this.
        if self.queued.load(SeqCst) > 0 {
            self.update(peers, |_| ());
        }
    }

    /// Changes the queue, then grants memory to the replies in it.
    #[cold]
    fn update(&self, peers: &AtomicUsize, change: impl FnOnce(&mut Queue)) {
        let mut wake = Vec::new();
        {
            let mut queue = self.queue();
            change(&mut queue);
            self.queued.store(queue.waiting.len(), SeqCst);
            queue.grant(&self.budget, peers.load(Relaxed), &mut wake);
            self.queued.store(queue.waiting.len(), SeqCst);
        }
        wake.into_iter().for_each(Waker::wake);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Grants memory to the replies that it suffices for, and adds their wakers to `wake`.
    fn grant(&mut self, budget: &Budget, peers: usize, wake: &mut Vec<Waker>) {
        loop {
            if let Some(next) = self.next {
                if budget.is_exceeded() {
                    return;
                }
                self.next = None;
                budget.end_reservation();
                wake.extend(self.waiting.remove(&next).map(|granted| granted.waker));
            }
            let may_be_next = |(_, waiting): &(&u64, &Waiting)| waiting.may_be_next(budget, peers);
            let Some((ticket, next)) = self.waiting.iter().find(may_be_next) else { return };
            budget.reserve(&next.peer.holding, next.bytes);
            next.peer.replies.fetch_add(next.bytes, Relaxed);
            self.next = Some(*ticket);
        }
    }
}

impl Waiting {
    fn may_be_next(&self, budget: &Budget, peers: usize) -> bool {
        let PeerMemory { holding, replies, .. } = &*self.peer;
        replies.load(Relaxed) == 0 || budget.allows(holding, self.bytes, peers)
    }
}

/// Counts a reply of a peer that waits.
struct CountWaiting<'a>(&'a PeerMemory);

impl<'a> CountWaiting<'a> {
    fn new(peer: &'a PeerMemory) -> Self {
        peer.waiting.fetch_add(1, Relaxed);
        CountWaiting(peer)
    }
}

impl Drop for CountWaiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// The wait of one reply in the queue. Dropping this value ends the wait.
struct Wait<'a> {
    memory: &'a Memory,
    peer: &'a Arc<PeerMemory>,
    bytes: usize,
    peers: &'a AtomicUsize,
    /// Present from the first poll.
    ticket: Option<u64>,
    /// Whether the reply has taken its memory.
    done: bool,
}

impl Wait<'_> {
    fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
        let ticket = self.ticket.unwrap_or_else(|| self.join(task.waker()));
        match self.memory.queue().waiting.get_mut(&ticket) {
            Some(waiting) => {
                waiting.waker.clone_from(task.waker());
                Poll::Pending
            }
            None => {
                self.done = true;
                Poll::Ready(())
            }
        }
    }

    fn join(&mut self, waker: &Waker) -> u64 {
        let (peer, waker) = (Arc::clone(self.peer), waker.clone());
        let waiting = Waiting { peer, bytes: self.bytes, waker };
        let mut ticket = 0;
        self.memory.update(self.peers, |queue| {
            queue.last += 1;
            ticket = queue.last;
            queue.waiting.insert(ticket, waiting);
        });
        self.ticket = Some(ticket);
        ticket
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.filter(|_| !self.done) else { return };
        self.memory.update(self.peers, |queue| {
            let granted = queue.waiting.remove(&ticket).is_none();
            let reserved = queue.next.take_if(|next| *next == ticket).is_some();
            if reserved {
                self.memory.budget.end_reservation();
            }
            if granted || reserved {
                self.peer.replies.fetch_sub(self.bytes, Relaxed);
                self.memory.budget.give_back(&self.peer.holding, self.bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures_util::{FutureExt, future::BoxFuture};

    use super::*;
    use crate::proto::wire::frame::INLINE_BODY_MAX;

    /// The memory of a node with ten linked peers.
    struct Node {
        memory: Arc<Memory>,
        peers: Arc<AtomicUsize>,
    }

    type Waiting = BoxFuture<'static, ()>;

    /// The unit of the sizes in these tests. Bodies of one unit are long.
    const UNIT: usize = INLINE_BODY_MAX + 1;

    impl Node {
        fn with(limit: usize) -> Self {
            Node {
                memory: Arc::new(Memory::new(limit * UNIT)),
                peers: Arc::new(AtomicUsize::new(10)),
            }
        }

        fn request(&self, peer: &PeerMemory, bytes: usize) -> bool {
            self.memory.take(peer, bytes * UNIT, &self.peers)
        }

        fn reply(&self, peer: &PeerMemory, bytes: usize) -> bool {
            self.memory.take_reply(peer, bytes * UNIT, &self.peers)
        }

        fn wait(&self, peer: &Arc<PeerMemory>, bytes: usize) -> Waiting {
            let (memory, peers, peer) =
                (Arc::clone(&self.memory), Arc::clone(&self.peers), Arc::clone(peer));
            let mut wait = async move { memory.wait(&peer, bytes * UNIT, &peers).await }.boxed();
            assert!(!is_ready(&mut wait));
            wait
        }

        fn give_back(&self, peer: &PeerMemory, kind: BodyKind, bytes: usize) {
            self.memory.give_back(peer, kind, bytes * UNIT, &self.peers);
        }

        fn expect_unused(&self, peers: &[Arc<PeerMemory>]) {
            for peer in peers {
                assert_eq!(peer.replies.load(Relaxed), 0);
                assert_eq!(peer.waiting.load(Relaxed), 0);
            }
            assert_eq!(self.memory.queued.load(SeqCst), 0);
            // A single peer may hold everything.
            let only = PeerMemory::default();
            assert!(self.reply(&only, self.memory.budget.limit() / UNIT));
        }
    }

    fn is_ready(wait: &mut Waiting) -> bool {
        Pin::new(wait).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn peers<const N: usize>() -> [Arc<PeerMemory>; N] {
        std::array::from_fn(|_| Arc::default())
    }

    #[test]
    fn requests_and_replies_share_the_limit() {
        let node = Node::with(100);
        let all @ [a, b] = &peers();
        assert!(node.request(a, 60) && node.reply(b, 40));
        assert!(!node.request(&PeerMemory::default(), 1) && !node.reply(&PeerMemory::default(), 1));
        assert!(!node.memory.take(&PeerMemory::default(), 1, &node.peers));
        node.give_back(a, BodyKind::Request, 60);
        assert!(node.reply(a, 60));
        node.give_back(a, BodyKind::Reply, 60);
        node.give_back(b, BodyKind::Reply, 40);
        node.expect_unused(all);
    }

    #[test]
    fn a_waiting_reply_gets_the_memory_that_another_peer_returns() {
        let node = Node::with(100);
        let all @ [a, b] = &peers();
        assert!(node.reply(a, 100));
        let mut wait = node.wait(b, 30);
        assert!(!is_ready(&mut wait));
        node.give_back(a, BodyKind::Reply, 100);
        assert!(is_ready(&mut wait));
        node.give_back(b, BodyKind::Reply, 30);
        node.expect_unused(all);
    }

    #[test]
    fn no_long_body_takes_the_memory_that_the_next_reply_waits_for() {
        let node = Node::with(100);
        let all @ [a, b, c, d] = &peers();
        assert!(node.request(a, 50) && node.request(b, 40));
        let mut long = node.wait(c, 50);
        let mut short = node.wait(d, 5);
        assert!(!node.request(&PeerMemory::default(), 1) && !node.reply(&PeerMemory::default(), 1));
        assert!(!is_ready(&mut short));
        // A short request does.
        let other = PeerMemory::default();
        assert!(node.memory.take(&other, INLINE_BODY_MAX, &node.peers));
        node.memory.give_back(&other, BodyKind::Request, INLINE_BODY_MAX, &node.peers);
        node.give_back(b, BodyKind::Request, 40);
        assert!(is_ready(&mut long) && !is_ready(&mut short));
        node.give_back(a, BodyKind::Request, 50);
        assert!(is_ready(&mut short));
        node.give_back(c, BodyKind::Reply, 50);
        node.give_back(d, BodyKind::Reply, 5);
        node.expect_unused(all);
    }

    #[test]
    fn a_reply_that_no_longer_waits_returns_what_it_reserved_or_was_granted() {
        for granted in [false, true] {
            let node = Node::with(100);
            let all @ [a, b, c] = &peers();
            assert!(node.request(a, 90));
            let first = node.wait(b, 50);
            let mut second = node.wait(c, 10);
            if granted {
                node.give_back(a, BodyKind::Request, 90);
            }
            drop(first);
            assert!(is_ready(&mut second));
            node.give_back(c, BodyKind::Reply, 10);
            if !granted {
                node.give_back(a, BodyKind::Request, 90);
            }
            node.expect_unused(all);
        }
    }

    #[test]
    fn replies_over_the_share_of_their_peer_do_not_delay_those_of_others() {
        let node = Node::with(100);
        let all @ [greedy, other] = &peers();
        assert!(node.reply(greedy, 30) && node.reply(greedy, 30));
        let mut third = node.wait(greedy, 30);
        assert!(node.reply(other, 30));
        node.give_back(greedy, BodyKind::Reply, 30);
        assert!(!is_ready(&mut third), "a third of the limit is its share");
        node.give_back(greedy, BodyKind::Reply, 30);
        assert!(is_ready(&mut third));
        node.give_back(greedy, BodyKind::Reply, 30);
        node.give_back(other, BodyKind::Reply, 30);
        node.expect_unused(all);
    }

    #[test]
    fn requests_of_a_peer_do_not_delay_its_only_reply_forever() {
        let node = Node::with(100);
        let all @ [busy, other] = &peers();
        assert!(node.request(busy, 40) && node.reply(other, 30));
        // More than a third of the limit.
        assert!(node.reply(busy, 30));
        assert!(!node.reply(busy, 1));
        let mut wait = node.wait(busy, 20);
        node.give_back(busy, BodyKind::Reply, 30);
        assert!(is_ready(&mut wait));
        node.give_back(busy, BodyKind::Reply, 20);
        node.give_back(busy, BodyKind::Request, 40);
        node.give_back(other, BodyKind::Reply, 30);
        node.expect_unused(all);
    }

    #[test]
    fn the_replies_of_a_peer_wait_one_after_the_other() {
        let node = Node::with(100);
        let all @ [a, b] = &peers();
        assert!(node.request(a, 100));
        let mut long = node.wait(b, 80);
        let mut short = node.wait(b, 10);
        node.give_back(a, BodyKind::Request, 100);
        assert!(!node.reply(b, 1), "it would overtake those that wait");
        assert!(!is_ready(&mut short));
        assert!(is_ready(&mut long));
        drop(long);
        node.give_back(b, BodyKind::Reply, 80);
        assert!(is_ready(&mut short));
        drop(short);
        node.give_back(b, BodyKind::Reply, 10);
        node.expect_unused(all);
    }
}

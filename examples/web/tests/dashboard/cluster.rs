//! Three nodes in this process, with calls of each kind that the metrics distinguish.

use std::{pin::pin, sync::Arc};

use flyrpc::{
    ErrorKind, Event, Metrics, Node, NodeBuilder, NodeInfo, Observed, Observer, RpcError,
    ServeOutcome, fly_rpc,
};
use tokio::{net::UdpSocket, sync::Semaphore};

/// The number of failed calls after which a node is ejected.
const CALLS_TO_EJECT: usize = 20;

#[fly_rpc]
trait Work {
    async fn succeed(&self);

    async fn fail(&self) -> Result<(), String>;

    async fn panic(&self);

    /// Succeeds after the test has released it.
    async fn block(&self);
}

/// Counts what happened. A waiting test takes permits.
struct Signals {
    blocked: Semaphore,
    released: Semaphore,
    canceled: Semaphore,
    ejected: Semaphore,
    dropped: Semaphore,
}

impl Signals {
    fn new() -> Arc<Self> {
        let none = || Semaphore::new(0);
        Arc::new(Signals {
            blocked: none(),
            released: none(),
            canceled: none(),
            ejected: none(),
            dropped: none(),
        })
    }
}

async fn take(signal: &Semaphore, count: u32) {
    signal.acquire_many(count).await.expect("no semaphore is closed").forget();
}

impl Observer for Signals {
    fn observe(&self, observed: &Observed<'_>) {
        match observed {
            Observed::ServeEnded(_, ServeOutcome::Cancelled, _) => self.canceled.add_permits(1),
            Observed::Event(Event::Ejected(_)) => self.ejected.add_permits(1),
            Observed::DatagramDropped(_) => self.dropped.add_permits(1),
            _ => {}
        }
    }
}

struct Worker(Arc<Signals>);

impl Work for Worker {
    async fn succeed(&self) {}

    async fn fail(&self) -> Result<(), String> {
        Err("a test of a handler that fails".to_owned())
    }

    async fn panic(&self) {
        panic!("a test of a handler that panics");
    }

    async fn block(&self) {
        self.0.blocked.add_permits(1);
        take(&self.0.released, 1).await;
    }
}

fn builder(name: &str, region: &str, signals: &Arc<Signals>) -> NodeBuilder {
    // The observers are called in this order, so what is signaled is already recorded.
    Node::builder()
        .name(name)
        .region(region)
        .listen(([127, 0, 0, 1], 0).into())
        .observer(Metrics::new())
        .observer(Arc::clone(signals))
        .serve(ServeWork::new(Worker(Arc::clone(signals))))
}

/// Makes the calls, on nodes that are running when this returns.
pub(crate) async fn make_calls() -> [Node; 3] {
    let signals = Signals::new();
    let limited = |name| builder(name, "fra", &signals).max_in_flight(1);
    let first = limited("machine-1").start().await.expect("loopback has a free port");
    let second = limited("machine-2").seeds([first.addr()]);
    let second = second.start().await.expect("loopback has a free port");
    let caller = builder("machine-3", "iad", &signals).seeds([first.addr(), second.addr()]);
    let caller = caller.start().await.expect("loopback has a free port");
    caller.ready().await;

    let work: WorkClient = caller.client();
    work.on_region("iad").succeed().await.expect("this node serves it");
    let (work, fra) = (work.on_region("fra"), [first.info(), second.info()]);
    work.succeed().await.expect("an idle node serves it");
    work.fail().await.expect("an idle node serves it").expect_err("it always fails");
    check(work.panic().await, ErrorKind::Panicked);
    check(work.on_region("syd").succeed().await, ErrorKind::NoNode);
    cancel(&work, &signals).await;
    overload(&work, fra, &signals).await;
    send_datagram_of_a_stranger(&first, &signals).await;
    [first, second, caller]
}

/// Sends a datagram that is no gossip, until a node has dropped it.
async fn send_datagram_of_a_stranger(to: &Node, signals: &Signals) {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
    socket.send_to(b"no gossip", to.addr()).await.expect("loopback takes a datagram");
    take(&signals.dropped, 1).await;
}

/// Drops a call while its handler runs.
async fn cancel(work: &WorkClient, signals: &Signals) {
    {
        let mut call = pin!(work.block());
        tokio::select! {
            ended = &mut call => panic!("a blocked call ended: {ended:?}"),
            () = take(&signals.blocked, 1) => {}
        }
    }
    take(&signals.canceled, 1).await;
}

/// Calls nodes while they execute as many calls as they may, until the first of them is ejected.
async fn overload(work: &WorkClient, nodes: [&NodeInfo; 2], signals: &Signals) {
    let [first, second] = nodes.map(|node| work.on_node(node.id()));
    let refused = async {
        take(&signals.blocked, 2).await;
        // Both nodes refuse it, one after the other.
        check(work.succeed().await, ErrorKind::Refused);
        for _ in 0..CALLS_TO_EJECT {
            check(first.succeed().await, ErrorKind::Refused);
        }
        take(&signals.ejected, 1).await;
        signals.released.add_permits(2);
    };
    let (one, other, ()) = tokio::join!(first.block(), second.block(), refused);
    one.and(other).expect("a released call succeeds");
}

#[track_caller]
fn check(ended: Result<(), RpcError>, expected: ErrorKind) {
    assert_eq!(ended.map_err(|error| error.kind()), Err(expected));
}

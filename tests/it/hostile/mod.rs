//! Real nodes on real loopback sockets, and whatever may happen to them there: peers that speak
//! nonsense, things at seed addresses that are no nodes, user types that panic.

mod calls;
mod cluster;
mod flood;
mod frames;
mod handshakes;
pub(crate) mod raw;
mod seeds;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Once,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use flyrpc::{Event, Events, Node, NodeBuilder};
use futures_util::FutureExt;
use tokio::{runtime::Handle, time::Instant};

use crate::support::{Counts, ProbeClient, Prober, ServeProbe, millis, secs};

/// Short, so that the tests are.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(100);

/// Longer than anything here takes, however busy the machine.
pub(super) const LONG: Duration = Duration::from_secs(20);

pub(super) const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Settings of a real node in `region`.
pub(super) fn builder(name: &str, region: &str) -> NodeBuilder {
    Node::builder()
        .name(name)
        .region(region)
        .primary_region("iad")
        .heartbeat(HEARTBEAT)
        .listen(LOOPBACK)
}

/// The node under attack, in iad, and another that calls it, in hkg: its sibling.
pub(super) struct Scene {
    pub(super) node: Node,
    pub(super) counts: Arc<Counts>,
    sibling: Node,
    events: Events,
    alive: usize,
}

impl Scene {
    pub(super) async fn new() -> Self {
        Scene::with(|builder| builder).await
    }

    /// `change` makes the settings of the node under attack other than usual.
    pub(super) async fn with(change: impl FnOnce(NodeBuilder) -> NodeBuilder) -> Self {
        count_panics();
        let counts = Arc::<Counts>::default();
        let prober = Prober { name: "iad-0".to_owned(), counts: Arc::clone(&counts) };
        let node = change(builder("iad-0", "iad")).serve(ServeProbe::new(prober));
        let node = node.start().await.unwrap();
        let sibling = builder("hkg-0", "hkg").seeds([node.addr()]).start().await.unwrap();
        sibling.ready().await;
        let events = sibling.events();
        let mut scene = Scene { node, counts, sibling, events, alive: 0 };
        scene.sibling().shout(String::new()).await.unwrap();
        scene.alive = scene.settled().await;
        scene
    }

    /// A client of the sibling's, aimed at the node under attack.
    pub(super) fn sibling(&self) -> ProbeClient {
        self.sibling.client::<ProbeClient>().on_region("iad")
    }

    /// How many tasks there are when nothing happens.
    async fn settled(&self) -> usize {
        let mut before = usize::MAX;
        loop {
            tokio::time::sleep(millis(20)).await;
            let now = Handle::current().metrics().num_alive_tasks();
            if now == before {
                return now;
            }
            before = now;
        }
    }

    /// Expects that the node serves its sibling as ever, over the link of before, and that nothing
    /// is left of the attack.
    #[track_caller]
    pub(super) fn expect_unharmed(&mut self) -> impl Future<Output = ()> {
        let at = std::panic::Location::caller();
        async move {
            let reply = self.sibling().timeout(LONG).shout("still here".to_owned()).await;
            assert_eq!(reply.unwrap().0, "STILL HERE", "at {at}");
            let mut lost = Vec::new();
            while let Some(event) = self.events.next().now_or_never() {
                if let Some(Event::Down(node) | Event::Left(node)) = event {
                    lost.push(node);
                }
            }
            assert!(lost.iter().all(|node| node.id() != self.node.id()), "at {at}: {lost:?}");
            let start = Instant::now();
            loop {
                let alive = Handle::current().metrics().num_alive_tasks();
                if alive <= self.alive {
                    break;
                }
                assert!(
                    start.elapsed() < secs(5),
                    "at {at}: {alive} tasks of {} are left",
                    self.alive
                );
                tokio::time::sleep(millis(5)).await;
            }
            assert_eq!(PANICS.load(Ordering::SeqCst), 0, "at {at}: flyrpc panicked");
        }
    }
}

/// How often flyrpc's own code panicked in this process.
static PANICS: AtomicUsize = AtomicUsize::new(0);

pub(super) fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.location().is_some_and(|at| at.file().contains("flyrpc/src/")) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            usual(info);
        }));
    });
}

/// Waits until `condition` holds, which nothing announces.
#[track_caller]
pub(super) fn eventually(
    what: &str,
    mut condition: impl AsyncFnMut() -> bool,
) -> impl Future<Output = ()> {
    let at = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        while !condition().await {
            assert!(start.elapsed() < LONG, "at {at}: not within {LONG:?}: {what}");
            tokio::time::sleep(millis(5)).await;
        }
    }
}

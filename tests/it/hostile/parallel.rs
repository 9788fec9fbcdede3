//! Quick handlers of requests that arrived together: on how many threads they run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use flyrpc::{Node, fly_rpc};
use futures_util::future::join_all;
use tokio::runtime::{Builder, Runtime};

use super::{
    GENEROUS_TIMEOUT,
    blocking::{CoarseClock, runtime},
    builder,
};
use crate::support::{millis, secs};

#[fly_rpc]
trait Busy {
    /// Takes `micros` of the node's clock. If it takes any, it first waits for another handler.
    async fn work(&self, micros: u64);
}

/// Counts the handlers that run at the same time. Clones share the counts.
#[derive(Debug, Clone, Default)]
struct Handlers {
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Handlers {
    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

impl Busy for Handlers {
    async fn work(&self, micros: u64) {
        if micros == 0 {
            return;
        }
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        // Occupies the thread, but not permanently, because the other handler may need this thread to start.
        for _ in 0..10 {
            if self.most() < 2 {
                std::thread::sleep(millis(1));
            }
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        CoarseClock::advance(Duration::from_micros(micros));
    }
}

/// Starts a node whose clock advances only by [`CoarseClock::advance`].
fn start(name: &str, threads: &Runtime, seeds: Vec<std::net::SocketAddr>, of: &Handlers) -> Node {
    let node = builder(name, name).heartbeat(3 * GENEROUS_TIMEOUT).seeds(seeds);
    let node = node.env(CoarseClock::new(secs(3_600))).serve(ServeBusy::new(of.clone()));
    threads.block_on(node.start()).unwrap()
}

#[test]
fn requests_that_arrived_together_run_on_all_threads() {
    // Handlers that are quick enough to share a task, and handlers that are not.
    for micros in [20, 80] {
        let handlers = Handlers::default();
        let iad_threads = runtime();
        // With a single thread, the calls are sent only after all of them have started.
        let hkg_threads = Builder::new_current_thread().enable_all().build().unwrap();
        let iad = start("iad", &iad_threads, Vec::new(), &handlers);
        let hkg = start("hkg", &hkg_threads, vec![iad.addr()], &handlers);
        let busy = hkg.client::<BusyClient>().on_region("iad");
        let busy = busy.timeout(GENEROUS_TIMEOUT).wait(GENEROUS_TIMEOUT);
        hkg_threads.block_on(async {
            // From then on, the method is expected to be quick.
            for _ in 0..100 {
                busy.work(0).await.unwrap();
            }
            for _ in 0..5 {
                let together = join_all((0..40).map(|_| busy.work(micros))).await;
                assert!(together.iter().all(Result::is_ok), "{together:?}");
            }
        });
        assert_eq!(handlers.most(), 2, "handlers of {micros} us at the same time");
        drop((iad, hkg));
    }
}

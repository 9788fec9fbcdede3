//! Calls that are polled on threads outside tokio.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use flyrpc::{Node, RpcError, fly_rpc};
use tokio::{
    runtime::{Handle, Runtime},
    sync::Semaphore,
};

use crate::support::{millis, secs, sleep};

#[fly_rpc]
trait Clock {
    /// Sleeps with a timer of tokio.
    async fn pause(&self, millis: u64) -> u64;
    #[rpc(detached)]
    async fn pause_detached(&self, millis: u64) -> u64;
    /// Calls `pause` on another node.
    async fn pause_on(&self, region: String, millis: u64) -> u64;
    /// Adds a permit to [`STARTED`], and never returns.
    async fn never(&self);
}

/// Has a permit for each handler of `never` that has started.
static STARTED: Semaphore = Semaphore::const_new(0);

struct Timers;

impl Clock for Timers {
    async fn pause(&self, millis: u64) -> u64 {
        tokio::spawn(sleep(self::millis(millis))).await.unwrap();
        millis
    }

    async fn pause_detached(&self, millis: u64) -> u64 {
        self.pause(millis).await
    }

    async fn pause_on(&self, region: String, millis: u64) -> u64 {
        flyrpc::context().client::<ClockClient>().on_region(region).pause(millis).await.unwrap()
    }

    async fn never(&self) {
        STARTED.add_permits(1);
        std::future::pending().await
    }
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls `future` on this thread, as an executor other than tokio's does.
fn block_on<F: Future>(future: F) -> F::Output {
    assert!(Handle::try_current().is_err(), "this thread is outside tokio");
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// Starts two linked nodes, the first one in iad and the second one in hkg.
fn nodes(runtime: &Runtime) -> (Node, Node) {
    let builder = |region| Node::builder().name(region).region(region).primary_region("iad");
    runtime.block_on(async {
        let iad = builder("iad").serve(ServeClock::new(Timers)).start().await.unwrap();
        let hkg = builder("hkg").serve(ServeClock::new(Timers)).seeds([iad.addr()]);
        let hkg = hkg.start().await.unwrap();
        hkg.ready().await;
        (iad, hkg)
    })
}

#[test]
fn calls_work_outside_tokio_in_this_process_and_on_other_nodes() {
    let runtime = Runtime::new().unwrap();
    let (iad, hkg) = nodes(&runtime);
    let clock: ClockClient = hkg.client();
    for region in ["hkg", "iad"] {
        let clock = clock.on_region(region);
        assert_eq!(block_on(clock.pause(20)).unwrap(), 20, "in {region}");
        assert_eq!(block_on(clock.pause_detached(20)).unwrap(), 20, "in {region}");
        let timeout = block_on(clock.timeout(millis(20)).pause(60_000)).unwrap_err();
        assert!(matches!(timeout, RpcError::Timeout { .. }), "in {region}: {timeout}");
    }
    assert_eq!(block_on(clock.on_region("hkg").pause_on("iad".into(), 20)).unwrap(), 20);
    let waiting = clock.on_region("nrt").timeout(secs(5)).wait(millis(50));
    let nobody = block_on(waiting.pause(0)).unwrap_err();
    assert!(matches!(nobody, RpcError::NoNode { .. }), "{nobody}");
    block_on(hkg.ready());
    assert_eq!(block_on(hkg.region_of(iad.id())).unwrap(), "iad");
    assert!(block_on(hkg.supports(iad.id())).unwrap());
    let running = hkg.clone();
    let running = thread::spawn(move || block_on(running.run_until_signal()));
    block_on(hkg.shutdown());
    running.join().expect("it does not panic").unwrap();
    block_on(hkg.closed());
    block_on(iad.drain());
    block_on(iad.shutdown());
}

#[test]
fn a_call_outside_tokio_fails_when_the_runtime_of_its_node_ends() {
    let runtime = Runtime::new().unwrap();
    let (_iad, hkg) = nodes(&runtime);
    let clock = hkg.client::<ClockClient>().on_region("iad").timeout(secs(20));
    let call = thread::spawn(move || block_on(clock.never()));
    block_on(STARTED.acquire()).unwrap().forget();
    runtime.shutdown_background();
    let error = call.join().expect("the call does not panic").unwrap_err();
    assert!(matches!(error, RpcError::Disconnected { .. }), "{error:?}");
    let error = block_on(hkg.client::<ClockClient>().pause(0)).unwrap_err();
    assert!(matches!(error, RpcError::ShutDown { .. }), "{error:?}");
}

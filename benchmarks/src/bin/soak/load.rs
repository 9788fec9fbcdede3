//! The load that a worker generates while load is on. Each caller makes one kind of call in its own task.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use flyrpc::{Node, RpcError};
use futures_util::future::BoxFuture;
use tokio::{
    sync::watch,
    time::{interval, sleep, timeout},
};

use crate::worker::WorkClient;

/// Number of callers of each kind, per node.
const CALLERS: usize = 4;

/// Number of calls by outcome since the last time they were printed.
#[derive(Debug, Default)]
struct Counts {
    ok: AtomicU64,
    failed: AtomicU64,
    canceled: AtomicU64,
}

static COUNTS: Counts =
    Counts { ok: AtomicU64::new(0), failed: AtomicU64::new(0), canceled: AtomicU64::new(0) };

/// Starts the callers of a node.
pub(crate) fn start(node: &Node, on: &watch::Receiver<bool>) {
    let id = node.id().to_string();
    for caller in 0..CALLERS {
        let region = ["iad", "hkg"][caller % 2];
        let client = || node.client::<WorkClient>().on_region(region);
        spawn(on, small(client()));
        spawn(on, bulk(client(), caller));
        spawn(on, timeouts(client()));
        spawn(on, canceled(client()));
        spawn(on, checked(client(), format!("{id}{caller}")));
    }
    tokio::spawn(print_counts());
}

/// Repeats a kind of call while load is on. `call` owns the caller's state.
fn spawn<F, Fut>(on: &watch::Receiver<bool>, mut call: F)
where
    F: FnMut(u64) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let mut on = on.clone();
    tokio::spawn(async move {
        for turn in 0.. {
            if on.wait_for(|on| *on).await.is_err() {
                return;
            }
            call(turn).await;
        }
    });
}

fn small(client: WorkClient) -> impl FnMut(u64) -> BoxFuture<'static, ()> {
    move |turn| {
        let client = client.clone();
        Box::pin(async move {
            count(client.echo(vec![1; 3]).await.map(drop));
            if turn % 64 == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        })
    }
}

fn bulk(client: WorkClient, caller: usize) -> impl FnMut(u64) -> BoxFuture<'static, ()> {
    move |turn| {
        let client = client.clone();
        let size = [20_000, 200_000, 1 << 20, 3 << 20][(turn as usize + caller) % 4];
        Box::pin(async move {
            if turn % 2 == 0 {
                count(client.echo(vec![2; size]).await.map(drop));
            } else {
                count(client.large(size).await.map(drop));
            }
            sleep(Duration::from_millis(50)).await;
        })
    }
}

/// Calls that time out, some before their reply is complete.
fn timeouts(client: WorkClient) -> impl FnMut(u64) -> BoxFuture<'static, ()> {
    move |turn| {
        let client = client.clone();
        Box::pin(async move {
            let short = client.timeout(Duration::from_millis(1 + turn % 40));
            match turn % 2 {
                0 => count(short.slow(30).await.map(drop)),
                _ => count(short.large(1 << 20).await.map(drop)),
            }
            sleep(Duration::from_millis(10)).await;
        })
    }
}

/// Calls whose futures are dropped.
fn canceled(client: WorkClient) -> impl FnMut(u64) -> BoxFuture<'static, ()> {
    move |turn| {
        let client = client.clone();
        Box::pin(async move {
            let call = client.echo(vec![3; (turn as usize % 64) * 8 << 10]);
            if timeout(Duration::from_micros(50 * (turn % 64)), call).await.is_err() {
                COUNTS.canceled.fetch_add(1, Ordering::Relaxed);
            }
            sleep(Duration::from_millis(5)).await;
        })
    }
}

/// Calls for which the parent compares the executions with the outcome.
fn checked(client: WorkClient, prefix: String) -> impl FnMut(u64) -> BoxFuture<'static, ()> {
    // The id of a call: 16 hexadecimal digits for the boot, then the numbers of the caller and of the call.
    let boot = prefix.rsplit('/').next().unwrap_or_default().to_owned();
    move |turn| {
        let (client, id) = (client.clone(), format!("{boot}{turn:08x}"));
        Box::pin(async move {
            let client =
                client.timeout(Duration::from_millis(if turn % 5 == 0 { 3 } else { 5000 }));
            let outcome = match client.once(id.clone()).await {
                Ok(_) => "ok",
                Err(error) if error.may_have_executed() => "maybe",
                Err(_) => "excluded",
            };
            println!("{outcome} {id}");
            sleep(Duration::from_millis(20)).await;
        })
    }
}

fn count(outcome: Result<(), RpcError>) {
    let counter = if outcome.is_ok() { &COUNTS.ok } else { &COUNTS.failed };
    counter.fetch_add(1, Ordering::Relaxed);
}

async fn print_counts() {
    let mut every = interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        let all = [("ok", &COUNTS.ok), ("failed", &COUNTS.failed), ("canceled", &COUNTS.canceled)];
        for (what, counter) in all {
            println!("count {what} {}", counter.swap(0, Ordering::Relaxed));
        }
    }
}

//! The stream of replies.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flyrpc::{Nodes, Replies, RpcError, fly_rpc};
use flyrpc_testkit::{Release, SimCluster};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use tokio::time::{Instant, timeout};

use super::{Load, PlaceClient, cluster_of, names};
use crate::support::{millis, secs, sleep};

#[tokio::test(start_paused = true)]
async fn at_most_64_calls_are_in_progress_and_one_that_ends_starts_the_next() {
    let load = Load::default();
    let cluster = cluster_of(&[("iad", 70)], &load).start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    let started = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&started);
    let start = Instant::now();
    let replies = place.each(Nodes::all(), move |place| {
        // The first call takes long, the others 100 ms.
        let number = counter.fetch_add(1, Ordering::SeqCst);
        place.work(if number == 0 { 1_000 } else { 100 })
    });
    let replies = replies.collect().await;
    assert_eq!(names(&replies).len(), 70);
    assert_eq!((load.peak(), started.load(Ordering::SeqCst)), (64, 70));
    assert!(start.elapsed() < millis(1_010), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn each_call_may_have_other_arguments() {
    let cluster = cluster_of(&[("iad", 3), ("hkg", 2)], &Load::default()).start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    let mut numbers = (1..).map(|number| number * 10);
    let replies = place.each(Nodes::all(), move |place| place.echo(numbers.next().unwrap()));
    let mut echoed: Vec<_> = replies.map(|(_, reply)| reply.unwrap().0).collect::<Vec<_>>().await;
    echoed.sort_unstable();
    assert_eq!(echoed, [10, 20, 30, 40, 50]);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_stops_all_handlers_unless_they_are_detached() {
    let load = Load::default();
    let cluster = cluster_of(&[("iad", 60), ("hkg", 10)], &load).start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    let mut replies = place.each(Nodes::all(), |place| place.work(4_000));
    assert!(timeout(secs(1), replies.next()).await.is_err());
    assert_eq!(load.running(), 64);
    drop(replies);
    sleep(millis(500)).await;
    assert_eq!((load.running(), load.started()), (0, 64), "no other call has started");
    let mut replies = place.each(Nodes::in_region("hkg"), |place| place.work_to_the_end(4_000));
    assert!(timeout(secs(1), replies.next()).await.is_err());
    drop(replies);
    sleep(secs(1)).await;
    assert_eq!(load.running(), 10);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_of_next_loses_no_reply() {
    let cluster = cluster_of(&[("iad", 2), ("fra", 1), ("hkg", 1)], &Load::default());
    let cluster = cluster.start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    let mut replies = place.each(Nodes::all(), |place| place.work(10));
    let mut replied = 0;
    for _ in 0..200 {
        match timeout(millis(3), replies.next()).await {
            Ok(Some((_, reply))) => replied += usize::from(reply.is_ok()),
            Ok(None) => break,
            Err(_elapsed) => {}
        }
    }
    assert_eq!(replied, 4);
    assert!(replies.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_handler_is_an_item() {
    let cluster = cluster_of(&[("iad", 2)], &Load::default()).start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    let replies = place.each(Nodes::all(), |place| place.panic()).collect().await;
    assert_eq!(replies.len(), 2);
    for (node, result) in replies {
        let error = result.unwrap_err();
        assert!(matches!(&error, RpcError::Panicked { node: at, .. } if *at == node), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_stream_is_send_and_works_with_the_adaptors_of_streams() {
    fn is_a_stream<T>(_: &(impl Stream<Item = T> + Send + Unpin + 'static)) {}

    let cluster = cluster_of(&[("iad", 2)], &Load::default()).start().await;
    let place: PlaceClient = cluster.node("iad-0").client();
    let replies: Replies<String> = place.each(Nodes::all(), |place| place.name());
    is_a_stream(&replies);
    assert_eq!(replies.size_hint(), (0, None));
    assert!(format!("{replies:?}").starts_with("Replies"));
    let names = replies.map(|(_, reply)| reply).try_collect::<Vec<_>>();
    assert_eq!(tokio::spawn(names).await.unwrap().unwrap(), ["iad-0", "iad-1"]);
    // The results of a closure may have any type.
    let lengths = place.each(Nodes::all(), |place| async move { Ok(place.name().await?.len()) });
    let lengths = lengths.collect().await;
    assert!(lengths.into_iter().all(|(_, length)| length.unwrap() == 5));
}

#[test]
fn the_stream_may_be_polled_outside_of_tokio() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let node = runtime.block_on(async {
        flyrpc::Node::builder().serve(super::service::here("here")).start().await.unwrap()
    });
    let place: PlaceClient = node.client();
    let replies = place.each(Nodes::all(), |place| place.work(1)).collect();
    let replies = futures_executor_block_on(replies);
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].1.as_ref().unwrap(), "here");
    runtime.block_on(node.shutdown());
}

/// Polls `future` on this thread, which is in no runtime.
fn futures_executor_block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);

    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = std::task::Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

type Pages = BTreeMap<String, Vec<Option<(u8, Box<str>)>>>;

/// A service with unusual types, and with names that the generated `each` uses, too.
#[fly_rpc(name = "Odd.Place")]
trait Fut {
    async fn call(&self, nodes: u8, call: Pages) -> Result<Pages, String>;
    async fn nodes(&self) -> ();
}

struct T;

impl Fut for T {
    async fn call(&self, nodes: u8, call: Pages) -> Result<Pages, String> {
        if nodes == 0 { Err("no pages".to_owned()) } else { Ok(call) }
    }

    async fn nodes(&self) {}
}

#[tokio::test(start_paused = true)]
async fn methods_with_any_types_and_names_can_be_called() {
    let release = Release::new().serve(|_| ServeFut::new(T));
    let cluster = SimCluster::builder().region("iad", 2).release(release).start().await;
    let odd: FutClient = cluster.node("iad-0").client();
    let pages = Pages::from([("a".to_owned(), vec![None, Some((1, "b".into()))])]);
    let sent = pages.clone();
    let replies = odd.each(Nodes::all(), move |odd| odd.call(1, sent.clone())).collect().await;
    assert_eq!(replies.len(), 2);
    assert!(replies.iter().all(|(_, reply)| *reply.as_ref().unwrap() == Ok(pages.clone())));
    let replies = odd.each(Nodes::all(), |odd| odd.call(0, Pages::new())).collect().await;
    assert!(replies.iter().all(|(_, reply)| reply.as_ref().unwrap().is_err()));
    let replies: Vec<_> = odd.each(Nodes::all(), |odd| odd.nodes()).collect().await;
    assert_eq!(names(&replies), ["iad-0", "iad-1"]);
}

//! A service that calls another one.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use flyrpc::{ErrorInfo, ErrorKind, Node};
use flyrpc_examples::patterns::calling::{CartsClient, Checkout, Prices, ServeCarts, ServePrices};
use flyrpc_testkit::SimCluster;
use tokio::time::Instant;

use crate::{ms, regions, secs};

/// A price list. The price of `gold` never arrives.
#[derive(Clone, Default)]
struct PriceList {
    /// The number of handlers that are running.
    running: Arc<AtomicUsize>,
}

struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Prices for PriceList {
    async fn price(&self, item: String) -> u64 {
        self.running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(&self.running);
        if item == "gold" {
            pending::<()>().await;
        }
        item.len() as u64
    }
}

async fn cluster(prices: &PriceList) -> SimCluster {
    let prices = prices.clone();
    regions()
        .serve(move |_node| ServePrices::new(prices.clone()))
        .serve(|_node| ServeCarts::new(Checkout))
        .start()
        .await
}

fn carts(node: &Node) -> CartsClient {
    node.client::<CartsClient>().on_node(node.id())
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_handler_run_in_parallel() {
    let cluster = cluster(&PriceList::default()).await;
    let start = Instant::now();
    let items = vec!["tea".into(), "milk".into(), "sugar".into()];
    assert_eq!(carts(&cluster.node("hkg-0")).total(items).await.unwrap(), Ok(12));
    assert_eq!(start.elapsed(), ms(200));
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_handler_end_at_the_deadline_of_its_caller() {
    let prices = PriceList::default();
    let cluster = cluster(&prices).await;
    let start = Instant::now();
    let carts = carts(&cluster.node("hkg-0")).timeout(secs(1));
    // Either call may report the timeout, because both have the same deadline.
    let total = carts.total(vec!["gold".into()]).await.map_err(ErrorInfo::from).flatten();
    assert_eq!(total.unwrap_err().kind, ErrorKind::Timeout);
    assert_eq!(start.elapsed(), secs(1), "the default timeout of `price` is 5 s");
    assert_eq!(
        prices.running.load(Ordering::SeqCst),
        0,
        "the handler in iad has the same deadline"
    );
}

#[tokio::test]
async fn a_service_that_calls_others_does_not_keep_its_node_running() {
    let builder = Node::builder().region("iad").primary_region("iad");
    let builder = builder.serve(ServePrices::new(PriceList::default()));
    let node = builder.serve(ServeCarts::new(Checkout)).start().await.unwrap();
    assert_eq!(carts(&node).total(vec!["tea".into()]).await.unwrap(), Ok(3));
    let weak = node.downgrade();
    drop(node);
    assert!(weak.upgrade().is_none());
}

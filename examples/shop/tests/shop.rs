//! Tests of the shop, from the HTTP request to SQLite, under faults. To run 1,000 seeds:
//!
//! ```sh
//! FLYRPC_SIM_SEEDS=0..1000 cargo test --release --package flyrpc-shop
//! ```

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use flyrpc::{NodeBuilder, StartError};
use flyrpc_shop::{Desk, OrdersClient, ServeOrders, Stock, front};
use flyrpc_testkit::{
    FaultKind, HttpClient, RandomFaults, Release, Schedule, SimCluster, SimClusterBuilder, SimNode,
};
use http_body_util::BodyExt;
use tokio::time::{sleep, timeout};

const PIECES: u32 = 12;

/// Starts the node and its HTTP front, as the program does in production.
async fn start(
    sim: SimNode,
    builder: NodeBuilder,
    stock: Stock,
) -> Result<flyrpc::Node, StartError> {
    let node = builder.serve(ServeOrders::new(Desk(stock))).start().await?;
    let http = sim.env().tcp_listener(8080).await.expect("the port is free");
    let routes = front(node.client::<OrdersClient>());
    node.spawn(async move { axum::serve(http, routes).await });
    Ok(node)
}

fn release(stock: &Stock) -> Release {
    let stock = stock.clone();
    Release::new().boot(move |sim, builder| start(sim, builder, stock.clone()))
}

fn regions() -> SimClusterBuilder {
    SimCluster::builder()
        .region("iad", 2)
        .region("fra", 1)
        .region("hkg", 1)
        .primary("iad")
        .rtt("iad", "fra", Duration::from_millis(90))
        .rtt("iad", "hkg", Duration::from_millis(200))
}

/// A customer, who repeats an order until it is executed or refused.
#[derive(Clone)]
struct Customer {
    browser: HttpClient,
    /// The node that the customer uses.
    node: &'static str,
}

impl Customer {
    fn new(cluster: &SimCluster, name: &str, node: &'static str) -> Self {
        let (region, _) = node.split_once('-').expect("nodes are named after regions");
        Customer { browser: cluster.add_host(name, region).http_client(), node }
    }

    /// Returns the place of the order, or `None` if the item is sold out.
    async fn order(&self, id: &str, item: &str) -> Option<u32> {
        loop {
            match timeout(Duration::from_secs(5), self.try_order(id, item)).await {
                Ok(Some((StatusCode::OK, place))) => return Some(place.parse().unwrap()),
                Ok(Some((StatusCode::GONE, _))) => return None,
                _ => sleep(Duration::from_millis(500)).await,
            }
        }
    }

    async fn try_order(&self, id: &str, item: &str) -> Option<(StatusCode, String)> {
        let uri = format!("http://{}:8080/orders/{id}/{item}", self.node);
        let request = Request::builder().method(Method::PUT).uri(uri).body(Body::empty()).unwrap();
        let response = self.browser.request(request).await.ok()?;
        let status = response.status();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

#[flyrpc_testkit::test]
async fn an_order_is_sold_in_one_round_trip_to_the_primary() {
    let stock = Stock::in_memory(&[("lamp", 1)]).unwrap();
    let cluster = regions().release(release(&stock)).start().await;
    let customer = Customer::new(&cluster, "ada", "hkg-0");
    let start = cluster.elapsed();
    assert_eq!(customer.order("a", "lamp").await, Some(1));
    // The connection and the request take a millisecond each, SQLite takes no virtual time.
    assert_eq!(cluster.elapsed() - start, Duration::from_millis(202));
    assert_eq!(customer.order("a", "lamp").await, Some(1), "the same order");
    assert_eq!(customer.order("b", "lamp").await, None, "sold out");
}

#[flyrpc_testkit::test(seeds = 0..4)]
async fn an_order_is_executed_once_although_its_node_crashes_after_the_commit() {
    let stock = Stock::in_memory(&[("lamp", 5)]).unwrap();
    let cluster = regions().release(release(&stock)).start().await;
    let sold = [cluster.barrier("iad-0", "sold"), cluster.barrier("iad-1", "sold")];
    let customer = Customer::new(&cluster, "ada", "fra-0");
    let order = tokio::spawn(async move { customer.order("a", "lamp").await });
    let node = tokio::select! {
        () = sold[0].reached() => "iad-0",
        () = sold[1].reached() => "iad-1",
    };
    cluster.crash(node);
    drop(sold);
    assert_eq!(order.await.unwrap(), Some(1));
    assert_eq!(stock.totals().await.unwrap(), (1, 4), "{}", cluster.trace());
}

#[flyrpc_testkit::test(seeds = 0..10)]
async fn no_piece_is_lost_or_sold_twice_under_random_faults(seed: u64) {
    let stock = Stock::in_memory(&[("lamp", PIECES / 2), ("chair", PIECES / 2)]).unwrap();
    let cluster = regions().release(release(&stock)).start().await;
    let places = Arc::new(Mutex::new(BTreeSet::new()));
    let mut customers = Vec::new();
    for (name, node) in [("ada", "fra-0"), ("grace", "hkg-0"), ("mary", "iad-1")] {
        let customer = Customer::new(&cluster, name, node);
        let places = Arc::clone(&places);
        customers.push(tokio::spawn(async move {
            for number in 0..6 {
                let item = if number % 2 == 0 { "lamp" } else { "chair" };
                let order = format!("{name}-{number}");
                if let Some(place) = customer.order(&order, item).await {
                    assert!(places.lock().unwrap().insert(place), "place {place} was given twice");
                }
                sleep(Duration::from_secs(1)).await;
            }
        }));
    }
    cluster.always("an attempt is executed at most once", |cluster| {
        let trace = cluster.trace();
        let (calls, runs) = (trace.calls().count(), trace.executions().count());
        if runs <= calls { Ok(()) } else { Err(format!("{runs} executions of {calls} attempts")) }
    });

    let faults = RandomFaults::of(&cluster)
        .only([
            FaultKind::Crash,
            FaultKind::CrashMachine,
            FaultKind::Freeze,
            FaultKind::Partition,
            FaultKind::PartitionOneWay,
            FaultKind::Slow,
            FaultKind::Jitter,
            FaultKind::Shutdown,
        ])
        .count(1..=4)
        .within(Duration::from_secs(15));
    cluster.run_schedule(&Schedule::random(seed, &faults)).await;
    cluster.roll(release(&stock)).await;
    for customer in customers {
        customer.await.unwrap();
    }

    let sold = places.lock().unwrap().len() as u32;
    assert_eq!(stock.totals().await.unwrap(), (sold, PIECES - sold), "{}", cluster.trace());
    assert_eq!(sold, PIECES, "18 orders for 12 pieces");
}

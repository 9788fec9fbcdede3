//! Version 1 of the service.

use std::time::Duration;

use flyrpc::fly_rpc;
use serde::{Deserialize, Serialize};

/// Orders of a shop. A method with the argument `pause` sleeps for that time before it replies.
#[fly_rpc]
pub trait Orders {
    /// Looks up an order.
    #[rpc(idempotent)]
    async fn find(&self, id: u64, pause: Duration) -> Order;

    /// Places an order for `pieces` pieces of `item`.
    async fn place(&self, item: String, pieces: u32, pause: Duration) -> Order;

    /// Records a payment, in the primary region, where the database is.
    #[rpc(primary)]
    async fn pay(&self, id: u64, cents: u64, pause: Duration) -> Order;

    /// Faxes an invoice.
    async fn fax(&self, id: u64) -> Order;
}

/// An order, and the version and attempt that returned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The number of the order.
    pub id: u64,
    /// The ordered item.
    pub item: String,
    /// The state of the order.
    pub state: State,
    /// The version of the service that executed the call.
    pub version: u32,
    /// The attempt of the call that executed, counted from 1.
    pub attempt: u32,
}

/// The state of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// The order was placed.
    Placed,
    /// The order was paid.
    Paid,
}

/// The implementation, without its database.
#[derive(Debug, Clone, Copy)]
pub struct Shop;

impl Orders for Shop {
    async fn find(&self, id: u64, pause: Duration) -> Order {
        respond(id, String::new(), State::Placed, pause).await
    }

    async fn place(&self, item: String, _pieces: u32, pause: Duration) -> Order {
        respond(1, item, State::Placed, pause).await
    }

    async fn pay(&self, id: u64, _cents: u64, pause: Duration) -> Order {
        respond(id, String::new(), State::Paid, pause).await
    }

    async fn fax(&self, id: u64) -> Order {
        respond(id, String::new(), State::Placed, Duration::ZERO).await
    }
}

async fn respond(id: u64, item: String, state: State, pause: Duration) -> Order {
    tokio::time::sleep(pause).await;
    Order { id, item, state, version: 1, attempt: flyrpc::context().attempt() }
}

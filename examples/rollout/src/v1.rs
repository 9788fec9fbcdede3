//! The service as it was first deployed.

use std::time::Duration;

use flyrpc::fly_rpc;
use serde::{Deserialize, Serialize};

/// Orders of a shop. Every method takes `pause` before it answers.
#[fly_rpc]
pub trait Orders {
    /// Looks an order up.
    #[rpc(idempotent)]
    async fn find(&self, id: u64, pause: Duration) -> Order;

    /// Takes an order for so many pieces of `item`.
    async fn place(&self, item: String, pieces: u32, pause: Duration) -> Order;

    /// Books a payment, where the database is.
    #[rpc(primary)]
    async fn pay(&self, id: u64, cents: u64, pause: Duration) -> Order;

    /// Faxes an invoice.
    async fn fax(&self, id: u64) -> Order;
}

/// An order, and who told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its number.
    pub id: u64,
    /// What was ordered.
    pub item: String,
    /// How far it has come.
    pub state: State,
    /// The version of the service that answered.
    pub version: u32,
    /// Which attempt of the call that was.
    pub attempt: u32,
}

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It was taken.
    Placed,
    /// It was paid.
    Paid,
}

/// The implementation, without its database.
#[derive(Debug, Clone, Copy)]
pub struct Shop;

impl Orders for Shop {
    async fn find(&self, id: u64, pause: Duration) -> Order {
        answer(id, String::new(), State::Placed, pause).await
    }

    async fn place(&self, item: String, _pieces: u32, pause: Duration) -> Order {
        answer(1, item, State::Placed, pause).await
    }

    async fn pay(&self, id: u64, _cents: u64, pause: Duration) -> Order {
        answer(id, String::new(), State::Paid, pause).await
    }

    async fn fax(&self, id: u64) -> Order {
        answer(id, String::new(), State::Placed, Duration::ZERO).await
    }
}

async fn answer(id: u64, item: String, state: State, pause: Duration) -> Order {
    tokio::time::sleep(pause).await;
    Order { id, item, state, version: 1, attempt: flyrpc::context().attempt() }
}

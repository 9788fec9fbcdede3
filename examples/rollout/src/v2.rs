//! The service as it is now.

use std::time::Duration;

use flyrpc::fly_rpc;
use serde::{Deserialize, Serialize};

/// Orders of a shop. Every method takes `pause` before it answers.
///
/// Since v1 `cancel` was added and `fax` removed, `place` and `pay` take an argument more, and
/// everything stands elsewhere.
#[fly_rpc]
pub trait Orders {
    /// Cancels an order.
    async fn cancel(&self, id: u64) -> Order;

    /// Books a payment, where the database is; in the shop's own currency unless told otherwise.
    #[rpc(primary)]
    async fn pay(&self, cents: u64, currency: Option<String>, id: u64, pause: Duration) -> Order;

    /// Takes an order for so many pieces of `item`.
    async fn place(
        &self,
        pause: Duration,
        pieces: u32,
        item: String,
        #[rpc(default)] express: bool,
    ) -> Order;

    /// Looks an order up.
    #[rpc(idempotent)]
    async fn find(&self, pause: Duration, id: u64) -> Order;
}

/// An order, and who told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Which attempt of the call that was.
    pub attempt: u32,
    /// The version of the service that answered.
    pub version: u32,
    /// Whether it is sent at once. Nodes of v1 do not say.
    #[serde(default)]
    pub express: bool,
    /// How far it has come.
    pub state: State,
    /// What was ordered.
    pub item: String,
    /// Its number.
    pub id: u64,
}

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It was cancelled. Callers of v1 do not know that, and never see it before all are of v2.
    Cancelled,
    /// It was taken.
    Placed,
    /// It was paid.
    Paid,
}

/// The implementation, without its database.
#[derive(Debug, Clone, Copy)]
pub struct Shop;

impl Orders for Shop {
    async fn cancel(&self, id: u64) -> Order {
        answer(id, String::new(), State::Cancelled, false, Duration::ZERO).await
    }

    async fn pay(&self, _cents: u64, _currency: Option<String>, id: u64, pause: Duration) -> Order {
        answer(id, String::new(), State::Paid, false, pause).await
    }

    async fn place(&self, pause: Duration, _pieces: u32, item: String, express: bool) -> Order {
        answer(1, item, State::Placed, express, pause).await
    }

    async fn find(&self, pause: Duration, id: u64) -> Order {
        answer(id, String::new(), State::Placed, false, pause).await
    }
}

async fn answer(id: u64, item: String, state: State, express: bool, pause: Duration) -> Order {
    tokio::time::sleep(pause).await;
    Order { attempt: flyrpc::context().attempt(), version: 2, express, state, item, id }
}

//! Version 2 of the service.

use std::time::Duration;

use flyrpc::fly_rpc;
use serde::{Deserialize, Serialize};

/// Orders of a shop. A method with the argument `pause` sleeps for that time before it replies.
///
/// Changes since v1: `cancel` was added, `fax` was removed, `place` and `pay` take one more argument
/// each, and everything is in another order.
#[fly_rpc]
pub trait Orders {
    /// Cancels an order.
    async fn cancel(&self, id: u64) -> Order;

    /// Records a payment, in the primary region, where the database is. The default currency is the
    /// shop's own.
    #[rpc(primary)]
    async fn pay(&self, cents: u64, currency: Option<String>, id: u64, pause: Duration) -> Order;

    /// Places an order for `pieces` pieces of `item`.
    async fn place(
        &self,
        pause: Duration,
        pieces: u32,
        item: String,
        #[rpc(default)] express: bool,
    ) -> Order;

    /// Looks up an order.
    #[rpc(idempotent)]
    async fn find(&self, pause: Duration, id: u64) -> Order;
}

/// An order, and the version and attempt that returned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The attempt of the call that executed, counted from 1.
    pub attempt: u32,
    /// The version of the service that executed the call.
    pub version: u32,
    /// Whether the order is shipped at once. Nodes of v1 do not send this field.
    #[serde(default)]
    pub express: bool,
    /// The state of the order.
    pub state: State,
    /// The ordered item.
    pub item: String,
    /// The number of the order.
    pub id: u64,
}

/// The state of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// The order was canceled. Callers of v1 do not know this variant, and do not receive it: only
    /// `cancel` returns it.
    Cancelled,
    /// The order was placed.
    Placed,
    /// The order was paid.
    Paid,
}

/// The implementation, without its database.
#[derive(Debug, Clone, Copy)]
pub struct Shop;

impl Orders for Shop {
    async fn cancel(&self, id: u64) -> Order {
        respond(id, String::new(), State::Cancelled, false, Duration::ZERO).await
    }

    async fn pay(&self, _cents: u64, _currency: Option<String>, id: u64, pause: Duration) -> Order {
        respond(id, String::new(), State::Paid, false, pause).await
    }

    async fn place(&self, pause: Duration, _pieces: u32, item: String, express: bool) -> Order {
        respond(1, item, State::Placed, express, pause).await
    }

    async fn find(&self, pause: Duration, id: u64) -> Order {
        respond(id, String::new(), State::Placed, false, pause).await
    }
}

async fn respond(id: u64, item: String, state: State, express: bool, pause: Duration) -> Order {
    tokio::time::sleep(pause).await;
    Order { attempt: flyrpc::context().attempt(), version: 2, express, state, item, id }
}

//! The service that executes orders.

use flyrpc::fly_rpc;
use serde::{Deserialize, Serialize};

use crate::stock::Stock;

/// Orders, which are executed in the primary region.
#[fly_rpc]
pub trait Orders {
    /// Sells a piece of an item. An order with the same id is executed once.
    #[rpc(primary, idempotent)]
    async fn order(&self, id: String, item: String) -> Result<Receipt, Refused>;
}

/// The proof that an order was executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The id of the order.
    pub id: String,
    /// How many orders had been executed then, including this one.
    pub place: u32,
}

/// The item is sold out, or was never for sale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The item.
    pub item: String,
}

/// Serves orders from a stock.
#[derive(Debug, Clone)]
pub struct Desk(pub Stock);

impl Orders for Desk {
    async fn order(&self, id: String, item: String) -> Result<Receipt, Refused> {
        let sold = self.0.sell(id, item).await.expect("the database works");
        // A test can crash the node here: after the commit, before the reply.
        flyrpc::barrier("sold").await;
        sold
    }
}

//! A service that calls another service.

use flyrpc::{ErrorInfo, context, fly_rpc};
use futures_util::future::try_join_all;

/// The prices of items, which only nodes in the primary region know.
#[fly_rpc]
pub trait Prices {
    /// Returns the price of an item in cents.
    #[rpc(primary, idempotent)]
    async fn price(&self, item: String) -> u64;
}

/// Shopping carts, on every node.
#[fly_rpc]
pub trait Carts {
    /// Returns the total price of some items in cents.
    #[rpc(idempotent)]
    async fn total(&self, items: Vec<String>) -> Result<u64, ErrorInfo>;
}

/// Implements [`Carts`]. It stores neither a node nor a client.
#[derive(Debug)]
pub struct Checkout;

impl Carts for Checkout {
    async fn total(&self, items: Vec<String>) -> Result<u64, ErrorInfo> {
        let prices: PricesClient = context().client();
        // In parallel. If one call fails, the others are canceled.
        let prices = try_join_all(items.into_iter().map(|item| prices.price(item))).await?;
        Ok(prices.into_iter().sum())
    }
}

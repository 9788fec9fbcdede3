//! The HTTP front of a node.

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::put,
};

use crate::orders::OrdersClient;

/// Returns the routes: `PUT /orders/{id}/{item}` orders an item. The answer is 200 with the place of the order, 410 if the
/// item is sold out, or 503 if the order has to be repeated.
pub fn front(orders: OrdersClient) -> Router {
    Router::new().route("/orders/{id}/{item}", put(order)).with_state(orders)
}

async fn order(
    State(orders): State<OrdersClient>,
    Path((id, item)): Path<(String, String)>,
) -> Result<String, (StatusCode, String)> {
    match orders.order(id, item).await {
        Ok(Ok(receipt)) => Ok(receipt.place.to_string()),
        Ok(Err(refused)) => Err((StatusCode::GONE, format!("{} is sold out", refused.item))),
        Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
    }
}

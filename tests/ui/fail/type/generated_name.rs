use flyrpc::fly_rpc;

// A type with the name of a generated one is reported once. A path to a type of that name is allowed.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct OrdersRequest {
    item: String,
}

mod old {
    #[derive(serde::Serialize, serde::Deserialize)]
    pub struct OrdersResponse;
}

#[fly_rpc]
pub trait Orders {
    async fn place(&self, order: OrdersRequest) -> old::OrdersResponse;
    async fn merge(&self, other: Orders);
}

fn main() {
    let order = OrdersRequest { item: String::new() };
    assert!(order.item.is_empty());
}

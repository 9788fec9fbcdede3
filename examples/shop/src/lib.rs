//! A shop that sells a limited stock from several regions.
//!
//! Orders are made over HTTP at the nearest node, and written to SQLite in the primary region. An order has a number that
//! the customer chooses, so it can be repeated until it succeeds, and is executed once.

mod front;
mod orders;
mod stock;

pub use self::{
    front::front,
    orders::{Desk, Orders, OrdersClient, Receipt, Refused, ServeOrders},
    stock::Stock,
};

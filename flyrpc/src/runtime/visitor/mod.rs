//! A connection of an operator's tool to one node.

mod connect;
mod connection;

pub use self::{
    connect::{VisitError, VisitOptions},
    connection::Visitor,
};

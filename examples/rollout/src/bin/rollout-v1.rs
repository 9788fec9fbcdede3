//! A node that serves version 1 of the orders service.

use std::process::ExitCode;

use flyrpc_rollout::{node, v1};

fn main() -> ExitCode {
    node::main(v1::ServeOrders::new(v1::Shop))
}

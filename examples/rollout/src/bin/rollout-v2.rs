//! A node that serves version 2 of the orders service.

use std::process::ExitCode;

use flyrpc_rollout::{node, v2};

fn main() -> ExitCode {
    node::main(v2::ServeOrders::new(v2::Shop))
}

//! The state of the simulated network: values and state machines that take the time as an argument.
//! This module never waits or locks, and never calls wakers or listeners.

pub(crate) mod clock;
mod connection;
mod connections;
mod core;
mod datagrams;
mod endpoint;
mod event_queue;
mod fabric;
mod fault_event;
mod faults;
mod host;
mod ids;
mod listener;
mod path_rngs;
mod resolver;
mod sent;
mod shaper;
mod socket;
mod topology;

pub use self::sent::{Sent, Via};
pub(crate) use self::{
    connection::Connection,
    core::{Core, Driver, TaskPoll},
    fabric::Fabric,
    fault_event::FaultEvent,
    faults::{Conditions, Direction, Fault, FaultScope, Rule},
    host::{Backlog, Health},
    ids::{Boot, ConnId, FaultId, HostId, Side, TaskId},
    socket::{Packet, Socket},
    topology::Topology,
};

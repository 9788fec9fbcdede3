//! The simulated network: hosts in regions, and the paths between them.
//!
//! The whole network is one state under one lock. Every message in flight is an event that is due at
//! some instant. One task, the driver, sleeps until the next event is due. Nothing is woken, dropped
//! or spawned while the lock is held, because wakers and destructors are foreign code and may call
//! back into this module.

mod barrier;
mod boot;
mod checks;
mod datagram;
mod disk;
mod disks;
mod env;
mod guard;
mod host_faults;
mod path_faults;
mod shared;
mod sim_net;
mod state;
mod stream;
mod task;
mod tcp;

pub use self::{
    barrier::Barrier,
    disk::SimDisk,
    env::SimEnv,
    guard::FaultGuard,
    sim_net::{SimNet, SimNetBuilder},
    state::{Sent, Via},
    tcp::{SimTcpListener, SimTcpStream},
};

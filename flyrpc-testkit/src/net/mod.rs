//! The simulated network: hosts in regions, and the paths between them.
//!
//! All of it is one state under one lock. Every message in flight is an event that is due at some
//! instant; one task, the driver, sleeps until the next of them. Nothing is woken, dropped or spawned
//! while the lock is held, because wakers and destructors are other people's code and may call back
//! into this module.

mod boot;
mod checks;
mod datagram;
mod env;
mod guard;
mod host_faults;
mod path_faults;
mod shared;
mod sim_net;
mod state;
mod stream;
mod task;

pub use self::{
    env::SimEnv,
    guard::FaultGuard,
    sim_net::{SimNet, SimNetBuilder},
};

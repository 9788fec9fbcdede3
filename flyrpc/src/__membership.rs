//! The membership without a node around it, for programs of this repository that simulate clusters
//! larger than could be run. Not part of the public API.
//!
//! Whoever drives it has to do what `cluster` does: send the datagrams, wake it when it asks for
//! that, and compare it with others.

pub use crate::proto::membership::{Counters, Event, MemberState, Membership, Settings, Unfit};

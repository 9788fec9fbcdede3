//! Two independent versions of one service, and the node that serves either of them.
//!
//! Compare [`v1`] and [`v2`] side by side. In `v2`, methods and arguments are in another order, one
//! method was added and another removed, and arguments, a field and a variant were added. Each version
//! has its own program, `rollout-v1` or `rollout-v2`. The program `rollout` replaces one by the other
//! under load.

pub mod node;
pub mod v1;
pub mod v2;

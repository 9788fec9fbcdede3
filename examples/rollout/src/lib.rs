//! Two versions of one service, which know nothing of each other, and the node that serves either.
//!
//! Compare [`v1`] and [`v2`] side by side: methods and arguments in another order, a method more
//! and one less, an argument more, a field more, a variant more. Each is a program of its own,
//! `rollout-v1` and `rollout-v2`; the program `rollout` replaces one by the other while it calls.

pub mod node;
pub mod v1;
pub mod v2;

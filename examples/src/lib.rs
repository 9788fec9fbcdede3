//! Code shared by the example programs: the text service that their nodes serve, the flags that
//! configure a node, child processes, helpers that wait for a node to observe a change, and the
//! formatting of results.
//!
//! [`notes`] is a small service that stores data. Its tests in `tests/notes` demonstrate the
//! testkit. [`patterns`] is the code of the guide *Patterns*, which `tests/patterns` runs.

pub mod flags;
pub mod notes;
pub mod patterns;
pub mod process;
pub mod show;
pub mod text;
pub mod watch;

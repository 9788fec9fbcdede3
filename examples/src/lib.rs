//! What the example programs share: the text service that their nodes serve, the flags that
//! configure a node, child processes, waiting for what a node learns, and how results are shown. And
//! [`notes`], a small service with data of its own, whose tests in `tests/notes` show what the testkit
//! is for.

pub mod flags;
pub mod notes;
pub mod process;
pub mod show;
pub mod text;
pub mod watch;

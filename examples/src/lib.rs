//! What the example programs share: the text service that their nodes serve, the flags that
//! configure a node, child processes, waiting for what a node learns, and how results are shown.

pub mod flags;
pub mod process;
pub mod show;
pub mod text;
pub mod watch;

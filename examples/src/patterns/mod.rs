//! The code of the guide *Patterns* (`flyrpc/src/docs/patterns.md`), one module per section. The tests in
//! `tests/patterns` run it on simulated clusters, and check that the guide shows exactly this code.
//!
//! Each module is complete, so that it can be copied: it contains its own stand-in for a database, and uses
//! no other module.

pub mod cache;
pub mod calling;
pub mod http;
pub mod idempotency;
pub mod lease;
pub mod pagination;

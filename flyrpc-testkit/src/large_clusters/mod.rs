#![doc = include_str!("setup.md")]
//!
//! # One node comes or goes
//!
#![doc = include_str!("changes/table.md")]
//!
#![doc = include_str!("changes/plots.svg")]
//!
#![doc = include_str!("changes.md")]
//!
//! # All nodes come and go
//!
#![doc = include_str!("upheavals/table.md")]
//!
#![doc = include_str!("upheavals/plots.svg")]
//!
#![doc = include_str!("upheavals.md")]
//!
//! # Up to how many nodes?
//!
#![doc = include_str!("limits.md")]

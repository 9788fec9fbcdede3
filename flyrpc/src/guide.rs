//! Guides to tasks that involve several parts of flyrpc, and reference tables. The modules contain
//! documentation only.
//!
//! | to | read |
//! |---|---|
//! | learn how a call behaves | [`calls`], [`errors`], [`peers`], [`picking`] |
//! | configure and deploy a node | [`settings`], [`fly_io`], [`kubernetes`] |
//! | set, rotate or replace the secret of a cluster; judge what it protects | [`security`] |
//! | audit the protocol between nodes | [`protocol`] |
//! | solve a common task: a cache, a job on one node, idempotency keys, pages, HTTP | [`patterns`] |
//! | deploy a changed service | [`changing_a_service`] |
//! | run nodes: health, logs, metrics, traces, sizes, what to look at first | [`in_production`] |
//! | migrate or upgrade | [`migrating_from_fly_rpc`], [`migrating_from_tarpc`], [`upgrading_from_0_1`] |
//!
//! [`fly_rpc`](crate::fly_rpc) documents selectors, options and attributes.

#[doc = include_str!("docs/calls.md")]
pub mod calls {}

#[doc = include_str!("docs/changing_a_service.md")]
pub mod changing_a_service {}

#[doc = include_str!("docs/errors.md")]
pub mod errors {}

#[doc = include_str!("docs/fly_io.md")]
pub mod fly_io {}

#[doc = include_str!("docs/in_production.md")]
pub mod in_production {}

#[doc = include_str!("docs/kubernetes.md")]
pub mod kubernetes {}

#[doc = include_str!("docs/migrating_from_fly_rpc.md")]
pub mod migrating_from_fly_rpc {}

#[doc = include_str!("docs/migrating_from_tarpc.md")]
pub mod migrating_from_tarpc {}

#[doc = include_str!("docs/patterns.md")]
pub mod patterns {}

#[doc = include_str!("docs/peers.md")]
pub mod peers {}

#[doc = include_str!("docs/picking.md")]
pub mod picking {}

#[doc = include_str!("docs/protocol.md")]
pub mod protocol {}

#[doc = include_str!("docs/security.md")]
pub mod security {}

#[doc = include_str!("docs/settings.md")]
pub mod settings {}

#[doc = include_str!("docs/upgrading_from_0_1.md")]
pub mod upgrading_from_0_1 {}

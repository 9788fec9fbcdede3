//! Guides: what to do, in which order, where more than one part of flyrpc is involved.
//!
//! There is nothing in these modules but their documentation.

#[doc = include_str!("docs/changing_a_service.md")]
pub mod changing_a_service {}

//! Guides to tasks that involve several parts of flyrpc. The modules contain documentation only.

#[doc = include_str!("docs/changing_a_service.md")]
pub mod changing_a_service {}

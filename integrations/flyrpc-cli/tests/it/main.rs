//! Runs the command against nodes on loopback.

mod calls;
mod check;
mod check_known;
mod control;
mod golden;
mod offline;
mod support;

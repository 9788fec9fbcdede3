//! Where a call goes: the table of known nodes, whether a node's version of a service is compatible
//! with the caller's, which node is picked, and what follows when an attempt fails.
//!
//! Pure: no socket, no clock; a link is whatever [`Endpoint`] says.

mod choice;
mod compat;
mod endpoint;
mod failure;
mod pick;
mod rank;
mod reservoir;
mod retry;
mod table;

pub(crate) use self::{
    choice::{Choice, Pick},
    compat::{CallerTrait, Compat, Compats},
    endpoint::{Endpoint, LinkStatus},
    failure::{AttemptFailure, CallFailure},
    pick::pick,
    retry::{AttemptEnd, Dialed, FIRST_ATTEMPT, NoCandidate, Retry, RetryPolicy, Step},
    table::{Entry, Table},
};

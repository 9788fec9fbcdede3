//! Routing of calls: the table of known nodes, the compatibility of a node's version of a service with
//! the caller's, the pick of a node, and retries after failed attempts.
//!
//! Pure, without sockets or a clock. Routing accesses links only through [`Endpoint`].

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

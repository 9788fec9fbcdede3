//! Routing of calls: the table of known nodes, the compatibility of a node's version of a service with
//! the caller's, the pick of a node, and retries after failed attempts: when, how many, and when waiting
//! calls ask again.
//!
//! Pure, without sockets or a clock. Routing accesses links only through [`Endpoint`].

mod budget;
mod choice;
mod compat;
mod endpoint;
mod failure;
mod pacer;
mod pick;
mod rank;
mod reservoir;
mod retry;
mod table;

pub(crate) use self::{
    budget::RetryBudget,
    choice::{Choice, Pick},
    compat::{CallerTrait, Compat, Compats},
    endpoint::{Endpoint, LinkStatus},
    failure::{AttemptFailure, CallFailure, LimitOf},
    pacer::{Pacer, Ticket},
    pick::pick,
    retry::{AttemptEnd, Dialed, FIRST_ATTEMPT, NoCandidate, Retry, RetryPolicy, Step, Waited},
    table::{Entry, Table},
};

//! Routing of calls. It consists of the table of known nodes, the compatibility check between a node's
//! version of a service and the caller's, the choice of a node, and retries. Retries cover when and how
//! often failed attempts are repeated, and when waiting calls ask again.
//!
//! Pure, without sockets or a clock. Routing accesses links only through [`Endpoint`].

mod budget;
mod choice;
mod compat;
mod endpoint;
mod failure;
mod jitter;
mod pacer;
mod pick;
mod rank;
mod reservoir;
mod retry;
mod serving;
mod table;

pub(crate) use self::{
    budget::RetryBudget,
    choice::{Choice, Pick},
    compat::{CallerTrait, Compat, Compats},
    endpoint::{Endpoint, LinkStatus},
    failure::{AttemptFailure, CallFailure, LimitOf},
    jitter::jittered,
    pacer::{Pacer, Ticket},
    pick::{draw_first, pick},
    retry::{AttemptEnd, Dialed, FIRST_ATTEMPT, NoCandidate, Retry, RetryPolicy, Step, Waited},
    serving::{Serving, serving},
    table::{Entry, Table},
};

//! Routing of calls. It consists of the table of known nodes, the compatibility check between a node's
//! version of a service and the caller's, the choice of a node, and retries. Retries cover when and how
//! often failed attempts are repeated, and when waiting calls ask again.
//!
//! Pure, without sockets or a clock. Routing accesses links only through [`Endpoint`].

mod budget;
mod candidates;
mod choice;
mod compat;
mod draw;
mod ejection;
mod endpoint;
mod entry;
mod failure;
mod jitter;
mod load;
mod median;
mod nearest;
mod pacer;
mod percentile;
mod pick;
mod rank;
mod region_nodes;
mod reservoir;
mod retry;
mod serving;
mod table;
#[cfg(test)]
mod testing;

pub(crate) use self::{
    budget::{BudgetExhausted, RetryBudget},
    choice::{Choice, Pick},
    compat::{CallerTrait, Compat, Compats},
    ejection::{Change, Ejection, Failure},
    endpoint::{Endpoint, LinkStatus},
    entry::Entry,
    failure::{AttemptFailure, CallFailure, LimitOf},
    jitter::jittered,
    load::{NodeLoad, RegionLoad},
    median::Median,
    pacer::{Pacer, Ticket},
    percentile::Percentile,
    pick::{pick, pick_first},
    retry::{AttemptEnd, Dialed, FIRST_ATTEMPT, NoCandidate, Retry, RetryPolicy, Step, Waited},
    serving::{Serving, serving},
    table::Table,
};

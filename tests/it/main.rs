//! The public behavior of flyrpc.

mod at_most_once;
mod attributes;
mod calls;
mod chaos;
mod crashes;
mod deadlines;
mod encoded_local_calls;
mod ended_nodes;
mod faults;
mod hostile;
mod local_calls;
mod macro_traits;
mod membership;
mod observer;
mod other_programs;
mod primary;
mod processes;
mod retries;
mod rollout;
mod shutdown;
mod support;
mod targets;
mod tarpc_interop;
mod versions;

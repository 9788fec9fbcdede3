//! The public errors: of a call, of a start, of a node that ended, and of a body that cannot be
//! encoded or decoded. Also the messages of panics, which become errors.

mod body;
mod closed;
mod panic;
mod rpc;
mod start;

pub(crate) use self::panic::{discard, panic_message};
pub use self::{
    body::BodyError,
    closed::{Closed, NodeFailure},
    rpc::{Known, Refusal, RpcError, Unsupported},
    start::StartError,
};

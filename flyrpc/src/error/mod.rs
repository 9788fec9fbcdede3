//! The public errors of calls, of starting a node, of nodes that ended, and of encoding and decoding
//! bodies. Also the messages of panics, which become errors.

mod body;
mod closed;
mod denied;
mod details;
mod for_test;
mod info;
mod kind;
mod panic;
mod rpc;
mod start;

pub use self::{
    body::BodyError,
    closed::{Closed, NodeFailure},
    denied::Denied,
    details::{Known, Refusal, Unsupported},
    info::ErrorInfo,
    kind::{ErrorKind, ParseErrorKindError},
    rpc::RpcError,
    start::StartError,
};
pub(crate) use self::{
    panic::{discard, panic_message, panic_text},
    rpc::outcome,
};

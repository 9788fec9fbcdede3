//! The public errors: of a call, of a start, and of a body that cannot be encoded or decoded.

mod body;
mod rpc;
mod start;

pub use self::{
    body::BodyError,
    rpc::{Known, Refusal, RpcError, Unsupported},
    start::StartError,
};

//! Encodes the arguments of a call for the node that will decode them.

use crate::{
    codec::{AcceptedArgs, ArgsWriter, ArgumentError, EncodedBody},
    error::Unsupported,
    proto::{
        routing::{AttemptFailure, Compat, Compats, LimitOf},
        wire::ids::MethodIndex,
    },
    runtime::server::catch_panic,
    service::Request,
};

/// Upper bound on the bytes of encoded arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimit {
    pub(super) bytes: usize,
    pub(super) of: LimitOf,
}

impl BodyLimit {
    /// Returns the limit of this node.
    pub(crate) fn of_caller(bytes: usize) -> Self {
        BodyLimit { bytes, of: LimitOf::Caller }
    }

    /// Returns the limit of a link: the lower of this node's limit and its peer's.
    pub(crate) fn of_link(bytes: usize, own: usize) -> Self {
        BodyLimit { bytes, of: if bytes < own { LimitOf::Peer } else { LimitOf::Caller } }
    }
}

/// Encodes the arguments of `request` for a node. `compats` is that node's compatibility with the
/// caller's trait. Returns the method's index at that node, or fails if the arguments take more
/// than `limit` bytes.
#[inline(always)]
pub(crate) fn encode<R: Request>(
    request: &R,
    compats: &Compats,
    limit: BodyLimit,
    to: &mut EncodedBody,
) -> Result<MethodIndex, AttemptFailure> {
    let at = request.method();
    let (method, missing) = match &compats[at] {
        Compat::Callable { method, missing_args } => (*method, missing_args),
        Compat::Incompatible(why) => return Err(AttemptFailure::Unsupported(why.clone())),
    };
    let accepts = |name: &str| !missing.contains(&name);
    let accepted =
        if missing.is_empty() { AcceptedArgs::All } else { AcceptedArgs::Only(&accepts) };
    let mut writer = ArgsWriter::new(to, R::methods()[at].arguments.len(), accepted);
    catch_panic("encoding", || request.encode(&mut writer)).map_err(failure)?;
    writer.finish();
    if to.len() > limit.bytes {
        let (size, limit_of) = (to.len() as u64, limit.of);
        let limit = limit.bytes as u64;
        return Err(AttemptFailure::ArgumentsTooLarge { size, limit, limit_of });
    }
    Ok(method)
}

fn failure(error: ArgumentError) -> AttemptFailure {
    match error {
        ArgumentError::Encode(source) => AttemptFailure::Encode(source),
        ArgumentError::NotAccepted(name) => {
            let detail = format!("it does not take `{name}`, which has a value in this call");
            AttemptFailure::Unsupported(Unsupported::Arguments(detail))
        }
    }
}

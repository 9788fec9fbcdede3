//! Encodes the arguments of a call for the node that will decode them.

use crate::{
    codec::{AcceptedArgs, ArgsWriter, ArgumentError},
    error::Unsupported,
    proto::{
        routing::{AttemptFailure, Compat, Compats},
        wire::ids::MethodIndex,
    },
    runtime::server::catch_panic,
    service::Request,
};

/// Encodes the arguments of `request` for a node. `compats` is that node's compatibility with the
/// caller's trait. Returns the method's index at that node, or fails if the arguments take more
/// than `limit` bytes.
pub(super) fn encode<R: Request>(
    request: &R,
    compats: &Compats,
    limit: usize,
    to: &mut Vec<u8>,
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
    if to.len() > limit {
        let (size, limit) = (to.len() as u64, limit as u64);
        return Err(AttemptFailure::ArgumentsTooLarge { size, limit });
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

//! The arguments of a call, written for the node that is to read them.

use super::{call::Call, response::unsupported};
use crate::{
    codec::{AcceptedArgs, ArgsWriter, ArgumentError},
    error::{RpcError, Unsupported},
    proto::{routing::Compat, wire::ids::MethodIndex},
    runtime::server::catch_panic,
    service::{Method, Request},
    types::NodeInfo,
};

/// Encodes the arguments of `request` for a node whose version of the service fits as `fits` says
/// and that takes at most `limit` bytes.
pub(super) fn encode<R: Request>(
    node: &NodeInfo,
    call: &Call,
    request: &R,
    fits: &[Compat],
    limit: usize,
    to: &mut Vec<u8>,
) -> Result<MethodIndex, RpcError> {
    let place = request.method();
    let (number, unlisted) = match &fits[place] {
        Compat::Yes { number, unlisted } => (*number, unlisted),
        Compat::No(why) => return Err(unsupported(node, call, why.clone())),
    };
    let listed = |name: &str| !unlisted.contains(&name);
    let listed = if unlisted.is_empty() { AcceptedArgs::All } else { AcceptedArgs::Only(&listed) };
    let Method { arguments, .. } = R::methods()[place];
    let mut writer = ArgsWriter::new(to, arguments.len(), listed);
    match catch_panic("encoding", || request.encode(&mut writer)) {
        Ok(()) => {
            writer.finish();
            match to.len() {
                size if size > limit => {
                    let Call { service, method, .. } = *call;
                    Err(RpcError::ArgumentsTooLarge { service, method, size, limit })
                }
                _ => Ok(number),
            }
        }
        Err(ArgumentError::Encode(source)) => {
            Err(RpcError::Encode { service: call.service, method: call.method, source })
        }
        Err(ArgumentError::NotAccepted(name)) => {
            let detail = format!("it does not take `{name}`, which has a value in this call");
            Err(unsupported(node, call, Unsupported::Arguments(detail)))
        }
    }
}

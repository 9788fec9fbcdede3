//! [`ErrorInfo`].

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

use super::{kind::ErrorKind, rpc::RpcError};
use crate::types::NodeInfo;

/// The description of an [`RpcError`] that can be sent to another node: what a handler returns to its
/// caller if a call that it made failed.
///
/// An `RpcError` itself cannot be sent, because its causes have types of this process.
///
/// ```
/// use flyrpc::{ErrorInfo, ErrorKind, RpcError, fly_rpc};
///
/// #[fly_rpc]
/// pub trait Notes {
///     /// Saves a note on the primary.
///     async fn save(&self, note: String) -> Result<u64, ErrorInfo>;
/// }
///
/// #[fly_rpc]
/// pub trait Pages {
///     /// Saves the note of a page.
///     async fn save(&self, note: String) -> Result<u64, ErrorInfo>;
/// }
///
/// struct FrontEnd;
///
/// impl Pages for FrontEnd {
///     async fn save(&self, note: String) -> Result<u64, ErrorInfo> {
///         let notes: NotesClient = flyrpc::context().client();
///         notes.on_primary().save(note).await?
///     }
/// }
///
/// let error = ErrorInfo::from(RpcError::for_test(ErrorKind::Timeout, "Notes", "save"));
/// assert_eq!(error.kind, ErrorKind::Timeout);
/// assert_eq!(error.http_status(), 504);
/// assert!(error.may_have_executed);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErrorInfo {
    /// The kind of the error.
    pub kind: ErrorKind,
    /// The message of the error, followed by the messages of its causes.
    pub message: String,
    /// The node that the error is about, if one was reached or tried.
    pub node: Option<NodeInfo>,
    /// The service called.
    pub service: String,
    /// The method called.
    pub method: String,
    /// Whether the handler of the failed call may have run. See [`RpcError::may_have_executed`].
    pub may_have_executed: bool,
}

impl ErrorInfo {
    /// Returns the status code with which an HTTP server should respond. See
    /// [`RpcError::http_status`].
    pub fn http_status(&self) -> u16 {
        self.kind.http_status()
    }
}

impl From<&RpcError> for ErrorInfo {
    fn from(error: &RpcError) -> Self {
        let (service, method) = error.call();
        ErrorInfo {
            kind: error.kind(),
            message: with_causes(error),
            node: error.node().cloned(),
            service: service.to_owned(),
            method: method.to_owned(),
            may_have_executed: error.may_have_executed(),
        }
    }
}

impl From<RpcError> for ErrorInfo {
    fn from(error: RpcError) -> Self {
        ErrorInfo::from(&error)
    }
}

impl fmt::Display for ErrorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ErrorInfo {}

fn with_causes(error: &RpcError) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_any_kind_keeps_its_description_on_the_wire() {
        for &kind in ErrorKind::ALL {
            let error = RpcError::for_test(kind, "Strings", "upcase");
            let info = ErrorInfo::from(&error);
            assert_eq!(info.kind, kind);
            assert_eq!((&*info.service, &*info.method), ("Strings", "upcase"));
            assert_eq!(info.node.as_ref(), error.node());
            assert_eq!(info.may_have_executed, error.may_have_executed());
            assert!(info.message.starts_with(&error.to_string()));
            let mut bytes = Vec::new();
            crate::codec::encode(&info, &mut bytes).unwrap();
            assert_eq!(crate::codec::decode::<ErrorInfo>(&bytes).unwrap(), info);
        }
    }

    #[test]
    fn the_message_ends_with_the_causes() {
        let error = RpcError::for_test(ErrorKind::Encode, "Strings", "upcase");
        let cause = error.source().unwrap().to_string();
        assert_eq!(ErrorInfo::from(&error).to_string(), format!("{error}: {cause}"));
    }
}

//! Errors for the tests of applications.

use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};

use super::{
    body::BodyError,
    details::{Known, Refusal, Unsupported},
    kind::ErrorKind,
    rpc::RpcError,
};
use crate::types::{NodeId, NodeInfo, Region, Target};

impl RpcError {
    /// Creates an error of a kind, with plausible details, to test how an application handles it. The
    /// variants cannot be constructed outside this crate, because later versions may add fields to them.
    ///
    /// The node of the error is called `test`, in the region `test`. A
    /// [`Timeout`](ErrorKind::Timeout) or a [`Disconnected`](ErrorKind::Disconnected) may have executed.
    /// The other kinds have the answer that [`may_have_executed`](RpcError::may_have_executed) documents.
    ///
    /// ```
    /// use flyrpc::{ErrorKind, RpcError};
    ///
    /// fn is_worth_a_retry(error: &RpcError) -> bool {
    ///     !error.may_have_executed()
    /// }
    ///
    /// assert!(is_worth_a_retry(&RpcError::for_test(ErrorKind::Refused, "Notes", "save")));
    /// assert!(!is_worth_a_retry(&RpcError::for_test(ErrorKind::Timeout, "Notes", "save")));
    /// ```
    pub fn for_test(kind: ErrorKind, service: &'static str, method: &'static str) -> RpcError {
        let region = Region::from("test");
        let addr = (Ipv4Addr::LOCALHOST, 3590).into();
        let node = NodeInfo::new(NodeId::new("test", 0), region.clone(), addr);
        let cause = || BodyError::new("", "error for a test");
        let source = Arc::new(io::Error::other("error for a test"));
        match kind {
            ErrorKind::NoNode => {
                let target = Target::Region(region);
                let (known, live_regions) = (Known::default(), [].into());
                RpcError::NoNode { target, service, method, known, live_regions }
            }
            ErrorKind::Unsupported => {
                RpcError::Unsupported { node, service, method, why: Unsupported::Service }
            }
            ErrorKind::NotPrimary => {
                let theirs = Region::from("other");
                RpcError::NotPrimary { node, service, method, theirs, ours: region }
            }
            ErrorKind::Refused => {
                RpcError::Refused { node, service, method, reason: Refusal::Overloaded }
            }
            ErrorKind::Denied => {
                RpcError::Denied { node, service, method, why: "error for a test".to_owned() }
            }
            ErrorKind::Failed => {
                let message = "error for a test".to_owned();
                RpcError::Failed { node, service, method, message, executed: true }
            }
            ErrorKind::Timeout => {
                let after = Duration::from_secs(5);
                RpcError::Timeout { after, node: Some(node), service, method, sent: true }
            }
            ErrorKind::Disconnected => {
                RpcError::Disconnected { node: Some(node), service, method, sent: true, source }
            }
            ErrorKind::Panicked => {
                RpcError::Panicked { node, service, method, message: "error for a test".to_owned() }
            }
            ErrorKind::Encode => RpcError::Encode { service, method, source: cause() },
            ErrorKind::ArgumentsTooLarge => {
                let (size, limit) = (2048, 1024);
                RpcError::ArgumentsTooLarge { node: Some(node), service, method, size, limit }
            }
            ErrorKind::ReplyTooLarge => {
                RpcError::ReplyTooLarge { node, service, method, size: 2048, limit: 1024 }
            }
            ErrorKind::BadReply => {
                let (node, source) = (Some(node), cause());
                RpcError::BadReply { node, service, method, encoded: true, source }
            }
            ErrorKind::ShutDown => RpcError::ShutDown { service, method },
            ErrorKind::Stub => RpcError::Stub { service, method, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_for_a_test_has_the_kind_and_the_method_asked_for() {
        for &kind in ErrorKind::ALL {
            let error = RpcError::for_test(kind, "Strings", "upcase");
            assert_eq!(error.kind(), kind);
            assert_eq!(error.call(), ("Strings", "upcase"));
            let may_have_executed = matches!(
                kind,
                ErrorKind::Failed
                    | ErrorKind::Timeout
                    | ErrorKind::Disconnected
                    | ErrorKind::Panicked
                    | ErrorKind::ReplyTooLarge
                    | ErrorKind::BadReply
                    | ErrorKind::Stub
            );
            assert_eq!(error.may_have_executed(), may_have_executed, "{kind}");
        }
    }

    #[test]
    fn the_text_of_every_error_names_its_service_and_method() {
        for &kind in ErrorKind::ALL {
            let text = RpcError::for_test(kind, "Strings", "upcase").to_string();
            assert!(text.contains("Strings.upcase"), "{kind}: {text}");
            assert!(!text.ends_with('.'), "{kind}: {text}");
        }
    }
}

//! [`ErrorKind`].

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::rpc::RpcError;

/// The kind of an [`RpcError`]: the name of its variant, without the details.
///
/// Its text, in `SCREAMING_SNAKE_CASE`, is the same wherever a program reports the outcome of a call, for
/// example as the label of a metric or the exit code of a command. Texts of existing kinds do not change.
///
/// ```
/// use flyrpc::{ErrorKind, RpcError};
///
/// let error = RpcError::for_test(ErrorKind::NoNode, "Strings", "upcase");
/// assert_eq!(error.kind(), ErrorKind::NoNode);
/// assert_eq!(error.kind().as_str(), "NO_NODE");
/// assert_eq!(error.http_status(), 503);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// [`RpcError::NoNode`]
    NoNode,
    /// [`RpcError::Unsupported`]
    Unsupported,
    /// [`RpcError::NotPrimary`]
    NotPrimary,
    /// [`RpcError::Refused`]
    Refused,
    /// [`RpcError::Denied`]
    Denied,
    /// [`RpcError::Failed`]
    Failed,
    /// [`RpcError::Timeout`]
    Timeout,
    /// [`RpcError::Disconnected`]
    Disconnected,
    /// [`RpcError::Panicked`]
    Panicked,
    /// [`RpcError::Encode`]
    Encode,
    /// [`RpcError::ArgumentsTooLarge`]
    ArgumentsTooLarge,
    /// [`RpcError::ReplyTooLarge`]
    ReplyTooLarge,
    /// [`RpcError::BadReply`]
    BadReply,
    /// [`RpcError::ShutDown`]
    ShutDown,
    /// [`RpcError::Stub`]
    Stub,
}

impl ErrorKind {
    /// Every kind that this version of flyrpc knows.
    pub const ALL: &[ErrorKind] = &[
        ErrorKind::NoNode,
        ErrorKind::Unsupported,
        ErrorKind::NotPrimary,
        ErrorKind::Refused,
        ErrorKind::Denied,
        ErrorKind::Failed,
        ErrorKind::Timeout,
        ErrorKind::Disconnected,
        ErrorKind::Panicked,
        ErrorKind::Encode,
        ErrorKind::ArgumentsTooLarge,
        ErrorKind::ReplyTooLarge,
        ErrorKind::BadReply,
        ErrorKind::ShutDown,
        ErrorKind::Stub,
    ];

    /// Returns the text of the kind, such as `NO_NODE`.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::NoNode => "NO_NODE",
            ErrorKind::Unsupported => "UNSUPPORTED",
            ErrorKind::NotPrimary => "NOT_PRIMARY",
            ErrorKind::Refused => "REFUSED",
            ErrorKind::Denied => "DENIED",
            ErrorKind::Failed => "FAILED",
            ErrorKind::Timeout => "TIMEOUT",
            ErrorKind::Disconnected => "DISCONNECTED",
            ErrorKind::Panicked => "PANICKED",
            ErrorKind::Encode => "ENCODE",
            ErrorKind::ArgumentsTooLarge => "ARGUMENTS_TOO_LARGE",
            ErrorKind::ReplyTooLarge => "REPLY_TOO_LARGE",
            ErrorKind::BadReply => "BAD_REPLY",
            ErrorKind::ShutDown => "SHUT_DOWN",
            ErrorKind::Stub => "STUB",
        }
    }

    /// Returns the position in [`ALL`](Self::ALL).
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// Returns the status code with which an HTTP server should respond when a call of its own failed
    /// with this kind of error. See [`RpcError::http_status`].
    pub fn http_status(self) -> u16 {
        match self {
            ErrorKind::Denied => 403,
            ErrorKind::Unsupported => 404,
            ErrorKind::NotPrimary => 409,
            ErrorKind::ArgumentsTooLarge => 413,
            ErrorKind::Panicked | ErrorKind::Encode | ErrorKind::Failed | ErrorKind::Stub => 500,
            ErrorKind::Disconnected | ErrorKind::BadReply | ErrorKind::ReplyTooLarge => 502,
            ErrorKind::NoNode | ErrorKind::Refused | ErrorKind::ShutDown => 503,
            ErrorKind::Timeout => 504,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The error returned when a text is not the text of an [`ErrorKind`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a kind of error")]
pub struct ParseErrorKindError {
    text: String,
}

impl FromStr for ErrorKind {
    type Err = ParseErrorKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let kind = ErrorKind::ALL.iter().find(|kind| kind.as_str() == text);
        kind.copied().ok_or_else(|| ParseErrorKindError { text: text.to_owned() })
    }
}

impl Serialize for ErrorKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A kind that this version does not know becomes [`ErrorKind::Failed`], as it would in a reply.
impl<'de> Deserialize<'de> for ErrorKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(String::deserialize(deserializer)?.parse().unwrap_or(ErrorKind::Failed))
    }
}

impl RpcError {
    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            RpcError::NoNode { .. } => ErrorKind::NoNode,
            RpcError::Unsupported { .. } => ErrorKind::Unsupported,
            RpcError::NotPrimary { .. } => ErrorKind::NotPrimary,
            RpcError::Refused { .. } => ErrorKind::Refused,
            RpcError::Denied { .. } => ErrorKind::Denied,
            RpcError::Failed { .. } => ErrorKind::Failed,
            RpcError::Timeout { .. } => ErrorKind::Timeout,
            RpcError::Disconnected { .. } => ErrorKind::Disconnected,
            RpcError::Panicked { .. } => ErrorKind::Panicked,
            RpcError::Encode { .. } => ErrorKind::Encode,
            RpcError::ArgumentsTooLarge { .. } => ErrorKind::ArgumentsTooLarge,
            RpcError::ReplyTooLarge { .. } => ErrorKind::ReplyTooLarge,
            RpcError::BadReply { .. } => ErrorKind::BadReply,
            RpcError::ShutDown { .. } => ErrorKind::ShutDown,
            RpcError::Stub { .. } => ErrorKind::Stub,
        }
    }

    /// Returns the status code with which an HTTP server should respond when a call of its own failed
    /// with this error.
    ///
    /// | status | kinds |
    /// |---|---|
    /// | 403 Forbidden | `Denied` |
    /// | 404 Not Found | `Unsupported` |
    /// | 409 Conflict | `NotPrimary` |
    /// | 413 Content Too Large | `ArgumentsTooLarge` |
    /// | 500 Internal Server Error | `Panicked`, `Encode`, `Failed`, `Stub` |
    /// | 502 Bad Gateway | `Disconnected`, `BadReply`, `ReplyTooLarge` |
    /// | 503 Service Unavailable | `NoNode`, `Refused`, `ShutDown` |
    /// | 504 Gateway Timeout | `Timeout` |
    pub fn http_status(&self) -> u16 {
        self.kind().http_status()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_text_and_an_http_status() {
        for &kind in ErrorKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(format!("{kind:>20}").trim_start(), kind.as_str());
            let snake = format!("{kind:?}").chars().fold(String::new(), |mut text, letter| {
                if letter.is_uppercase() && !text.is_empty() {
                    text.push('_');
                }
                text.push(letter.to_ascii_uppercase());
                text
            });
            assert_eq!(kind.as_str(), snake);
            assert!(STATUS_CODES.iter().any(|(_, kinds)| kinds.contains(&kind)), "{kind}");
        }
        assert!("NO NODE".parse::<ErrorKind>().is_err());
        for (status, kinds) in STATUS_CODES {
            assert!(kinds.iter().all(|kind| kind.http_status() == *status), "{kinds:?}");
        }
    }

    /// The table in the documentation of [`RpcError::http_status`].
    const STATUS_CODES: &[(u16, &[ErrorKind])] = &[
        (403, &[ErrorKind::Denied]),
        (404, &[ErrorKind::Unsupported]),
        (409, &[ErrorKind::NotPrimary]),
        (413, &[ErrorKind::ArgumentsTooLarge]),
        (500, &[ErrorKind::Panicked, ErrorKind::Encode, ErrorKind::Failed, ErrorKind::Stub]),
        (502, &[ErrorKind::Disconnected, ErrorKind::BadReply, ErrorKind::ReplyTooLarge]),
        (503, &[ErrorKind::NoNode, ErrorKind::Refused, ErrorKind::ShutDown]),
        (504, &[ErrorKind::Timeout]),
    ];

    #[test]
    fn a_kind_of_a_newer_version_is_read_as_failed() {
        let mut bytes = Vec::new();
        crate::codec::encode(&"FROM_THE_FUTURE", &mut bytes).unwrap();
        assert_eq!(crate::codec::decode::<ErrorKind>(&bytes).unwrap(), ErrorKind::Failed);
    }
}

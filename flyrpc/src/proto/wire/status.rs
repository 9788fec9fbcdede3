//! The payload of status frames, in which the serving node reports why a request has no reply.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{codec, types::Region};

/// Upper bound on the bytes of a text in a status. It is needed because the panic messages and errors
/// of user code can have any length.
const MAX_TEXT: usize = 8 << 10;

/// The set of statuses that this version knows. Nodes announce it in their hello, because a caller takes
/// an unknown status for a different version of the protocol. Version 0.1 announced nothing,
/// which is level 0. Level 1 adds [`Status::Memory`], level 2 [`Status::Denied`], and level 3
/// [`Status::MethodOverloaded`].
pub(crate) const STATUS_LEVEL: u64 = 3;

/// Why a request has no reply. The names of variants and fields are part of the wire format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    /// The call requires a primary node, but in the serving node's view, another region is primary.
    NotPrimary {
        theirs: Region,
    },
    Draining,
    Overloaded,
    /// As many calls of the method execute as its own limit allows. Added in level 3.
    MethodOverloaded,
    /// The bodies of other requests take too much memory. Added in level 1.
    Memory,
    Held,
    /// The rules of the serving node do not allow the call. The message is the reason. Added in level 2.
    Denied {
        message: String,
    },
    /// The serving node has no method with the index in the request.
    NoMethod,
    /// The arguments could not be decoded.
    BadArguments {
        path: String,
        message: String,
    },
    /// The arguments are larger than the serving node accepts.
    ArgumentsTooLarge {
        size: u64,
        limit: u64,
    },
    /// The deadline passed before the handler started.
    Expired,
    /// The deadline passed while the handler ran.
    TimedOut,
    Panicked {
        message: String,
    },
    ReplyTooLarge {
        size: u64,
        limit: u64,
    },
    /// The reply could not be encoded.
    BadReply {
        path: String,
        message: String,
    },
}

impl Status {
    /// Returns the status for a panic with this message, which is truncated if it is too long.
    pub(crate) fn panicked(message: String) -> Self {
        Status::Panicked { message: truncated(message) }
    }

    /// Returns the status for a call that was denied for this reason, which is truncated if it is too long.
    pub(crate) fn denied(reason: String) -> Self {
        Status::Denied { message: truncated(reason) }
    }

    /// Returns the status for arguments that could not be decoded.
    pub(crate) fn bad_arguments(path: &str, message: &str) -> Self {
        let [path, message] = [path, message].map(|text| truncated(text.to_owned()));
        Status::BadArguments { path, message }
    }

    /// Returns the status for a reply that could not be encoded.
    pub(crate) fn bad_reply(path: &str, message: &str) -> Self {
        let [path, message] = [path, message].map(|text| truncated(text.to_owned()));
        Status::BadReply { path, message }
    }

    /// Returns the status to send to a peer that knows the statuses of `level`.
    #[inline]
    pub(crate) fn for_level(&self, level: u64) -> &Status {
        if level >= STATUS_LEVEL { self } else { self.for_older_level(level) }
    }

    #[cold]
    fn for_older_level(&self, level: u64) -> &Status {
        match self {
            Status::Memory if level < 1 => &Status::Overloaded,
            Status::MethodOverloaded if level < 3 => &Status::Overloaded,
            // The only status after which all callers of these levels try no other node and know that the
            // call was not executed. They report a timeout at the deadline of the call.
            Status::Denied { .. } if level < 2 => &Status::Expired,
            status => status,
        }
    }

    /// Returns whether the handler may have run.
    fn executed(&self) -> bool {
        match self {
            Status::NotPrimary { .. }
            | Status::Draining
            | Status::Overloaded
            | Status::MethodOverloaded
            | Status::Memory
            | Status::Held
            | Status::Denied { .. }
            | Status::NoMethod
            | Status::BadArguments { .. }
            | Status::ArgumentsTooLarge { .. }
            | Status::Expired => false,
            Status::TimedOut
            | Status::Panicked { .. }
            | Status::ReplyTooLarge { .. }
            | Status::BadReply { .. } => true,
        }
    }

    /// Encodes the payload after the id: one byte that reports whether the handler may have run, then
    /// the status. Callers of any version understand the first byte.
    #[inline]
    pub(crate) fn encode(&self) -> Cow<'static, [u8]> {
        match self {
            // A node that is full sends many of these, so they are not encoded each time.
            Status::Overloaded => Cow::Borrowed(b"\0\xaaOverloaded"),
            Status::MethodOverloaded => Cow::Borrowed(b"\0\xb0MethodOverloaded"),
            Status::Memory => Cow::Borrowed(b"\0\xa6Memory"),
            Status::Held => Cow::Borrowed(b"\0\xa4Held"),
            Status::Draining => Cow::Borrowed(b"\0\xa8Draining"),
            status => Cow::Owned(status.encode_each_time()),
        }
    }

    fn encode_each_time(&self) -> Vec<u8> {
        let mut to = vec![u8::from(self.executed())];
        codec::encode(self, &mut to).expect("a status always encodes");
        to
    }

    /// Decodes the payload after the id.
    ///
    /// # Errors
    ///
    /// If this version does not know the status, or if the status contradicts the first byte. The error
    /// reports whether the handler may have run, and describes the status as far as possible.
    pub(crate) fn decode(from: &[u8]) -> Result<Status, UnknownStatus> {
        let executed = from.first() != Some(&0);
        let rest = from.get(1..).unwrap_or_default();
        let status = codec::decode(rest).ok();
        status
            .filter(|status: &Status| status.executed() == executed)
            .ok_or_else(|| UnknownStatus { executed, message: describe(rest) })
    }
}

/// Describes an encoded status that this version does not know: by its name and, if it has one, the text of
/// its field `message`. Newer versions put the description for older ones there.
fn describe(status: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Content {
        message: String,
    }

    if let Ok(name) = codec::decode::<String>(status) {
        return truncated(name);
    }
    let named = codec::decode::<BTreeMap<String, Content>>(status);
    if let Some((name, Content { message })) = named.ok().and_then(|mut named| named.pop_first()) {
        return truncated(format!("{name}: {message}"));
    }
    let named = codec::decode::<BTreeMap<String, IgnoredAny>>(status);
    match named.ok().and_then(|mut named| named.pop_first()) {
        Some((name, _)) => truncated(name),
        None => "unreadable error".to_owned(),
    }
}

fn truncated(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|&at| text.is_char_boundary(at));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

/// A status of a newer version, or bytes that are not a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownStatus {
    /// Whether the handler may have run.
    pub(crate) executed: bool,
    /// The name of the status, and its description if it has one.
    pub(crate) message: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::bytes::garbage;

    fn statuses() -> Vec<Status> {
        let text = |text: &str| text.to_owned();
        vec![
            Status::NotPrimary { theirs: Region::from("iad") },
            Status::Draining,
            Status::Overloaded,
            Status::MethodOverloaded,
            Status::Memory,
            Status::Held,
            Status::Denied { message: text("not you") },
            Status::NoMethod,
            Status::BadArguments { path: text("note.tags[3]"), message: text("missing") },
            Status::ArgumentsTooLarge { size: u64::MAX, limit: 1 << 25 },
            Status::Expired,
            Status::TimedOut,
            Status::Panicked { message: text("oh no") },
            Status::ReplyTooLarge { size: 1 << 40, limit: 1 << 25 },
            Status::BadReply { path: text("x"), message: text("y") },
        ]
    }

    #[test]
    fn statuses_round_trip_and_report_whether_the_handler_may_have_run() {
        for status in statuses() {
            let bytes = status.encode();
            assert_eq!(*bytes, *status.encode_each_time());
            assert_eq!(bytes[0] == 1, status.executed(), "{status:?}");
            assert_eq!(Status::decode(&bytes), Ok(status));
        }
    }

    #[test]
    fn a_peer_that_does_not_know_a_status_receives_the_nearest_one_that_it_knows() {
        assert_eq!(*Status::Memory.for_level(0), Status::Overloaded);
        assert_eq!(*Status::MethodOverloaded.for_level(2), Status::Overloaded);
        for level in [0, 1] {
            let denied = Status::denied("not you".to_owned());
            assert_eq!(*denied.for_level(level), Status::Expired);
        }
        for status in statuses() {
            assert_eq!(*status.for_level(STATUS_LEVEL), status);
            let known = status.for_level(0);
            assert_eq!(known.executed(), status.executed());
            assert!(!matches!(known, Status::Memory | Status::Denied { .. }), "{known:?}");
        }
    }

    #[test]
    fn the_bytes_of_a_denial_do_not_change() {
        let bytes = Status::denied("no".to_owned()).encode();
        assert_eq!(*bytes, *b"\x00\x81\xa6Denied\x81\xa7message\xa2no");
    }

    #[test]
    fn an_unknown_status_reports_whether_the_handler_may_have_run() {
        for executed in [false, true] {
            let mut bytes = vec![u8::from(executed)];
            codec::encode(&"FromTheFuture", &mut bytes).unwrap();
            let message = "FromTheFuture".to_owned();
            assert_eq!(Status::decode(&bytes), Err(UnknownStatus { executed, message }));
        }
        // An empty payload does not prove that the handler did not run.
        let message = "unreadable error".to_owned();
        assert_eq!(Status::decode(&[]), Err(UnknownStatus { executed: true, message }));
    }

    #[test]
    fn an_unknown_status_is_described_by_its_name_and_its_message() {
        #[derive(Serialize)]
        enum Future {
            Moved { message: String, hops: u8 },
            Throttled { seconds: u8 },
            Renamed(String),
        }

        let describes = |status: Future, expected: &str| {
            let mut bytes = vec![0];
            codec::encode(&status, &mut bytes).unwrap();
            assert_eq!(Status::decode(&bytes).unwrap_err().message, expected);
        };
        describes(Future::Moved { message: "away".into(), hops: 3 }, "Moved: away");
        describes(Future::Throttled { seconds: 9 }, "Throttled");
        describes(Future::Renamed("away".into()), "Renamed");
    }

    #[test]
    fn fields_that_a_newer_version_added_to_a_status_are_ignored() {
        #[derive(Serialize)]
        enum Newer {
            Panicked { message: String, backtrace: Vec<String> },
        }

        let mut bytes = vec![1];
        let newer = Newer::Panicked { message: "oh no".into(), backtrace: vec!["main".into()] };
        codec::encode(&newer, &mut bytes).unwrap();
        assert_eq!(Status::decode(&bytes), Ok(Status::Panicked { message: "oh no".into() }));
    }

    #[test]
    fn texts_of_any_length_fit_a_frame() {
        let text = "é".repeat(1 << 20);
        for status in [
            Status::panicked(text.clone()),
            Status::denied(text.clone()),
            Status::bad_arguments(&text, &text),
            Status::bad_reply(&text, &text),
        ] {
            let bytes = status.encode();
            assert!(bytes.len() < 3 * MAX_TEXT, "{}", bytes.len());
            assert_eq!(Status::decode(&bytes), Ok(status));
        }
    }

    #[test]
    fn garbage_never_decodes_as_a_status_that_contradicts_its_first_byte() {
        let valid: Vec<_> = statuses().iter().map(Status::encode_each_time).collect();
        garbage::feed(&valid, |bytes| {
            let executed = bytes.first() != Some(&0);
            match Status::decode(bytes) {
                Ok(status) => assert_eq!(status.executed(), executed),
                Err(unknown) => assert_eq!(unknown.executed, executed),
            }
        });
    }
}

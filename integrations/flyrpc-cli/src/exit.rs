//! The exit codes, and the failures that they stand for.

use std::fmt::{self, Write as _};

use flyrpc::{ErrorInfo, ErrorKind, operations::VisitError};
use serde_json::{Value, json};

/// The command did what it was asked to do.
pub(crate) const OK: u8 = 0;
/// A check failed, or two versions are incompatible.
pub(crate) const CHECK_FAILED: u8 = 1;
/// The arguments, a file or a variable of the environment cannot be used. clap uses the same code.
pub(crate) const USAGE: u8 = 2;
/// The handler returned `Err`.
pub(crate) const HANDLER_ERR: u8 = 3;
/// The standard output could not be written.
pub(crate) const OUTPUT: u8 = 4;
/// The code of a command that a signal ended is this number + that of the signal, as in shells.
pub(crate) const FIRST_SIGNAL: u8 = 128;
/// The code of the nth kind of error is this number + n.
const FIRST_KIND: u8 = 64;

/// Returns the exit code of a kind of error.
pub(crate) fn of_kind(kind: ErrorKind) -> u8 {
    let position = ErrorKind::ALL.iter().position(|it| *it == kind);
    let position = position.expect("`ALL` contains all kinds that this version knows");
    FIRST_KIND + 1 + position as u8
}

/// Returns each exit code with its meaning.
pub(crate) fn table() -> Vec<(u8, String)> {
    let mut rows = vec![
        (OK, "done".to_owned()),
        (CHECK_FAILED, "a check failed, or `compat` found an incompatible change".to_owned()),
        (USAGE, "wrong arguments, or a file or a variable that cannot be used".to_owned()),
        (HANDLER_ERR, "the handler returned `Err`; its JSON is on the standard output".to_owned()),
        (OUTPUT, "the standard output could not be written, for example to a full disk".to_owned()),
    ];
    rows.extend(ErrorKind::ALL.iter().map(|kind| {
        let also = match kind {
            ErrorKind::NoNode => ", or no connection to the node at `--addr`",
            _ => "",
        };
        (of_kind(*kind), format!("`{kind}`{also}"))
    }));
    rows
}

/// Returns the section of the help text.
pub(crate) fn help() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for (code, meaning) in table() {
        let _ = writeln!(text, "  {code:>3}  {}", meaning.replace('`', ""));
    }
    text
}

/// Why a command did not do what it was asked to do.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments, a file or a variable cannot be used.
    Usage(String),
    /// The operating system refused something.
    Local(String),
    /// The standard output could not be written.
    Output(String),
    /// No visitor could connect to the address.
    Connect { addr: String, kind: &'static str, message: String },
    /// No node has this name, or none serves the method.
    NoNode(String),
    /// The node did not answer in time.
    Timeout(String),
    /// A call or a question failed.
    Call(Box<ErrorInfo>),
}

/// Returns the message of an error that was written for nodes.
pub(crate) fn error_message(error: &VisitError) -> String {
    error.to_string().replace("this node", "this command")
}

impl Failure {
    pub(crate) fn connect(addr: impl Into<String>, error: &VisitError) -> Self {
        Failure::Connect { addr: addr.into(), kind: error.kind(), message: error_message(error) }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) | Failure::Local(_) => USAGE,
            Failure::Output(_) => OUTPUT,
            Failure::Connect { .. } | Failure::NoNode(_) => of_kind(ErrorKind::NoNode),
            Failure::Timeout(_) => of_kind(ErrorKind::Timeout),
            Failure::Call(error) => of_kind(error.kind),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        match self {
            Failure::Call(error) => json!({ "error": error }),
            Failure::Connect { addr, kind, .. } => {
                json!({"error": {"kind": kind, "addr": addr, "message": self.to_string()}})
            }
            Failure::Usage(_) | Failure::Local(_) => {
                json!({"error": {"kind": "USAGE", "message": self.to_string()}})
            }
            Failure::Output(_) => json!({"error": {"kind": "OUTPUT", "message": self.to_string()}}),
            Failure::NoNode(_) => {
                json!({"error": {"kind": ErrorKind::NoNode, "message": self.to_string()}})
            }
            Failure::Timeout(_) => {
                json!({"error": {"kind": ErrorKind::Timeout, "message": self.to_string()}})
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(why)
            | Failure::Local(why)
            | Failure::Output(why)
            | Failure::NoNode(why)
            | Failure::Timeout(why) => f.write_str(why),
            Failure::Connect { addr, kind, message } => {
                write!(f, "cannot connect to {addr}: {message} ({kind}); try `flyrpc check {addr}`")
            }
            Failure::Call(error) => write!(f, "{}: {error}", error.kind),
        }
    }
}

impl From<ErrorInfo> for Failure {
    fn from(error: ErrorInfo) -> Self {
        Failure::Call(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_readme_is_that_of_the_code() {
        let rows = table().into_iter().map(|(code, meaning)| format!("| {code} | {meaning} |\n"));
        let expected: String =
            ["| code | meaning |\n|---|---|\n".to_owned()].into_iter().chain(rows).collect();
        let readme = include_str!("../README.md");
        assert!(readme.contains(&expected), "the README must contain:\n{expected}");
    }

    #[test]
    fn each_kind_has_its_own_code() {
        let codes: Vec<u8> = ErrorKind::ALL.iter().map(|kind| of_kind(*kind)).collect();
        let expected: Vec<u8> = (65..).take(ErrorKind::ALL.len()).collect();
        assert_eq!(codes, expected);
        assert_eq!(of_kind(ErrorKind::NoNode), 65);
    }
}

//! Child processes that cannot outlive their parent, and the line that a node prints when it is up.
//!
//! A child runs this same program with other arguments, or another program that was built beside it.
//! It is killed when its [`Child`] is dropped. If the parent itself is killed, the child reads the end
//! of its standard input and exits.

use std::{
    error::Error,
    ffi::OsStr,
    io::{self, Read},
    path::Path,
    process::{ExitStatus, Stdio},
    thread,
};

use flyrpc::{Node, NodeInfo, Region};
pub use rustix::process::Signal;
use rustix::process::{Pid, WaitOptions, kill_process, waitpid};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{self, ChildStdin, ChildStdout, Command},
};

use crate::{flags::NodeFlags, text::TextService};

/// A running child process, killed when dropped.
#[derive(Debug)]
pub struct Child {
    process: process::Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Closed when this process exits for any reason, which makes the child exit.
    _stdin: ChildStdin,
}

impl Child {
    /// Runs this program again with `args`. The child's standard error is inherited if `logs` is
    /// true, and discarded otherwise.
    ///
    /// # Errors
    ///
    /// Returns an error if the process cannot be started.
    pub fn spawn(
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        logs: bool,
    ) -> io::Result<Self> {
        Child::spawn_program(&std::env::current_exe()?, args, logs)
    }

    /// Runs another program. Otherwise the same as [`spawn`](Self::spawn).
    ///
    /// # Errors
    ///
    /// Returns an error if the process cannot be started.
    pub fn spawn_program(
        program: &Path,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        logs: bool,
    ) -> io::Result<Self> {
        let mut process = Command::new(program)
            .args(args)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if logs { Stdio::inherit() } else { Stdio::null() })
            .kill_on_drop(true)
            .spawn()?;
        let stdin = process.stdin.take().expect("standard input is piped");
        let stdout = process.stdout.take().expect("standard output is piped");
        Ok(Child { process, lines: BufReader::new(stdout).lines(), _stdin: stdin })
    }

    /// Reads the next line that the child writes to standard output.
    ///
    /// # Errors
    ///
    /// Returns an error if the child exits first.
    pub async fn line(&mut self) -> io::Result<String> {
        let line = self.lines.next_line().await?;
        line.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "a child process exited"))
    }

    /// Reads the [`announcement`] of the node that runs in the child.
    ///
    /// # Errors
    ///
    /// Returns an error if the child exits, or prints another line.
    pub async fn node(&mut self) -> io::Result<NodeInfo> {
        let line = self.line().await?;
        let wrong =
            || io::Error::other(format!("a child process printed {line:?} instead of its id"));
        parse_announcement(&line).ok_or_else(wrong)
    }

    /// Returns the child's process ID, or `None` after [`ended`](Self::ended) has returned.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Sends a signal to the child.
    ///
    /// # Errors
    ///
    /// Returns an error if the child has exited.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.ok_or_else(|| io::Error::other("the child process has exited"))?;
        Ok(kill_process(pid, signal)?)
    }

    /// Freezes the child (SIGSTOP), and returns when all of its threads are stopped.
    ///
    /// # Errors
    ///
    /// Returns an error if the child has exited.
    pub fn freeze(&self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        let pid = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        // The system reports a child as stopped only after all of its threads have stopped.
        waitpid(pid, WaitOptions::UNTRACED)?;
        Ok(())
    }

    /// Waits until the child exits, and returns its status.
    ///
    /// # Errors
    ///
    /// Returns an error if the system does not report the status.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }
}

/// Makes this process exit when its parent does. A child calls this first.
pub fn end_with_parent() {
    #[cfg(target_os = "linux")]
    // A frozen child cannot react to the end of its standard input, but this signal kills it. An
    // error is ignored, because a child that is not frozen still exits through the thread below.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    thread::spawn(|| {
        // The parent never writes to this pipe, so the read returns only when the parent closes it
        // or exits.
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
}

/// Runs a node of the text service in a child process, until SIGINT or SIGTERM.
///
/// # Errors
///
/// Returns an error if the node cannot start or the signal handlers cannot be installed.
pub async fn run_child_node(flags: NodeFlags) -> Result<(), Box<dyn Error>> {
    end_with_parent();
    let node = TextService::default().start(flags.apply(Node::builder())).await?;
    println!("{}", announcement(node.info()));
    node.run_until_signal().await?;
    Ok(())
}

/// Formats the line that a node prints when it is up: `up id=… region=… addr=…`.
pub fn announcement(node: &NodeInfo) -> String {
    format!("up id={} region={} addr={}", node.id(), node.region(), node.addr())
}

/// Parses an [`announcement`]. Returns `None` for any other line.
pub fn parse_announcement(line: &str) -> Option<NodeInfo> {
    let (id, rest) = line.strip_prefix("up id=")?.split_once(" region=")?;
    let (region, addr) = rest.split_once(" addr=")?;
    Some(NodeInfo::new(id.parse().ok()?, Region::from(region), addr.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use flyrpc::NodeId;

    use super::*;

    #[test]
    fn an_announcement_is_parsed_into_the_same_node() {
        let addr = "127.0.0.1:3590".parse().expect("the address is valid");
        let node = NodeInfo::new(NodeId::new("iad-1", 42), Region::from("iad"), addr);
        let line = announcement(&node);
        assert_eq!(line, "up id=iad-1/000000000000002a region=iad addr=127.0.0.1:3590");
        assert_eq!(parse_announcement(&line), Some(node));
        assert_eq!(parse_announcement("down"), None);
    }
}

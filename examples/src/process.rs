//! Child processes that cannot outlive their parent, and what nodes say when they are up.
//!
//! A child is this very program, run again with other arguments, or one that was built beside it. It
//! is killed when its [`Child`] is dropped; if the parent is killed itself, the child notices that its
//! standard input has ended.

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
    /// Ends with this process, however that ends.
    _stdin: ChildStdin,
}

impl Child {
    /// Runs this program again with `args`. What it writes to standard error is shown only if
    /// `logs`.
    ///
    /// # Errors
    ///
    /// If that cannot be done.
    pub fn spawn(
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        logs: bool,
    ) -> io::Result<Self> {
        Child::spawn_program(&std::env::current_exe()?, args, logs)
    }

    /// The same for another program.
    ///
    /// # Errors
    ///
    /// If that cannot be done.
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
        let stdin = process.stdin.take().expect("it is piped");
        let stdout = process.stdout.take().expect("it is piped");
        Ok(Child { process, lines: BufReader::new(stdout).lines(), _stdin: stdin })
    }

    /// The next line that it writes to standard output.
    ///
    /// # Errors
    ///
    /// If it ends instead.
    pub async fn line(&mut self) -> io::Result<String> {
        let line = self.lines.next_line().await?;
        line.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "a child process ended"))
    }

    /// What a node that is started in the child says when it is up.
    ///
    /// # Errors
    ///
    /// If it ends, or says something else.
    pub async fn node(&mut self) -> io::Result<NodeInfo> {
        let line = self.line().await?;
        let wrong =
            || io::Error::other(format!("a child process said {line:?} rather than its id"));
        parse_announcement(&line).ok_or_else(wrong)
    }

    /// Its process id; none once it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.ok_or_else(|| io::Error::other("the child process has ended"))?;
        Ok(kill_process(pid, signal)?)
    }

    /// Freezes it (SIGSTOP), and returns when all of its threads stand still.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub fn freeze(&self) -> io::Result<()> {
        self.signal(Signal::STOP)?;
        let pid = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        // The system says so of a child only once no thread of it runs any more.
        waitpid(pid, WaitOptions::UNTRACED)?;
        Ok(())
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    ///
    /// If the system cannot tell.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }
}

/// What a child does first: it sees to it that it ends when its parent does.
pub fn end_with_parent() {
    #[cfg(target_os = "linux")]
    // A frozen child would not notice the end of its standard input. Nothing is lost if the
    // system refuses.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    thread::spawn(|| {
        // Nothing is ever written there, so that reading ends when the parent does.
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
}

/// What a child does that is a node: serves the text service until a signal.
///
/// # Errors
///
/// If the node cannot start or signals cannot be had.
pub async fn run_child_node(flags: NodeFlags) -> Result<(), Box<dyn Error>> {
    end_with_parent();
    let node = TextService::default().start(flags.apply(Node::builder())).await?;
    println!("{}", announcement(node.info()));
    node.run_until_signal().await?;
    Ok(())
}

/// The line that a node writes when it is up: `up id=… region=… addr=…`.
pub fn announcement(node: &NodeInfo) -> String {
    format!("up id={} region={} addr={}", node.id(), node.region(), node.addr())
}

/// Reads an [`announcement`].
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
    fn an_announcement_reads_back() {
        let addr = "127.0.0.1:3590".parse().expect("an address");
        let node = NodeInfo::new(NodeId::new("iad-1", 42), Region::from("iad"), addr);
        let line = announcement(&node);
        assert_eq!(line, "up id=iad-1/000000000000002a region=iad addr=127.0.0.1:3590");
        assert_eq!(parse_announcement(&line), Some(node));
        assert_eq!(parse_announcement("down"), None);
    }
}

//! Child processes, as the benchmark sees them.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{self, ChildStdin, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{Command, Load, Measured, Reply, Snapshot};
use crate::contenders::Name;

/// No command takes as long, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A child that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    what: String,
    process: process::Child,
    commands: ChildStdin,
    replies: Receiver<String>,
}

impl Child {
    /// Runs this program again for `contender`, on `cores`, or on all if there are none.
    pub(crate) fn start(contender: Name, cores: &[usize]) -> Result<Self> {
        let mut command = process::Command::new(std::env::current_exe()?);
        command.args(["child", &contender.to_string()]);
        if !cores.is_empty() {
            let cores: Vec<_> = cores.iter().map(usize::to_string).collect();
            command.args(["--cores", &cores.join(",")]);
        }
        Child::spawn(command, format!("a process of {contender}"))
    }

    fn spawn(mut command: process::Command, what: String) -> Result<Self> {
        let process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = process.with_context(|| format!("cannot start {what}"))?;
        let commands = process.stdin.take().expect("it is piped");
        let output = process.stdout.take().expect("it is piped");
        let (sender, replies) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Child { what, process, commands, replies })
    }

    /// Has it do something.
    pub(crate) fn ask(&mut self, command: &Command) -> Result<Reply> {
        let what = || format!("{}, asked for {command:?}", self.what);
        let line = serde_json::to_string(command)? + "\n";
        self.commands.write_all(line.as_bytes()).with_context(what)?;
        let reply = match self.replies.recv_timeout(PATIENCE) {
            Ok(reply) => reply,
            Err(RecvTimeoutError::Timeout) => bail!("{} hangs", what()),
            Err(RecvTimeoutError::Disconnected) => bail!("{} ended", what()),
        };
        match serde_json::from_str(&reply).with_context(what)? {
            Reply::Failed { why } => bail!("{}: {why}", what()),
            reply => Ok(reply),
        }
    }

    pub(crate) fn serve(&mut self) -> Result<SocketAddr> {
        match self.ask(&Command::Serve)? {
            Reply::Served { addr } => Ok(addr),
            other => bail!("{} answered {other:?}", self.what),
        }
    }

    /// Has it do something that takes time, and returns how much.
    pub(crate) fn time(&mut self, command: &Command) -> Result<Duration> {
        match self.ask(command)? {
            Reply::Done { took } => Ok(took),
            other => bail!("{} answered {other:?}", self.what),
        }
    }

    pub(crate) fn snapshot(&mut self) -> Result<Snapshot> {
        match self.ask(&Command::Snapshot)? {
            Reply::Snapshot(snapshot) => Ok(snapshot),
            other => bail!("{} answered {other:?}", self.what),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server and a client that is connected to it.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) server: Child,
    pub(crate) client: Child,
}

impl Pair {
    /// Starts both, on all cores.
    pub(crate) fn start(contender: Name) -> Result<Self> {
        Pair::start_on(contender, &[], &[])
    }

    /// Starts the server and the client, each on its cores.
    pub(crate) fn start_on(contender: Name, server: &[usize], client: &[usize]) -> Result<Self> {
        let mut server = Child::start(contender, server)?;
        let mut client = Child::start(contender, client)?;
        let to = server.serve()?;
        client.time(&Command::Connect { to })?;
        Ok(Pair { server, client })
    }

    /// Has the client call.
    pub(crate) fn load(&mut self, load: Load) -> Result<Measured> {
        match self.client.ask(&Command::Load(load))? {
            Reply::Measured(measured) => Ok(measured),
            other => bail!("a client answered {other:?}"),
        }
    }

    /// What server and client have used so far.
    pub(crate) fn snapshots(&mut self) -> Result<[Snapshot; 2]> {
        Ok([self.server.snapshot()?, self.client.snapshot()?])
    }
}

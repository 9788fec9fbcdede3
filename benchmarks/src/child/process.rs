//! Handles of child processes.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::PathBuf,
    process::{self, ChildStdin, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::{Call, Command, Load, Measured, Reply, Snapshot};
use crate::{
    contenders::{Name, Setup},
    tool::Tool,
};

/// Upper bound on the time of one command. A child that takes longer is considered hung.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);

/// A child process, which is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    what: String,
    process: process::Child,
    /// Closed to make the child exit.
    commands: Option<ChildStdin>,
    replies: Receiver<String>,
}

/// How the processes of a contender are started. [`Bench::plan`] returns the default.
///
/// [`Bench::plan`]: crate::bench::Bench::plan
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) contender: Name,
    /// This program, or one that understands the same commands.
    pub(crate) program: PathBuf,
    /// The cores that the server and the client may run on. An empty list means all cores.
    pub(crate) cores: [Vec<usize>; 2],
    /// The tool that both processes run under, and the files for its counts of the server and the client.
    pub(crate) tool: Option<(Tool, [PathBuf; 2])>,
    pub(crate) setup: Setup,
    /// Whether the first call may have to wait for the connection.
    pub(crate) lazily: bool,
}

impl Plan {
    pub(crate) fn new(contender: Name, program: PathBuf) -> Self {
        Plan {
            contender,
            program,
            cores: [vec![], vec![]],
            tool: None,
            setup: Setup::default(),
            lazily: false,
        }
    }

    /// Returns the command that starts one of the two processes.
    fn command(&self, which: usize) -> process::Command {
        let mut command = match &self.tool {
            None => process::Command::new(&self.program),
            Some((tool, outputs)) => tool.command(&outputs[which], &self.program),
        };
        command.args(["child", &self.contender.role().to_string()]);
        if !self.cores[which].is_empty() {
            let cores: Vec<_> = self.cores[which].iter().map(usize::to_string).collect();
            command.args(["--cores", &cores.join(",")]);
        }
        command
    }

    /// Returns the count that the tool reports for one of the two processes, which has exited.
    fn total(&self, which: usize) -> Result<f64> {
        let (tool, outputs) = self.tool.as_ref().context("the plan has no tool")?;
        tool.total(&outputs[which])
    }
}

impl Child {
    /// Starts the server process of a plan. It does not serve yet.
    pub(crate) fn start(plan: &Plan) -> Result<Self> {
        Child::planned(plan, 0)
    }

    fn planned(plan: &Plan, which: usize) -> Result<Self> {
        let what = format!("{}'s {} process", plan.contender, ["first", "second"][which]);
        Child::spawn(plan.command(which), what)
    }

    fn spawn(mut command: process::Command, what: String) -> Result<Self> {
        let process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = process.with_context(|| format!("cannot start {what}"))?;
        let commands = process.stdin.take();
        let output = process.stdout.take().expect("standard output is piped");
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

    /// Sends a command, and waits for the reply for at most [`COMMAND_TIMEOUT`].
    pub(crate) fn ask(&mut self, command: &Command) -> Result<Reply> {
        let what = || format!("{} ({command:?})", self.what);
        let line = serde_json::to_string(command)? + "\n";
        let commands = self.commands.as_mut().with_context(what)?;
        commands.write_all(line.as_bytes()).with_context(what)?;
        let reply = match self.replies.recv_timeout(COMMAND_TIMEOUT) {
            Ok(reply) => reply,
            Err(RecvTimeoutError::Timeout) => bail!("{} hangs", what()),
            Err(RecvTimeoutError::Disconnected) => bail!("{} exited", what()),
        };
        match serde_json::from_str(&reply).with_context(what)? {
            Reply::Failed { why } => bail!("{} failed: {why}", what()),
            reply => Ok(reply),
        }
    }

    pub(crate) fn serve(&mut self, setup: Setup) -> Result<SocketAddr> {
        match self.ask(&Command::Serve(setup))? {
            Reply::Served { addr } => Ok(addr),
            other => bail!("unexpected reply of {}: {other:?}", self.what),
        }
    }

    pub(crate) fn resident(&mut self) -> Result<f64> {
        Ok(self.snapshot()?.resident as f64)
    }

    /// Makes the child carry out a command, and returns the time that it took.
    pub(crate) fn time(&mut self, command: &Command) -> Result<Duration> {
        match self.ask(command)? {
            Reply::Done { took } => Ok(took),
            other => bail!("unexpected reply of {}: {other:?}", self.what),
        }
    }

    /// Returns the count that the plan's tool reports for a child that carries out one command.
    pub(crate) fn count_of(plan: &Plan, command: &Command) -> Result<f64> {
        let mut child = Child::start(plan)?;
        child.time(command)?;
        child.end()?;
        plan.total(0)
    }

    /// Closes the child's standard input, and waits until the child exits.
    fn end(mut self) -> Result<()> {
        drop(self.commands.take());
        let start = Instant::now();
        while self.process.try_wait()?.is_none() {
            ensure!(start.elapsed() < COMMAND_TIMEOUT, "{} does not exit", self.what);
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    pub(crate) fn snapshot(&mut self) -> Result<Snapshot> {
        match self.ask(&Command::Snapshot)? {
            Reply::Snapshot(snapshot) => Ok(snapshot),
            other => bail!("unexpected reply of {}: {other:?}", self.what),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The child may have exited already, so errors are ignored.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server process, and a client process that is connected to it.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) server: Child,
    pub(crate) client: Child,
    /// Time that the client took to connect.
    pub(crate) connecting: Duration,
}

impl Pair {
    /// Starts both processes, and connects the client.
    pub(crate) fn start(plan: &Plan) -> Result<Self> {
        let mut server = Child::planned(plan, 0)?;
        let mut client = Child::planned(plan, 1)?;
        let addr = server.serve(plan.setup.clone())?;
        let to = plan.setup.advertise.unwrap_or(addr);
        let connecting = client.time(&Command::Connect { to, count: 1, lazily: plan.lazily })?;
        Ok(Pair { server, client, connecting })
    }

    /// Makes the client call for some time.
    pub(crate) fn load(&mut self, load: Load) -> Result<Measured> {
        match self.client.ask(&Command::Load(load))? {
            Reply::Measured(measured) => Ok(measured),
            other => bail!("unexpected reply of a client: {other:?}"),
        }
    }

    /// Makes the client make `calls` calls, and returns the time that they took.
    pub(crate) fn count(&mut self, call: Call, callers: usize, calls: u64) -> Result<Duration> {
        self.client.time(&Command::Count { call, callers, calls })
    }

    /// Returns the resources that the server and the client have used so far.
    pub(crate) fn snapshots(&mut self) -> Result<[Snapshot; 2]> {
        Ok([self.server.snapshot()?, self.client.snapshot()?])
    }

    /// Starts both processes, makes the client make `calls` calls, and ends both. Returns the counts that
    /// the plan's tool reports for the whole run of the server and of the client.
    pub(crate) fn counts(plan: &Plan, call: Call, callers: usize, calls: u64) -> Result<[f64; 2]> {
        let mut pair = Pair::start(plan)?;
        pair.count(call, callers, calls)?;
        pair.client.end()?;
        pair.server.end()?;
        Ok([plan.total(0)?, plan.total(1)?])
    }
}

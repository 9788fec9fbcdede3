//! The benchmark's side of child processes.

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

/// Upper bound on the time of one command: a child that takes longer hangs.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(120);

/// A child that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    what: String,
    process: process::Child,
    /// Closed to end it.
    commands: Option<ChildStdin>,
    replies: Receiver<String>,
}

/// How the processes of a contender are started. The usual way is [`Bench::plan`].
///
/// [`Bench::plan`]: crate::bench::Bench::plan
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) contender: Name,
    /// This program, or one that understands the same commands.
    pub(crate) program: PathBuf,
    /// The cores that the server and the client may run on; all if there are none.
    pub(crate) cores: [Vec<usize>; 2],
    /// A tool to run both under, and the files for its counts of the server and the client.
    pub(crate) tool: Option<(Tool, [PathBuf; 2])>,
    pub(crate) setup: Setup,
}

impl Plan {
    pub(crate) fn new(contender: Name, program: PathBuf) -> Self {
        Plan { contender, program, cores: [vec![], vec![]], tool: None, setup: Setup::default() }
    }

    /// How one of the two processes is started.
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

    /// What the tool reports of one of the two processes, which has exited.
    fn total(&self, which: usize) -> Result<f64> {
        let (tool, outputs) = self.tool.as_ref().context("the plan has no tool")?;
        tool.total(&outputs[which])
    }
}

impl Child {
    /// Runs the server of a plan, before it serves.
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

    /// Sends a command, and waits for the reply.
    pub(crate) fn ask(&mut self, command: &Command) -> Result<Reply> {
        let what = || format!("{}, asked for {command:?}", self.what);
        let line = serde_json::to_string(command)? + "\n";
        let commands = self.commands.as_mut().with_context(what)?;
        commands.write_all(line.as_bytes()).with_context(what)?;
        let reply = match self.replies.recv_timeout(COMMAND_TIMEOUT) {
            Ok(reply) => reply,
            Err(RecvTimeoutError::Timeout) => bail!("{} hangs", what()),
            Err(RecvTimeoutError::Disconnected) => bail!("{} ended", what()),
        };
        match serde_json::from_str(&reply).with_context(what)? {
            Reply::Failed { why } => bail!("{}: {why}", what()),
            reply => Ok(reply),
        }
    }

    pub(crate) fn serve(&mut self, setup: Setup) -> Result<SocketAddr> {
        match self.ask(&Command::Serve(setup))? {
            Reply::Served { addr } => Ok(addr),
            other => bail!("{} answered {other:?}", self.what),
        }
    }

    pub(crate) fn resident(&mut self) -> Result<f64> {
        Ok(self.snapshot()?.resident as f64)
    }

    /// Has it carry out a command, and returns the time that it took.
    pub(crate) fn time(&mut self, command: &Command) -> Result<Duration> {
        match self.ask(command)? {
            Reply::Done { took } => Ok(took),
            other => bail!("{} answered {other:?}", self.what),
        }
    }

    /// The count that the plan's tool reports of a child that carries out one command.
    pub(crate) fn count_of(plan: &Plan, command: &Command) -> Result<f64> {
        let mut child = Child::start(plan)?;
        child.time(command)?;
        child.end()?;
        plan.total(0)
    }

    /// Lets it end by itself, once nothing more can be asked.
    fn end(mut self) -> Result<()> {
        drop(self.commands.take());
        let start = Instant::now();
        while self.process.try_wait()?.is_none() {
            ensure!(start.elapsed() < COMMAND_TIMEOUT, "{} does not end", self.what);
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
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
    /// How long it took the client to connect.
    pub(crate) connecting: Duration,
}

impl Pair {
    /// Starts both.
    pub(crate) fn start(plan: &Plan) -> Result<Self> {
        let mut server = Child::planned(plan, 0)?;
        let mut client = Child::planned(plan, 1)?;
        let addr = server.serve(plan.setup.clone())?;
        let to = plan.setup.advertise.unwrap_or(addr);
        let connecting = client.time(&Command::Connect { to, count: 1 })?;
        Ok(Pair { server, client, connecting })
    }

    /// Has the client call for some time.
    pub(crate) fn load(&mut self, load: Load) -> Result<Measured> {
        match self.client.ask(&Command::Load(load))? {
            Reply::Measured(measured) => Ok(measured),
            other => bail!("a client answered {other:?}"),
        }
    }

    /// Has the client make a number of calls, and returns what they took.
    pub(crate) fn count(&mut self, call: Call, callers: usize, calls: u64) -> Result<Duration> {
        self.client.time(&Command::Count { call, callers, calls })
    }

    /// What server and client have used so far.
    pub(crate) fn snapshots(&mut self) -> Result<[Snapshot; 2]> {
        Ok([self.server.snapshot()?, self.client.snapshot()?])
    }

    /// The counts that the plan's tool reports of the server and the client, from their start to
    /// their end, if the client makes so many calls.
    pub(crate) fn counts(plan: &Plan, call: Call, callers: usize, calls: u64) -> Result<[f64; 2]> {
        let mut pair = Pair::start(plan)?;
        pair.count(call, callers, calls)?;
        pair.client.end()?;
        pair.server.end()?;
        Ok([plan.total(0)?, plan.total(1)?])
    }
}

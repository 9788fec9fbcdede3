//! Child processes, as the benchmark sees them.

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
use crate::contenders::{Name, Setup};

/// No command takes as long, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A child that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    what: String,
    process: process::Child,
    /// Until it was told to end.
    commands: Option<ChildStdin>,
    replies: Receiver<String>,
}

/// How a pair is started, where that is not as usual.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// The cores that the server and the client may run on; all if there are none.
    pub(crate) cores: [Vec<usize>; 2],
    /// Another program than this, which understands the same.
    pub(crate) program: Option<PathBuf>,
    /// Files for strace's counts of what the server and the client ask of the system.
    pub(crate) traces: Option<[PathBuf; 2]>,
    pub(crate) setup: Setup,
}

impl Plan {
    /// How one of the two processes is started.
    fn command(&self, contender: Name, which: usize) -> Result<process::Command> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => std::env::current_exe()?,
        };
        let mut command = match &self.traces {
            None => process::Command::new(program),
            Some(traces) => {
                let mut strace = process::Command::new("strace");
                strace.args(["-f", "-c", "-o"]).arg(&traces[which]).arg("--").arg(program);
                strace
            }
        };
        command.args(["child", &contender.to_string()]);
        if !self.cores[which].is_empty() {
            let cores: Vec<_> = self.cores[which].iter().map(usize::to_string).collect();
            command.args(["--cores", &cores.join(",")]);
        }
        Ok(command)
    }
}

impl Child {
    /// Runs this program again for `contender`.
    pub(crate) fn start(contender: Name) -> Result<Self> {
        Child::of(contender, &Plan::default())
    }

    /// Runs the server of a plan, before it serves.
    pub(crate) fn of(contender: Name, plan: &Plan) -> Result<Self> {
        Child::planned(contender, plan, 0)
    }

    fn planned(contender: Name, plan: &Plan, which: usize) -> Result<Self> {
        let what = format!("{contender}'s {} process", ["first", "second"][which]);
        Child::spawn(plan.command(contender, which)?, what)
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

    /// Has it do something.
    pub(crate) fn ask(&mut self, command: &Command) -> Result<Reply> {
        let what = || format!("{}, asked for {command:?}", self.what);
        let line = serde_json::to_string(command)? + "\n";
        let commands = self.commands.as_mut().with_context(what)?;
        commands.write_all(line.as_bytes()).with_context(what)?;
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

    pub(crate) fn serve(&mut self, setup: Setup) -> Result<SocketAddr> {
        match self.ask(&Command::Serve(setup))? {
            Reply::Served { addr } => Ok(addr),
            other => bail!("{} answered {other:?}", self.what),
        }
    }

    pub(crate) fn resident(&mut self) -> Result<f64> {
        Ok(self.snapshot()?.resident as f64)
    }

    /// Has it do something that takes time, and returns how much.
    pub(crate) fn time(&mut self, command: &Command) -> Result<Duration> {
        match self.ask(command)? {
            Reply::Done { took } => Ok(took),
            other => bail!("{} answered {other:?}", self.what),
        }
    }

    /// Lets it end by itself, once nothing more can be asked.
    fn end(mut self) -> Result<()> {
        drop(self.commands.take());
        let start = Instant::now();
        while self.process.try_wait()?.is_none() {
            ensure!(start.elapsed() < PATIENCE, "{} does not end", self.what);
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
    /// Starts both, as usual.
    pub(crate) fn start(contender: Name) -> Result<Self> {
        Pair::planned(contender, &Plan::default())
    }

    /// Starts both.
    pub(crate) fn planned(contender: Name, plan: &Plan) -> Result<Self> {
        let mut server = Child::planned(contender, plan, 0)?;
        let mut client = Child::planned(contender, plan, 1)?;
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

    /// Lets both end by themselves, the client first.
    pub(crate) fn end(self) -> Result<()> {
        self.client.end()?;
        self.server.end()
    }
}

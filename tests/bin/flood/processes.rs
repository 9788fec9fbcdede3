//! The processes of a measurement, and the cores that they run on.

use std::{
    ffi::OsStr,
    fmt,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::{Figures, Result};

/// The core and the scheduling policy of each process.
///
/// The node has a core of its own, so that it competes with no other process of the measurement. The
/// well-behaved peer and the attacker share the other cores. There, the attacker runs only when the peer
/// does not want to.
///
/// If this program may, it uses the policy `SCHED_RR`, so that other programs of the machine do not run
/// either, apart from the twentieth of a second that Linux grants them each second. Otherwise, the attacker
/// has the policy `SCHED_IDLE`.
#[derive(Debug, Clone)]
pub(crate) struct Scheduling {
    node: Vec<String>,
    peer: Vec<String>,
    attacker: Vec<String>,
}

impl Scheduling {
    /// Returns `None` if there is only one core, or if `taskset` or `chrt` is not installed.
    pub(crate) fn detect() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        let mut cores = list.trim().split(',').flat_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse::<usize>().unwrap_or(0)..=last.parse().unwrap_or(0)
        });
        let node = cores.next()?.to_string();
        let others: Vec<_> = cores.map(|core| core.to_string()).collect();
        let others = others.join(",");
        let succeeds = |command: &str| {
            let mut words = command.split(' ');
            let output = words.next().map(|program| Command::new(program).args(words).output());
            output.is_some_and(|output| output.is_ok_and(|output| output.status.success()))
        };
        if others.is_empty() || !succeeds("taskset --version") || !succeeds("chrt --version") {
            return None;
        }
        let realtime = succeeds("chrt --rr 2 true");
        let (prefer, yielding) = if realtime { ("--rr 2", "--rr 1") } else { ("", "--idle 0") };
        let command = |policy: &str, cores: &str| {
            let chrt = if policy.is_empty() { "" } else { "chrt " };
            let command = format!("{chrt}{policy} taskset --cpu-list {cores}");
            command.split_whitespace().map(str::to_owned).collect()
        };
        Some(Scheduling {
            node: command(prefer, &node),
            peer: command(prefer, &others),
            attacker: command(yielding, &others),
        })
    }
}

impl fmt::Display for Scheduling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scheduling { node, peer, attacker } = self;
        write!(
            f,
            "node: {}, peer: {}, attacker: {}",
            node.join(" "),
            peer.join(" "),
            attacker.join(" ")
        )
    }
}

/// A process with one of the roles. It ends when this value is dropped.
pub(crate) struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts the node, and returns it and its address.
    pub(crate) fn node(scheduling: Option<&Scheduling>) -> Result<(Self, SocketAddr)> {
        let prefix = scheduling.map(|scheduling| &scheduling.node[..]);
        let mut node = Process::start(prefix, &["node".to_owned()])?;
        let addr = node.line()?.parse()?;
        Ok((node, addr))
    }

    /// Starts the well-behaved peer, and waits until it has called the node.
    pub(crate) fn peer(scheduling: Option<&Scheduling>, addr: SocketAddr) -> Result<Self> {
        let prefix = scheduling.map(|scheduling| &scheduling.peer[..]);
        let mut peer = Process::start(prefix, &["peer".to_owned(), addr.to_string()])?;
        peer.line()?;
        Ok(peer)
    }

    pub(crate) fn attacker(
        scheduling: Option<&Scheduling>,
        name: &str,
        addr: SocketAddr,
    ) -> Result<Self> {
        let prefix = scheduling.map(|scheduling| &scheduling.attacker[..]);
        Process::start(prefix, &["attacker".to_owned(), name.to_owned(), addr.to_string()])
    }

    /// Starts this program with `arguments`, by the command `prefix` if there is one.
    fn start(prefix: Option<&[String]>, arguments: &[String]) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut command: Vec<_> = prefix.unwrap_or_default().iter().map(OsStr::new).collect();
        command.push(program.as_os_str());
        let mut child = Command::new(command[0])
            .args(&command[1..])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().ok_or("standard input is not piped")?;
        let stdout = child.stdout.take().ok_or("standard output is not piped")?;
        Ok(Process { child, stdin, stdout: BufReader::new(stdout) })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Makes the well-behaved peer call the node for this time.
    pub(crate) fn measure(&mut self, seconds: f64) -> Result<Figures> {
        writeln!(self.stdin, "{seconds}")?;
        Figures::parse(&self.line()?)
    }

    /// The peak of resident memory, in MiB.
    pub(crate) fn peak(&self) -> Result<f64> {
        Ok(flyrpc_tests::process_memory::of(self.child.id(), "VmHWM")? as f64 / 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

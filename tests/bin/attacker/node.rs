//! The processes: nodes under attack, and the attacker.

use std::{
    collections::{BTreeSet, VecDeque},
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flyrpc::{Node, NodeBuilder, Observed, Observer, fly_rpc};
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncReadExt, net::TcpListener, task::JoinHandle};

use crate::{
    MAX_OPEN, MEMBER_CALLS, Result, SECRET, attacks::Attempts, gossip::Identity,
    recording::Recording,
};

/// How long a bare listener waits for the first bytes of a connection.
const BARE_TIMEOUT: Duration = Duration::from_secs(5);

#[fly_rpc]
pub(crate) trait Target {
    /// Records that the call with this number has executed.
    async fn run(&self, call: u64);
}

/// What has happened at a node since it started.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Calls that the member did not make.
    pub(crate) foreign: u64,
    /// Calls that executed more than once.
    pub(crate) repeated: u64,
    pub(crate) links_opened: u64,
    pub(crate) links_closed: u64,
    pub(crate) events: u64,
    /// Open files.
    pub(crate) files: u64,
    /// Resident memory, now and at its peak.
    pub(crate) memory_kib: u64,
    pub(crate) peak_memory_kib: u64,
    pub(crate) cpu_micros: u64,
}

#[derive(Default)]
pub(crate) struct Counts {
    executed: Mutex<BTreeSet<u64>>,
    foreign: AtomicU64,
    repeated: AtomicU64,
    pub(crate) links_opened: AtomicU64,
    links_closed: AtomicU64,
    pub(crate) events: AtomicU64,
}

struct Server(Arc<Counts>);

impl Target for Server {
    async fn run(&self, call: u64) {
        let counts = &self.0;
        if call < MEMBER_CALLS {
            counts.foreign.fetch_add(1, Ordering::Relaxed);
        }
        if !counts.executed.lock().unwrap_or_else(PoisonError::into_inner).insert(call) {
            counts.repeated.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Counter(Arc<Counts>);

impl Observer for Counter {
    fn observe(&self, observed: &Observed<'_>) {
        let counts = &self.0;
        let count = match observed {
            Observed::LinkOpened(_) => &counts.links_opened,
            Observed::LinkClosed(..) => &counts.links_closed,
            Observed::Event(_) => &counts.events,
            _ => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// A node that serves [`Target`], and counts what happens.
pub(crate) fn counting(name: &str, counts: &Arc<Counts>) -> NodeBuilder {
    let node = Node::builder().name(name).region("iad").primary_region("iad");
    let node = node.serve(ServeTarget::new(Server(Arc::clone(counts))));
    node.observer(Counter(Arc::clone(counts)))
}

/// Runs a node until standard input ends. Prints its identity, then a report for each line of standard input.
pub(crate) async fn run(name: String, seeds: Vec<SocketAddr>) -> Result<()> {
    let counts = Arc::default();
    let node = counting(&name, &counts).secret(SECRET.parse()?).seeds(seeds).start().await?;
    println!("{}", serde_json::to_string(&Identity::from(node.info()))?);
    print_reports(counts).await
}

/// Runs a bare listener, which accepts connections and reads from each of them once, until standard input ends. Prints
/// the same as a node. It shows what strangers cost any program.
pub(crate) async fn run_bare() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", serde_json::to_string(&Identity::new("bare", 0, listener.local_addr()?))?);
    tokio::spawn(async move {
        let mut open = VecDeque::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let read = async move { stream.read(&mut [0; 256]).await };
            open.push_back(tokio::spawn(tokio::time::timeout(BARE_TIMEOUT, read)));
            if open.len() >= MAX_OPEN {
                open.pop_front().iter().for_each(JoinHandle::abort);
            }
        }
    });
    print_reports(Arc::default()).await
}

/// Prints a report for each line of standard input.
async fn print_reports(counts: Arc<Counts>) -> Result<()> {
    tokio::task::spawn_blocking(move || {
        for line in std::io::stdin().lock().lines() {
            line?;
            println!("{}", serde_json::to_string(&report(&counts)?)?);
        }
        Ok(())
    })
    .await?
}

fn report(counts: &Counts) -> Result<Report> {
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    Ok(Report {
        foreign: read(&counts.foreign),
        repeated: read(&counts.repeated),
        links_opened: read(&counts.links_opened),
        links_closed: read(&counts.links_closed),
        events: read(&counts.events),
        files: std::fs::read_dir("/proc/self/fd")?.count() as u64,
        memory_kib: flyrpc_tests::process_memory::of(std::process::id(), "VmRSS")?,
        peak_memory_kib: flyrpc_tests::process_memory::of(std::process::id(), "VmHWM")?,
        cpu_micros: cpu_micros()?,
    })
}

/// The processor time of the threads of this process, in microseconds.
pub(crate) fn cpu_micros() -> Result<u64> {
    let threads = std::fs::read_dir("/proc/self/task")?;
    let mut nanos = 0;
    for thread in threads {
        // A thread may have ended.
        let Ok(stat) = std::fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        nanos += stat.split(' ').next().unwrap_or_default().parse().unwrap_or(0);
    }
    Ok(nanos / 1_000)
}

/// A node in a process of its own. It ends when this value is dropped.
pub(crate) struct NodeProcess {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    pub(crate) identity: Identity,
}

impl NodeProcess {
    pub(crate) fn start(name: &str, seeds: &[SocketAddr]) -> Result<Self> {
        let mut arguments = vec!["node".to_owned(), name.to_owned()];
        arguments.extend(seeds.iter().map(SocketAddr::to_string));
        NodeProcess::run(&arguments)
    }

    /// Starts a bare listener.
    pub(crate) fn start_bare() -> Result<Self> {
        NodeProcess::run(&["bare".to_owned()])
    }

    fn run(arguments: &[String]) -> Result<Self> {
        let (child, stdin, mut stdout) = spawn(Command::new(std::env::current_exe()?), arguments)?;
        let identity = serde_json::from_str(&line(&mut stdout)?)?;
        Ok(NodeProcess { child, stdin, stdout, identity })
    }

    pub(crate) fn report(&mut self) -> Result<Report> {
        writeln!(self.stdin)?;
        Ok(serde_json::from_str(&line(&mut self.stdout)?)?)
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The attacker's process. It ends when this value is dropped.
pub(crate) struct Attacker {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Attacker {
    /// Starts the attacker, or strangers at these rates per second, at the lowest priority.
    pub(crate) fn start(
        strangers: Option<[u64; 2]>,
        targets: &[SocketAddr],
        recording: Option<&Recording>,
    ) -> Result<Self> {
        let mut arguments = match strangers {
            None => vec!["attacker".to_owned()],
            Some(rates) => ["strangers".to_owned()]
                .into_iter()
                .chain(rates.map(|rate| rate.to_string()))
                .collect(),
        };
        arguments.extend(targets.iter().map(SocketAddr::to_string));
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(std::env::current_exe()?);
        let (child, mut stdin, stdout) = spawn(command, &arguments)?;
        if let Some(recording) = recording {
            writeln!(stdin, "{}", serde_json::to_string(recording)?)?;
        }
        Ok(Attacker { child, stdin: Some(stdin), stdout })
    }

    /// Ends the attack, and returns what was tried.
    pub(crate) fn stop(mut self) -> Result<Attempts> {
        self.stdin = None;
        Ok(serde_json::from_str(&line(&mut self.stdout)?)?)
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(
    mut command: Command,
    arguments: &[String],
) -> Result<(Child, ChildStdin, BufReader<ChildStdout>)> {
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take().ok_or("standard input is not piped")?;
    let stdout = child.stdout.take().ok_or("standard output is not piped")?;
    Ok((child, stdin, BufReader::new(stdout)))
}

fn line(from: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

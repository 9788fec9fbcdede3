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

use flyrpc::{Event, NodeBuilder, Observed, Observer, fly_rpc};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncReadExt, net::TcpListener, task::JoinHandle};

use crate::{
    MAX_OPEN, MEMBER_CALLS, Result, attacks::Attempts, cluster::TARGET, gossip::Identity,
    plan::Plan,
};

/// How long a bare listener waits for the first bytes of a connection.
const BARE_TIMEOUT: Duration = Duration::from_secs(5);

/// The panics of this process, also those that were caught.
static PANICS: AtomicU64 = AtomicU64::new(0);

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
    pub(crate) panics: u64,
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
    links_opened: AtomicU64,
    links_closed: AtomicU64,
    events: AtomicU64,
}

impl Counts {
    pub(crate) fn foreign(&self) -> u64 {
        self.foreign.load(Ordering::Relaxed)
    }

    pub(crate) fn links_opened(&self) -> u64 {
        self.links_opened.load(Ordering::Relaxed)
    }

    pub(crate) fn links_closed(&self) -> u64 {
        self.links_closed.load(Ordering::Relaxed)
    }

    pub(crate) fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }
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

/// Counts what happens, except that another program responds at the address of a node that was killed.
struct Counter(Arc<Counts>, Option<SocketAddr>);

impl Observer for Counter {
    fn observe(&self, observed: &Observed<'_>) {
        let counts = &self.0;
        let count = match observed {
            Observed::LinkOpened(_) => &counts.links_opened,
            Observed::LinkClosed(..) => &counts.links_closed,
            Observed::Event(Event::SupportChanged { node: None, .. }) => return,
            Observed::Event(Event::SupportChanged { addr, .. }) if self.1 == Some(*addr) => return,
            Observed::Event(_) => &counts.events,
            _ => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Makes a node serve [`Target`], and count what happens, except that the support at the address `at_killed` changes.
pub(crate) fn counting(
    node: NodeBuilder,
    counts: &Arc<Counts>,
    at_killed: Option<SocketAddr>,
) -> NodeBuilder {
    let node = node.serve(ServeTarget::new(Server(Arc::clone(counts))));
    node.observer(Counter(Arc::clone(counts), at_killed))
}

/// Runs a node until standard input ends. Its seeds include `at_killed`. Prints its identity, then a report for each line of
/// standard input.
pub(crate) async fn run(
    name: &str,
    at_killed: Option<SocketAddr>,
    seeds: Vec<SocketAddr>,
) -> Result<()> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        hook(panic);
    }));
    let counts = Arc::default();
    let node = TARGET.counting(name, &counts, at_killed)?;
    let node = node.seeds(seeds.into_iter().chain(at_killed)).start().await?;
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
    Ok(Report {
        foreign: counts.foreign(),
        repeated: counts.repeated.load(Ordering::Relaxed),
        links_opened: counts.links_opened(),
        links_closed: counts.links_closed(),
        events: counts.events(),
        panics: PANICS.load(Ordering::Relaxed),
        files: std::fs::read_dir("/proc/self/fd")?.count() as u64,
        memory_kib: flyrpc_tests::process_memory::of(std::process::id(), "VmRSS")?,
        peak_memory_kib: flyrpc_tests::process_memory::of(std::process::id(), "VmHWM")?,
        cpu_micros: cpu_time()?.as_micros() as u64,
    })
}

/// The processor time of this process.
pub(crate) fn cpu_time() -> Result<Duration> {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Ok(Duration::new(time.tv_sec.try_into()?, time.tv_nsec.try_into()?))
}

/// A node in a process of its own. It ends when this value is dropped.
pub(crate) struct NodeProcess {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    pub(crate) identity: Identity,
}

impl NodeProcess {
    pub(crate) fn start(
        name: &str,
        at_killed: Option<SocketAddr>,
        seeds: &[SocketAddr],
    ) -> Result<Self> {
        let mut arguments = vec!["node".to_owned(), name.to_owned()];
        arguments.extend(at_killed.iter().map(|addr| format!("--at-killed={addr}")));
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
        plan: Option<&Plan>,
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
        if let Some(plan) = plan {
            writeln!(stdin, "{}", serde_json::to_string(plan)?)?;
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

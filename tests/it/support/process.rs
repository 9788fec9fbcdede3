//! Nodes in separate processes.

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    process::Stdio,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
    task::JoinHandle,
};

/// A short heartbeat, so that the tests are fast.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(100);

/// Longer than any operation of these tests takes, even on a busy machine.
pub(crate) const GENEROUS_TIMEOUT: Duration = Duration::from_secs(20);

/// A node in its own process. Dropping it kills the process.
pub(crate) struct Process {
    child: Child,
    pub(crate) addr: SocketAddr,
    pub(crate) started: Arc<AtomicUsize>,
    pub(crate) finished: Arc<AtomicUsize>,
    /// Reads the output of the process, and returns its last line.
    reading: JoinHandle<String>,
    /// Reads the standard error of the process, and returns its lines.
    logging: JoinHandle<Vec<String>>,
}

impl Process {
    /// Starts a node in iad, which is the primary region.
    pub(crate) async fn start(name: &str, listen: SocketAddr, seeds: &[SocketAddr]) -> Self {
        Process::start_with(name, listen, seeds, &[])
            .await
            .unwrap_or_else(|line| panic!("{name}: {line}"))
    }

    /// The same, with more environment variables. Returns the first line if it is not an address.
    pub(crate) async fn start_with(
        name: &str,
        listen: SocketAddr,
        seeds: &[SocketAddr],
        variables: &[(&str, &str)],
    ) -> Result<Self, String> {
        let seeds: Vec<String> = seeds.iter().map(SocketAddr::to_string).collect();
        let mut child = Command::new(env!("CARGO_BIN_EXE_flyrpc-test-node"))
            .env_clear()
            .env("FLY_MACHINE_ID", name)
            .env("FLY_REGION", "iad")
            .env("PRIMARY_REGION", "iad")
            .env("FLYRPC_LISTEN", listen.to_string())
            .env("FLYRPC_SEEDS", seeds.join(","))
            .env("HEARTBEAT_MS", HEARTBEAT.as_millis().to_string())
            .env("FLYRPC_DRAIN_TIMEOUT", "2s")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let logging = tokio::spawn(collect(child.stderr.take().unwrap()));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next_line().await.unwrap().expect("a first line");
        let Some(addr) = first.strip_prefix("at ") else { return Err(first) };
        let addr = addr.parse().unwrap();
        let (started, finished) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let reading = tokio::spawn(count(lines, Arc::clone(&started), Arc::clone(&finished)));
        Ok(Process { child, addr, started, finished, reading, logging })
    }

    pub(crate) fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }

    /// Waits until the process has exited successfully, and returns its last output line.
    pub(crate) async fn last_line(mut self) -> String {
        // `wait` would close standard input, and the process exits when its standard input is
        // closed.
        let _stdin = self.child.stdin.take();
        self.exited().await;
        self.reading.await.unwrap()
    }

    /// Ends the process by closing its standard input. Returns everything that it has logged, which requires that
    /// `LOG_LEVEL` was set.
    pub(crate) async fn log(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        self.exited().await;
        self.logging.await.unwrap()
    }

    /// Waits until the process has exited successfully.
    async fn exited(&mut self) {
        let status = tokio::time::timeout(GENEROUS_TIMEOUT, self.child.wait())
            .await
            .expect("the process exits")
            .unwrap();
        assert!(status.success(), "{status}");
    }

    pub(crate) async fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("the process is running").to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().await.unwrap();
        assert!(sent.success());
    }

    /// A field of the process's status in KiB, such as `VmRSS` or `VmHWM`.
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let pid = self.child.id().expect("the process is running");
        flyrpc_tests::process_memory::of(pid, field).unwrap()
    }

    /// Sends SIGKILL to the process.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Counts calls until there are no more lines, and returns the last line.
async fn count(
    mut lines: Lines<BufReader<ChildStdout>>,
    started: Arc<AtomicUsize>,
    finished: Arc<AtomicUsize>,
) -> String {
    let mut last = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        started.fetch_add(usize::from(line == "started"), Ordering::SeqCst);
        finished.fetch_add(usize::from(line == "finished"), Ordering::SeqCst);
        last = line;
    }
    last
}

/// Returns all lines. Prints them, too, so that a test that fails shows them.
async fn collect(stderr: ChildStderr) -> Vec<String> {
    let mut lines = BufReader::new(stderr).lines();
    let mut all = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        eprintln!("{line}");
        all.push(line);
    }
    all
}

pub(crate) fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// Returns an address at which nothing listens, whose port the operating system never assigns on its own. So a node can
/// start there later, or a second time, while other tests open sockets.
pub(crate) fn free_addr() -> SocketAddr {
    // Ports for port 0 begin at 32,768 on Linux, and at 49,152 on macOS and Windows.
    const PORTS: std::ops::Range<u16> = 10_000..32_000;
    // Test programs that run at the same time begin at different ports.
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(std::process::id() << 6));
    loop {
        let index = NEXT.fetch_add(1, Ordering::Relaxed) as usize % PORTS.len();
        let port = PORTS.start + index as u16;
        let addr = ([127, 0, 0, 1], port).into();
        if TcpListener::bind(addr).is_ok() && UdpSocket::bind(addr).is_ok() {
            return addr;
        }
    }
}

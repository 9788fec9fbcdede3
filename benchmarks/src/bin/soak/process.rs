//! The parent's handle to a worker process.

use std::{error::Error, fs, io, net::SocketAddr, process::Stdio, sync::Arc, time::Duration};

use flyrpc_benchmarks::proc_status;
use flyrpc_examples::process::{Signal, parse_announcement};
use rustix::process::{Pid, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{Mutex, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{ledger::Ledger, report::Sample};

const REGIONS: [&str; 2] = ["iad", "hkg"];

const GENEROUS_TIMEOUT: Duration = Duration::from_secs(30);

/// Number of samples. The report contains the minimum of each figure.
const SAMPLES: u32 = 10;

const SAMPLE_INTERVAL: Duration = Duration::from_millis(300);

/// A running worker. Its process is killed when this is dropped.
pub(crate) struct Worker {
    name: String,
    region: usize,
    addr: SocketAddr,
    child: Child,
    stdin: Mutex<ChildStdin>,
    reader: JoinHandle<()>,
    tasks: TaskCountRequest,
}

/// A worker that has exited.
pub(crate) struct Stopped {
    name: String,
    region: usize,
    addr: SocketAddr,
}

impl Stopped {
    /// Starts the worker again, at the same address.
    pub(crate) async fn restart(
        &self,
        seeds: &[SocketAddr],
        ledger: &Ledger,
    ) -> Result<Worker, Box<dyn Error>> {
        Worker::start_at(&self.name, self.region, self.addr, seeds, ledger).await
    }
}

/// The parent's request for the number of tasks, until the worker responds.
type TaskCountRequest = Arc<Mutex<Option<oneshot::Sender<usize>>>>;

impl Worker {
    /// Starts a worker at a free port and waits until it is up.
    pub(crate) async fn start(
        name: &str,
        region: usize,
        seeds: &[SocketAddr],
        ledger: &Ledger,
    ) -> Result<Self, Box<dyn Error>> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Worker::start_at(name, region, any, seeds, ledger).await
    }

    /// Starts a worker at an address and waits until it is up.
    async fn start_at(
        name: &str,
        region: usize,
        listen: SocketAddr,
        seeds: &[SocketAddr],
        ledger: &Ledger,
    ) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["worker", "--name", name, "--region", REGIONS[region % REGIONS.len()]]);
        command.args(["--primary-region", "iad", "--listen", &listen.to_string()]);
        for seed in seeds {
            command.args(["--seed", &seed.to_string()]);
        }
        // By default, glibc raises these thresholds to the largest block that was ever freed. It then keeps
        // up to 6 MiB of free memory per arena, which comes and goes: 14 to 28 MiB in one process.
        command.envs([("MALLOC_MMAP_THRESHOLD_", "131072"), ("MALLOC_TRIM_THRESHOLD_", "131072")]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().ok_or("standard input is not piped")?;
        let stdout = child.stdout.take().ok_or("standard output is not piped")?;
        let mut output = BufReader::new(stdout);
        let line = timeout(GENEROUS_TIMEOUT, next_line(&mut output)).await;
        let line = line.map_err(|_| format!("{name} was not up within {GENEROUS_TIMEOUT:?}"))?;
        let line = line.ok_or_else(|| format!("{name} exited before it was up"))?;
        let info = parse_announcement(&line).ok_or_else(|| format!("{name} printed {line:?}"))?;
        let tasks = TaskCountRequest::default();
        let reader = tokio::spawn(read(output, ledger.clone(), tasks.clone()));
        let stdin = Mutex::new(stdin);
        Ok(Worker { name: name.into(), region, addr: info.addr(), child, stdin, reader, tasks })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Starts or stops the load that the worker generates.
    pub(crate) async fn set_load(&self, on: bool) -> io::Result<()> {
        self.command(if on { "load\n" } else { "rest\n" }).await
    }

    /// Samples the resources that the process holds several times, and returns the smallest figures. An idle
    /// node also starts short tasks, such as anti-entropy syncs.
    pub(crate) async fn sample(&self) -> Result<Sample, Box<dyn Error>> {
        let mut smallest = self.sample_once().await?;
        for _ in 1..SAMPLES {
            sleep(SAMPLE_INTERVAL).await;
            smallest = smallest.min(self.sample_once().await?);
        }
        Ok(smallest)
    }

    async fn sample_once(&self) -> Result<Sample, Box<dyn Error>> {
        let (sender, receiver) = oneshot::channel();
        *self.tasks.lock().await = Some(sender);
        self.command("tasks\n").await?;
        let tasks = timeout(GENEROUS_TIMEOUT, receiver).await;
        let tasks = tasks
            .map_err(|_| format!("{} gave no sample within {GENEROUS_TIMEOUT:?}", self.name))??;
        let pid = self.child.id().ok_or("the worker has exited")?;
        Ok(Sample {
            name: self.name.clone(),
            resident_kib: proc_status::kib(pid, "VmRSS")?.cast_signed(),
            descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            tasks,
        })
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.ok_or_else(|| io::Error::other("the worker has exited"))?;
        Ok(kill_process(pid, signal)?)
    }

    /// Kills the process, and returns once all that it printed has been read.
    pub(crate) async fn kill(mut self) -> Result<Stopped, Box<dyn Error>> {
        self.child.kill().await?;
        self.stopped().await
    }

    /// Shuts the node down in order, and returns once all that it printed has been read.
    pub(crate) async fn shut_down(mut self) -> Result<Stopped, Box<dyn Error>> {
        self.signal(Signal::TERM)?;
        let exited = timeout(GENEROUS_TIMEOUT, self.child.wait()).await;
        exited.map_err(|_| {
            format!("{} did not shut down within {GENEROUS_TIMEOUT:?}", self.name)
        })??;
        self.stopped().await
    }

    async fn stopped(self) -> Result<Stopped, Box<dyn Error>> {
        let Worker { name, region, addr, reader, .. } = self;
        reader.await?;
        Ok(Stopped { name, region, addr })
    }

    async fn command(&self, line: &str) -> io::Result<()> {
        self.stdin.lock().await.write_all(line.as_bytes()).await
    }
}

/// Reads the lines of a worker until its output ends.
async fn read(mut output: BufReader<ChildStdout>, ledger: Ledger, tasks: TaskCountRequest) {
    while let Some(line) = next_line(&mut output).await {
        if let Some(count) = line.strip_prefix("tasks ").and_then(|count| count.parse().ok()) {
            if let Some(sender) = tasks.lock().await.take() {
                let _ = sender.send(count);
            }
        } else {
            ledger.record(&line);
        }
    }
}

/// Reads a line. Returns `None` at the end, also if the worker was killed while it printed a line.
async fn next_line(output: &mut BufReader<ChildStdout>) -> Option<String> {
    let mut line = String::new();
    output.read_line(&mut line).await.ok()?;
    line.strip_suffix('\n').map(str::to_owned)
}

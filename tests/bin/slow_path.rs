//! Sends a long reply over a slow path between two network namespaces, and calls meanwhile. Exits with 1 if
//! the reply takes much longer than its own bytes, or if a call beside it exceeds the default timeout.
//!
//! ```text
//! cargo run --release --package flyrpc-tests --bin slow_path
//! ```
//!
//! Needs Linux, root, and the commands `ip` and `tc` (iproute2). The bandwidth is limited by the kernel's
//! token bucket filter (`tbf`), in both directions.

use std::{
    error::Error,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use flyrpc::{Node, fly_rpc};
use serde_bytes::ByteBuf;
use tokio::time::sleep;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Measures calls beside a long reply on a slow path.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    /// Bandwidths of the path, in bytes per second.
    #[arg(long, value_delimiter = ',', default_value = "20000,100000,1000000")]
    bandwidths: Vec<u64>,
    /// Length of the long reply, in bytes.
    #[arg(long, default_value_t = 1 << 20)]
    bytes: usize,
}

/// The roles of child processes.
#[derive(Debug, Subcommand)]
enum Role {
    #[command(hide = true)]
    Server { addr: SocketAddr },
    #[command(hide = true)]
    Client { addr: SocketAddr, server: SocketAddr, bandwidth: u64, bytes: usize },
}

#[fly_rpc]
trait Target {
    async fn echo(&self, number: u64) -> u64;
    async fn large(&self, bytes: usize) -> ByteBuf;
}

#[derive(Debug)]
struct Server;

impl Target for Server {
    async fn echo(&self, number: u64) -> u64 {
        number
    }

    async fn large(&self, bytes: usize) -> ByteBuf {
        ByteBuf::from(vec![7; bytes])
    }
}

/// Time between two of the calls beside the long reply.
const INTERVAL: Duration = Duration::from_millis(500);

/// The long reply may take this many times what its own bytes take.
const MAX_SLOWDOWN: f64 = 1.25;

/// The length of the path's queue, as the time for which it delays a byte. A packet that finds it full is
/// dropped, so a call also waits while TCP sends lost packets again.
const QUEUE: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.role {
        None => run(&cli),
        Some(Role::Server { addr }) => serve(addr).await.map(|()| true),
        Some(Role::Client { addr, server, bandwidth, bytes }) => {
            measure(addr, server, bandwidth, bytes).await
        }
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("slow_path: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<bool> {
    let mut ok = true;
    for bandwidth in &cli.bandwidths {
        let path = Path::create(*bandwidth)?;
        let server = SocketAddr::from((SERVER, PORT)).to_string();
        let mut serving = path.spawn(&path.server, &["server", &server])?;
        serving.wait_until_up()?;
        let client = SocketAddr::from((CLIENT, PORT)).to_string();
        let (bandwidth, bytes) = (bandwidth.to_string(), cli.bytes.to_string());
        let arguments = ["client", &client, &server, &bandwidth, &bytes];
        let mut calling = path.spawn(&path.client, &arguments)?;
        ok &= calling.pass_output()?;
    }
    Ok(ok)
}

const SERVER: [u8; 4] = [10, 213, 7, 1];
const CLIENT: [u8; 4] = [10, 213, 7, 2];
const PORT: u16 = 3590;

/// Two network namespaces and the path between them. They are deleted when this is dropped.
struct Path {
    server: String,
    client: String,
}

impl Path {
    fn create(bandwidth: u64) -> Result<Self> {
        let name = |end: &str| format!("flyrpc-{end}-{}", std::process::id());
        let path = Path { server: name("server"), client: name("client") };
        let Path { server, client } = &path;
        execute(&format!("ip netns add {server}"))?;
        execute(&format!("ip netns add {client}"))?;
        execute(&format!(
            "ip link add path netns {server} type veth peer name path netns {client}"
        ))?;
        for (namespace, [a, b, c, d]) in [(server, SERVER), (client, CLIENT)] {
            execute(&format!("ip -n {namespace} addr add {a}.{b}.{c}.{d}/24 dev path"))?;
            execute(&format!("ip -n {namespace} link set path up"))?;
            let queue = QUEUE.as_millis();
            execute(&format!(
                "tc -n {namespace} qdisc add dev path root \
                 tbf rate {bandwidth}bps burst 3200 latency {queue}ms"
            ))?;
        }
        Ok(path)
    }

    /// Starts this program in a namespace.
    fn spawn(&self, namespace: &str, arguments: &[&str]) -> Result<Process> {
        let child = Command::new("ip")
            .args(["netns", "exec", namespace])
            .arg(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Process { child })
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        for namespace in [&self.server, &self.client] {
            // The namespace does not exist if `create` failed.
            let _ = Command::new("ip").args(["netns", "delete", namespace]).output();
        }
    }
}

fn execute(command: &str) -> Result<()> {
    let mut words = command.split_whitespace();
    let program = words.next().ok_or("the command is empty")?;
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|error| format!("cannot run `{program}`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("`{command}` failed: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}

/// A child process. It is killed when this is dropped.
struct Process {
    child: Child,
}

impl Process {
    fn wait_until_up(&mut self) -> Result<()> {
        let stdout = self.child.stdout.as_mut().ok_or("standard output is not piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.trim() == "up" { Ok(()) } else { Err("the server did not start".into()) }
    }

    /// Prints the lines of the child until it exits. Returns whether it succeeded.
    fn pass_output(&mut self) -> Result<bool> {
        let stdout = self.child.stdout.take().ok_or("standard output is not piped")?;
        for line in BufReader::new(stdout).lines() {
            println!("{}", line?);
        }
        Ok(self.child.wait()?.success())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The child may have exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn serve(addr: SocketAddr) -> Result<()> {
    let builder = Node::builder().name("server").region("iad").listen(addr);
    let _node = builder.serve(ServeTarget::new(Server)).start().await?;
    println!("up");
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    Ok(())
}

async fn measure(
    addr: SocketAddr,
    server: SocketAddr,
    bandwidth: u64,
    bytes: usize,
) -> Result<bool> {
    let builder = Node::builder().name("client").region("hkg").listen(addr);
    let node = builder.seeds([server]).start().await?;
    let target = node.client::<TargetClient>().on_region("iad");
    target.wait(Duration::from_secs(10)).timeout(Duration::from_secs(10)).echo(0).await?;
    let alone = timed(target.echo(1)).await.0;

    let own = Duration::from_secs_f64(bytes as f64 / bandwidth as f64);
    let long = target.timeout(10 * own + Duration::from_secs(60));
    let long = tokio::spawn(async move { timed(long.large(bytes)).await });
    let (mut durations, mut failed) = (Vec::new(), 0);
    while !long.is_finished() {
        sleep(INTERVAL).await;
        let (took, result) = timed(target.echo(2)).await;
        durations.push(took);
        failed += u32::from(result.is_err());
    }
    let (took, reply) = long.await?;
    durations.sort();
    let calls = durations.len();
    let (median, slowest) = (durations[calls / 2], durations[calls - 1]);
    let arrived = reply.as_ref().is_ok_and(|reply| reply.len() == bytes);
    let ok = arrived && failed == 0 && took <= own.mul_f64(MAX_SLOWDOWN) + QUEUE;
    println!(
        "{:.0} kB/s: {bytes} bytes {} after {:.1} s (its bytes alone: {:.1} s); {calls} calls beside it, {failed} \
         failed, median {:.0} ms, slowest {:.0} ms (alone {:.1} ms): {}",
        bandwidth as f64 / 1e3,
        if arrived { "arrived" } else { "did not arrive" },
        took.as_secs_f64(),
        own.as_secs_f64(),
        median.as_secs_f64() * 1e3,
        slowest.as_secs_f64() * 1e3,
        alone.as_secs_f64() * 1e3,
        if ok { "ok" } else { "MISSED" }
    );
    if let Err(error) = reply {
        println!("  {error}");
    }
    Ok(ok)
}

async fn timed<T>(future: impl Future<Output = T>) -> (Duration, T) {
    let start = Instant::now();
    let output = future.await;
    (start.elapsed(), output)
}

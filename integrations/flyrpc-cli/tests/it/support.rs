//! Nodes on loopback, and the command.

use std::{net::SocketAddr, process::Stdio, sync::Arc, time::Duration};

use bytes::Bytes;
use flyrpc::{Denied, Keyring, Node, NodeBuilder, fly_rpc};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    process::Command,
    sync::Notify,
};

/// The service that the command calls.
#[fly_rpc]
pub(crate) trait Strings {
    /// Returns the text in uppercase.
    async fn upcase(&self, text: String) -> String;
    /// Saves a note.
    #[rpc(primary, idempotent)]
    async fn save(&self, note: String, dry_run: Option<bool>) -> Result<u64, String>;
    /// Returns the sum.
    async fn sum(&self, values: Vec<f32>, nothing: ()) -> f32;
    /// Denied by the rule of every node.
    async fn secret(&self);
    /// Panics.
    async fn panic(&self);
    /// Never returns.
    async fn hang(&self);
    /// Returns its argument.
    async fn echo(&self, value: Vec<Vec<Option<Bytes>>>) -> Vec<Vec<Option<Bytes>>>;
    /// Returns this number of bytes.
    async fn produce(&self, size: usize) -> Bytes;
    /// Returns a number that JSON cannot express.
    async fn nan(&self) -> Vec<f64>;
}

/// The implementation. `hanging` is notified when `hang` begins.
#[derive(Clone, Default)]
pub(crate) struct Handler {
    pub(crate) hanging: Arc<Notify>,
}

impl Strings for Handler {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }

    async fn save(&self, note: String, dry_run: Option<bool>) -> Result<u64, String> {
        match dry_run {
            Some(true) => Err(format!("dry run of {note:?}")),
            _ => Ok(u64::MAX),
        }
    }

    async fn sum(&self, values: Vec<f32>, _nothing: ()) -> f32 {
        values.into_iter().sum()
    }

    async fn secret(&self) {}

    async fn panic(&self) {
        panic!("boom");
    }

    async fn hang(&self) {
        self.hanging.notify_one();
        std::future::pending().await
    }

    async fn echo(&self, value: Vec<Vec<Option<Bytes>>>) -> Vec<Vec<Option<Bytes>>> {
        value
    }

    async fn produce(&self, size: usize) -> Bytes {
        vec![7; size].into()
    }

    async fn nan(&self) -> Vec<f64> {
        vec![1.0, f64::NAN]
    }
}

/// An address at which nothing listens. Tests that run at the same time use higher ports.
pub(crate) const CLOSED: &str = "127.0.0.1:1";

pub(crate) const SECRET: &str = "1111111111111111111111111111111111111111111111111111111111111111";
pub(crate) const OTHER_SECRET: &str =
    "2222222222222222222222222222222222222222222222222222222222222222";

/// A node that serves nothing. `name` begins with its region.
pub(crate) fn client(name: &str) -> NodeBuilder {
    let region = name.split('-').next().unwrap();
    Node::builder().name(name).region(region).primary_region("iad").drain_timeout(Duration::ZERO)
}

/// A node that serves [`Strings`].
pub(crate) fn node(name: &str) -> NodeBuilder {
    node_with(name, Handler::default())
}

pub(crate) fn node_with(name: &str, handler: Handler) -> NodeBuilder {
    client(name).version("2").serve(ServeStrings::new(handler)).authorize(|call| {
        if call.method() == "secret" { Err(Denied::new("nobody may")) } else { Ok(()) }
    })
}

pub(crate) fn keyring(secret: &str) -> Keyring {
    secret.parse().unwrap()
}

/// Starts iad-0, and the other nodes with it as their seed. Each is linked to iad-0 when this returns.
pub(crate) async fn start<const N: usize>(
    iad: NodeBuilder,
    others: [NodeBuilder; N],
) -> (Node, [Node; N]) {
    let iad = iad.start().await.unwrap();
    let mut started = Vec::new();
    for other in others {
        let other = other.seeds([iad.addr()]).start().await.unwrap();
        other.ready().await;
        started.push(other);
    }
    wait_until(&iad, || iad.nodes().len() == N + 1).await;
    (iad, started.try_into().unwrap())
}

/// Waits until `condition` holds. Checks it first and after each event of `node`.
pub(crate) async fn wait_until(node: &Node, mut condition: impl FnMut() -> bool) {
    let mut events = node.events();
    while !condition() {
        events.next().await.expect("the node is running");
    }
}

/// What the command printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn last_line(&self) -> &str {
        self.out.lines().last().unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The command, with a clean environment.
#[derive(Clone, Default)]
pub(crate) struct Flyrpc {
    addr: Option<String>,
    secret: Option<String>,
    stdin: String,
}

impl Flyrpc {
    pub(crate) fn at(addr: impl ToString) -> Self {
        Flyrpc { addr: Some(addr.to_string()), ..Flyrpc::default() }
    }

    pub(crate) fn secret(mut self, secret: &str) -> Self {
        self.secret = Some(secret.to_owned());
        self
    }

    pub(crate) fn stdin(mut self, text: impl Into<String>) -> Self {
        self.stdin = text.into();
        self
    }

    pub(crate) async fn run<const N: usize>(&self, args: [&str; N]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flyrpc"));
        command.args(args).env("LC_ALL", "C.UTF-8").kill_on_drop(true);
        for name in ["FLYRPC_ADDR", "FLYRPC_SECRET", "FLYRPC_SECRET_FILE"] {
            command.env_remove(name);
        }
        if let Some(addr) = &self.addr {
            command.env("FLYRPC_ADDR", addr);
        }
        if let Some(secret) = &self.secret {
            command.env("FLYRPC_SECRET", secret);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that does not read its standard input closes the pipe.
        let _ = stdin.write_all(self.stdin.as_bytes()).await;
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran {
            code: output.status.code().expect("no signal ended it"),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

/// Forwards TCP connections to a node, like `fly proxy`. UDP has no way through. Returns the address to connect to.
pub(crate) async fn tcp_proxy(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut inbound, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(mut outbound) = TcpStream::connect(to).await {
                    let _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound).await;
                }
            });
        }
    });
    addr
}

/// Returns an address at which nothing listens now.
pub(crate) async fn free_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Replaces what differs from run to run: the boots of nodes, ports and times. Columns are two spaces apart.
pub(crate) fn normalized(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        let cells: Vec<String> = cells.map(normalized_cell).collect();
        let indent = line.len() - line.trim_start().len();
        format!("{}{}\n", " ".repeat(indent), cells.join("  "))
    });
    lines.collect()
}

fn normalized_cell(cell: &str) -> String {
    let is_time = ["µs", "ms", " s"].iter().any(|unit| cell.ends_with(unit))
        && cell.starts_with(|c: char| c.is_ascii_digit());
    if is_time {
        return "TIME".to_owned();
    }
    let words = cell.split(' ').map(|word| match word.rsplit_once('/') {
        Some((name, boot)) if boot.trim_end_matches([',', ':']).len() == 16 => {
            format!("{name}/BOOT")
        }
        _ => match word.split_once("127.0.0.1:") {
            Some((start, rest)) => {
                let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
                format!("{start}127.0.0.1:PORT{rest}")
            }
            None => word.to_owned(),
        },
    });
    words.collect::<Vec<_>>().join(" ")
}

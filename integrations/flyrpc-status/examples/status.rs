//! A cluster of three regions in one process, under load, and its status page.
//!
//! Prints the address of the page on the first line of standard output, and serves the page until standard input closes.

use std::{error::Error, io, net::Ipv4Addr, time::Duration};

use axum::Router;
use clap::Parser;
use flyrpc::{ErrorInfo, Node, NodeId, fly_rpc};
use tokio::{
    io::{AsyncReadExt as _, stdin},
    net::TcpListener,
    time::sleep,
};

/// The key of the example's cluster. A real one is secret.
const KEY: &str = "6d1f0b3c5a7e9d8c4b2a1f0e6d5c4b3a291807f6e5d4c3b2a1908f7e6d5c4b3a";

/// The regions, the primary first, and the names of the nodes in them.
const REGIONS: [(&str, &[&str]); 3] = [
    ("iad", &["iad-0", "iad-1", "iad-2"]),
    ("fra", &["fra-0", "fra-1"]),
    ("hkg", &["hkg-0", "hkg-1"]),
];

/// Serves the status page of a cluster of three regions.
#[derive(Debug, Parser)]
struct Flags {
    /// The port of the page on loopback. 0 chooses a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Leaves one node held, and one on an older version, so that the page has something to show.
    #[arg(long)]
    problems: bool,
}

/// Notes that users write.
#[fly_rpc]
pub trait Notes {
    /// Returns a note. Slow in some regions.
    async fn get(&self, id: u64) -> String;

    /// Saves a note. Fails if it is empty.
    #[rpc(primary)]
    async fn save(&self, note: String) -> Result<u64, ErrorInfo>;

    /// Searches all notes. Some searches take too long.
    async fn search(&self, text: String, limit: Option<u32>) -> Vec<u64>;
}

struct Store {
    delay: Duration,
}

impl Notes for Store {
    async fn get(&self, id: u64) -> String {
        sleep(self.delay / 4).await;
        format!("note {id}")
    }

    async fn save(&self, note: String) -> Result<u64, ErrorInfo> {
        sleep(self.delay).await;
        Ok(note.len() as u64)
    }

    async fn search(&self, text: String, _limit: Option<u32>) -> Vec<u64> {
        let factor = if text.starts_with("slow") { 10 } else { 3 };
        sleep(self.delay * factor).await;
        vec![text.len() as u64]
    }
}

/// Pictures, which only some nodes serve.
#[fly_rpc]
pub trait Pictures {
    /// Returns a smaller picture.
    async fn resize(&self, width: u32, height: u32) -> u64;
}

struct Resizer;

impl Pictures for Resizer {
    async fn resize(&self, width: u32, height: u32) -> u64 {
        sleep(Duration::from_millis(35)).await;
        u64::from(width) * u64::from(height)
    }
}

/// The version of `Notes` before the search had a limit.
mod older {
    use flyrpc::fly_rpc;

    /// Notes that users write.
    #[fly_rpc(name = "Notes")]
    pub trait Notes {
        /// Returns a note.
        async fn get(&self, id: u64) -> String;

        /// Searches all notes.
        async fn search(&self, text: String) -> Vec<u64>;
    }

    pub(super) struct Store;

    impl Notes for Store {
        async fn get(&self, id: u64) -> String {
            format!("note {id}")
        }

        async fn search(&self, text: String) -> Vec<u64> {
            vec![text.len() as u64]
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse();
    let nodes = cluster(flags.problems).await?;
    for node in &nodes {
        tokio::spawn(load(node.clone()));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, flags.port)).await?;
    println!("http://{}/", listener.local_addr()?);
    // In production, authentication belongs in front of the page.
    let app: Router = flyrpc_status::router(&nodes[0]);
    tokio::select! {
        served = axum::serve(listener, app) => served?,
        closed = stdin_closed() => closed?,
    }
    // The nodes end with the process.
    std::process::exit(0);
}

/// Starts the nodes. Each finds the others through the first one.
async fn cluster(problems: bool) -> Result<Vec<Node>, Box<dyn Error>> {
    let mut nodes: Vec<Node> = Vec::new();
    for (region, names) in REGIONS {
        for (index, name) in names.iter().enumerate() {
            let is_older = problems && *name == "fra-1";
            let delay = Duration::from_millis(if region == "hkg" { 24 } else { 6 });
            let builder = Node::builder()
                .name(*name)
                .cluster("notes")
                .region(region)
                .primary_region("iad")
                .version(if is_older { "2026.11.1" } else { "2026.11.2" })
                .secret(KEY.parse()?)
                .seeds(nodes.first().map(Node::addr));
            let builder = match is_older {
                true => builder.serve(older::ServeNotes::new(older::Store)),
                false => builder.serve(ServeNotes::new(Store { delay })),
            };
            let builder =
                if index == 0 { builder.serve(ServePictures::new(Resizer)) } else { builder };
            nodes.push(builder.start().await?);
        }
    }
    for node in &nodes {
        node.ready().await;
    }
    if problems && let Some(node) = nodes.last() {
        node.hold();
    }
    Ok(nodes)
}

/// Makes calls from one node, for as long as the process runs.
async fn load(node: Node) {
    let (notes, pictures): (NotesClient, PicturesClient) = (node.client(), node.client());
    let ids: Vec<NodeId> = node.nodes().iter().map(|node| node.id().clone()).collect();
    for number in 0_u64.. {
        let id = &ids[number as usize % ids.len()];
        // Some of these calls fail, which the page shows.
        let _ = notes.on_node(id).get(number).await;
        if number.is_multiple_of(5) {
            let _ = notes.on_primary().save("a note".to_owned()).await;
        }
        if number.is_multiple_of(7) {
            let text = if number.is_multiple_of(35) { "slow" } else { "fly" };
            let search = notes.on_node(id).timeout(Duration::from_millis(100));
            let _ = search.search(text.to_owned(), None).await;
        }
        if number.is_multiple_of(11) {
            let _ = pictures.nearest().resize(320, 200).await;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn stdin_closed() -> io::Result<()> {
    let (mut input, mut buffer) = (stdin(), [0; 1_024]);
    while input.read(&mut buffer).await? > 0 {}
    Ok(())
}

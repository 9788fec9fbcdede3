//! The processes of the tour: nodes, and a server that is not a node.

use std::{collections::BTreeMap, error::Error, io, net::SocketAddr};

use flyrpc::{Node, NodeInfo, Region};
use flyrpc_examples::{
    process::{self, Child, Signal},
    text::{TextClient, TextService},
    watch,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A node in its own process.
pub(crate) struct Member {
    pub(crate) child: Child,
    pub(crate) info: NodeInfo,
}

pub(crate) struct Cluster {
    /// The node in this process, in region fra.
    pub(crate) me: Node,
    pub(crate) text: TextClient,
    pub(crate) members: BTreeMap<String, Member>,
    /// The address of a process that is not a node.
    pub(crate) other_program: SocketAddr,
    _other_program: Child,
    seeds: String,
    logs: bool,
}

impl Cluster {
    /// Starts all processes, and waits until the node in this one is linked to all others.
    pub(crate) async fn start(logs: bool) -> Result<Self, Box<dyn Error>> {
        let mut other_program = Child::spawn(["other-program"], logs)?;
        let other_program_addr: SocketAddr = other_program.line().await?.parse()?;
        let alone = other_program_addr.to_string();
        let first = Member::start("iad-1", "127.0.0.1:0", &alone, logs)?.await?;
        let seeds = format!("{},{other_program_addr}", first.info.addr());

        let mut members = BTreeMap::from([("iad-1".to_owned(), first)]);
        let mut starting = Vec::new();
        for name in ["iad-2", "hkg-1", "syd-1"] {
            starting.push((name, Member::start(name, "127.0.0.1:0", &seeds, logs)?));
        }
        for (name, member) in starting {
            members.insert(name.to_owned(), member.await?);
        }
        let builder = Node::builder().name("fra-1").region("fra").primary_region("iad");
        let me = TextService::default().start(builder.seeds(seeds.split(','))).await?;
        let text = me.client();
        let _other_program = other_program;
        let cluster = Cluster {
            me,
            text,
            members,
            other_program: other_program_addr,
            _other_program,
            seeds,
            logs,
        };
        cluster.me.ready().await;
        for member in cluster.members.values() {
            watch::until_callable(&cluster.me, &member.info).await?;
        }
        Ok(cluster)
    }

    pub(crate) fn member(&mut self, name: &str) -> &mut Member {
        self.members.get_mut(name).expect("the tour started a node of this name")
    }

    /// Starts a node that has exited again, at the same address.
    pub(crate) async fn restart(&mut self, name: &str) -> io::Result<NodeInfo> {
        let at = self.member(name).info.addr().to_string();
        let member = Member::start(name, &at, &self.seeds, self.logs)?.await?;
        let info = member.info.clone();
        self.members.insert(name.to_owned(), member);
        Ok(info)
    }
}

impl Member {
    /// Starts a node in the region that its name begins with. The returned future completes when the
    /// node is up.
    fn start(
        name: &str,
        listen: &str,
        seeds: &str,
        logs: bool,
    ) -> io::Result<impl Future<Output = io::Result<Member>> + use<>> {
        let region = name.split('-').next().expect("a split has a first part");
        let mut child = Child::spawn(
            [
                ["node", "--name", name].as_slice(),
                &["--region", region, "--primary-region", "iad"],
                &["--listen", listen, "--seed", seeds],
            ]
            .concat(),
            logs,
        )?;
        Ok(async move {
            let info = child.node().await?;
            Ok(Member { child, info })
        })
    }
}

/// Shuts down all running nodes gracefully (SIGTERM). Returns true if all of them exited with success.
pub(crate) async fn stop(members: &mut BTreeMap<String, Member>) -> io::Result<bool> {
    let running = members.values_mut().filter(|member| member.child.pid().is_some());
    let running: Vec<&mut Member> = running.collect();
    for member in &running {
        member.child.signal(Signal::TERM)?;
    }
    let mut all = true;
    for member in running {
        all &= member.child.ended().await?.success();
    }
    Ok(all)
}

/// Returns the regions of the nodes in other processes, sorted by name.
pub(crate) fn regions(cluster: &Cluster) -> Vec<Region> {
    let mut regions: Vec<Region> =
        cluster.members.values().map(|member| member.info.region().clone()).collect();
    regions.dedup();
    regions
}

/// Runs a server that does not implement flyrpc. It replies to any input with an HTTP error, as web
/// servers do.
pub(crate) async fn run_other_program() -> Result<(), Box<dyn Error>> {
    process::end_with_parent();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        // An error on one connection does not affect the others.
        tokio::spawn(async move { drop(serve_stream(stream).await) });
    }
}

async fn serve_stream(mut stream: TcpStream) -> io::Result<()> {
    let mut asked = [0; 4096];
    if stream.read(&mut asked).await? > 0 {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await?;
        stream.shutdown().await?;
        while stream.read(&mut asked).await? > 0 {}
    }
    Ok(())
}

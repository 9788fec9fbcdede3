//! The processes of the deploy: starts, stops and replaces nodes.

use std::{
    error::Error,
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use flyrpc::{Node, NodeInfo};
use flyrpc_examples::{
    process::{Child, Signal},
    watch,
};

/// Time between two replacements, and before the first one.
const PAUSE: Duration = Duration::from_millis(250);

/// The version of the service that a node serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

impl Version {
    /// Returns the path of the program that serves this version, which was built beside this one.
    fn program(self) -> Result<PathBuf, Box<dyn Error>> {
        let name = format!("rollout-{self}{}", std::env::consts::EXE_SUFFIX);
        let program = std::env::current_exe()?.with_file_name(&name);
        if !program.exists() {
            let build = "cargo build --package flyrpc-rollout --bins";
            return Err(
                format!("{} does not exist: build it with `{build}`", program.display()).into()
            );
        }
        Ok(program)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V1 => "v1",
            Version::V2 => "v2",
        })
    }
}

/// A node in its own process, which is killed when this is dropped.
struct Member {
    name: String,
    child: Child,
    info: NodeInfo,
}

/// All nodes: the members in their own processes, and the client in this process.
pub(crate) struct Deploy {
    pub(crate) client: Node,
    members: Vec<Member>,
    logs: bool,
}

impl Deploy {
    /// Starts `nodes` nodes of v1 in each of the regions. The first region is the primary.
    pub(crate) async fn start(
        regions: &[&str],
        nodes: usize,
        logs: bool,
    ) -> Result<Self, Box<dyn Error>> {
        let client = Node::builder().name("client").region("ams").primary_region(regions[0]);
        let client = client.start().await?;
        let mut deploy = Deploy { client, members: Vec::new(), logs };
        for region in regions {
            for _ in 0..nodes {
                deploy.add(region, Version::V1).await?;
            }
        }
        Ok(deploy)
    }

    /// Starts one more node, on a free port.
    pub(crate) async fn add(
        &mut self,
        region: &str,
        version: Version,
    ) -> Result<(), Box<dyn Error>> {
        let others = self.members.iter().filter(|member| *member.info.region() == region);
        let name = format!("{region}-{}", others.count() + 1);
        let member = self.launch(&name, version, ([127, 0, 0, 1], 0).into()).await?;
        self.members.push(member);
        Ok(())
    }

    /// Replaces all nodes of these regions, one after another, and returns how long that took.
    pub(crate) async fn roll(
        &mut self,
        regions: &[&str],
        version: Version,
    ) -> Result<Duration, Box<dyn Error>> {
        let start = Instant::now();
        tokio::time::sleep(PAUSE).await;
        // Platforms send either signal.
        let mut signals = [Signal::TERM, Signal::INT].into_iter().cycle();
        for at in 0..self.members.len() {
            let region = self.members[at].info.region();
            if regions.iter().any(|rolled| region == *rolled) {
                let signal = signals.next().expect("a cycle never ends");
                self.replace(at, version, signal).await?;
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(start.elapsed())
    }

    async fn replace(
        &mut self,
        at: usize,
        version: Version,
        signal: Signal,
    ) -> Result<(), Box<dyn Error>> {
        let member = &mut self.members[at];
        let start = Instant::now();
        member.child.signal(signal)?;
        let status = member.child.ended().await?;
        let ended = start.elapsed();
        if !status.success() {
            return Err(format!("{} failed: {status}", member.name).into());
        }
        let (name, addr) = (member.name.clone(), member.info.addr());
        self.members[at] = self.launch(&name, version, addr).await?;
        let up = start.elapsed() - ended;
        eprintln!("  {name}: exited after {ended:.0?}, {version} accepts calls {up:.0?} later");
        Ok(())
    }

    /// Starts a node, and waits until the client has observed that it accepts calls. A real deploy
    /// runs health checks on each new node, which take longer.
    async fn launch(
        &self,
        name: &str,
        version: Version,
        listen: SocketAddr,
    ) -> Result<Member, Box<dyn Error>> {
        let region = name.split('-').next().expect("a split has a first part");
        let primary = self.client.primary_region().to_string();
        let seeds = self.members.iter().map(|member| member.info.addr());
        let seeds: Vec<String> =
            seeds.chain([self.client.addr()]).map(|addr| addr.to_string()).collect();
        let (listen, seeds) = (listen.to_string(), seeds.join(","));
        let who = ["--name", name, "--region", region, "--primary-region", &primary];
        let args = [who.as_slice(), &["--listen", &listen, "--seed", &seeds]].concat();
        let mut child = Child::spawn_program(&version.program()?, args, self.logs)?;
        let info = child.node().await?;
        watch::until_callable(&self.client, &info).await?;
        Ok(Member { name: name.to_owned(), child, info })
    }

    /// Shuts down all nodes gracefully.
    pub(crate) async fn stop(mut self) -> io::Result<()> {
        for member in &self.members {
            member.child.signal(Signal::TERM)?;
        }
        for member in &mut self.members {
            member.child.ended().await?;
        }
        self.client.shutdown().await;
        Ok(())
    }
}

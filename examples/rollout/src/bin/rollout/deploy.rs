//! The processes: started, told to end, replaced at the same address.

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

/// How long each new node is left to work before the next is replaced, and the first before that.
const PAUSE: Duration = Duration::from_millis(250);

/// Which of the two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

impl Version {
    /// The program that was built beside this one.
    fn program(self) -> Result<PathBuf, Box<dyn Error>> {
        let name = format!("rollout-{self}{}", std::env::consts::EXE_SUFFIX);
        let program = std::env::current_exe()?.with_file_name(&name);
        if !program.exists() {
            let build = "cargo build --package flyrpc-rollout --bins";
            return Err(
                format!("there is no {}: build it with `{build}`", program.display()).into()
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

/// A node in a process of its own. Dropping it kills it.
struct Member {
    name: String,
    child: Child,
    info: NodeInfo,
}

/// All nodes: those in processes of their own, and the one in this process that only calls.
pub(crate) struct Deploy {
    pub(crate) client: Node,
    members: Vec<Member>,
    logs: bool,
}

impl Deploy {
    /// Starts so many nodes of v1 in each of the regions. The first one is the primary.
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

    /// Starts one more node, at a free port.
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

    /// Replaces all nodes of these regions, one after another, and says how long that took.
    pub(crate) async fn roll(
        &mut self,
        regions: &[&str],
        version: Version,
    ) -> Result<Duration, Box<dyn Error>> {
        let start = Instant::now();
        tokio::time::sleep(PAUSE).await;
        // Either signal is one that platforms send.
        let mut signals = [Signal::TERM, Signal::INT].into_iter().cycle();
        for at in 0..self.members.len() {
            let region = self.members[at].info.region();
            if regions.iter().any(|rolled| region == *rolled) {
                let signal = signals.next().expect("it never ends");
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
            return Err(format!("{} ended with {status}", member.name).into());
        }
        let (name, addr) = (member.name.clone(), member.info.addr());
        self.members[at] = self.launch(&name, version, addr).await?;
        let up = start.elapsed() - ended;
        eprintln!("  {name}: ended after {ended:.0?}, {version} takes calls {up:.0?} later");
        Ok(())
    }

    /// Starts a node, and waits until the callers here know that it takes calls. A real deploy
    /// runs health checks on each new node, which take longer.
    async fn launch(
        &self,
        name: &str,
        version: Version,
        listen: SocketAddr,
    ) -> Result<Member, Box<dyn Error>> {
        let region = name.split('-').next().expect("a first part");
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

    /// Ends all nodes in good order.
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

//! What happens to the nodes of a cluster while it runs: they come, go, crash, and are replaced.

use std::{net::SocketAddr, time::Duration};

use flyrpc::{Env, Node, Region};
use tokio::time::timeout;

use super::{
    Release, Rollout, SimCluster, SimNode, State,
    release::{PORT, Program},
};

/// For how long a node may stop before it is killed: the longest `kill_timeout` of Fly.io.
const STOP_LIMIT: Duration = Duration::from_secs(300);

impl SimCluster {
    /// Adds a node to a region, with the release of the region's first node, and returns it once it
    /// is [settled](Self::settled).
    ///
    /// # Panics
    ///
    /// If that node cannot start or settle, or it would not be one of flyrpc. If the region has no
    /// node yet: then use [`add_node_with`](Self::add_node_with).
    pub async fn add_node(&self, region: impl Into<Region>) -> Node {
        let region = region.into();
        let release = self.release_in(&region).unwrap_or_else(|| {
            panic!(
                "region `{region}` has no node whose release another could have: \
                 use `add_node_with(\"{region}\", release)`"
            )
        });
        let name = self.add_node_with(region, release).await;
        self.node(name)
    }

    /// The release of the region's first node.
    fn release_in(&self, region: &Region) -> Option<Release> {
        let members = self.members();
        let first = members.iter().find(|member| member.env.region() == *region)?;
        Some(first.release.clone())
    }

    /// Adds a node with a release of its own, and returns its name once it is
    /// [settled](Self::settled). The region may be a new one.
    ///
    /// # Panics
    ///
    /// If the node cannot start or settle, or no round trip to its region is known.
    pub async fn add_node_with(&self, region: impl Into<Region>, release: Release) -> String {
        let region = region.into();
        let name = self.next_name(&region);
        self.add(name.clone(), &region, release);
        let seeds = self.addrs(|member| member.name != name);
        self.launch(&name, seeds).await;
        self.settled().await;
        name
    }

    /// Crashes a node: its process is gone in the middle of whatever it did. The other ends of its
    /// connections see a reset; new connections are refused.
    ///
    /// For a machine that vanishes without a word see [`SimNet::partition`](crate::SimNet::partition).
    ///
    /// # Panics
    ///
    /// If there is no such node, or it is down already.
    pub fn crash(&self, name: impl AsRef<str>) {
        let name = name.as_ref();
        self.assert_up(name, "crash");
        self.shared.net.kill(name);
        self.set_state(name, State::Down("has crashed"));
    }

    /// Shuts a node down as its operator would: it drains, leaves, and its process ends. One that
    /// has not ended after 300 s, frozen perhaps, is crashed.
    ///
    /// # Panics
    ///
    /// If there is no such node, or it is down already.
    pub async fn shutdown(&self, name: impl AsRef<str>) {
        let name = name.as_ref();
        self.assert_up(name, "shut down");
        let node = self.with(name, |member| member.state.node().cloned());
        self.note(format!("shut down {name}"));
        let ended = match node {
            Some(node) => timeout(STOP_LIMIT, node.shutdown()).await.is_ok(),
            None => false,
        };
        if !ended {
            self.shared.net.kill(name);
        }
        self.set_state(name, State::Down("was shut down"));
    }

    /// Starts a node again that has crashed or was shut down, at the same address, and returns once
    /// it is up and has looked for the others: [`settled`](Self::settled) waits for more. As a new
    /// boot it has another [`NodeId`](flyrpc::NodeId).
    ///
    /// # Panics
    ///
    /// If there is no such node, it is running, or it cannot start.
    pub async fn restart(&self, name: impl AsRef<str>) {
        let name = name.as_ref();
        assert!(
            !self.is_up(name),
            "node `{name}` is running: `crash` it or shut it down before you restart it, or \
             `replace` it with another release"
        );
        self.relaunch(name).await;
    }

    /// Replaces a node by one of another release, as a deploy does: shuts it down if it is up, starts
    /// the other at the same address, and returns once all nodes are [settled](Self::settled).
    ///
    /// # Panics
    ///
    /// If there is no such node, or the new one cannot start or settle.
    pub async fn replace(&self, name: impl AsRef<str>, release: Release) {
        let name = name.as_ref();
        if self.is_up(name) {
            self.shutdown(name).await;
        }
        self.set_release(name, release);
        self.relaunch(name).await;
        self.settled().await;
    }

    /// Replaces all nodes by ones of another release, one after another in the order in which they
    /// were added: a rolling deploy. Await it beside whatever goes on meanwhile.
    ///
    /// ```
    /// # use flyrpc_testkit::{Release, SimCluster};
    /// # async fn load() {}
    /// # async fn roll(cluster: SimCluster, v2: Release) {
    /// tokio::join!(cluster.roll(v2), load());
    /// # }
    /// ```
    pub fn roll(&self, release: Release) -> Rollout<'_> {
        Rollout::new(self, release)
    }

    fn assert_up(&self, name: &str, what: &str) {
        let down = self.with(name, |member| match member.state {
            State::Down(why) => Some(why),
            State::Running(_) | State::Other => None,
        });
        if let Some(why) = down {
            panic!("node `{name}` {why} already: `restart` it before you {what} it again");
        }
    }

    async fn relaunch(&self, name: &str) {
        let env = self.shared.net.restart(name);
        self.with(name, |member| member.env = env);
        let seeds = self.addrs(|member| member.name != name);
        self.launch(name, seeds).await;
        let node = self.with(name, |member| member.state.node().cloned());
        if let Some(node) = node {
            node.ready().await;
        }
    }

    /// Starts what is to run on a machine that is up, and returns its address.
    pub(super) async fn launch(&self, name: &str, seeds: Vec<SocketAddr>) -> SocketAddr {
        let (env, release) = self.with(name, |member| (member.env.clone(), member.release.clone()));
        let addr = env.addr(PORT);
        let state = match release.program {
            Program::Nothing => State::Other,
            Program::Other(program) => {
                env.spawn(program(env.clone()));
                State::Other
            }
            Program::Flyrpc(setups) => {
                let node = SimNode {
                    name: name.to_owned(),
                    region: env.region(),
                    primary_region: self.shared.primary.clone(),
                    env: env.clone(),
                };
                let builder = Node::builder()
                    .env(env.clone())
                    .name(name)
                    .region(node.region().clone())
                    .primary_region(self.shared.primary.clone())
                    .listen(addr)
                    .seeds(seeds)
                    .encode_local_calls(self.shared.force_wire)
                    .observer(self.shared.log.observer(name, node.region()));
                let node = setups.start(node, builder).await;
                State::Running(
                    node.unwrap_or_else(|error| panic!("node `{name}` cannot start: {error}")),
                )
            }
        };
        self.set_state(name, state);
        addr
    }
}

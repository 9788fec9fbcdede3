//! The life of the nodes of a cluster: they are added, crashed, shut down, restarted and replaced.

use std::{net::SocketAddr, time::Duration};

use flyrpc::{Env, Node, Region};
use tokio::time::timeout;

use super::{
    release::{PORT, Program, Release, SimNode},
    sim_cluster::{NodeState, SimCluster},
};

/// How long a shutdown may take before the node is crashed: the longest `kill_timeout` of Fly.io.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(300);

impl SimCluster {
    /// Adds a node to a region, with the release of the region's first node, and returns it once it
    /// is [settled](Self::settled).
    ///
    /// # Panics
    ///
    /// If the node cannot start or settle, if its release does not run flyrpc, or if the region has no
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

    /// Crashes a node, as `kill -9` does: its process ends at once, and its machine stays up. The other
    /// ends of its connections see a reset; new connections are refused. It lasts until
    /// [`restart`](Self::restart).
    ///
    /// [`crash_machine`](Self::crash_machine) takes the machine down, too. For a machine that is lost
    /// without a reset, [`partition`](Self::partition) it first.
    ///
    /// # Panics
    ///
    /// If there is no such node, or it is down already.
    #[track_caller]
    pub fn crash(&self, name: impl AsRef<str>) {
        let name = name.as_ref();
        self.assert_up(name, "crash");
        self.kill(name);
    }

    /// Shuts a node down gracefully, as an operator does: it drains, leaves, and its process ends. If
    /// that takes longer than 300 s, because it is frozen for example, it is crashed.
    ///
    /// Dropping the future leaves the node running, possibly draining.
    ///
    /// # Panics
    ///
    /// If there is no such node, or it is down already.
    pub async fn shutdown(&self, name: impl AsRef<str>) {
        let name = name.as_ref();
        self.assert_up(name, "shut down");
        let node = self.with_member(name, |member| member.state.node().cloned());
        self.note(format!("shut down {name}"));
        let ended = match node {
            Some(node) => timeout(SHUTDOWN_TIMEOUT, node.shutdown()).await.is_ok(),
            None => false,
        };
        if !ended {
            self.shared.net.kill(name);
        }
        self.set_state(name, NodeState::Down("was shut down"));
    }

    /// Restarts a node that has crashed or was shut down, at the same address, and returns once it is
    /// [ready](Node::ready); [`settled`](Self::settled) waits until all nodes are linked. As a new boot
    /// it has another [`NodeId`](flyrpc::NodeId).
    ///
    /// Dropping the future leaves the node down, or starting.
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
    /// the new one at the same address, and returns once all nodes are [settled](Self::settled).
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

    #[track_caller]
    fn assert_up(&self, name: &str, action: &str) {
        let down = self.with_member(name, |member| match member.state {
            NodeState::Down(reason) => Some(reason),
            NodeState::Running(_) | NodeState::Other => None,
        });
        if let Some(reason) = down {
            panic!("node `{name}` {reason} already: `restart` it before you {action} it again");
        }
    }

    async fn relaunch(&self, name: &str) {
        let env = self.shared.net.restart(name);
        self.with_member(name, |member| member.env = env);
        let seeds = self.addrs(|member| member.name != name);
        self.launch(name, seeds).await;
        let node = self.with_member(name, |member| member.state.node().cloned());
        if let Some(node) = node {
            node.ready().await;
        }
    }

    /// Starts the program of a node's release on its machine, and returns the node's address.
    pub(super) async fn launch(&self, name: &str, seeds: Vec<SocketAddr>) -> SocketAddr {
        let (env, release) =
            self.with_member(name, |member| (member.env.clone(), member.release.clone()));
        let addr = env.addr(PORT);
        let state = match release.program {
            Program::Nothing => NodeState::Other,
            Program::Other(program) => {
                env.spawn(program(env.clone()));
                NodeState::Other
            }
            Program::Flyrpc(setup) => {
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
                let node = setup.start(node, builder).await;
                NodeState::Running(
                    node.unwrap_or_else(|error| panic!("node `{name}` cannot start: {error}")),
                )
            }
        };
        self.set_state(name, state);
        addr
    }
}

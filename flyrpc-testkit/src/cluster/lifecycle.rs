//! The lifecycle of nodes: add, crash, shut down, restart and replace.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::pin,
    time::Duration,
};

use flyrpc::{Env, Node, Region};
use tokio::time::timeout;

use super::{
    call_site::CallSite,
    release::{PORT, Program, Release, SimNode},
    sim_cluster::{NodeState, SimCluster},
};

/// Upper bound on the duration of a shutdown, after which the node is crashed. This is the longest
/// `kill_timeout` of Fly.io.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(300);

impl SimCluster {
    /// Adds a node to a region, with the release of the region's first node. Returns the node once the
    /// cluster has [settled](Self::settled).
    ///
    /// # Panics
    ///
    /// If the node cannot start, if the cluster does not settle, if the release does not run flyrpc, or
    /// if the region has no node yet. To add the first node of a region, use
    /// [`add_node_with`](Self::add_node_with).
    #[track_caller]
    pub fn add_node(&self, region: impl Into<Region>) -> impl Future<Output = Node> + Send {
        let region = region.into();
        let Some(release) = self.release_in(&region) else {
            panic!(
                "region `{region}` has no node whose release a new node could run: \
                 use `add_node_with(\"{region}\", release)`"
            )
        };
        let added = self.add_node_with(region, release);
        async { self.node(added.await) }
    }

    /// Returns the release of the region's first node.
    fn release_in(&self, region: &Region) -> Option<Release> {
        let members = self.members();
        let first = members.iter().find(|member| member.env.region() == *region)?;
        Some(first.release.clone())
    }

    /// Adds a node that runs `release`. Returns its name once the cluster has
    /// [settled](Self::settled). The region may be a new one.
    ///
    /// # Panics
    ///
    /// If the node cannot start, if the cluster does not settle, or if no round trip to the region is
    /// known.
    #[track_caller]
    pub fn add_node_with(
        &self,
        region: impl Into<Region>,
        release: Release,
    ) -> impl Future<Output = String> + Send {
        let (region, site) = (region.into(), CallSite::here());
        let name = self.next_name(&region);
        self.add(name.clone(), &region, release);
        let seeds = self.addrs(|member| member.name != name);
        async move {
            self.launch(&name, seeds, site).await;
            self.settled_at(site).await;
            name
        }
    }

    /// Crashes a node, as `kill -9` does. Its process ends immediately, and its machine stays up. The
    /// other ends of its connections see a reset, and new connections are refused. The node stays down
    /// until [`restart`](Self::restart).
    ///
    /// To crash the machine as well, use [`crash_machine`](Self::crash_machine). To lose a machine
    /// without a reset, [`partition`](Self::partition) it first.
    ///
    /// # Panics
    ///
    /// If there is no such node, or if it is already down.
    #[track_caller]
    pub fn crash(&self, name: impl AsRef<str>) {
        let name = name.as_ref();
        self.assert_up(name, "crash");
        self.kill(name);
    }

    /// Shuts a node down gracefully, as an operator does. The node drains and leaves the cluster, then
    /// its process ends. If this takes longer than 300 s, for example because the node is frozen, the
    /// node is crashed.
    ///
    /// Dropping the future leaves the node running, possibly draining.
    ///
    /// # Panics
    ///
    /// If there is no such node, or if it is already down.
    #[track_caller]
    pub fn shutdown(&self, name: impl AsRef<str>) -> impl Future<Output = ()> + Send {
        let name = name.as_ref().to_owned();
        self.assert_up(&name, "shut down");
        async move { self.shut_down(&name).await }
    }

    async fn shut_down(&self, name: &str) {
        let node = self.with_member(name, |member| member.state.node().cloned());
        self.note(format!("shut down {name}"));
        let ended = match node {
            Some(node) => timeout(SHUTDOWN_TIMEOUT, node.shutdown()).await.is_ok(),
            None => false,
        };
        if ended {
            self.shared.net.end_programs(name);
        } else {
            self.shared.net.kill(name);
        }
        self.set_state(name, NodeState::Down("was shut down"));
    }

    /// Restarts a node that has crashed or was shut down, at the same address. Returns once it is
    /// [ready](Node::ready). To wait until all nodes are linked, use [`settled`](Self::settled). The
    /// restart is a new boot, so the node has a new [`NodeId`](flyrpc::NodeId).
    ///
    /// Dropping the future leaves the node down or starting.
    ///
    /// # Panics
    ///
    /// If there is no such node, if it is running, or if it cannot start.
    #[track_caller]
    pub fn restart(&self, name: impl AsRef<str>) -> impl Future<Output = ()> + Send {
        let (name, site) = (name.as_ref().to_owned(), CallSite::here());
        assert!(
            !self.is_up(&name),
            "node `{name}` is running: `crash` it or shut it down before you restart it, or \
             `replace` its release"
        );
        async move { self.relaunch(&name, site).await }
    }

    /// Replaces the release of a node, as a deploy does. Shuts the node down if it is up, starts it
    /// with the new release at the same address, and returns once the cluster has
    /// [settled](Self::settled).
    ///
    /// # Panics
    ///
    /// If there is no such node, if it cannot start, or if the cluster does not settle.
    #[track_caller]
    pub fn replace(
        &self,
        name: impl AsRef<str>,
        release: Release,
    ) -> impl Future<Output = ()> + Send {
        let name = name.as_ref().to_owned();
        self.assert_exists(&name);
        self.replace_at(name, release, CallSite::here())
    }

    pub(super) async fn replace_at(&self, name: String, release: Release, site: CallSite) {
        if self.is_up(&name) {
            self.shut_down(&name).await;
        }
        self.set_release(&name, release);
        self.relaunch(&name, site).await;
        self.settled_at(site).await;
    }

    #[track_caller]
    fn assert_exists(&self, name: &str) {
        self.with_member(name, |_member| ());
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

    async fn relaunch(&self, name: &str, site: CallSite) {
        let env = self.shared.net.restart(name);
        self.with_member(name, |member| member.env = env);
        let seeds = self.addrs(|member| member.name != name);
        self.launch(name, seeds, site).await;
        let node = self.with_member(name, |member| member.state.node().cloned());
        if let Some(node) = node {
            node.ready().await;
        }
    }

    /// Starts the program of a node's release on its machine, and returns the node's address.
    pub(super) async fn launch(
        &self,
        name: &str,
        seeds: Vec<SocketAddr>,
        site: CallSite,
    ) -> SocketAddr {
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
                let mut start = pin!(setup.start(node, builder, self.shared.secret.as_ref()));
                // The code that starts the node runs on its machine.
                let node = poll_fn(|task| env.poll_as_program(|| start.as_mut().poll(task))).await;
                NodeState::Running(node.unwrap_or_else(|error| {
                    site.panic(format_args!("node `{name}` cannot start: {error}"))
                }))
            }
        };
        self.set_state(name, state);
        addr
    }
}

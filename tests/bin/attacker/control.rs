//! The attacks on nodes without a secret, and with the secret. There, they must have an effect.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flyrpc::Node;
use flyrpc_tests::{frames::Hello, replay_order::Order};

use crate::{
    Result,
    cluster::{OPEN, Settings, TARGET, wait_for_nodes},
    connection::Script,
    gossip::{self, Identity},
    hellos,
    impostor::Impostor,
    node::Counts,
    noise::Key,
    recording::{Recorder, Recording},
};

const NODES: usize = 3;

/// Upper bound on the attempts of each kind, and the time in which one has an effect.
const MAX_ROUNDS: u64 = 200;
const ROUND: Duration = Duration::from_millis(100);

/// Time in which no link ends, unless there is an attack.
const SETTLED: Duration = Duration::from_secs(2);

/// Time that a connection waits for a response.
const PATIENCE: Duration = Duration::from_millis(200);

/// Attacks open nodes, and sealed ones with their key, until everything has had an effect. Prints the effects, and
/// returns whether there were all of them.
pub(crate) async fn run(seed: u64) -> Result<bool> {
    // The port of addresses at which only the attacker listens.
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = udp.local_addr()?.port();
    let decoys = [1, 2].map(|number| SocketAddr::from((Ipv4Addr::new(127, 9, 100, number), port)));
    let mut gossip = Control::start("without a secret", &OPEN, &[]).await?;
    gossip.forge_gossip(&udp).await?;
    let other = OPEN.record().await?;
    let mut open = Control::start("without a secret", &OPEN, &decoys).await?;
    open.attack_with_hellos(None).await?;
    open.repeat_dialers(&other, seed).await?;
    open.answer(&decoys, seed).await?;

    let mut sealed = Control::start("with the secret", &TARGET, &[]).await?;
    let key = TARGET.key()?;
    sealed.attack_with_hellos(Some(&key)).await?;
    Ok(gossip.ok && open.ok && sealed.ok)
}

/// Nodes under attack.
struct Control {
    name: &'static str,
    nodes: Vec<Node>,
    counts: Arc<Counts>,
    /// A node whose connections to the others are recorded.
    witness: Node,
    witness_counts: Arc<Counts>,
    recorder: Recorder,
    /// Replies to calls of the attacker.
    replies: AtomicU64,
    ok: bool,
}

impl Control {
    async fn start(name: &'static str, cluster: &Settings, decoys: &[SocketAddr]) -> Result<Self> {
        let (counts, witness_counts) = (Arc::default(), Arc::default());
        let nodes = cluster.start(NODES, &counts, decoys).await?;
        let recorder = Recorder::new(&nodes.iter().map(Node::addr).collect::<Vec<_>>()).await?;
        let witness = recorder.start(cluster.counting("witness", &witness_counts, None)?).await?;
        let replies = AtomicU64::default();
        let control =
            Control { name, nodes, counts, witness, witness_counts, recorder, replies, ok: true };
        control.settle().await;
        Ok(control)
    }

    /// Waits until all nodes are linked, and no link of the witness has ended for some time.
    async fn settle(&self) {
        loop {
            let ended = self.witness_counts.links_closed();
            tokio::time::sleep(SETTLED).await;
            for node in self.nodes.iter().chain([&self.witness]) {
                wait_for_nodes(node, NODES + 1).await;
            }
            if self.witness_counts.links_closed() == ended {
                return;
            }
        }
    }

    fn recording(&self) -> Recording {
        self.recorder.recording()
    }

    fn target(&self) -> SocketAddr {
        self.nodes[0].addr()
    }

    async fn run(&self, scripts: impl IntoIterator<Item = Script>) {
        for script in scripts {
            let replies = script.run(self.target(), PATIENCE).await.unwrap_or(0);
            self.replies.fetch_add(replies, Ordering::Relaxed);
        }
    }

    /// Hellos of a foreign node and of the witness, sealed with the key if there is one, and requests after them.
    async fn attack_with_hellos(&mut self, key: Option<&Key>) -> Result<()> {
        // Nothing listens there.
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let foreign = |round| Identity::new("foreign", round, addr);
        let before = self.counts.links_opened();
        let invalid = hellos::invalid(0, addr);
        self.run(invalid.iter().map(|hello| Script::new(hello, key, b""))).await;
        let opened = self.counts.links_opened() - before;
        println!("{}: {opened} links by invalid hellos", self.name);
        self.ok &= opened == 0;

        let links = async |control: &Self, round| {
            control.run(hellos::links(&foreign(round), key, round)).await;
            Ok(())
        };
        self.expect("links by hellos", |control| control.counts.links_opened(), links).await?;
        self.expect("calls by hellos", |control| control.counts.foreign(), links).await?;
        let bursts = async |control: &Self, round| {
            let hello = hellos::hello(&foreign(round));
            control.run([Script::new(&hello, key, &hellos::burst(round))]).await;
            Ok(())
        };
        let replies = |control: &Self| control.replies.load(Ordering::Relaxed);
        self.expect("replies to bursts of calls", replies, bursts).await?;
        self.expect(
            "membership events by bursts of calls",
            |control| control.counts.events(),
            bursts,
        )
        .await?;
        let claims = async |control: &Self, _| {
            let hello = hellos::hello(&control.witness.info().into());
            control.run([Script::new(&hello, key, b"")]).await;
            Ok(())
        };
        let ended = |control: &Self| control.witness_counts.links_closed();
        self.expect("links of another node ended by hellos in its name", ended, claims).await
    }

    /// Repeats what dialers sent, in each order: the witness, and the nodes of another cluster.
    async fn repeat_dialers(&mut self, other: &Recording, seed: u64) -> Result<()> {
        let recording = self.recording();
        let repeat = async |control: &Self, recording: &Recording, round: u64| {
            let orders = Order::all(seed);
            let order = orders[round as usize % orders.len()];
            let dialers = order.apply(&recording.dialers);
            control.run(dialers.into_iter().map(Script::Bytes)).await;
            Ok(())
        };
        let own = async |control: &Self, round| repeat(control, &recording, round).await;
        let of_other = async |control: &Self, round| repeat(control, other, round).await;
        let opened = |control: &Self| control.counts.links_opened();
        let ended = |control: &Self| control.witness_counts.links_closed();
        self.expect("links of another node ended by its recorded connections", ended, own).await?;
        self.expect("links by recorded connections", opened, own).await?;
        self.expect("links by recorded connections of another cluster", opened, of_other).await
    }

    /// Answers nodes that dial the attacker.
    async fn answer(&mut self, [recorded, forged]: &[SocketAddr; 2], seed: u64) -> Result<()> {
        let acceptors = self.recording().acceptors;
        let all = Order::all(seed).iter().flat_map(|order| order.apply(&acceptors)).collect();
        let hello = hellos::hello(&Identity::new("foreign", 0, *forged));
        let answers: [(_, _, Vec<_>); 2] = [
            ("recorded answers", recorded, all),
            ("forged answers", forged, vec![Hello::encode(&hello)]),
        ];
        for (what, addr, answers) in answers {
            let _impostor = Impostor::listen(&[*addr], answers, PATIENCE).await?;
            let opened = |control: &Self| control.counts.links_opened();
            self.expect(&format!("links by {what}"), opened, async |_, _| Ok(())).await?;
        }
        Ok(())
    }

    async fn forge_gossip(&mut self, udp: &UdpSocket) -> Result<()> {
        let foreign = udp.local_addr()?;
        let members: Vec<_> = self.nodes.iter().map(|node| Identity::from(node.info())).collect();
        let forge = async |control: &Self, round| {
            for datagram in gossip::forged(&members[0], &members, foreign, round)? {
                udp.send_to(&datagram, control.target())?;
            }
            Ok(())
        };
        self.expect("membership events by gossip", |control| control.counts.events(), forge).await
    }

    /// Waits until no link opens or ends by itself, and attacks until `count` increases.
    async fn expect(
        &mut self,
        what: &str,
        count: impl Fn(&Self) -> u64,
        attack: impl AsyncFn(&Self, u64) -> Result<()>,
    ) -> Result<()> {
        self.settle().await;
        let before = count(self);
        let mut more = 0;
        for round in 0..MAX_ROUNDS {
            attack(self, round).await?;
            tokio::time::sleep(ROUND).await;
            more = count(self) - before;
            if more > 0 {
                break;
            }
        }
        println!("{}: {more} {what}", self.name);
        self.ok &= more > 0;
        Ok(())
    }
}

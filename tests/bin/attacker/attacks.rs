//! What an attacker without the secret can try.

use std::{
    fmt,
    io::{BufRead, Read},
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use flyrpc::Node;
use flyrpc_tests::{
    frames::{PREFACE, frame, kind},
    replay_order::Order,
};
use futures_util::future::{join_all, try_join_all};
use serde::{Deserialize, Serialize};

use crate::{
    Result,
    cluster::{OPEN, OTHER, SAME_ID},
    connection::Script,
    gossip::{self, Identity},
    hellos,
    impostor::Impostor,
    node::{TargetClient, cpu_time},
    noise::Key,
    plan::Plan,
    recording::{Recording, first_message},
};

/// The part of a core that the attacker uses. It is less than what the check permits, because a step may take long.
const SHARE: f64 = 0.095;

/// Time that a connection waits for a response.
const PATIENCE: Duration = Duration::from_millis(20);

/// What the attacker has tried.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Attempts {
    /// Rounds that were completed, in three orders in turn.
    pub(crate) rounds: u64,
    pub(crate) connections: u64,
    /// Connections that a node did not accept.
    pub(crate) not_accepted: u64,
    pub(crate) datagrams: u64,
    /// Connections of nodes that the attacker answered.
    pub(crate) answered: u64,
    /// Answers that some node has not received.
    pub(crate) missing_answers: u64,
    /// Calls of the attacker's own nodes, and how many of them were not refused.
    pub(crate) calls: u64,
    pub(crate) succeeded: u64,
    /// Replies to calls on the attacker's connections.
    pub(crate) replies: u64,
    /// Datagrams to an address in whose name the attacker asked for the members.
    pub(crate) reflected: u64,
    /// The part of a core that the attacker used.
    pub(crate) share: f64,
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attempts { rounds, connections, datagrams, answered, calls, .. } = self;
        write!(
            f,
            "tried {connections} connections, {datagrams} datagrams and {calls} calls in {rounds} complete rounds, \
             and answered {answered} connections of nodes"
        )
    }
}

/// Attacks until standard input ends, and prints what was tried.
pub(crate) async fn run(targets: &[SocketAddr]) -> Result<()> {
    static STOP: AtomicBool = AtomicBool::new(false);
    let throttle = Throttle(Instant::now());
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let plan: Plan = serde_json::from_str(&line)?;
    thread::spawn(|| {
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        STOP.store(true, Ordering::Relaxed);
    });
    let nodes = start_nodes(targets).await?;
    let impostors = Impostors::listen(&plan, targets).await?;
    // A program that is not part of the cluster.
    let foreign = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    foreign.set_nonblocking(true)?;
    let attack = Attack {
        targets,
        keys: [SAME_ID.key()?, OTHER.key()?],
        sockets: [
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?,
            UdpSocket::bind(plan.at_killed.ok_or("no node was killed")?)?,
        ],
        foreign: foreign.local_addr()?,
        plan,
        throttle,
        stop: &STOP,
    };
    let mut attempts = Attempts::default();
    while !STOP.load(Ordering::Relaxed) {
        attack.round(&mut attempts).await?;
        let calls = nodes.iter().map(async |node| {
            let target: TargetClient = node.client();
            let target = target.on_region("iad").timeout(Duration::from_millis(100));
            target.run(attempts.rounds).await.is_ok()
        });
        let succeeded = join_all(calls).await.into_iter().filter(|&succeeded| succeeded).count();
        attempts.calls += nodes.len() as u64;
        attempts.succeeded += succeeded as u64;
        while foreign.recv(&mut [0; 2048]).is_ok() {
            attempts.reflected += 1;
        }
    }
    impostors.count(&mut attempts);
    attempts.share = attack.throttle.share()?;
    println!("{}", serde_json::to_string(&attempts)?);
    Ok(())
}

/// Starts nodes without the secret, with another one, and of another cluster. They dial all the time.
async fn start_nodes(targets: &[SocketAddr]) -> Result<Vec<Node>> {
    let own = [
        OPEN.node("open")?,
        OTHER.node("other")?,
        SAME_ID.node("same-id")?,
        OTHER.node("else")?.cluster("else"),
    ];
    try_join_all(own.into_iter().map(async |node| Ok(node.seeds(targets).start().await?))).await
}

/// Limits the processor time of this process since the time that it contains.
struct Throttle(Instant);

impl Throttle {
    /// Sleeps until this process has used no more than its share of a core.
    async fn rest(&self) -> Result<()> {
        let due = cpu_time()?.div_f64(SHARE);
        tokio::time::sleep(due.saturating_sub(self.0.elapsed())).await;
        Ok(())
    }

    fn share(&self) -> Result<f64> {
        Ok(cpu_time()?.div_duration_f64(self.0.elapsed()))
    }
}

/// What answers the nodes that dial the attacker.
struct Impostors {
    /// One for each node.
    of_nodes: Vec<Impostor>,
    at_killed: Impostor,
}

impl Impostors {
    /// Answers with everything that acceptors sent, in each order, and then with what the attacker invents.
    async fn listen(plan: &Plan, targets: &[SocketAddr]) -> Result<Self> {
        let orders = Order::all(plan.seed);
        let acceptors = &plan.recording.acceptors;
        let mut answers: Vec<_> = orders.iter().flat_map(|order| order.apply(acceptors)).collect();
        let key_id = plan.recording.dialers.iter().find_map(|sent| key_id(sent));
        let foreign = plan.at_killed.ok_or("no node was killed")?;
        let claimed = [
            plan.member(targets[0])?.clone(),
            Identity::new("foreign", 0, foreign),
            plan.members.last().ok_or("there is no member")?.clone(),
        ];
        answers.extend(hellos::answers(&claimed, foreign, key_id.ok_or("no seal was recorded")?));
        let listen = |addrs: Vec<SocketAddr>| {
            let answers = answers.clone();
            async move { Impostor::listen(&addrs, answers, PATIENCE).await }
        };
        let of_nodes = try_join_all(plan.decoys.iter().cloned().map(listen)).await?;
        let at_killed = listen(vec![foreign]).await?;
        Ok(Impostors { of_nodes, at_killed })
    }

    fn count(&self, attempts: &mut Attempts) {
        let all = || self.of_nodes.iter().chain([&self.at_killed]);
        attempts.answered = all().map(Impostor::answered).sum();
        attempts.replies += all().map(Impostor::replies).sum::<u64>();
        attempts.missing_answers = self.of_nodes.iter().map(Impostor::missing).sum();
    }
}

struct Attack<'a> {
    targets: &'a [SocketAddr],
    plan: Plan,
    /// Keys that the targets do not hold. The first one has the id of the key that they hold.
    keys: [Key; 2],
    /// One of them has the address of a member that was killed.
    sockets: [UdpSocket; 2],
    /// The address of a program that is not part of the cluster.
    foreign: SocketAddr,
    throttle: Throttle,
    stop: &'a AtomicBool,
}

impl Attack<'_> {
    /// Attacks all nodes at the same time. Repeats what was recorded in the order of this round.
    async fn round(&self, attempts: &mut Attempts) -> Result<()> {
        let round = attempts.rounds;
        let orders = Order::all(self.plan.seed.wrapping_add(round));
        let order = orders[round as usize % orders.len()];
        let replayed = replays(&self.plan.recording, order, round);
        let datagrams = datagrams(&self.plan.recording, order, round);
        let attacks =
            (0..self.targets.len()).map(|at| self.on_node(at, round, &replayed, &datagrams));
        for [connections, not_accepted, datagrams, replies] in try_join_all(attacks).await? {
            attempts.connections += connections;
            attempts.not_accepted += not_accepted;
            attempts.datagrams += datagrams;
            attempts.replies += replies;
        }
        attempts.rounds += u64::from(!self.has_stopped());
        Ok(())
    }

    fn has_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Attacks one node. Returns the numbers of connections, of those that were not accepted, of datagrams and of replies.
    async fn on_node(
        &self,
        at: usize,
        round: u64,
        replayed: &[Script],
        datagrams: &[Vec<u8>],
    ) -> Result<[u64; 4]> {
        let target = self.targets[at];
        let [mut connections, mut not_accepted, mut sent, mut replies] = [0; 4];
        let to = self.plan.member(target)?;
        for script in self.forged_links(at, round)?.iter().chain(replayed) {
            if self.has_stopped() {
                break;
            }
            match script.run(target, PATIENCE).await {
                Ok(received) => {
                    connections += 1;
                    replies += received;
                }
                Err(_) => not_accepted += 1,
            }
            self.throttle.rest().await?;
        }
        let forged = gossip::forged(to, &self.plan.members, self.foreign, round)?;
        let socket = &self.sockets[round as usize % self.sockets.len()];
        for datagram in datagrams.iter().chain(&forged) {
            if self.has_stopped() {
                break;
            }
            sent += u64::from(socket.send_to(datagram, target).is_ok());
            self.throttle.rest().await?;
        }
        Ok([connections, not_accepted, sent, replies])
    }

    /// Links to a node with hellos that the attacker invents, in the names of members and others.
    fn forged_links(&self, at: usize, round: u64) -> Result<Vec<Script>> {
        let member = |at: usize| self.plan.member(self.targets[at % self.targets.len()]);
        let (to, other) = (member(at)?, member(at + 1)?);
        let later = Identity::new(&other.name, round, other.addr);
        let mut claimed = vec![to.clone(), other.clone(), later];
        claimed.extend(self.plan.members[self.targets.len()..].iter().cloned());
        let mut scripts = Vec::new();
        for claimed in &claimed {
            scripts.extend(hellos::links(claimed, None, round));
            let hello = hellos::hello(claimed);
            scripts.extend(self.keys.iter().map(|key| Script::new(&hello, Some(key), b"")));
        }
        for hello in hellos::invalid(round, self.foreign) {
            let keys = self.keys.iter().map(Some).chain([None]);
            scripts.extend(keys.map(|key| Script::new(&hello, key, b"")));
        }
        let dialers = &self.plan.recording.dialers;
        let recorded = dialers[round as usize % dialers.len()].as_slice();
        scripts.extend(hellos::bursts(other, &self.keys[0], first_message(recorded), round)?);
        Ok(scripts)
    }
}

/// The id of the key that a recorded dialer offered.
fn key_id(sent: &[u8]) -> Option<&[u8]> {
    first_message(sent)?.get(PREFACE.len() + 4..PREFACE.len() + 8)
}

/// Connections that repeat what dialers sent, entirely and in part, unchanged and changed.
fn replays(recording: &Recording, order: Order, round: u64) -> Vec<Script> {
    let seal = |key: &[u8], length: usize| {
        let message = [&[1][..], key, &vec![round as u8; length]].concat();
        [PREFACE, &frame(kind::SEAL, &[], &message)].concat()
    };
    let mut tried = vec![
        Vec::new(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        PREFACE[..5].to_vec(),
        seal(b"none", 100),
        seal(b"none", 20_000),
        // Longer than a node accepts.
        seal(b"none", 60_000),
        [PREFACE, &[0xff; 100]].concat(),
    ];
    for recorded in order.apply(&recording.dialers) {
        let cut = round as usize % recorded.len().max(1);
        tried.push(recorded[..cut].to_vec());
        tried.extend(first_message(&recorded).map(<[u8]>::to_vec));
        tried.push(changed(&recorded, round));
        // The recorded key id, with a message that was not sealed with the key.
        tried.extend(key_id(&recorded).map(|id| seal(id, 200)));
        tried.push(recorded);
    }
    tried.into_iter().map(Script::Bytes).collect()
}

/// The datagrams to send in one round, besides forged gossip.
fn datagrams(recording: &Recording, order: Order, round: u64) -> Vec<Vec<u8>> {
    let mut tried = vec![
        Vec::new(),
        vec![round as u8; 1200],
        [&[0xf1, 0x7c, 1, 5][..], b"local", &[0; 40]].concat(),
        [&[0xf1, 0x7c, 2][..], &[round as u8; 100]].concat(),
    ];
    for recorded in order.apply(&recording.datagrams) {
        tried.push(changed(&recorded, round));
        tried.push(recorded);
    }
    tried
}

/// Changes one bit, which depends on the round.
fn changed(recorded: &[u8], round: u64) -> Vec<u8> {
    let mut changed = recorded.to_vec();
    let at = (round as usize).wrapping_mul(7919) % (8 * changed.len().max(1));
    if let Some(byte) = changed.get_mut(at / 8) {
        *byte ^= 1 << (at % 8);
    }
    changed
}

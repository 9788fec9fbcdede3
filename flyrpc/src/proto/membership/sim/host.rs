//! One node: its membership, and what a runtime keeps for it besides.

use std::time::Duration;

use super::{ledger::Boot, network};
use crate::{
    codec,
    proto::membership::{MemberState, Membership, Settings},
    types::{NodeId, NodeInfo, Region},
};

/// How often members are synchronized with a random peer. These figures are those of the runtime.
const SYNC_PERIOD: Duration = Duration::from_secs(30);

/// The same, while no other member is known alive.
const SYNC_PERIOD_ALONE: Duration = Duration::from_secs(5);

/// The first pause between two attempts to dial; each failure doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);

/// The longest pause between two attempts to dial.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// A boot of a node that runs.
pub(super) struct Host {
    pub(super) membership: Membership,
    pub(super) boot: Boot,
    /// Nodes of different clusters refuse links to each other.
    pub(super) cluster: String,
    pub(super) seeds: Vec<Seed>,
    /// When its timer is due.
    pub(super) wake: Option<Duration>,
    /// When it synchronizes its members next.
    pub(super) next_sync: Duration,
    /// Until when it is frozen.
    pub(super) thaws: Option<Duration>,
    /// Whether an earlier boot ran at its address.
    pub(super) is_restarted: bool,
}

impl Host {
    pub(super) fn new(
        (node, region): (usize, &Region),
        boot: Boot,
        seeds: &[usize],
        settings: Settings,
        rng_seed: u64,
        now: Duration,
    ) -> Self {
        let info = NodeInfo::new(id(node, boot), region.clone(), network::addr(node));
        let cluster = settings.cluster.clone();
        let membership = Membership::new(&info, settings, rng_seed, now)
            .expect("the node's name, region and address are short and valid");
        let seeds = seeds.iter().copied().filter(|seed| *seed != node);
        Host {
            membership,
            boot,
            cluster,
            seeds: seeds.map(Seed::new).collect(),
            wake: None,
            next_sync: now + SYNC_PERIOD,
            thaws: None,
            is_restarted: false,
        }
    }

    /// The pause between two synchronizations.
    pub(super) fn sync_period(&self) -> Duration {
        if self.membership.is_alone() { SYNC_PERIOD_ALONE } else { SYNC_PERIOD }
    }

    /// How often this boot renewed its identity without need. One that took the address of an
    /// earlier boot with a greater number has to, once.
    pub(super) fn needless_renewals(&self) -> u64 {
        let renewals = self.membership.counters().renewals;
        renewals.saturating_sub(u64::from(self.is_restarted))
    }
}

/// The id of a boot, with a name as Fly.io gives them to its machines.
pub(crate) fn id(node: usize, boot: Boot) -> NodeId {
    NodeId::new(format!("{:014x}", 0x0148_e21f_9ad3_u64 * (node as u64 + 1)), boot)
}

/// The link to a seed, which is dialed for as long as there is none.
#[derive(Debug)]
pub(super) struct Seed {
    pub(super) node: usize,
    pub(super) linked: Option<Boot>,
    failures: u32,
}

impl Seed {
    fn new(node: usize) -> Self {
        Seed { node, linked: None, failures: 0 }
    }

    pub(super) fn link(&mut self, boot: Boot) {
        self.linked = Some(boot);
        self.failures = 0;
    }

    /// The pause after one more failure; `random` is between 0 and 1.
    pub(super) fn backoff(&mut self, random: f64) -> Duration {
        let backoff = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(10)).min(LONGEST_BACKOFF);
        self.failures += 1;
        backoff.mul_f64(0.75 + random / 2.0)
    }
}

/// A message of a synchronization, sent over a link.
#[derive(Debug)]
pub(super) enum Message {
    /// The digests of the node that begins.
    Digests(Vec<u64>),
    /// The other's digests, and the members that the first lacks.
    Response(Vec<u64>, Vec<MemberState>),
    /// The members that the other lacks.
    Members(Vec<MemberState>),
}

impl Message {
    /// Its length in bytes, without the few of a frame.
    pub(super) fn length(&self) -> u64 {
        match self {
            Message::Digests(digests) => length(digests),
            Message::Response(digests, states) => length(digests) + length(states),
            Message::Members(states) => length(states),
        }
    }
}

fn length(value: &impl serde::Serialize) -> u64 {
    let mut body = Vec::new();
    codec::encode(value, &mut body).expect("numbers and members can be encoded");
    body.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_dialed_less_and_less_often_up_to_a_bound() {
        let mut seed = Seed::new(0);
        let pauses: Vec<_> = (0..6).map(|_| seed.backoff(0.5).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 5000]);
        seed.link(1);
        assert_eq!(seed.backoff(0.5), FIRST_BACKOFF);
    }

    #[test]
    fn a_message_is_as_long_as_its_content() {
        assert_eq!(Message::Members(Vec::new()).length(), 1);
        let digests = Message::Digests(vec![u64::MAX; 64]).length();
        assert_eq!(digests, 3 + 64 * 9);
        let region = Region::from("sjc");
        let host = Host::new((1, &region), 7, &[], Settings::new("app"), 0, Duration::ZERO);
        let state = Message::Members(host.membership.difference(&[])).length();
        assert!((60..150).contains(&state), "{state} bytes");
    }
}

//! One node: its membership, and the other state that a runtime keeps for it.

use std::time::Duration;

use super::{ledger::Boot, network};
use crate::{
    codec,
    proto::membership::{MemberState, Membership, Settings},
    types::{NodeId, NodeInfo, Region},
};

/// The interval between syncs with a random peer. The values of this and the constants below match
/// the runtime.
const SYNC_PERIOD: Duration = Duration::from_secs(30);

/// The interval between syncs while no other live member is known.
const SYNC_PERIOD_ALONE: Duration = Duration::from_secs(5);

/// The first delay between two dial attempts. Each failure doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);

/// The longest delay between two dial attempts.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// A running boot of a node.
pub(super) struct Host {
    pub(super) membership: Membership,
    pub(super) boot: Boot,
    /// Nodes of different clusters refuse links to each other.
    pub(super) cluster: String,
    pub(super) seeds: Vec<Seed>,
    /// When the membership's timer is due.
    pub(super) wake: Option<Duration>,
    /// When the node syncs its members next.
    pub(super) next_sync: Duration,
    /// The time at which the node thaws, if it is frozen.
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

    /// The interval between two syncs.
    pub(super) fn sync_period(&self) -> Duration {
        if self.membership.is_alone() { SYNC_PERIOD_ALONE } else { SYNC_PERIOD }
    }

    /// Number of times this boot renewed its identity needlessly. A boot that took the address of
    /// an earlier boot with a greater number has to renew once.
    pub(super) fn needless_renewals(&self) -> u64 {
        let renewals = self.membership.counters().renewals;
        renewals.saturating_sub(u64::from(self.is_restarted))
    }
}

/// The id of a boot, with a name in the format of Fly.io's machine ids.
pub(crate) fn id(node: usize, boot: Boot) -> NodeId {
    NodeId::new(format!("{:014x}", 0x0148_e21f_9ad3_u64 * (node as u64 + 1)), boot)
}

/// The link to a seed. While there is no link, the seed is dialed repeatedly.
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

    /// Records another failure and returns the delay after it. `random` is between 0 and 1.
    pub(super) fn backoff(&mut self, random: f64) -> Duration {
        let backoff = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(10)).min(LONGEST_BACKOFF);
        self.failures += 1;
        backoff.mul_f64(0.75 + random / 2.0)
    }
}

/// A message of a sync, sent over a link.
#[derive(Debug)]
pub(super) enum Message {
    /// The digests of the node that starts the sync.
    Digests(Vec<u64>),
    /// The responder's digests, and the members that the initiator may lack.
    Response(Vec<u64>, Vec<MemberState>),
    /// The members that the responder may lack.
    Members(Vec<MemberState>),
}

impl Message {
    /// The message's length in bytes, without the frame header.
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
    fn the_delay_between_dials_of_a_seed_grows_up_to_a_bound() {
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

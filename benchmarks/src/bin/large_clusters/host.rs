//! One node: its membership, and what a node does for it that is neither a link nor a call.

use std::time::Duration;

use flyrpc::{
    __membership::{MemberState, Membership, Settings},
    NodeId, NodeInfo,
};

use crate::{ledger::Boot, network};

/// How often memberships are compared with a random peer. These figures are `cluster`'s.
const EXCHANGE_PERIOD: Duration = Duration::from_secs(30);

/// The same, while the members seem to be gone.
const EXCHANGE_ALONE: Duration = Duration::from_secs(5);

/// The first pause between two attempts to dial; each failure doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);

/// The longest pause between two attempts to dial.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// A boot of a node that runs.
pub(crate) struct Host {
    pub(crate) membership: Membership,
    pub(crate) boot: Boot,
    pub(crate) seeds: Vec<Seed>,
    /// When it wants to be woken.
    pub(crate) wake: Option<Duration>,
    /// When it compares members next.
    pub(crate) next_exchange: Duration,
    /// Whether it runs in place of an earlier boot.
    pub(crate) is_restarted: bool,
}

impl Host {
    pub(crate) fn new(
        node: usize,
        boot: Boot,
        seeds: &[usize],
        rng_seed: u64,
        now: Duration,
    ) -> Self {
        // Names as Fly.io gives them to its machines.
        let id = NodeId::new(format!("{:014x}", 0x0148_e21f_9ad3_u64 * (node as u64 + 1)), boot);
        let info = NodeInfo::new(id, network::region(node), network::addr(node));
        let membership = Membership::new(&info, Settings::new("my-app"), rng_seed, now)
            .expect("the node's name, region and address are short and valid");
        let seeds = seeds.iter().copied().filter(|seed| *seed != node);
        Host {
            membership,
            boot,
            seeds: seeds.map(Seed::new).collect(),
            wake: None,
            next_exchange: now + EXCHANGE_PERIOD,
            is_restarted: false,
        }
    }

    /// How long it waits between two comparisons.
    pub(crate) fn exchange_period(&self) -> Duration {
        if self.membership.is_alone() { EXCHANGE_ALONE } else { EXCHANGE_PERIOD }
    }

    /// How often this boot renewed its identity without need. One that took the address of an
    /// earlier boot with a greater number has to, once.
    pub(crate) fn needless_renewals(&self) -> u64 {
        let renewals = self.membership.counters().renewals;
        renewals.saturating_sub(u64::from(self.is_restarted))
    }
}

/// The link to a seed, which is dialled for as long as there is none.
#[derive(Debug)]
pub(crate) struct Seed {
    pub(crate) node: usize,
    pub(crate) linked: Option<Boot>,
    failures: u32,
}

impl Seed {
    fn new(node: usize) -> Self {
        Seed { node, linked: None, failures: 0 }
    }

    pub(crate) fn link(&mut self, boot: Boot) {
        self.linked = Some(boot);
        self.failures = 0;
    }

    /// The pause after one more failure; `random` is between 0 and 1.
    pub(crate) fn backoff(&mut self, random: f64) -> Duration {
        let backoff = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(10)).min(LONGEST_BACKOFF);
        self.failures += 1;
        backoff.mul_f64(0.75 + random / 2.0)
    }
}

/// What nodes tell each other over links.
#[derive(Debug)]
pub(crate) enum Message {
    /// The digests of whoever compares its members.
    Ask(Vec<u64>),
    Answer(Vec<u64>, Vec<MemberState>),
    Learn(Vec<MemberState>),
}

impl Message {
    /// Its length in bytes, without the few of a frame.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Message::Ask(digests) => length(digests),
            Message::Answer(digests, states) => length(digests) + length(states),
            Message::Learn(states) => length(states),
        }
    }
}

/// Bodies are MessagePack with names, as flyrpc's own encoder writes it.
fn length(value: &impl serde::Serialize) -> u64 {
    let mut counter = Counter(0);
    rmp_serde::encode::write_named(&mut counter, value).expect("counting does not fail");
    counter.0
}

struct Counter(u64);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_dialled_less_and_less_often_up_to_a_bound() {
        let mut seed = Seed::new(0);
        let pauses: Vec<_> = (0..6).map(|_| seed.backoff(0.5).as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 5000]);
        seed.link(1);
        assert_eq!(seed.backoff(0.5), FIRST_BACKOFF);
    }

    #[test]
    fn a_message_is_as_long_as_what_is_in_it() {
        assert_eq!(Message::Learn(Vec::new()).length(), 1);
        let digests = Message::Ask(vec![u64::MAX; 64]).length();
        assert_eq!(digests, 3 + 64 * 9);
        let host = Host::new(1, 7, &[], 0, Duration::ZERO);
        let state = Message::Learn(host.membership.difference(&[])).length();
        assert!((60..150).contains(&state), "{state} bytes");
    }
}

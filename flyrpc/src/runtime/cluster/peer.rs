//! One address as the cluster task knows it: who is there, the links to it, and when to dial it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::sync::oneshot;

use crate::{
    proto::routing::Entry,
    runtime::{
        link::{DialError, Link},
        shared::Known,
    },
    types::{NoSupport, NodeInfo, PeerState, Support},
};

/// The first pause between two attempts to dial; each failure doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);

/// The longest pause where nothing answers: an attempt costs next to nothing, and whoever starts
/// there is wanted soon.
const LONGEST_UNREACHABLE: Duration = Duration::from_secs(5);

/// The longest pause where something other than a node of this cluster answers, which may log it.
const LONGEST_UNSUPPORTED: Duration = Duration::from_secs(15);

/// A link that lasted so long was no failure.
const MIN_STABLE_LINK_AGE: Duration = Duration::from_secs(5);

/// For how long an address may fail before the first round of looking for nodes goes on without it.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// What is known of one address.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// The node there, by its link or else by the members.
    pub(super) info: Option<NodeInfo>,
    /// Whether the members of the cluster hold it up.
    pub(super) member: bool,
    /// Whether discovery lists it.
    pub(super) seed: bool,
    /// Where the node found at this address is reached, if it says that it is elsewhere.
    pub(super) alias_of: Option<SocketAddr>,
    /// The newest first.
    pub(super) links: Vec<Arc<Link>>,
    /// Whether it could not be reached since it last could.
    pub(super) lost: bool,
    /// Whether this boot said goodbye.
    pub(super) left: bool,
    /// Whether memberships were compared with it since it was first dialled.
    pub(super) exchanged: bool,
    pub(super) support: Option<NoSupport>,
    /// When it was first dialled.
    first_dial: Option<Duration>,
    dialling: bool,
    failures: u32,
    next_dial: Duration,
    /// When the newest link was opened.
    linked_at: Duration,
    waiting: Vec<oneshot::Sender<bool>>,
}

impl Peer {
    /// The link that new calls use.
    pub(super) fn link(&self) -> Option<&Arc<Link>> {
        self.links.iter().find(|link| link.is_open())
    }

    /// Whether there is anything here worth remembering.
    pub(super) fn is_known(&self) -> bool {
        self.member || self.seed || !self.links.is_empty()
    }

    /// Whether calls may be aimed there: it is a node, and has not left.
    pub(super) fn entry(&self) -> Option<Entry<Arc<Link>>> {
        let info = self.info.clone()?;
        let link = self.link().cloned();
        let other_protocol = matches!(self.support, Some(NoSupport::Protocol { .. }));
        let candidate = !self.left && (self.member || link.is_some() || other_protocol);
        let lost = self.lost && link.is_none();
        candidate.then_some(Entry { info, lost, link, other_protocol })
    }

    /// When to dial next, unless there is a link or an attempt under way.
    pub(super) fn next_dial(&self) -> Option<Duration> {
        // A seed that left may be started again, and need not know of this node then.
        let expected =
            if self.left { self.seed && self.links.is_empty() } else { self.seed || self.member };
        let wanted = expected && !self.dialling;
        (wanted && self.link().is_none()).then_some(self.next_dial)
    }

    /// Forgets former failures: others say that the node is up.
    pub(super) fn reset_backoff(&mut self, now: Duration) {
        self.failures = 0;
        self.next_dial = now;
    }

    /// Notes that an attempt begins. False if one is under way already.
    pub(super) fn begin_dial(&mut self, now: Duration) -> bool {
        self.first_dial.get_or_insert(now);
        !std::mem::replace(&mut self.dialling, true)
    }

    /// Has `done` told how the attempt under way, or the next, ends.
    pub(super) fn tell(&mut self, done: oneshot::Sender<bool>) {
        self.waiting.push(done);
    }

    /// Notes a link to the node here.
    pub(super) fn linked(&mut self, now: Duration, link: Arc<Link>) {
        if self.info.as_ref().is_none_or(|info| info.id() != link.peer().id()) {
            self.left = false;
        }
        self.info = Some(link.peer().clone());
        self.links.insert(0, link);
        self.lost = false;
        self.support = None;
        self.alias_of = None;
        self.linked_at = now;
        self.answer(true);
    }

    /// Notes that its last link broke. It is dialled again at once, after what `courtesy` demands;
    /// but if no link lasts, as to what only speaks like a node, then later and later.
    pub(super) fn unlinked(&mut self, now: Duration, courtesy: Duration, random: u64) {
        self.lost = true;
        let pause = if now.saturating_sub(self.linked_at) < MIN_STABLE_LINK_AGE {
            self.backoff(LONGEST_UNSUPPORTED, random)
        } else {
            self.failures = 0;
            Duration::ZERO
        };
        self.next_dial = now + pause.max(courtesy);
    }

    /// The pause after one more failure. `random` spreads those of many nodes.
    fn backoff(&mut self, longest: Duration, random: u64) -> Duration {
        let backoff = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(10)).min(longest);
        self.failures += 1;
        // Between three quarters and five quarters of it.
        backoff.mul_f64(0.75 + (random % 1024) as f64 / 2048.0)
    }

    /// Notes that an attempt has ended. `random` spreads the next ones of many nodes.
    pub(super) fn dialled(&mut self, now: Duration, error: Option<&DialError>, random: u64) {
        self.dialling = false;
        let Some(error) = error else { return };
        let support = NoSupport::from(error);
        self.alias_of = None;
        let longest = match support {
            NoSupport::Unreachable(_) => LONGEST_UNREACHABLE,
            _ => LONGEST_UNSUPPORTED,
        };
        self.next_dial = now + self.backoff(longest, random);
        let linked = self.link().is_some();
        if !linked {
            self.lost = true;
            self.support = Some(support);
            if let DialError::OtherVersions { node: Some(node), .. } = error {
                self.left = false;
                self.info = Some(node.clone());
            }
        }
        self.answer(linked);
    }

    fn answer(&mut self, linked: bool) {
        for waiting in self.waiting.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = waiting.send(linked);
        }
    }

    /// Whether the first round of looking for nodes need not wait for this address any more.
    pub(super) fn is_settled(&self, now: Duration) -> bool {
        let answered = match &self.support {
            None => self.exchanged,
            Some(NoSupport::Unreachable(_)) => false,
            Some(_) => true,
        };
        answered || self.settles_at().is_some_and(|at| at <= now)
    }

    /// When it is settled however it ends.
    pub(super) fn settles_at(&self) -> Option<Duration> {
        self.first_dial.map(|first| first + HANDSHAKE_TIMEOUT)
    }

    pub(super) fn state(&self) -> PeerState {
        if self.left {
            PeerState::Left
        } else if self.link().is_some() {
            PeerState::Linked
        } else if self.lost && self.info.is_none() {
            PeerState::Unreached
        } else if self.lost {
            PeerState::Lost
        } else {
            PeerState::Unlinked
        }
    }

    pub(super) fn support(&self) -> Support {
        match &self.support {
            Some(why) => Support::Unsupported(why.clone()),
            None if self.links.is_empty() => Support::Unknown,
            None => Support::Supported,
        }
    }

    pub(super) fn known(&self, addr: SocketAddr) -> Known {
        Known {
            addr,
            info: self.info.clone(),
            link: self.link().cloned(),
            state: self.state(),
            support: self.support(),
        }
    }
}

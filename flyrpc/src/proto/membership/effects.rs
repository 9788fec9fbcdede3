//! The foca state machine, and the destination of its effects.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use foca::{Foca, NoCustomBroadcast, Notification, PostcardCodec, Timer};
use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};

use super::{
    diagnostics::{Diagnostic, Diagnostics},
    envelope::Envelope,
    identity::Identity,
    members::MemberList,
    timers::Timers,
};

/// foca's state machine with this crate's identities, the postcard codec and a seeded random number
/// generator.
pub(super) type Gossip = Foca<Identity, PostcardCodec, Xoshiro256PlusPlus, NoCustomBroadcast>;

pub(super) fn new_gossip(identity: Identity, config: foca::Config, seed: u64) -> Gossip {
    Foca::new(identity, config, Xoshiro256PlusPlus::seed_from_u64(seed), PostcardCodec)
}

/// Receives foca's effects during one step.
pub(super) struct Effects<'a> {
    pub(super) local_addr: SocketAddr,
    pub(super) now: Duration,
    pub(super) envelope: &'a mut Envelope,
    pub(super) timers: &'a mut Timers,
    pub(super) members: &'a mut MemberList,
    pub(super) outbox: &'a mut VecDeque<(SocketAddr, Vec<u8>)>,
    pub(super) diagnostics: &'a mut Diagnostics,
}

impl foca::Runtime<Identity> for Effects<'_> {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        if let Notification::Rejoin(renewed) = notification {
            self.diagnostics.push(Diagnostic::Rejoined { bump: renewed.bump() });
        }
        self.members.on_notification(&notification);
    }

    fn send_to(&mut self, to: Identity, packet: &[u8]) {
        // foca also announces this node to members that are down. An earlier boot at this node's
        // address may be one of them.
        if to.addr() != self.local_addr {
            let datagram = self.envelope.wrap(to.addr(), packet);
            self.outbox.push_back((to.addr(), datagram));
        }
    }

    fn submit_after(&mut self, timer: Timer<Identity>, after: Duration) {
        self.timers.set(timer, self.now + after);
    }
}

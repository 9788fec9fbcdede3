//! Datagrams after they are sent: lost, held, queued for a shaper, in flight, and delivered.

use super::{
    event_queue::Event,
    fabric::Fabric,
    faults::Conditions,
    host::Health,
    path_rngs::Use,
    sent::{Sent, Via},
    shaper::QueuedSend,
    socket::Packet,
};

#[derive(Default)]
pub(crate) struct Datagrams {
    /// Datagrams delayed by a hold.
    held: Vec<Packet>,
}

impl Datagrams {
    pub(crate) fn send(&mut self, packet: Packet, fabric: &mut Fabric) {
        fabric.tap.emit(|| Sent {
            from: packet.from,
            to: packet.to,
            via: Via::Datagram,
            bytes: packet.data.clone(),
        });
        let conditions = fabric.conditions(packet.path());
        let lost = conditions.loss > 0.0 && {
            let Fabric { path_rngs, topology, .. } = fabric;
            path_rngs.of(Use::Loss, packet.path(), topology).chance(conditions.loss)
        };
        if !lost {
            self.forward(packet, &conditions, fabric);
        }
    }

    fn forward(&mut self, packet: Packet, conditions: &Conditions, fabric: &mut Fabric) {
        if conditions.cut {
            return;
        }
        let path = packet.path();
        if conditions.held {
            self.held.push(packet);
        } else if fabric.is_busy(path, conditions) {
            fabric.shapers.enqueue(path, QueuedSend::Datagram { packet, since: fabric.now });
        } else {
            transmit(packet, conditions, fabric);
        }
    }

    /// Sends a datagram that was queued for its shaper.
    pub(crate) fn on_shaper_free(&mut self, packet: Packet, fabric: &mut Fabric) {
        let conditions = fabric.conditions(packet.path());
        if conditions.is_open() {
            transmit(packet, &conditions, fabric);
        } else {
            self.forward(packet, &conditions, fabric);
        }
    }

    pub(crate) fn on_arrival(&mut self, packet: Packet, fabric: &mut Fabric) {
        let conditions = fabric.conditions(packet.path());
        if conditions.cut {
            return;
        }
        if conditions.held {
            self.held.push(packet);
            return;
        }
        let Packet { to_host, from, to, data, .. } = packet;
        let host = fabric.host(to_host);
        if host.health == Health::Crashed {
            return;
        }
        let socket = host.sockets.get_mut(&to.port());
        if let Some(socket) = socket.filter(|socket| socket.accepts(to.ip())) {
            let wakers = socket.push(data, from);
            fabric.pending_wakes.extend(wakers);
        }
    }

    /// Sends the datagrams that are no longer held.
    pub(crate) fn release_held(&mut self, fabric: &mut Fabric) {
        for packet in std::mem::take(&mut self.held) {
            let conditions = fabric.conditions(packet.path());
            self.forward(packet, &conditions, fabric);
        }
    }
}

fn transmit(packet: Packet, conditions: &Conditions, fabric: &mut Fabric) {
    let at = fabric.transmit(packet.path(), conditions, packet.data.len());
    fabric.events.schedule(at, Event::DatagramArrival(packet));
}

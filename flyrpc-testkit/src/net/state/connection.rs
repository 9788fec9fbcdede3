//! One connection, as the kernels of its two hosts see it: opening, data transfer, and closing.
//!
//! Each endpoint buffers outgoing messages until the path is open and the peer has room. After that, a
//! message is in flight and cannot be recalled. A kernel runs independently of programs, so connections
//! on a frozen host keep working.

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

use super::{
    endpoint::{Endpoint, Message, Phase},
    event_queue::Event,
    fabric::Fabric,
    faults::Conditions,
    host::Health,
    ids::{ConnId, HostId, Path, Side},
    sent::{Sent, Via},
    shaper::QueuedSend,
};

pub(crate) struct Connection {
    id: ConnId,
    initiator: Endpoint,
    acceptor: Endpoint,
}

impl Connection {
    /// Starts connecting.
    pub(crate) fn open(
        id: ConnId,
        from: (HostId, SocketAddr),
        to: (HostId, SocketAddr),
        fabric: &mut Fabric,
    ) -> Self {
        let (initiator, acceptor) = (Endpoint::new(from.0, from.1), Endpoint::new(to.0, to.1));
        let mut conn = Connection { id, initiator, acceptor };
        conn.initiator.has_reader = true;
        conn.initiator.has_writer = true;
        conn.send(Side::Initiator, Message::Syn, fabric);
        conn
    }

    /// Returns the source address of the connection, as its listener sees it.
    pub(crate) fn initiator_addr(&self) -> SocketAddr {
        self.initiator.addr
    }

    /// Returns whether no program holds the connection and none of its messages is left.
    pub(crate) fn is_finished(&self) -> bool {
        self.initiator.is_idle() && self.acceptor.is_idle()
    }

    pub(crate) fn poll_connected(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.initiator.phase {
            Phase::Connecting | Phase::SynReceived => {
                self.initiator.read_waker = Some(task.waker().clone());
                Poll::Pending
            }
            Phase::Open => Poll::Ready(Ok(())),
            Phase::Refused => {
                let message = format!("no listener at {}", self.acceptor.addr);
                Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionRefused, message)))
            }
            Phase::Closed | Phase::Broken => Poll::Ready(Err(reset())),
        }
    }

    pub(crate) fn poll_read(
        &mut self,
        side: Side,
        into: &mut ReadBuf<'_>,
        task: &mut Context<'_>,
        fabric: &mut Fabric,
    ) -> Poll<io::Result<()>> {
        let (endpoint, _) = self.endpoints(side);
        if endpoint.unread_len > 0 {
            while let Some(first) = endpoint.unread.front_mut()
                && into.remaining() > 0
            {
                let part = first.split_to(first.len().min(into.remaining()));
                into.put_slice(&part);
                endpoint.unread_len -= part.len();
                if !first.has_remaining() {
                    endpoint.unread.pop_front();
                }
            }
            // The sender learns of the freed room immediately: simulated flow control takes no time.
            self.flush(side.other(), fabric);
            return Poll::Ready(Ok(()));
        }
        if endpoint.fin_received {
            return Poll::Ready(Ok(()));
        }
        if endpoint.phase == Phase::Broken {
            return Poll::Ready(Err(reset()));
        }
        endpoint.read_waker = Some(task.waker().clone());
        Poll::Pending
    }

    /// Returns the number of bytes that have arrived and were not read.
    pub(crate) fn readable(&mut self, side: Side) -> usize {
        self.endpoints(side).0.unread_len
    }

    pub(crate) fn poll_write(
        &mut self,
        side: Side,
        data: &[u8],
        task: &mut Context<'_>,
        fabric: &mut Fabric,
    ) -> Poll<io::Result<usize>> {
        let ConnId(id) = self.id;
        let (endpoint, peer) = self.endpoints(side);
        if endpoint.phase == Phase::Broken && !endpoint.fin_received {
            return Poll::Ready(Err(reset()));
        }
        if endpoint.phase == Phase::Broken || endpoint.fin_queued {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let taken = data.len().min(endpoint.write_room(fabric));
        if taken == 0 && !data.is_empty() {
            endpoint.write_waker = Some(task.waker().clone());
            return Poll::Pending;
        }
        if taken > 0 {
            let bytes = Bytes::copy_from_slice(&data[..taken]);
            endpoint.unsent_len += taken;
            fabric.tap.emit(|| Sent {
                from: endpoint.addr,
                to: peer.addr,
                via: Via::Stream { connection: id, by_dialer: side == Side::Initiator },
                bytes: bytes.clone(),
            });
            self.send(side, Message::Data(bytes), fabric);
        }
        Poll::Ready(Ok(taken))
    }

    /// Ends this endpoint's direction after the bytes that have been written.
    pub(crate) fn shutdown_write(&mut self, side: Side, fabric: &mut Fabric) {
        let (endpoint, _) = self.endpoints(side);
        if endpoint.phase == Phase::Open && !endpoint.fin_queued {
            endpoint.fin_queued = true;
            self.send(side, Message::Fin, fabric);
        }
    }

    pub(crate) fn set_low_water(&mut self, side: Side, bytes: usize, fabric: &mut Fabric) {
        let (endpoint, _) = self.endpoints(side);
        endpoint.set_low_water(bytes);
        if endpoint.write_room(fabric) > 0 {
            fabric.wake(&mut endpoint.write_waker);
        }
    }

    pub(crate) fn abort_on_close(&mut self, side: Side) {
        self.endpoints(side).0.abort_on_close = true;
    }

    pub(crate) fn drop_reader(&mut self, side: Side, fabric: &mut Fabric) {
        let (endpoint, _) = self.endpoints(side);
        endpoint.has_reader = false;
        if !endpoint.has_writer {
            self.close(side, fabric);
        }
    }

    pub(crate) fn drop_writer(&mut self, side: Side, fabric: &mut Fabric) {
        let (endpoint, _) = self.endpoints(side);
        endpoint.has_writer = false;
        let (abort_on_close, has_reader) = (endpoint.abort_on_close, endpoint.has_reader);
        if !abort_on_close {
            self.shutdown_write(side, fabric);
        }
        if !has_reader {
            self.close(side, fabric);
        }
    }

    /// Drops both halves of an endpoint, after its connect future was dropped, or because the connection
    /// was never accepted.
    pub(crate) fn abandon(&mut self, side: Side, fabric: &mut Fabric) {
        let (endpoint, _) = self.endpoints(side);
        endpoint.has_reader = false;
        endpoint.has_writer = false;
        endpoint.abort_on_close = true;
        self.close(side, fabric);
    }

    /// Closes an endpoint. Like Linux, resets the connection if received bytes are unread. The peer then
    /// sees the end of the stream if it was already sent, or a reset otherwise.
    fn close(&mut self, side: Side, fabric: &mut Fabric) {
        let (endpoint, _) = self.endpoints(side);
        match endpoint.phase {
            Phase::Connecting => {
                // A response that still arrives causes a reset.
                endpoint.phase = Phase::Closed;
                endpoint.discard_unsent();
            }
            Phase::Open if endpoint.abort_on_close || endpoint.unread_len > 0 => {
                self.reset(side, fabric)
            }
            Phase::Open => endpoint.phase = Phase::Closed,
            Phase::SynReceived | Phase::Refused | Phase::Closed | Phase::Broken => {}
        }
    }

    /// Resets the connection from this endpoint: discards unsent messages, and notifies the peer.
    fn reset(&mut self, side: Side, fabric: &mut Fabric) {
        self.endpoints(side).0.mark_broken(fabric);
        self.send(side, Message::Reset, fabric);
    }

    /// Handles the crash of a host: its kernel resets the host's connections.
    pub(crate) fn on_host_crash(&mut self, host: HostId, fabric: &mut Fabric) {
        for side in [Side::Initiator, Side::Acceptor] {
            let (endpoint, _) = self.endpoints(side);
            let syn_not_received = side == Side::Acceptor && endpoint.phase == Phase::Connecting;
            if endpoint.host != host || endpoint.phase == Phase::Broken || syn_not_received {
                continue;
            }
            endpoint.unread.clear();
            endpoint.unread_len = 0;
            self.reset(side, fabric);
        }
    }

    fn send(&mut self, side: Side, message: Message, fabric: &mut Fabric) {
        self.endpoints(side).0.unsent.push_back(message);
        self.flush(side, fabric);
    }

    /// Sends as much as the path, the peer's buffer and the path's shaper allow.
    pub(crate) fn flush(&mut self, side: Side, fabric: &mut Fabric) {
        let id = self.id;
        let (endpoint, peer) = self.endpoints(side);
        if endpoint.awaits_shaper || !endpoint.can_send(peer, fabric) {
            return;
        }
        let path = Path { from: endpoint.host, to: peer.host };
        let Some(conditions) = fabric.open_path(path) else { return };
        if fabric.is_busy(path, &conditions) {
            endpoint.awaits_shaper = true;
            fabric.shapers.enqueue(path, QueuedSend::Stream { conn: id, from: side });
            return;
        }
        self.transmit(side, &conditions, fabric);
    }

    /// Sends the messages that were queued for the shaper, if the path is still open.
    pub(crate) fn on_shaper_free(&mut self, side: Side, fabric: &mut Fabric) {
        let (endpoint, peer) = self.endpoints(side);
        endpoint.awaits_shaper = false;
        if let Some(conditions) = fabric.open_path(Path { from: endpoint.host, to: peer.host }) {
            self.transmit(side, &conditions, fabric);
        }
    }

    fn transmit(&mut self, side: Side, conditions: &Conditions, fabric: &mut Fabric) {
        let id = self.id;
        let (endpoint, peer) = self.endpoints(side);
        let path = Path { from: endpoint.host, to: peer.host };
        while let Some(message) = endpoint.next_message(peer, conditions, fabric) {
            let bytes = message.len();
            endpoint.in_flight_len += bytes;
            // If the jitter of this message is lower, or if a delay fault has ended, this message is due
            // before earlier messages. It still arrives after them, because only the first message in
            // flight is considered.
            let at = fabric.transmit(path, conditions, bytes);
            if endpoint.in_flight.is_empty() {
                fabric.events.schedule(at, Event::StreamArrival { conn: id, from: side });
            }
            endpoint.in_flight.push_back((at, message));
            if fabric.is_busy(path, conditions) {
                break;
            }
        }
        if endpoint.write_room(fabric) > 0 {
            fabric.wake(&mut endpoint.write_waker);
        }
        if conditions.bandwidth.is_some() {
            // Queue the rest behind other senders.
            self.flush(side, fabric);
        }
    }

    /// Delivers the messages from `from` that are due, or requeues them if the path is cut or held.
    pub(crate) fn on_arrival(&mut self, from: Side, fabric: &mut Fabric) {
        loop {
            let id = self.id;
            let (endpoint, peer) = self.endpoints(from);
            let Some((at, _)) = endpoint.in_flight.front() else { return };
            if *at > fabric.now {
                fabric.events.schedule(*at, Event::StreamArrival { conn: id, from });
                return;
            }
            if fabric.open_path(Path { from: endpoint.host, to: peer.host }).is_none() {
                endpoint.requeue_in_flight();
                return;
            }
            let (_, message) =
                endpoint.in_flight.pop_front().expect("the first message is in flight");
            endpoint.in_flight_len -= message.len();
            self.on_message(from.other(), message, fabric);
        }
    }

    fn on_message(&mut self, side: Side, message: Message, fabric: &mut Fabric) {
        let (endpoint, _) = self.endpoints(side);
        if endpoint.phase == Phase::Broken {
            return;
        }
        match message {
            Message::Syn => self.on_syn(fabric),
            Message::SynAck if endpoint.phase == Phase::Connecting => {
                endpoint.phase = Phase::Open;
                fabric.wake(&mut endpoint.read_waker);
                self.send(side, Message::Ack, fabric);
            }
            Message::Ack => self.on_ack(fabric),
            Message::Refuse => {
                endpoint.phase = Phase::Refused;
                fabric.wake(&mut endpoint.read_waker);
            }
            Message::Data(data) if endpoint.phase == Phase::Open => {
                endpoint.unread_len += data.len();
                endpoint.unread.push_back(data);
                fabric.wake(&mut endpoint.read_waker);
            }
            Message::Fin if endpoint.phase == Phase::Open => {
                endpoint.fin_received = true;
                fabric.wake(&mut endpoint.read_waker);
            }
            Message::Reset => endpoint.mark_broken(fabric),
            // A closed endpoint accepts the end of the peer's stream, but no other message.
            Message::Fin => {}
            Message::SynAck | Message::Data(_) => self.reset(side, fabric),
        }
    }

    fn on_syn(&mut self, fabric: &mut Fabric) {
        let host = fabric.host(self.acceptor.host);
        if host.health == Health::Crashed {
            return;
        }
        let (phase, response) = match host.listener(self.acceptor.addr) {
            Some(_) => (Phase::SynReceived, Message::SynAck),
            None => (Phase::Closed, Message::Refuse),
        };
        self.acceptor.phase = phase;
        self.send(Side::Acceptor, response, fabric);
    }

    fn on_ack(&mut self, fabric: &mut Fabric) {
        let Some(backlog) = fabric.host(self.acceptor.host).listener(self.acceptor.addr) else {
            return self.reset(Side::Acceptor, fabric);
        };
        backlog.ready.push_back(self.id);
        let waker = backlog.accept_waker.take();
        fabric.pending_wakes.extend(waker);
        self.acceptor.phase = Phase::Open;
        self.acceptor.has_reader = true;
        self.acceptor.has_writer = true;
    }

    /// Returns the endpoint of this side, and its peer.
    fn endpoints(&mut self, side: Side) -> (&mut Endpoint, &mut Endpoint) {
        match side {
            Side::Initiator => (&mut self.initiator, &mut self.acceptor),
            Side::Acceptor => (&mut self.acceptor, &mut self.initiator),
        }
    }
}

fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "connection reset")
}

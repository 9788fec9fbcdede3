//! One endpoint of a connection: its buffers in the kernel, and its messages in flight.

use std::{collections::VecDeque, net::SocketAddr, task::Waker};

use bytes::Bytes;
use tokio::time::Instant;

use super::{fabric::Fabric, faults::Conditions, ids::HostId, shaper};

/// Upper bound on the unsent bytes of a new endpoint. flyrpc sets the same bound for real sockets.
const LOW_WATER: usize = 128 * 1024;

pub(crate) struct Endpoint {
    pub(crate) host: HostId,
    pub(crate) addr: SocketAddr,
    pub(crate) phase: Phase,
    /// Whether a program holds this half. The acceptor's endpoint has both halves while the connection
    /// waits in the backlog.
    pub(crate) has_reader: bool,
    pub(crate) has_writer: bool,
    pub(crate) abort_on_close: bool,
    /// Whether this endpoint has queued the end of its stream.
    pub(crate) fin_queued: bool,
    /// Whether this endpoint has received the end of the peer's stream.
    pub(crate) fin_received: bool,
    pub(crate) unread: VecDeque<Bytes>,
    pub(crate) unread_len: usize,
    pub(crate) unsent: VecDeque<Message>,
    pub(crate) unsent_len: usize,
    /// While this many bytes are unsent, writes are pending (`TCP_NOTSENT_LOWAT`).
    low_water: usize,
    /// Whether this endpoint is queued for the shaper of its path.
    pub(crate) awaits_shaper: bool,
    pub(crate) in_flight: VecDeque<(Instant, Message)>,
    pub(crate) in_flight_len: usize,
    pub(crate) read_waker: Option<Waker>,
    pub(crate) write_waker: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Connecting,
    /// The acceptor's kernel has sent [`Message::SynAck`], and waits for [`Message::Ack`].
    SynReceived,
    Open,
    Refused,
    /// Closed without an error. No program holds either half. Data that still arrives causes a reset.
    Closed,
    /// Reset by either endpoint, or because the host crashed. Bytes received earlier can still be read.
    Broken,
}

/// A message of the simulated transport, named after TCP's segments.
#[derive(Debug)]
pub(crate) enum Message {
    Syn,
    SynAck,
    Ack,
    Refuse,
    Data(Bytes),
    Fin,
    Reset,
}

impl Endpoint {
    pub(crate) fn new(host: HostId, addr: SocketAddr) -> Self {
        Endpoint {
            host,
            addr,
            phase: Phase::Connecting,
            has_reader: false,
            has_writer: false,
            abort_on_close: false,
            fin_queued: false,
            fin_received: false,
            unread: VecDeque::new(),
            unread_len: 0,
            unsent: VecDeque::new(),
            unsent_len: 0,
            low_water: LOW_WATER,
            awaits_shaper: false,
            in_flight: VecDeque::new(),
            in_flight_len: 0,
            read_waker: None,
            write_waker: None,
        }
    }

    pub(crate) fn discard_unsent(&mut self) {
        self.unsent.clear();
        self.unsent_len = 0;
    }

    pub(crate) fn mark_broken(&mut self, fabric: &mut Fabric) {
        self.phase = Phase::Broken;
        self.discard_unsent();
        fabric.wake(&mut self.read_waker);
        fabric.wake(&mut self.write_waker);
    }

    pub(crate) fn set_low_water(&mut self, bytes: usize) {
        self.low_water = bytes.max(1);
    }

    /// Returns how many bytes can be written now.
    pub(crate) fn write_room(&self, fabric: &Fabric) -> usize {
        self.low_water.min(fabric.buffer).saturating_sub(self.unsent_len)
    }

    /// Returns how many more bytes the peer has room for, in addition to the bytes in flight to it.
    fn peer_room(&self, peer: &Endpoint, fabric: &Fabric) -> usize {
        fabric.buffer.saturating_sub(self.in_flight_len + peer.unread_len)
    }

    pub(crate) fn can_send(&self, peer: &Endpoint, fabric: &Fabric) -> bool {
        match self.unsent.front() {
            Some(Message::Data(_)) => self.peer_room(peer, fabric) > 0,
            first => first.is_some(),
        }
    }

    /// Removes and returns the next message, or the part of it that can be sent now.
    pub(crate) fn next_message(
        &mut self,
        peer: &Endpoint,
        conditions: &Conditions,
        fabric: &Fabric,
    ) -> Option<Message> {
        if !self.can_send(peer, fabric) {
            return None;
        }
        let room = self.peer_room(peer, fabric);
        let segment = conditions.bandwidth.map(shaper::max_segment);
        let most = segment.map_or(room, |segment| room.min(segment));
        let message = match self.unsent.front_mut()? {
            Message::Data(data) if data.len() > most => Message::Data(data.split_to(most)),
            _ => self.unsent.pop_front()?,
        };
        self.unsent_len -= message.len();
        Some(message)
    }

    pub(crate) fn is_idle(&self) -> bool {
        !self.has_reader && !self.has_writer && self.unsent.is_empty() && self.in_flight.is_empty()
    }

    /// Moves all messages in flight back to the send queue. If only the messages that a fault stopped
    /// were sent again, later messages would overtake them.
    pub(crate) fn requeue_in_flight(&mut self) {
        for (_, message) in self.in_flight.drain(..).rev() {
            self.unsent.push_front(message);
        }
        self.unsent_len += std::mem::take(&mut self.in_flight_len);
    }
}

impl Message {
    /// Returns how many bytes of the stream the message carries.
    pub(crate) fn len(&self) -> usize {
        match self {
            Message::Data(data) => data.len(),
            _ => 0,
        }
    }
}

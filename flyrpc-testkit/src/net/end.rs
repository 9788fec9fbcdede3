//! One end of a connection: what its kernel keeps of it, and what it has in flight.

use std::{collections::VecDeque, net::SocketAddr, task::Waker};

use bytes::Bytes;
use tokio::time::Instant;

use super::{faults::Weather, host::HostId, line, wire::Wire};

pub(super) struct End {
    pub(super) host: HostId,
    pub(super) addr: SocketAddr,
    pub(super) phase: Phase,
    /// Which halves a program holds. A listener's end has both while it waits to be accepted.
    pub(super) reader: bool,
    pub(super) writer: bool,
    pub(super) aborts: bool,
    /// The end of the stream was queued here.
    pub(super) shut: bool,
    /// The end of the stream arrived here.
    pub(super) ended: bool,
    pub(super) unread: VecDeque<Bytes>,
    pub(super) unread_len: usize,
    pub(super) unsent: VecDeque<Message>,
    pub(super) unsent_len: usize,
    /// Waits for its turn on a line.
    pub(super) queued: bool,
    pub(super) flight: VecDeque<(Instant, Message)>,
    pub(super) flight_len: usize,
    pub(super) reading: Option<Waker>,
    pub(super) writing: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Opening,
    /// The listening host's kernel has answered, and waits for the confirmation.
    Welcomed,
    Open,
    Refused,
    /// No half is held, and nothing was wrong; whatever still arrives is answered with a reset.
    Closed,
    /// Reset from either end, or the host crashed. What was received before can still be read.
    Broken,
}

#[derive(Debug)]
pub(super) enum Message {
    Open,
    Welcome,
    Confirm,
    Refuse,
    Data(Bytes),
    End,
    Reset,
}

impl End {
    pub(super) fn new(host: HostId, addr: SocketAddr) -> Self {
        End {
            host,
            addr,
            phase: Phase::Opening,
            reader: false,
            writer: false,
            aborts: false,
            shut: false,
            ended: false,
            unread: VecDeque::new(),
            unread_len: 0,
            unsent: VecDeque::new(),
            unsent_len: 0,
            queued: false,
            flight: VecDeque::new(),
            flight_len: 0,
            reading: None,
            writing: None,
        }
    }

    pub(super) fn discard_unsent(&mut self) {
        self.unsent.clear();
        self.unsent_len = 0;
    }

    pub(super) fn break_off(&mut self, wire: &mut Wire) {
        self.phase = Phase::Broken;
        self.discard_unsent();
        wire.wake(&mut self.reading);
        wire.wake(&mut self.writing);
    }

    /// How many bytes the other end has room for, apart from those that are on their way to it.
    fn room(&self, other: &End, wire: &Wire) -> usize {
        wire.buffer.saturating_sub(self.flight_len + other.unread_len)
    }

    pub(super) fn can_send(&self, other: &End, wire: &Wire) -> bool {
        match self.unsent.front() {
            Some(Message::Data(_)) => self.room(other, wire) > 0,
            first => first.is_some(),
        }
    }

    /// Takes what can be sent at once.
    pub(super) fn next_message(
        &mut self,
        other: &End,
        weather: &Weather,
        wire: &Wire,
    ) -> Option<Message> {
        if !self.can_send(other, wire) {
            return None;
        }
        let room = self.room(other, wire);
        let most = weather.bandwidth.map_or(room, |bandwidth| room.min(line::segment(bandwidth)));
        let message = match self.unsent.front_mut()? {
            Message::Data(data) if data.len() > most => Message::Data(data.split_to(most)),
            _ => self.unsent.pop_front()?,
        };
        self.unsent_len -= message.len();
        Some(message)
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.reader && !self.writer && self.unsent.is_empty() && self.flight.is_empty()
    }

    /// Everything in flight must be sent again, or what follows would overtake what was stopped.
    pub(super) fn take_back(&mut self) {
        for (_, message) in self.flight.drain(..).rev() {
            self.unsent.push_front(message);
        }
        self.unsent_len += std::mem::take(&mut self.flight_len);
    }
}

impl Message {
    /// How many of the stream's bytes it carries.
    pub(super) fn len(&self) -> usize {
        match self {
            Message::Data(data) => data.len(),
            _ => 0,
        }
    }
}

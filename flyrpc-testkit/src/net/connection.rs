//! The life of one connection, as the two machines' kernels see it: opening, bytes, closing.
//!
//! Each end keeps what it was given to send until there is a passage and room at the other end;
//! then the message is in flight, and nothing calls it back. A machine's kernel acts without its
//! programs, so all of this goes on at a host that is frozen.

use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

use super::{
    end::{End, Message, Phase},
    faults::Weather,
    host::{Health, HostId},
    line::Turn,
    wire::{Event, Wire},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConnId(pub(super) u64);

/// An end of a connection: the one that connected, or the one that listened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Near,
    Far,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Near => Side::Far,
            Side::Far => Side::Near,
        }
    }
}

pub(super) struct Conn {
    id: ConnId,
    near: End,
    far: End,
}

impl Conn {
    /// Starts to open a connection.
    pub(super) fn open(
        id: ConnId,
        near: (HostId, SocketAddr),
        far: (HostId, SocketAddr),
        wire: &mut Wire,
    ) -> Self {
        let mut conn = Conn { id, near: End::new(near.0, near.1), far: End::new(far.0, far.1) };
        conn.near.reader = true;
        conn.near.writer = true;
        conn.send(Side::Near, Message::Open, wire);
        conn
    }

    /// Where the connection comes from, as its listener sees it.
    pub(super) fn near_addr(&self) -> SocketAddr {
        self.near.addr
    }

    /// Whether nothing of the connection is left to happen or to be seen.
    pub(super) fn is_over(&self) -> bool {
        self.near.is_idle() && self.far.is_idle()
    }

    pub(super) fn poll_opened(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.near.phase {
            Phase::Opening | Phase::Welcomed => {
                self.near.reading = Some(task.waker().clone());
                Poll::Pending
            }
            Phase::Open => Poll::Ready(Ok(())),
            Phase::Refused => {
                let message = format!("nothing listens at {}", self.far.addr);
                Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionRefused, message)))
            }
            Phase::Closed | Phase::Broken => Poll::Ready(Err(reset())),
        }
    }

    pub(super) fn poll_read(
        &mut self,
        side: Side,
        into: &mut ReadBuf<'_>,
        task: &mut Context<'_>,
        wire: &mut Wire,
    ) -> Poll<io::Result<()>> {
        let (end, _) = self.ends(side);
        if end.unread_len > 0 {
            while let Some(first) = end.unread.front_mut()
                && into.remaining() > 0
            {
                let part = first.split_to(first.len().min(into.remaining()));
                into.put_slice(&part);
                end.unread_len -= part.len();
                if !first.has_remaining() {
                    end.unread.pop_front();
                }
            }
            // The room is known to the sender at once: flow control takes no time here.
            self.depart(side.other(), wire);
            return Poll::Ready(Ok(()));
        }
        if end.ended {
            return Poll::Ready(Ok(()));
        }
        if end.phase == Phase::Broken {
            return Poll::Ready(Err(reset()));
        }
        end.reading = Some(task.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_write(
        &mut self,
        side: Side,
        data: &[u8],
        task: &mut Context<'_>,
        wire: &mut Wire,
    ) -> Poll<io::Result<usize>> {
        let (end, _) = self.ends(side);
        if end.phase == Phase::Broken && !end.ended {
            return Poll::Ready(Err(reset()));
        }
        if end.phase == Phase::Broken || end.shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let taken = data.len().min(wire.buffer.saturating_sub(end.unsent_len));
        if taken == 0 && !data.is_empty() {
            end.writing = Some(task.waker().clone());
            return Poll::Pending;
        }
        if taken > 0 {
            end.unsent_len += taken;
            self.send(side, Message::Data(Bytes::copy_from_slice(&data[..taken])), wire);
        }
        Poll::Ready(Ok(taken))
    }

    /// Ends this end's direction after what was written.
    pub(super) fn shut(&mut self, side: Side, wire: &mut Wire) {
        let (end, _) = self.ends(side);
        if end.phase == Phase::Open && !end.shut {
            end.shut = true;
            self.send(side, Message::End, wire);
        }
    }

    pub(super) fn abort_on_close(&mut self, side: Side) {
        self.ends(side).0.aborts = true;
    }

    pub(super) fn drop_reader(&mut self, side: Side, wire: &mut Wire) {
        let (end, _) = self.ends(side);
        end.reader = false;
        if !end.writer {
            self.close(side, wire);
        }
    }

    pub(super) fn drop_writer(&mut self, side: Side, wire: &mut Wire) {
        let (end, _) = self.ends(side);
        end.writer = false;
        let (aborts, reader) = (end.aborts, end.reader);
        if !aborts {
            self.shut(side, wire);
        }
        if !reader {
            self.close(side, wire);
        }
    }

    /// Gives both halves up: an attempt that is no longer waited for, or one never accepted.
    pub(super) fn abandon(&mut self, side: Side, wire: &mut Wire) {
        let (end, _) = self.ends(side);
        end.reader = false;
        end.writer = false;
        end.aborts = true;
        self.close(side, wire);
    }

    /// As Linux does, also resets the connection if what arrived was not all read. The other end
    /// then sees the end of the stream if that has set out already, and a reset otherwise.
    fn close(&mut self, side: Side, wire: &mut Wire) {
        let (end, _) = self.ends(side);
        match end.phase {
            Phase::Opening => {
                // An answer that still comes is answered with a reset.
                end.phase = Phase::Closed;
                end.discard_unsent();
            }
            Phase::Open if end.aborts || end.unread_len > 0 => self.reset(side, wire),
            Phase::Open => end.phase = Phase::Closed,
            Phase::Welcomed | Phase::Refused | Phase::Closed | Phase::Broken => {}
        }
    }

    /// Ends the connection from this end: discards what was not sent, and tells the other end.
    fn reset(&mut self, side: Side, wire: &mut Wire) {
        self.ends(side).0.break_off(wire);
        self.send(side, Message::Reset, wire);
    }

    /// The host of an end crashed. Its kernel's last act is to reset the connection.
    pub(super) fn crash(&mut self, host: HostId, wire: &mut Wire) {
        for side in [Side::Near, Side::Far] {
            let (end, _) = self.ends(side);
            let unaware = side == Side::Far && end.phase == Phase::Opening;
            if end.host != host || end.phase == Phase::Broken || unaware {
                continue;
            }
            end.unread.clear();
            end.unread_len = 0;
            self.reset(side, wire);
        }
    }

    fn send(&mut self, side: Side, message: Message, wire: &mut Wire) {
        self.ends(side).0.unsent.push_back(message);
        self.depart(side, wire);
    }

    /// Lets go what there is a passage and room for, once the line is free if there is one.
    pub(super) fn depart(&mut self, side: Side, wire: &mut Wire) {
        let id = self.id;
        let (end, other) = self.ends(side);
        if end.queued || !end.can_send(other, wire) {
            return;
        }
        let Some(weather) = wire.passage(end.host, other.host) else { return };
        let way = (end.host, other.host);
        if wire.is_busy(way, &weather) {
            end.queued = true;
            wire.lines.wait(way, Turn::Stream { conn: id, from: side });
            return;
        }
        self.set_out(side, &weather, wire);
    }

    /// Sends what it can of what waited for its turn.
    pub(super) fn take_turn(&mut self, side: Side, wire: &mut Wire) {
        let (end, other) = self.ends(side);
        end.queued = false;
        if let Some(weather) = wire.passage(end.host, other.host) {
            self.set_out(side, &weather, wire);
        }
    }

    fn set_out(&mut self, side: Side, weather: &Weather, wire: &mut Wire) {
        let id = self.id;
        let (end, other) = self.ends(side);
        let way = (end.host, other.host);
        while let Some(message) = end.next_message(other, weather, wire) {
            let bytes = message.len();
            end.flight_len += bytes;
            // This can be due before what went ahead of it, by jitter or if a way that was slow is
            // not any longer; it still arrives after that: only the first in flight is looked at.
            let at = wire.set_out(way, weather, bytes);
            if end.flight.is_empty() {
                wire.schedule(at, Event::Stream { conn: id, from: side });
            }
            end.flight.push_back((at, message));
            if wire.is_busy(way, weather) {
                break;
            }
        }
        if end.unsent_len < wire.buffer {
            wire.wake(&mut end.writing);
        }
        if weather.bandwidth.is_some() {
            // Others had no turn yet.
            self.depart(side, wire);
        }
    }

    /// Takes in what has arrived from this end by now, or sends it back if the way was cut.
    pub(super) fn arrive(&mut self, from: Side, wire: &mut Wire) {
        loop {
            let id = self.id;
            let (end, other) = self.ends(from);
            let Some((at, _)) = end.flight.front() else { return };
            if *at > wire.now {
                wire.schedule(*at, Event::Stream { conn: id, from });
                return;
            }
            if wire.passage(end.host, other.host).is_none() {
                end.take_back();
                return;
            }
            let (_, message) = end.flight.pop_front().expect("there is a first");
            end.flight_len -= message.len();
            self.take_in(from.other(), message, wire);
        }
    }

    fn take_in(&mut self, side: Side, message: Message, wire: &mut Wire) {
        let (end, _) = self.ends(side);
        if end.phase == Phase::Broken {
            return;
        }
        match message {
            Message::Open => self.answer(wire),
            Message::Welcome if end.phase == Phase::Opening => {
                end.phase = Phase::Open;
                wire.wake(&mut end.reading);
                self.send(side, Message::Confirm, wire);
            }
            Message::Confirm => self.join_backlog(wire),
            Message::Refuse => {
                end.phase = Phase::Refused;
                wire.wake(&mut end.reading);
            }
            Message::Data(data) if end.phase == Phase::Open => {
                end.unread_len += data.len();
                end.unread.push_back(data);
                wire.wake(&mut end.reading);
            }
            Message::End if end.phase == Phase::Open => {
                end.ended = true;
                wire.wake(&mut end.reading);
            }
            Message::Reset => end.break_off(wire),
            // A closed end takes no more than the other's end of the stream.
            Message::End => {}
            Message::Welcome | Message::Data(_) => self.reset(side, wire),
        }
    }

    fn answer(&mut self, wire: &mut Wire) {
        let host = wire.host(self.far.host);
        if host.health == Health::Crashed {
            return;
        }
        let (phase, answer) = match host.listener(self.far.addr) {
            Some(_) => (Phase::Welcomed, Message::Welcome),
            None => (Phase::Closed, Message::Refuse),
        };
        self.far.phase = phase;
        self.send(Side::Far, answer, wire);
    }

    fn join_backlog(&mut self, wire: &mut Wire) {
        let Some(backlog) = wire.host(self.far.host).listener(self.far.addr) else {
            return self.reset(Side::Far, wire);
        };
        backlog.ready.push_back(self.id);
        let accepting = backlog.accepting.take();
        wire.wakes.extend(accepting);
        self.far.phase = Phase::Open;
        self.far.reader = true;
        self.far.writer = true;
    }

    fn ends(&mut self, side: Side) -> (&mut End, &mut End) {
        match side {
            Side::Near => (&mut self.near, &mut self.far),
            Side::Far => (&mut self.far, &mut self.near),
        }
    }
}

fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection was reset")
}

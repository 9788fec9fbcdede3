//! The wait of one task for room in the outbox of a link.

use std::task::{Context, Poll, Waker};

use super::handle::Link;
use crate::proto::link::{
    outbox::{Outbox, Room},
    room::Ticket,
};

/// The wait of one task for room. Dropping this value ends the wait.
#[derive(Debug)]
pub(super) struct RoomWait<'a> {
    link: &'a Link,
    room: Room,
    /// Present from the first poll until the task leaves the queue.
    ticket: Option<Ticket>,
}

impl<'a> RoomWait<'a> {
    /// Creates a wait, which joins the queue at the first poll.
    pub(super) fn new(link: &'a Link, room: Room) -> Self {
        RoomWait { link, room, ticket: None }
    }

    /// Waits until room is granted, or the link is no longer `usable`.
    pub(super) fn poll(
        &mut self,
        task: &mut Context<'_>,
        usable: impl FnOnce(&Link) -> bool,
    ) -> Poll<()> {
        let mut wake = Vec::new();
        let polled = {
            let mut outbox = self.link.outbox();
            let ticket = *self.ticket.get_or_insert_with(|| {
                let ticket = outbox.join(self.room, task.waker());
                outbox.grant_room(&mut wake);
                ticket
            });
            self.link.update_congested(&outbox);
            outbox.poll_room(self.room, ticket, task.waker())
        };
        wake.into_iter().for_each(Waker::wake);
        // Checked after joining, because a link that ends after this point wakes the task.
        if usable(self.link) { polled } else { Poll::Ready(()) }
    }

    /// Leaves the queue in order to append. Returns whether room was granted.
    pub(super) fn leave(&mut self, outbox: &mut Outbox) -> bool {
        self.ticket.take().is_some_and(|ticket| outbox.leave(self.room, ticket))
    }
}

impl Drop for RoomWait<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.link.outbox().leave(self.room, ticket);
        }
        // The task may have appended fewer bytes than were granted, or none.
        self.link.grant_room();
    }
}

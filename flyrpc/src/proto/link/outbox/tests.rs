use std::{sync::Arc, task::Waker};

use super::{
    GivenUp, Outbox, Room,
    queue::{LONG_REPLIES, SINGLE_CHUNKS},
};
use crate::codec::EncodedBody;
use crate::proto::{
    link::{
        batch::Batch,
        bodies::{CHUNKS_PER_WRITE, Held},
        room::Ticket,
    },
    wire::request_fields::NO_FIELDS,
    wire::{
        frame::{self, CHUNK, Frame, INLINE_BODY_MAX, RequestHead},
        ids::{MethodIndex, RequestId},
    },
};

fn head(id: u64) -> RequestHead {
    RequestHead {
        id: RequestId(id),
        method: MethodIndex(0),
        primary: false,
        attempt: 1,
        stamp: 0,
        timeout: 1,
    }
}

/// Describes each frame in a batch by its kind, and by its id if it has one.
fn summary(mut batch: &[u8]) -> Vec<String> {
    let mut seen = Vec::new();
    while let Some((frame, length)) = frame::split(batch).unwrap() {
        seen.push(match frame::decode(frame).unwrap() {
            Frame::Void => "void".to_owned(),
            Frame::Request(head, ..) => format!("request {}", head.id),
            Frame::Reply { id, .. } => format!("reply {id}"),
            Frame::Chunk { id, bytes, .. } => format!("chunk {id} of {}", bytes.len()),
            other => format!("{other:?}"),
        });
        batch = &batch[length..];
    }
    seen
}

/// More than all the chunks of one write.
const PLENTY: usize = CHUNKS_PER_WRITE * CHUNK;

fn take(outbox: &mut Outbox) -> Vec<String> {
    take_at(outbox, 0, PLENTY)
}

fn take_at(outbox: &mut Outbox, now: u64, chunk_bytes: usize) -> Vec<String> {
    let mut batch = Batch::default();
    outbox.take(&mut batch, chunk_bytes, Some(now));
    let bytes = batch.parts().collect::<Vec<_>>().concat();
    assert_eq!(bytes.len(), batch.len());
    summary(&bytes)
}

fn long_reply(outbox: &mut Outbox, id: u64, bytes: usize, deadline: u64) {
    outbox.long_reply(
        RequestId(id),
        &mut EncodedBody::from(vec![0; bytes]),
        deadline,
        Held::nothing(),
    );
}

fn wait(outbox: &mut Outbox, of: Room) -> Ticket {
    outbox.join(of, Waker::noop())
}

/// Grants room, and returns the number of tasks that this wakes.
fn grant(outbox: &mut Outbox) -> usize {
    let mut wake = Vec::new();
    outbox.grant_room(&mut wake);
    wake.len()
}

#[test]
fn a_request_given_up_before_it_is_taken_becomes_a_void_frame() {
    let mut outbox = Outbox::default();
    outbox.request(&head(1), NO_FIELDS, &mut EncodedBody::from(b"a".to_vec()));
    let offset = outbox.request(&head(2), NO_FIELDS, &mut EncodedBody::from(b"b".to_vec()));
    assert_eq!(outbox.give_up(RequestId(2), offset), GivenUp::Unsent);
    assert_eq!(take(&mut outbox), ["request 1", "void"]);
}

#[test]
fn a_request_given_up_after_it_was_taken_counts_as_sent() {
    let mut outbox = Outbox::default();
    let offset = outbox.request(&head(1), NO_FIELDS, &mut EncodedBody::from(b"a".to_vec()));
    take(&mut outbox);
    assert_eq!(outbox.give_up(RequestId(1), offset), GivenUp::Sent);
}

#[test]
fn a_long_request_given_up_before_its_last_chunk_cannot_start() {
    let mut outbox = Outbox::default();
    let unsent = outbox.request(&head(1), NO_FIELDS, &mut EncodedBody::from(vec![0; 40_000]));
    assert_eq!(outbox.give_up(RequestId(1), unsent), GivenUp::Unsent);
    assert_eq!(take(&mut outbox), ["void"]);

    let partly = outbox.request(&head(2), NO_FIELDS, &mut EncodedBody::from(vec![0; 10 * CHUNK]));
    take(&mut outbox);
    assert_eq!(outbox.give_up(RequestId(2), partly), GivenUp::Partly);
    assert!(outbox.is_empty());

    let sent = outbox.request(&head(3), NO_FIELDS, &mut EncodedBody::from(vec![0; CHUNK + 1]));
    take(&mut outbox);
    assert_eq!(outbox.give_up(RequestId(3), sent), GivenUp::Sent);
}

#[test]
fn a_batch_counts_as_written_when_the_next_one_is_taken() {
    let mut outbox = Outbox::default();
    outbox.request(&head(1), NO_FIELDS, &mut EncodedBody::from(b"a".to_vec()));
    assert!(!outbox.is_idle());
    take(&mut outbox);
    assert!(outbox.is_empty() && !outbox.is_idle());
    take(&mut outbox);
    assert!(outbox.is_idle());
}

#[test]
fn small_frames_pass_between_the_chunks_of_long_bodies() {
    let mut outbox = Outbox::default();
    outbox.request(
        &head(1),
        NO_FIELDS,
        &mut EncodedBody::from(vec![0; 2 * CHUNKS_PER_WRITE * CHUNK]),
    );
    let chunks = [CHUNK_OF_1; CHUNKS_PER_WRITE];
    assert_eq!(take(&mut outbox), [&["request 1"], &chunks[..]].concat());
    outbox.request(&head(3), NO_FIELDS, &mut EncodedBody::from(b"small".to_vec()));
    assert_eq!(take(&mut outbox), ["request 3", CHUNK_OF_1]);
}

#[test]
fn chunks_are_written_one_at_a_time_after_a_short_request_or_reply() {
    let several = [CHUNK_OF_1; CHUNKS_PER_WRITE];
    let mut outbox = Outbox::default();
    outbox.request(&head(1), NO_FIELDS, &mut EncodedBody::from(vec![0; 5 * SINGLE_CHUNKS]));
    take(&mut outbox);
    assert_eq!(take(&mut outbox), several);
    outbox.reply(RequestId(2), b"small");
    assert_eq!(take(&mut outbox), ["reply 2", CHUNK_OF_1]);
    outbox.request(&head(3), NO_FIELDS, &mut EncodedBody::from(b"small".to_vec()));
    assert_eq!(take(&mut outbox), ["request 3", CHUNK_OF_1]);
    for _ in 1..SINGLE_CHUNKS / CHUNK {
        assert_eq!(take(&mut outbox), [CHUNK_OF_1]);
    }
    assert_eq!(take(&mut outbox), several);
}

#[test]
fn the_shortest_remaining_body_goes_first_and_the_oldest_does_not_starve() {
    let mut outbox = Outbox::default();
    outbox.request(&head(1), NO_FIELDS, &mut EncodedBody::from(vec![0; 20 * CHUNK]));
    take(&mut outbox);
    long_reply(&mut outbox, 2, 8 * CHUNK, u64::MAX);
    let mut sent = Vec::new();
    while !outbox.is_empty() {
        sent.extend(take(&mut outbox).into_iter().filter(|frame| frame.starts_with("chunk")));
    }
    let end = sent.iter().rposition(|chunk| chunk == CHUNK_OF_2).unwrap();
    let of_the_oldest = sent[..end].iter().filter(|chunk| *chunk == CHUNK_OF_1).count();
    assert!((2..=4).contains(&of_the_oldest), "{sent:?}");
}

#[test]
fn a_long_reply_that_was_canceled_before_its_first_chunk_leaves_no_trace() {
    let mut outbox = Outbox::default();
    long_reply(&mut outbox, 1, 10 * CHUNK, u64::MAX);
    assert!(outbox.cancel_reply(RequestId(1)).is_some());
    assert_eq!(take(&mut outbox), [""; 0]);
    assert_eq!(outbox.queued_reply_bytes(), 0);
    assert!(outbox.cancel_reply(RequestId(1)).is_none());
}

#[test]
fn the_peer_drops_a_reply_that_was_canceled_after_its_first_chunk() {
    let mut outbox = Outbox::default();
    long_reply(&mut outbox, 1, 10 * CHUNK, u64::MAX);
    take(&mut outbox);
    outbox.cancel_reply(RequestId(1));
    let rest = take(&mut outbox);
    assert!(matches!(&rest[..], [status] if status.starts_with("Status")), "{rest:?}");
    assert!(outbox.is_empty());
}

#[test]
fn a_reply_is_dropped_at_its_deadline() {
    let mut outbox = Outbox::default();
    long_reply(&mut outbox, 1, 10 * CHUNK, 1_000);
    long_reply(&mut outbox, 2, 5 * CHUNK, 5_000);
    assert_eq!(take_at(&mut outbox, 999, CHUNK), ["reply 2", CHUNK_OF_2]);
    let next = take_at(&mut outbox, 1_000, CHUNK);
    assert!(next[0].starts_with("Status") && next[1] == CHUNK_OF_2, "{next:?}");
    assert_eq!(outbox.queued_reply_bytes(), 3 * CHUNK);
}

#[test]
fn what_is_held_for_a_reply_is_dropped_with_the_batch_of_its_last_chunk() {
    let permit = Arc::new(());
    let mut outbox = Outbox::default();
    let held = Held::new(Arc::clone(&permit));
    outbox.long_reply(RequestId(1), &mut EncodedBody::from(vec![0; 2 * CHUNK]), u64::MAX, held);
    let mut batch = Batch::default();
    for _ in 0..2 {
        batch.clear(0);
        assert_eq!(Arc::strong_count(&permit), 2);
        outbox.take(&mut batch, CHUNK, Some(0));
    }
    assert!(outbox.is_empty());
    // The last chunk has not been written.
    assert_eq!(Arc::strong_count(&permit), 2);
    batch.clear(0);
    assert_eq!(Arc::strong_count(&permit), 1);
}

#[test]
fn the_body_of_a_refused_request_is_dropped() {
    let mut outbox = Outbox::default();
    outbox.request(&head(1), NO_FIELDS, &mut EncodedBody::from(vec![0; 10 * CHUNK]));
    take(&mut outbox);
    outbox.drop_body_of(RequestId(1));
    assert!(outbox.is_empty());
}

#[test]
fn long_replies_have_a_bound_and_one_fits_whatever_its_size() {
    let mut outbox = Outbox::default();
    let huge = Room::LongReply(32 << 20);
    assert!(outbox.has_room(huge));
    long_reply(&mut outbox, 1, 32 << 20, u64::MAX);
    assert!(!outbox.has_room(Room::of_reply(INLINE_BODY_MAX + 1)));
    assert!(outbox.has_room(Room::of_reply(INLINE_BODY_MAX)));
    assert!(outbox.has_room(Room::of_request(32 << 20)));

    let ticket = wait(&mut outbox, Room::LongReply(LONG_REPLIES));
    assert_eq!(grant(&mut outbox), 0);
    outbox.cancel_reply(RequestId(1));
    assert_eq!(grant(&mut outbox), 1);
    // The room is taken as soon as it is granted.
    assert!(!outbox.has_room(Room::LongReply(1)));
    assert!(outbox.leave(Room::LongReply(LONG_REPLIES), ticket));
    assert!(outbox.has_room(huge));
}

#[test]
fn a_call_that_comes_later_does_not_overtake_one_that_waits_for_room() {
    let mut outbox = Outbox::default();
    let small = Room::of_request(10);
    while outbox.has_room(small) {
        outbox.request(&head(1), NO_FIELDS, &mut EncodedBody::from(vec![0; 10]));
    }
    let ticket = wait(&mut outbox, small);
    take(&mut outbox);
    assert!(!outbox.has_room(small));
    assert_eq!(grant(&mut outbox), 1);
    assert!(outbox.has_room(small));
    assert!(outbox.leave(small, ticket));
}

#[test]
fn a_ping_is_stamped_when_it_is_taken_and_sent_after_the_frames_before_it() {
    let mut outbox = Outbox::default();
    outbox.ping(7);
    outbox.request(&head(1), NO_FIELDS, &mut EncodedBody::from(b"a".to_vec()));
    outbox.request(&head(2), NO_FIELDS, &mut EncodedBody::from(vec![0; 10 * CHUNK]));
    let taken = take_at(&mut outbox, 1_234, CHUNK);
    let ping = "Ping { stamp: 1234, received: Some(7) }";
    assert_eq!(taken, ["request 1", "request 2", ping, "chunk 2 of 65536"]);
}

#[test]
fn of_equal_replies_the_newest_goes_first_and_is_then_completed() {
    let mut outbox = Outbox::default();
    for id in 1..=3 {
        long_reply(&mut outbox, id, 2 * CHUNK, u64::MAX);
    }
    assert_eq!(take_at(&mut outbox, 0, CHUNK), ["reply 3", "chunk 3 of 65536"]);
    long_reply(&mut outbox, 4, 2 * CHUNK, u64::MAX);
    assert_eq!(take_at(&mut outbox, 0, CHUNK), ["chunk 3 of 65536"]);
    assert_eq!(take_at(&mut outbox, 0, CHUNK), ["reply 4", "chunk 4 of 65536"]);
}

#[test]
fn little_is_written_ahead_on_a_slow_path() {
    let mut outbox = Outbox::default();
    long_reply(&mut outbox, 1, 10 * CHUNK, u64::MAX);
    assert_eq!(take_at(&mut outbox, 0, 5_000), ["reply 1", "chunk 1 of 5000"]);
}

const CHUNK_OF_1: &str = "chunk 1 of 65536";
const CHUNK_OF_2: &str = "chunk 2 of 65536";

#[test]
fn a_peer_that_does_not_read_overflows_an_outbox_at_two_mebibytes() {
    let mut outbox = Outbox::default();
    let mut queued = 0;
    while !outbox.is_overflowing() {
        let before = outbox.frames().len();
        frame::put_pong(1, 1, 1, outbox.frames());
        queued += outbox.frames().len() - before;
    }
    assert!((2 << 20..(2 << 20) + 64).contains(&queued), "{queued}");
    take(&mut outbox);
    assert!(!outbox.is_overflowing());
}

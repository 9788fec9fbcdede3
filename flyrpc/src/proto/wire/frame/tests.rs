use super::{
    kinds::{flag, kind},
    *,
};
use crate::{
    codec::bytes::{Malformed, garbage, varint},
    proto::wire::ids::{MethodIndex, RequestId},
};

const ID: RequestId = RequestId(7);

#[track_caller]
fn check(bytes: &[u8], expected: Frame<'_>) {
    for cut in 0..bytes.len() {
        assert_eq!(split(&bytes[..cut]), Ok(None), "cut after {cut} bytes");
    }
    let (frame, length) = split(bytes).unwrap().unwrap();
    assert_eq!(length, bytes.len());
    assert_eq!(decode(frame), Ok(expected));
    // A truncated payload may decode to another frame or to an error, but must not panic.
    for cut in 0..frame.len() {
        let _ = decode(&frame[..cut]);
    }
}

fn request(primary: bool, attempt: u64) -> RequestHead {
    RequestHead {
        id: RequestId(300),
        method: MethodIndex(2),
        primary,
        attempt,
        stamp: 1 << 33,
        timeout: 5_000_000,
    }
}

#[test]
fn requests_round_trip() {
    for head in [request(false, 1), request(true, 1), request(true, 3)] {
        for body in [Body::Whole(b"\x80"), Body::Chunked(1 << 20)] {
            for fields in [&b""[..], b"\x06\x02ab"] {
                let mut bytes = Vec::new();
                let kind_at = put_request(&head, fields, body, &mut bytes);
                assert_eq!(bytes[kind_at], kind::REQUEST);
                check(&bytes, Frame::Request(head, fields, body));
            }
        }
    }
}

#[test]
fn requests_of_all_sizes_consist_of_the_same_numbers_in_their_shortest_form() {
    let numbers = [0, 0x7f, 0x80, 0x3fff, 0x4000, (1 << 42) - 1, 1 << 42, (1 << 56) - 1, u64::MAX];
    let body = [7; 0x80];
    for (at, &id) in numbers.iter().enumerate() {
        // Each number with each of the others, and with many lengths around that of the longest short request.
        for shift in 0..numbers.len() {
            let number = |factor: usize| numbers[(at + factor * shift) % numbers.len()];
            let (stamp, timeout, id) = (number(1), number(2), RequestId(id));
            for (primary, attempt) in [(false, 1), (true, 1), (false, 2)] {
                let method = MethodIndex(number(4));
                let head = RequestHead { id, method, primary, attempt, stamp, timeout };
                for length in (0..body.len()).step_by(1 + 30 * (shift % 2)) {
                    let body = &body[..length];
                    let mut to = vec![0xff];
                    let kind_at = put_request(&head, b"", Body::Whole(body), &mut to);
                    let mut content = vec![kind::REQUEST];
                    let flags = if primary { flag::PRIMARY } else { 0 };
                    let flags = if attempt == 1 { flags } else { flags | flag::ATTEMPT };
                    let attempt = (attempt != 1).then_some(attempt);
                    let head = [id.0, method.0, flags].into_iter().chain(attempt);
                    for number in head.chain([stamp, timeout]) {
                        varint::put(number, &mut content);
                    }
                    content.extend_from_slice(body);
                    let mut expected = vec![0xff];
                    varint::put_prefixed(&content, &mut expected);
                    assert_eq!(to, expected, "{id:?}, {length} bytes");
                    assert_eq!(kind_at, expected.len() - content.len());
                }
            }
        }
    }
}

#[test]
fn other_frames_round_trip() {
    type Put = fn(&mut Vec<u8>);
    let frames: [(Put, Frame<'_>); 11] = [
        (
            |to| put_reply(ID, Body::Whole(b"abc"), to),
            Frame::Reply { id: ID, body: Body::Whole(b"abc") },
        ),
        (
            |to| put_reply(ID, Body::Chunked(99_999), to),
            Frame::Reply { id: ID, body: Body::Chunked(99_999) },
        ),
        (
            |to| {
                put_chunk_head(BodyOf::Reply, ID, 3, to);
                to.extend(b"abc");
            },
            Frame::Chunk { of: BodyOf::Reply, id: ID, bytes: b"abc" },
        ),
        (|to| put_status(ID, b"abc", to), Frame::Status { id: ID, status: b"abc" }),
        (|to| put_cancel(ID, to), Frame::Cancel { id: ID }),
        (|to| put_ping(1 << 40, 7, to), Frame::Ping { stamp: 1 << 40, received: Some(7) }),
        (
            |to| put_pong(1 << 40, 3, 500, to),
            Frame::Pong { echo: 1 << 40, stamp: 3, in_flight: Some(500) },
        ),
        (|to| put_state(b"abc", to), Frame::State(b"abc")),
        (|to| put_go_away(GoAway::Leaving, to), Frame::GoAway { reason: GoAway::Leaving }),
        (|to| put_seal(b"abc", to), Frame::Seal(b"abc")),
        (|to| put_unsealed(b"abc", to), Frame::Unsealed(b"abc")),
    ];
    for (put, expected) in frames {
        let mut bytes = Vec::new();
        put(&mut bytes);
        check(&bytes, expected);
    }
}

#[test]
fn complete_frames_are_counted_up_to_the_first_incomplete_one() {
    let mut bytes = Vec::new();
    put_ping(1, 1, &mut bytes);
    put_cancel(ID, &mut bytes);
    let two = bytes.len();
    assert_eq!(complete(&[], 9), (0, Ok(Rest::Incomplete)));
    assert_eq!(complete(&bytes[..two - 1], 9), (4, Ok(Rest::Incomplete)));
    assert_eq!(complete(&bytes, 9), (two, Ok(Rest::Incomplete)));
    assert_eq!(complete(&bytes, 1), (4, Ok(Rest::Unexamined)));
    bytes.push(0);
    assert_eq!(complete(&bytes, 9), (two, Err(Malformed::new("frame length"))));
}

#[test]
fn a_frame_claiming_four_gigabytes_is_refused_by_its_length_alone() {
    let mut bytes = Vec::new();
    varint::put(4 << 30, &mut bytes);
    assert_eq!(split(&bytes), Err(Malformed::new("frame length")));
    assert_eq!(split(&[0]), Err(Malformed::new("frame length")));
}

#[test]
fn unknown_kinds_are_skipped_from_64_on_and_refused_below() {
    assert_eq!(decode(&[64, 1, 2, 3]), Ok(Frame::Void));
    assert_eq!(decode(&[63]), Err(Malformed::new("frame of an unknown kind")));
}

#[test]
fn a_ping_of_an_older_node_reports_nothing_received() {
    assert_eq!(decode(&[kind::PING, 5]), Ok(Frame::Ping { stamp: 5, received: None }));
}

#[test]
fn a_pong_of_an_older_node_reports_no_load() {
    let pong = Frame::Pong { echo: 5, stamp: 6, in_flight: None };
    assert_eq!(decode(&[kind::PONG, 5, 6]), Ok(pong));
}

#[test]
fn unknown_request_flags_are_refused() {
    assert!(decode(&[kind::REQUEST, 1, 1, 16, 1, 1]).is_err());
}

#[test]
fn garbage_decodes_to_frames_within_the_input_or_to_errors() {
    let mut all = Vec::new();
    put_request(&request(true, 3), b"\x06\x02ab", Body::Whole(b"\x80"), &mut all);
    put_request(&request(false, 1), b"", Body::Chunked(1 << 20), &mut all);
    put_reply(ID, Body::Chunked(99_999), &mut all);
    put_chunk_head(BodyOf::Request, ID, 3, &mut all);
    all.extend(b"abc");
    put_status(ID, b"abc", &mut all);
    put_pong(1 << 40, 3, 500, &mut all);
    put_go_away(GoAway::Leaving, &mut all);
    // A request with an unknown field that readers may skip.
    all.extend_from_slice(&[11, kind::REQUEST, 1, 1, flag::FIELDS as u8, 1, 1, 3, 200, 1, 0, 9]);
    garbage::feed(&[all], |mut bytes| {
        while let Ok(Some((frame, length))) = split(bytes) {
            assert!(frame.len() < length && length <= bytes.len());
            let _ = decode(frame);
            bytes = &bytes[length..];
        }
        // Also decode the remaining bytes as a frame without a length.
        let _ = decode(bytes);
    });
}

#[test]
fn a_small_request_and_its_reply_take_few_bytes() {
    // Call number 30,000, 20 minutes after the link was opened, with a timeout of 5 s.
    let head = RequestHead {
        id: RequestId(30_000),
        method: MethodIndex(3),
        primary: false,
        attempt: 1,
        stamp: 1_200_000_000,
        timeout: 5_000_000,
    };
    let mut bytes = Vec::new();
    put_request(&head, b"", Body::Whole(b"\x81\xa4text\xa3fly"), &mut bytes);
    put_reply(RequestId(30_000), Body::Whole(b"\xa3FLY"), &mut bytes);
    assert_eq!(bytes.len(), 35);
}

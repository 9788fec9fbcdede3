//! [`Records`]: the receiving end of the records of a sealed link.

use bytes::{BufMut, buf::Limit};

use super::{
    NotAuthentic,
    record::{LENGTH_LEN, Opener, TAG_LEN},
};

/// After each read that filled the buffer, the buffer grows by this factor, up to [`BULK`].
const GROWTH: usize = 8;

/// Upper bound on the room for records that arrive as fast as they are read: for two chunks of 64 KiB with their heads, in
/// two records each. With slightly less room, reads would end within long records, and each next read would have to move
/// an incomplete record first.
const BULK: usize = (128 << 10) + 256;

/// The bytes of a sealed link that were received and not opened yet.
#[derive(Debug)]
pub(crate) struct Records {
    opener: Opener,
    /// The received bytes. The first `opened` bytes are of records that were opened. A `BytesMut` would allocate a new
    /// buffer whenever a long record is incomplete.
    buffer: Vec<u8>,
    opened: usize,
    in_body: Option<InBody>,
}

/// A record whose content is received in the body that it continues. The buffer begins with its tag.
#[derive(Debug)]
struct InBody {
    /// Where the content begins.
    start: usize,
    /// The number of bytes of the content that have not arrived.
    left: usize,
}

impl Records {
    /// The records that begin with the bytes in `buffer`.
    pub(crate) fn new(opener: Opener, buffer: Vec<u8>) -> Self {
        Records { opener, buffer, opened: 0, in_body: None }
    }

    /// Returns the destination for the next bytes: the whole buffer, which grows to have room for `least` bytes and for the
    /// rest of an incomplete record, or for more, at most [`BULK`] bytes, if `bulk` is true.
    pub(crate) fn room(&mut self, least: usize, bulk: bool) -> Limit<&mut Vec<u8>> {
        self.buffer.drain(..self.opened);
        self.opened = 0;
        let record = LENGTH_LEN + self.length().unwrap_or(0);
        let capacity = if bulk { BULK.min(GROWTH * self.buffer.capacity()) } else { least };
        let capacity = capacity.max(record).max(self.buffer.len() + least);
        self.buffer.reserve_exact(capacity - self.buffer.len());
        let room = self.buffer.capacity() - self.buffer.len();
        (&mut self.buffer).limit(room)
    }

    /// Frees the memory for more than `capacity` bytes, if all records were opened.
    pub(crate) fn shrink(&mut self, capacity: usize) {
        if self.opened == self.buffer.len() && self.buffer.capacity() > capacity {
            (self.buffer, self.opened) = (Vec::new(), 0);
        }
    }

    /// Frees all memory that is not needed while the link is idle.
    pub(crate) fn free(&mut self) {
        self.shrink(0);
        self.opener.free();
    }

    /// Opens the next complete record, and passes its content to `take`. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// Returns an error if the record is not authentic. The link must end.
    pub(crate) fn open_next(&mut self, take: impl FnOnce(&[u8])) -> Result<bool, NotAuthentic> {
        let Some(length) = self.length() else { return Ok(false) };
        let start = self.opened + LENGTH_LEN;
        let Some(record) = self.buffer.get_mut(start..start + length) else { return Ok(false) };
        take(self.opener.open(record)?);
        self.opened = start + length;
        Ok(true)
    }

    /// Moves what has arrived of the content of the next record to the end of `body`, so that the rest can be read there.
    /// Returns false, and moves nothing, if the content has more than `at_most` bytes, or if fewer than `least` of them
    /// are missing.
    pub(crate) fn begin_in_body(
        &mut self,
        body: &mut Vec<u8>,
        at_most: usize,
        least: usize,
    ) -> bool {
        let Some(length) = self.length() else { return false };
        let arrived = &self.buffer[self.opened + LENGTH_LEN..];
        let content = length.saturating_sub(TAG_LEN);
        let left = content.saturating_sub(arrived.len());
        if content > at_most || left < least.max(1) {
            return false;
        }
        self.in_body = Some(InBody { start: body.len(), left });
        body.reserve_exact(content);
        body.extend_from_slice(arrived);
        self.buffer.clear();
        self.opened = 0;
        true
    }

    /// Returns the number of bytes to read into the body that contains the record, or `None` if no body does.
    pub(crate) fn left_in_body(&self) -> Option<usize> {
        self.in_body.as_ref().map(|record| record.left)
    }

    /// Records that `count` bytes were read into the body, at most as many as are [left](Self::left_in_body).
    pub(crate) fn on_read_in_body(&mut self, count: usize) {
        if let Some(record) = &mut self.in_body {
            record.left -= count;
        }
    }

    /// Frees the bytes of `body` before the record that it contains. The body is no longer wanted.
    pub(crate) fn discard_before(&mut self, body: &mut Vec<u8>) {
        if let Some(record) = &mut self.in_body
            && record.start > 0
        {
            *body = body.split_off(record.start);
            body.reserve_exact(record.left);
            record.start = 0;
        }
    }

    /// Opens the record that `body` ends with. Returns the length of its content, or `None` if the record is incomplete.
    ///
    /// # Errors
    ///
    /// Returns an error if the record is not authentic. The link must end.
    pub(crate) fn open_in_body(&mut self, body: &mut [u8]) -> Result<Option<usize>, NotAuthentic> {
        let Some(InBody { start, left: 0 }) = self.in_body else { return Ok(None) };
        let Some(tag) = self.buffer.first_chunk() else { return Ok(None) };
        let content = &mut body[start..];
        self.opener.open_with_tag(content, *tag)?;
        self.opened = TAG_LEN;
        self.in_body = None;
        Ok(Some(content.len()))
    }

    /// Whether the next record is complete, and has at least `length` bytes.
    pub(crate) fn has_record_of(&self, length: usize) -> bool {
        self.length().is_some_and(|next| next >= length && LENGTH_LEN + next <= self.unopened())
    }

    /// Returns the number of bytes of records that were not opened.
    pub(crate) fn unopened(&self) -> usize {
        self.buffer.len() - self.opened
    }

    /// The length of the first record that was not opened, if it has arrived.
    fn length(&self) -> Option<usize> {
        if self.in_body.is_some() {
            return None;
        }
        let length = self.buffer[self.opened..].first_chunk()?;
        Some(usize::from(u16::from_be_bytes(*length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::seal::record::{
        CONTENT_MAX, Sealer,
        tests::{KEY, seal},
    };

    #[test]
    fn contents_arrive_in_pieces_of_any_size() {
        let mut sealer = Sealer::new(&KEY);
        let contents = [vec![], vec![1], vec![2; 1000], vec![3; CONTENT_MAX]];
        let stream = contents.iter().flat_map(|content| seal(&mut sealer, content));
        let stream: Vec<u8> = stream.collect();
        assert_eq!(stream.len(), 1001 + CONTENT_MAX + 4 * (LENGTH_LEN + TAG_LEN));
        for step in [1, 7, 1 << 20] {
            let mut records = Records::new(Opener::new(&KEY), Vec::new());
            let mut received = Vec::new();
            for mut piece in stream.chunks(step) {
                while !piece.is_empty() {
                    let mut room = records.room(16, false);
                    let part = piece.len().min(room.remaining_mut());
                    room.put_slice(&piece[..part]);
                    piece = &piece[part..];
                    while records.open_next(|content| received.push(content.to_vec())).unwrap() {}
                    assert!(records.buffer.capacity() <= BULK + 16);
                }
            }
            records.shrink(16);
            assert_eq!(records.buffer.capacity(), 0);
            assert!(received == contents, "pieces of {step} bytes");
        }
    }

    #[test]
    fn freed_memory_is_allocated_again_when_it_is_needed() {
        let mut sealer = Sealer::new(&KEY);
        let mut records = Records::new(Opener::new(&KEY), Vec::new());
        for number in 0..3 {
            records.room(32, false).put_slice(&seal(&mut sealer, &[number]));
            assert!(records.open_next(|content| assert_eq!(content, [number])).unwrap());
            sealer.free();
            records.free();
            assert!(sealer.is_free() && records.opener.is_free());
            assert_eq!(records.buffer.capacity(), 0);
        }
    }

    #[test]
    fn a_record_with_any_bit_changed_is_not_authentic() {
        let mut sealer = Sealer::new(&KEY);
        let mut records = Records::new(Opener::new(&KEY), Vec::new());
        for number in 0..10_000_u16 {
            let record = seal(&mut sealer, &number.to_be_bytes());
            for bit in 0..8 * record.len() {
                records.buffer.clone_from(&record);
                records.buffer[bit / 8] ^= 1 << (bit % 8);
                // A changed length may be that of a longer record, whose rest has not arrived.
                let opened = records.open_next(|_| panic!("bit {bit} of {number} was changed"));
                assert!(matches!(opened, Err(NotAuthentic) | Ok(false)));
            }
            records.buffer.clone_from(&record);
            assert_eq!(
                records.open_next(|content| assert_eq!(content, number.to_be_bytes())),
                Ok(true)
            );
            records.opened = 0;
        }
    }

    /// Receives the rest of a record in a body, from `stream` with at most `step` bytes per read. Returns the length of its
    /// content, and what is left of the stream.
    fn receive_in_body<'a>(
        records: &mut Records,
        body: &mut Vec<u8>,
        mut stream: &'a [u8],
        step: usize,
    ) -> Result<(usize, &'a [u8]), NotAuthentic> {
        let mut read = |to: &mut Vec<u8>, at_most: usize| {
            let (first, rest) = stream.split_at(step.min(at_most).min(stream.len()));
            to.extend_from_slice(first);
            stream = rest;
            first.len()
        };
        while let Some(left @ 1..) = records.left_in_body() {
            let count = read(body, left);
            records.on_read_in_body(count);
        }
        loop {
            if let Some(content) = records.open_in_body(body)? {
                return Ok((content, stream));
            }
            let count = read(records.room(16, false).get_mut(), 16);
            assert!(count > 0);
        }
    }

    /// Returns the records that have received `count` bytes of the records `stream`.
    fn received(stream: &[u8], count: usize) -> Records {
        Records::new(Opener::new(&KEY), stream[..count].to_vec())
    }

    #[test]
    fn a_record_is_opened_in_the_body_that_it_continues() {
        let mut sealer = Sealer::new(&KEY);
        let content: Vec<u8> = (0..CONTENT_MAX).map(|at| at as u8).collect();
        let stream = [seal(&mut sealer, &content), seal(&mut sealer, b"next")].concat();
        for (arrived, step) in [(LENGTH_LEN, 1 << 20), (1000, 1000), (CONTENT_MAX, 1)] {
            let mut records = received(&stream, arrived);
            let mut body = b"before".to_vec();
            assert!(!records.begin_in_body(&mut body, CONTENT_MAX - 1, 1));
            let missing = LENGTH_LEN + CONTENT_MAX - arrived;
            assert!(!records.begin_in_body(&mut body, CONTENT_MAX, missing + 1));
            assert!(records.begin_in_body(&mut body, CONTENT_MAX, missing));
            assert_eq!(records.left_in_body(), Some(missing));
            let rest = &stream[arrived..];
            let (opened, rest) = receive_in_body(&mut records, &mut body, rest, step).unwrap();
            assert_eq!(opened, CONTENT_MAX);
            assert!(body.starts_with(b"before") && body[6..] == content, "{arrived}, {step}");
            assert_eq!(records.left_in_body(), None);
            records.room(64, false).put_slice(rest);
            assert_eq!(records.open_next(|content| assert_eq!(content, b"next")), Ok(true));
        }
    }

    #[test]
    fn a_changed_record_in_a_body_is_not_authentic() {
        let record = seal(&mut Sealer::new(&KEY), b"content");
        for bit in 8 * LENGTH_LEN..8 * record.len() {
            let mut changed = record.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let mut body = Vec::new();
            let mut records = received(&changed, LENGTH_LEN);
            assert!(records.begin_in_body(&mut body, 7, 1));
            let opened = receive_in_body(&mut records, &mut body, &changed[LENGTH_LEN..], 5);
            assert_eq!(opened, Err(NotAuthentic), "bit {bit}");
        }
    }

    #[test]
    fn what_precedes_a_record_in_an_unwanted_body_is_freed() {
        let record = seal(&mut Sealer::new(&KEY), b"content");
        let mut records = received(&record, LENGTH_LEN + 2);
        let mut body = vec![0; 1 << 20];
        assert!(records.begin_in_body(&mut body, 7, 1));
        for _ in 0..2 {
            records.discard_before(&mut body);
            assert!(body.len() == 2 && body.capacity() < 100);
        }
        let rest = &record[LENGTH_LEN + 2..];
        assert_eq!(receive_in_body(&mut records, &mut body, rest, 100), Ok((7, &[][..])));
        assert_eq!(body, b"content");
    }
}

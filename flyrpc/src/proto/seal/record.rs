//! The records of a sealed link: Noise transport messages with AES-256-GCM, each after its length.
//!
//! A record is the length of the rest (two bytes, big-endian), the sealed content, and a tag of 16 bytes. Records
//! are not counted on the wire: each end counts them, so a record that is repeated, reordered or removed is not
//! authentic. The contents of the records of one direction are one stream of frames, which are not aligned with the
//! records.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::NotAuthentic;
use crate::config::KEY_LEN;

pub(super) const TAG_LEN: usize = 16;
pub(super) const LENGTH_LEN: usize = 2;

/// Upper bound on the content of a record, in bytes. Noise messages have at most 65,535 bytes.
pub(crate) const CONTENT_MAX: usize = 65_535 - TAG_LEN;

/// After this many records, a direction gets a new key, far below the number at which AES-GCM would become weaker
/// (2^32 records of this size; NIST SP 800-38D).
pub(super) const REKEY_AFTER: u64 = 1 << 16;

/// The number of the nonce that is reserved for new keys, as Noise defines.
const REKEY_NONCE: u64 = u64::MAX;

/// The key of one direction, and the number of the next record.
struct Cipher {
    key: Zeroizing<[u8; KEY_LEN]>,
    /// The key as AES needs it, which takes 17 times as much memory. `None` if it must be computed again. It is
    /// not erased when it is freed.
    expanded: Option<Box<LessSafeKey>>,
    next: u64,
}

/// Seals the records that this end sends.
#[derive(Debug)]
pub(crate) struct Sealer(Cipher);

/// Opens the records that the peer sends.
#[derive(Debug)]
pub(crate) struct Opener(Cipher);

impl Sealer {
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Self {
        Sealer(Cipher::new(key))
    }

    /// Frees the memory that can be computed again. Do this while the link is idle.
    pub(crate) fn free(&mut self) {
        self.0.expanded = None;
    }

    #[cfg(test)]
    pub(super) fn is_free(&self) -> bool {
        self.0.expanded.is_none()
    }

    /// Appends a record with this content, at most [`CONTENT_MAX`] bytes.
    pub(crate) fn seal(&mut self, content: &[u8], to: &mut Vec<u8>) {
        let start = to.len();
        Sealer::start(to);
        to.extend_from_slice(content);
        self.finish(to, start);
    }

    /// Like [`seal`](Sealer::seal), for a content in several parts: appends the start of a record. Append its content next, at most [`CONTENT_MAX`] bytes, and then
    /// [`finish`](Sealer::finish) it.
    pub(crate) fn start(to: &mut Vec<u8>) {
        to.extend_from_slice(&[0; LENGTH_LEN]);
    }

    /// Seals the content of the record that begins at `start`.
    pub(crate) fn finish(&mut self, records: &mut Vec<u8>, start: usize) {
        let content = &mut records[start + LENGTH_LEN..];
        let length = u16::try_from(content.len() + TAG_LEN).expect("the content is not too long");
        let nonce = self.0.nonce();
        let tag = self.0.expanded().seal_in_place_separate_tag(nonce, Aad::empty(), content);
        records.extend_from_slice(tag.expect("a record is shorter than AES-GCM allows").as_ref());
        records[start..start + LENGTH_LEN].copy_from_slice(&length.to_be_bytes());
        self.0.advance();
    }
}

impl Opener {
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Self {
        Opener(Cipher::new(key))
    }

    /// Opens a record without its length, in place. Returns its content.
    ///
    /// # Errors
    ///
    /// Returns an error if the peer did not seal the record as the next one. The link must end.
    pub(crate) fn open<'a>(&mut self, record: &'a mut [u8]) -> Result<&'a [u8], NotAuthentic> {
        let (content, tag) = record.split_last_chunk_mut().ok_or(NotAuthentic)?;
        self.open_with_tag(content, *tag)?;
        Ok(content)
    }

    /// Like [`open`](Opener::open), for a record whose tag is apart from its sealed content.
    ///
    /// # Errors
    ///
    /// The same as those of [`open`](Opener::open).
    pub(super) fn open_with_tag(
        &mut self,
        content: &mut [u8],
        tag: [u8; TAG_LEN],
    ) -> Result<(), NotAuthentic> {
        let nonce = self.0.nonce();
        let expanded = self.0.expanded();
        let opened =
            expanded.open_in_place_separate_tag(nonce, Aad::empty(), tag.into(), content, 0..);
        opened.map_err(|_| NotAuthentic)?;
        self.0.advance();
        Ok(())
    }

    /// Frees the memory that can be computed again. Do this while the link is idle.
    pub(super) fn free(&mut self) {
        self.0.expanded = None;
    }

    #[cfg(test)]
    pub(super) fn is_free(&self) -> bool {
        self.0.expanded.is_none()
    }
}

impl Cipher {
    fn new(key: &[u8; KEY_LEN]) -> Self {
        Cipher { key: Zeroizing::new(*key), expanded: None, next: 0 }
    }

    fn expanded(&mut self) -> &LessSafeKey {
        self.expanded.get_or_insert_with(|| {
            let key = UnboundKey::new(&AES_256_GCM, &*self.key);
            Box::new(LessSafeKey::new(key.expect("the key has this length")))
        })
    }

    /// Returns the nonce of the next record: 32 zero bits, and the number of the record.
    fn nonce(&self) -> Nonce {
        nonce(self.next)
    }

    /// Counts a record, and changes the key if it is due (Noise, section 4.2, `REKEY`).
    fn advance(&mut self) {
        self.next += 1;
        if self.next.is_multiple_of(REKEY_AFTER) {
            let mut key = Zeroizing::new([0; KEY_LEN]);
            let nonce = nonce(REKEY_NONCE);
            let sealed = self.expanded().seal_in_place_separate_tag(nonce, Aad::empty(), &mut *key);
            let _tag = sealed.expect("a key is short");
            (self.key, self.expanded) = (key, None);
        }
    }
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cipher").field("next", &self.next).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::proto::seal) const KEY: [u8; KEY_LEN] = [7; KEY_LEN];

    pub(in crate::proto::seal) fn seal(sealer: &mut Sealer, content: &[u8]) -> Vec<u8> {
        let mut record = Vec::new();
        sealer.seal(content, &mut record);
        record
    }

    #[test]
    fn records_are_authentic_only_once_and_in_order() {
        let mut sealer = Sealer::new(&KEY);
        let [first, second] = [b"first", b"other"].map(|content| seal(&mut sealer, content));
        let open = |opener: &mut Opener, record: &[u8]| {
            opener.open(&mut record[LENGTH_LEN..].to_vec()).is_ok()
        };
        assert!(!open(&mut Opener::new(&KEY), &second));
        let mut opener = Opener::new(&KEY);
        assert!(open(&mut opener, &first));
        assert!(!open(&mut opener, &first));
        assert!(open(&mut opener, &second));
    }

    #[test]
    fn a_record_of_any_shorter_length_is_not_authentic() {
        let record = seal(&mut Sealer::new(&KEY), b"content");
        for length in 0..record.len() - LENGTH_LEN {
            let mut short = record[LENGTH_LEN..][..length].to_vec();
            assert_eq!(Opener::new(&KEY).open(&mut short), Err(NotAuthentic), "{length}");
        }
    }

    #[test]
    fn the_keys_of_both_ends_change_together() {
        let (mut sealer, mut opener) = (Sealer::new(&KEY), Opener::new(&KEY));
        let mut records = Vec::new();
        for number in 0..2 * REKEY_AFTER + 2 {
            records = seal(&mut sealer, b"content");
            let opened = opener.open(&mut records[LENGTH_LEN..].to_vec()).map(<[u8]>::to_vec);
            assert_eq!(opened.as_deref(), Ok(&b"content"[..]), "{number}");
        }
        let mut with_first_key = Opener::new(&KEY);
        with_first_key.0.next = opener.0.next - 1;
        assert!(with_first_key.open(&mut records[LENGTH_LEN..]).is_err());
    }
}

//! The optional fields of a request. A request without them takes no byte for them.

use std::sync::Arc;

use crate::{
    codec::bytes::{
        Malformed,
        fields::{self, Unknown},
        varint,
    },
    types::{MAX_METADATA, MAX_NAMES, Metadata},
};

/// The numbers of the fields. 1 and 2 are reserved for the context of a trace.
mod field {
    pub(super) const METADATA: u64 = 3;
}

/// The encoded fields of a request that has none.
pub(crate) const NO_FIELDS: &[u8] = &[];

/// Encodes the fields of a request.
pub(crate) fn encode(metadata: &Metadata) -> Box<[u8]> {
    let mut encoded = Vec::new();
    for text in metadata.iter().flat_map(|(name, value)| [name, value]) {
        varint::put_prefixed(text.as_bytes(), &mut encoded);
    }
    let mut all = Vec::new();
    fields::put(field::METADATA, Unknown::Skip, &encoded, &mut all);
    all.into()
}

/// Decodes the fields of a request. Returns `None` if there is no metadata.
pub(crate) fn decode(encoded: &[u8]) -> Result<Option<Arc<Metadata>>, Malformed> {
    let mut metadata = None;
    fields::read(encoded, |number, value| {
        if number == field::METADATA {
            metadata = Some(Arc::new(decode_metadata(value)?));
        }
        Ok(number == field::METADATA)
    })?;
    Ok(metadata)
}

fn decode_metadata(mut from: &[u8]) -> Result<Metadata, Malformed> {
    let mut metadata = Metadata::default();
    let mut size = 0;
    while !from.is_empty() {
        let [name, value] = [take_text(&mut from)?, take_text(&mut from)?];
        size += name.len() + value.len();
        if size > MAX_METADATA || metadata.len() == MAX_NAMES {
            return Err(Malformed::new("metadata: it is too long"));
        }
        metadata.push(name, value);
    }
    Ok(metadata)
}

fn take_text<'a>(from: &mut &'a [u8]) -> Result<&'a str, Malformed> {
    let bytes = varint::take_prefixed(from)?;
    std::str::from_utf8(bytes).map_err(|_| Malformed::new("metadata: it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::bytes::garbage;

    fn metadata(entries: &[(&str, &str)]) -> Metadata {
        let mut metadata = Metadata::default();
        entries.iter().for_each(|(name, value)| metadata.set(name, value));
        metadata
    }

    #[test]
    fn metadata_round_trips() {
        let long = "v".repeat(MAX_METADATA - 1);
        for entries in [&[("tenant", "a"), ("", ""), ("ü", "\0")][..], &[("n", &long)]] {
            let metadata = metadata(entries);
            assert_eq!(decode(&encode(&metadata)).unwrap().as_deref(), Some(&metadata));
        }
        assert_eq!(decode(NO_FIELDS), Ok(None));
    }

    #[test]
    fn metadata_beyond_the_limit_is_refused() {
        let long = "v".repeat(MAX_METADATA);
        assert!(decode(&encode(&metadata(&[("n", &long)]))).is_err());
        let many: Vec<_> = (0..=MAX_NAMES).map(|number| number.to_string()).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "")).collect();
        assert!(decode(&encode(&metadata(&many[1..]))).is_ok());
        assert!(decode(&encode(&metadata(&many))).is_err());
    }

    #[test]
    fn unknown_fields_are_skipped() {
        let mut encoded = encode(&metadata(&[("tenant", "a")])).to_vec();
        fields::put(900, Unknown::Skip, b"from the future", &mut encoded);
        assert_eq!(decode(&encoded).unwrap().unwrap().get("tenant"), Some("a"));
        fields::put(901, Unknown::Refuse, b"", &mut encoded);
        assert!(decode(&encoded).is_err());
    }

    #[test]
    fn garbage_gives_fields_or_an_error() {
        let valid = vec![encode(&metadata(&[("tenant", "a"), ("request", "12")])).to_vec()];
        garbage::feed(&valid, |bytes| {
            if let Ok(Some(metadata)) = decode(bytes) {
                assert!(metadata.size() <= MAX_METADATA);
            }
        });
    }
}

//! The optional fields of a request. A request without them takes no byte for them.

use std::sync::Arc;

use crate::{
    codec::bytes::{
        Malformed,
        fields::{self, Unknown},
        varint,
    },
    types::{MAX_METADATA, MAX_NAMES, MAX_STATE, Metadata, TraceContext},
};

/// The numbers of the fields.
mod field {
    /// The context of a trace: 16 bytes for its id, 8 for the id of the span, and 1 for its flags.
    pub(super) const TRACE: u64 = 1;
    /// The state of the trace.
    pub(super) const TRACE_STATE: u64 = 2;
    pub(super) const METADATA: u64 = 3;
    /// Present, without content, if the caller makes the call for a visitor.
    pub(super) const RELAYED: u64 = 4;
}

/// The encoded fields of a request that has none.
pub(crate) const NO_FIELDS: &[u8] = &[];

/// The optional fields of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RequestFields {
    pub(crate) metadata: Option<Arc<Metadata>>,
    /// The caller's span, if it has one that belongs to a trace.
    pub(crate) trace: Option<TraceContext>,
    /// Whether the caller makes the call for a visitor.
    pub(crate) is_relayed: bool,
}

/// Encodes the fields of a request.
pub(crate) fn encode(metadata: Option<&Metadata>, trace: Option<&TraceContext>) -> Box<[u8]> {
    let mut all = Vec::new();
    if let Some(trace) = trace {
        fields::put(field::TRACE, Unknown::Skip, &trace.to_bytes(), &mut all);
        if !trace.state().is_empty() {
            fields::put(field::TRACE_STATE, Unknown::Skip, trace.state().as_bytes(), &mut all);
        }
    }
    if let Some(metadata) = metadata {
        let mut encoded = Vec::new();
        for text in metadata.iter().flat_map(|(name, value)| [name, value]) {
            varint::put_prefixed(text.as_bytes(), &mut encoded);
        }
        fields::put(field::METADATA, Unknown::Skip, &encoded, &mut all);
    }
    all.into()
}

/// The fields of a request that has only the context of a trace, without a state. Short, so that they need no allocation.
pub(crate) type TraceField = [u8; 2 + TraceContext::LENGTH];

/// The tag and the length of the context of a trace.
const TRACE_HEAD: [u8; 2] = [(field::TRACE << 1) as u8, TraceContext::LENGTH as u8];

/// Encodes the fields of a request that has only the context of a trace. Returns `None` if the trace has a state.
pub(crate) fn encode_trace(trace: &TraceContext) -> Option<TraceField> {
    if !trace.state().is_empty() {
        return None;
    }
    let mut encoded = [0; 2 + TraceContext::LENGTH];
    encoded[..2].copy_from_slice(&TRACE_HEAD);
    encoded[2..].copy_from_slice(&trace.to_bytes());
    Some(encoded)
}

/// Encodes the fields of a request that is made for a visitor.
pub(crate) fn encode_relayed() -> Box<[u8]> {
    let mut all = Vec::new();
    fields::put(field::RELAYED, Unknown::Skip, &[], &mut all);
    all.into()
}

/// Decodes the fields of a request. A context of a trace that is not valid is ignored, as the recommendation demands.
pub(crate) fn decode(encoded: &[u8]) -> Result<RequestFields, Malformed> {
    if let Some(trace) = encoded.strip_prefix(&TRACE_HEAD)
        && trace.len() == TraceContext::LENGTH
    {
        // The usual case.
        return Ok(RequestFields { trace: TraceContext::from_bytes(trace), ..Default::default() });
    }
    let (mut metadata, mut trace, mut state) = (None, None, None);
    let mut is_relayed = false;
    fields::read(encoded, |number, value| {
        match number {
            field::TRACE => trace = TraceContext::from_bytes(value),
            field::TRACE_STATE => {
                // A longer one is omitted, so it is not copied.
                let text = std::str::from_utf8(value).ok();
                state = text.filter(|text| text.len() <= MAX_STATE).map(str::to_owned);
            }
            field::METADATA => metadata = Some(Arc::new(decode_metadata(value)?)),
            field::RELAYED => is_relayed = true,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let trace = match state {
        Some(state) => trace.map(|trace| trace.with_state(&state)),
        None => trace,
    };
    Ok(RequestFields { metadata, trace, is_relayed })
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
    fn a_request_for_a_visitor_is_marked() {
        let relayed = RequestFields { is_relayed: true, ..RequestFields::default() };
        assert_eq!(decode(&encode_relayed()), Ok(relayed));
        assert_eq!(decode(NO_FIELDS), Ok(RequestFields::default()));
    }

    #[test]
    fn metadata_round_trips() {
        let long = "v".repeat(MAX_METADATA - 1);
        for entries in [&[("tenant", "a"), ("", ""), ("ü", "\0")][..], &[("n", &long)]] {
            let metadata = metadata(entries);
            let fields = decode(&encode(Some(&metadata), None)).unwrap();
            assert_eq!((fields.metadata.as_deref(), fields.trace), (Some(&metadata), None));
        }
        assert_eq!(decode(NO_FIELDS), Ok(RequestFields::default()));
    }

    #[test]
    fn the_context_of_a_trace_round_trips() {
        let trace = TraceContext::new([7; 16], [9; 8], 1).unwrap();
        let tenant = metadata(&[("tenant", "a")]);
        for trace in [trace.clone(), trace.with_state("vendor=1")] {
            for metadata in [None, Some(&tenant)] {
                let fields = decode(&encode(metadata, Some(&trace))).unwrap();
                assert_eq!(fields.metadata.as_deref(), metadata);
                assert_eq!(fields.trace.as_ref(), Some(&trace));
            }
        }
        let trace = TraceContext::new([7; 16], [9; 8], 1).unwrap();
        assert_eq!(encode_trace(&trace).unwrap()[..], *encode(None, Some(&trace)));
        assert_eq!(encode_trace(&trace.with_state("vendor=1")), None);
    }

    #[test]
    fn a_context_that_is_not_valid_is_ignored() {
        for (number, value) in [(1, &[0; 25][..]), (1, &[7; 24]), (2, b"vendor=1"), (2, b"\xff")] {
            let mut encoded = Vec::new();
            fields::put(number, Unknown::Skip, value, &mut encoded);
            assert_eq!(decode(&encoded), Ok(RequestFields::default()));
        }
    }

    #[test]
    fn metadata_beyond_the_limit_is_refused() {
        let long = "v".repeat(MAX_METADATA);
        assert!(decode(&encode(Some(&metadata(&[("n", &long)])), None)).is_err());
        let many: Vec<_> = (0..=MAX_NAMES).map(|number| number.to_string()).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "")).collect();
        assert!(decode(&encode(Some(&metadata(&many[1..])), None)).is_ok());
        assert!(decode(&encode(Some(&metadata(&many)), None)).is_err());
    }

    #[test]
    fn unknown_fields_are_skipped() {
        let mut encoded = encode(Some(&metadata(&[("tenant", "a")])), None).to_vec();
        fields::put(900, Unknown::Skip, b"from the future", &mut encoded);
        assert_eq!(decode(&encoded).unwrap().metadata.unwrap().get("tenant"), Some("a"));
        fields::put(901, Unknown::Refuse, b"", &mut encoded);
        assert!(decode(&encoded).is_err());
    }

    #[test]
    fn garbage_gives_fields_or_an_error() {
        let metadata = metadata(&[("tenant", "a"), ("request", "12")]);
        let trace = TraceContext::new([7; 16], [9; 8], 1).unwrap().with_state("vendor=1");
        let valid = vec![encode(Some(&metadata), Some(&trace)).to_vec()];
        garbage::feed(&valid, |bytes| {
            if let Ok(RequestFields { metadata: Some(metadata), .. }) = decode(bytes) {
                assert!(metadata.size() <= MAX_METADATA);
            }
        });
    }
}

//! [`TraceContext`]: the position of a span in a trace.

use std::fmt;

use smol_str::SmolStr;

/// Upper bound on the bytes of a trace state. The specification asks for at least this much.
pub(crate) const MAX_STATE: usize = 512;

/// The position of a span in a trace, as in the [W3C recommendation](https://www.w3.org/TR/trace-context/) *Trace
/// Context*.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
    state: Option<SmolStr>,
}

impl TraceContext {
    /// The bytes of a context without its state.
    pub(crate) const LENGTH: usize = 16 + 8 + 1;

    /// Creates a context without a trace state. Returns `None` if one of the ids is zero, which means that there is no
    /// trace. Bit 0 of the flags is set if the trace is sampled.
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8], flags: u8) -> Option<Self> {
        let is_valid = trace_id != [0; 16] && span_id != [0; 8];
        is_valid.then_some(TraceContext { trace_id, span_id, flags, state: None })
    }

    /// Sets the trace state, as in the header `tracestate`. A state that is empty, is longer than 512 bytes, or has
    /// other characters than printable ASCII is omitted.
    #[must_use]
    pub fn with_state(mut self, state: &str) -> Self {
        let is_printable = state.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let is_valid = !state.is_empty() && state.len() <= MAX_STATE && is_printable;
        self.state = is_valid.then(|| state.into());
        self
    }

    /// The id of the trace.
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The id of the span.
    pub fn span_id(&self) -> [u8; 8] {
        self.span_id
    }

    /// The flags. Bit 0 is set if the trace is sampled.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// The trace state, or an empty text if there is none.
    pub fn state(&self) -> &str {
        self.state.as_deref().unwrap_or_default()
    }

    /// Encodes the context without its state.
    pub(crate) fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..16].copy_from_slice(&self.trace_id);
        bytes[16..24].copy_from_slice(&self.span_id);
        bytes[24] = self.flags;
        bytes
    }

    /// Decodes a context without its state. Returns `None` if the bytes are not a context.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (trace_id, rest) = bytes.split_first_chunk()?;
        let (span_id, rest) = rest.split_first_chunk()?;
        let &[flags] = rest else { return None };
        TraceContext::new(*trace_id, *span_id, flags)
    }
}

/// Shows the context as the header `traceparent`, followed by its state.
impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace = u128::from_be_bytes(self.trace_id);
        let span = u64::from_be_bytes(self.span_id);
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", self.flags)?;
        self.state.iter().try_for_each(|state| write!(f, " {state}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_round_trips_without_its_state() {
        let context = TraceContext::new([7; 16], [9; 8], 1).unwrap();
        let bytes = context.to_bytes();
        assert_eq!(TraceContext::from_bytes(&bytes), Some(context));
        assert_eq!(TraceContext::from_bytes(&bytes[1..]), None);
        assert_eq!(TraceContext::from_bytes(&[7; 26]), None);
        assert_eq!(TraceContext::from_bytes(&[0; 25]), None);
    }

    #[test]
    fn a_state_that_cannot_be_sent_is_omitted() {
        let context = || TraceContext::new([7; 16], [9; 8], 1).unwrap();
        let long = "a".repeat(MAX_STATE + 1);
        assert_eq!(context().with_state("vendor=1").state(), "vendor=1");
        assert_eq!(context().with_state(&long[1..]).state(), &long[1..]);
        for state in ["", "a\nb", "ü", &long] {
            assert_eq!(context().with_state(state), context());
        }
    }

    #[test]
    fn a_context_is_shown_like_the_header() {
        let context = TraceContext::new([0xab; 16], [1; 8], 1).unwrap().with_state("v=1");
        let header = "00-abababababababababababababababab-0101010101010101-01 v=1";
        assert_eq!(format!("{context:?}"), header);
    }
}

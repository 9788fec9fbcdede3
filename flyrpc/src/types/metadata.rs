//! [`Metadata`]: names and values that are sent with a call.

use std::fmt;

use smol_str::SmolStr;

/// Upper bound on the bytes of all names and values of a call.
pub(crate) const MAX_METADATA: usize = 1 << 10;

/// Upper bound on the number of names of a call, because a short name takes more memory than bytes.
pub(crate) const MAX_NAMES: usize = 128;

/// The metadata of a call: names with one value each, such as a request id or a tenant. Set by the client's
/// `metadata`, read by [`Context::metadata`](crate::Context::metadata).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Metadata(Vec<(SmolStr, SmolStr)>);

impl Metadata {
    pub(crate) const EMPTY: &Metadata = &Metadata(Vec::new());

    /// Returns the value of a name. Names are case-sensitive.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(known, value)| (known == name).then_some(value))
    }

    /// Returns the names and their values, in the order in which the names were set first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the number of names.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is no metadata.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets the value of a name, and replaces the one that it had.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = SmolStr::new(value),
            None => self.push(name, value),
        }
    }

    /// Adds a name that has no value yet.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.0.push((SmolStr::new(name), SmolStr::new(value)));
    }

    /// The number of bytes of all names and values.
    pub(crate) fn size(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_value_that_was_set_last() {
        let mut metadata = Metadata::default();
        for (name, value) in [("tenant", "a"), ("request", "1"), ("tenant", "bc")] {
            metadata.set(name, value);
        }
        assert_eq!(format!("{metadata:?}"), r#"{"tenant": "bc", "request": "1"}"#);
        assert_eq!((metadata.get("tenant"), metadata.get("Tenant")), (Some("bc"), None));
        assert_eq!((metadata.len(), metadata.size()), (2, 16));
    }
}

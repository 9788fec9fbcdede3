//! The parameters in the address of a page.

/// The parameters of a page. The first one of each name counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) page: Option<String>,
    pub(crate) node: Option<String>,
    pub(crate) format: Option<String>,
}

impl Parameters {
    /// Reads a query, without its question mark. What is malformed is kept as it is.
    pub(crate) fn parse(query: &str) -> Self {
        let value = |wanted: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == wanted).map(|(_, value)| decoded(value))
        };
        Parameters { page: value("page"), node: value("node"), format: value("format") }
    }
}

/// Replaces `%` and two digits by the byte.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let digit = |at: usize| others.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &others[2..];
            }
            (first, ..) => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded() {
        let parsed = Parameters::parse("x&page=node&node=a%2Fb%C3%A9&node=second&format");
        let (page, node) = (Some("node".to_owned()), Some("a/bé".to_owned()));
        assert_eq!(parsed, Parameters { page, node, format: None });
        for (malformed, kept) in [("%", "%"), ("%4", "%4"), ("%zz1", "%zz1"), ("%ff", "\u{fffd}")] {
            assert_eq!(decoded(malformed), kept);
        }
    }
}

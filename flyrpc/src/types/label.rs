//! The names of clusters, nodes and regions.

/// Upper bound on the length of a label, in bytes. Labels are part of every handshake and of
/// gossip, where a datagram names up to three nodes before its updates.
pub(crate) const MAX_LABEL: usize = 64;

/// Returns whether a cluster, a node or a region can have this name. Settings and names that peers send
/// both undergo this check. Names appear in log lines, so a valid name contains no control characters.
pub(crate) fn is_label(text: &str) -> bool {
    (1..=MAX_LABEL).contains(&text.len()) && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_1_to_64_bytes_and_no_control_characters() {
        let long = "é".repeat(32);
        assert!(["a", "web-1 é", long.as_str()].into_iter().all(is_label));
        let long = "x".repeat(65);
        assert!(!["", "a\nb", "\x1b[2J", "a\u{85}", "\u{7f}", &long].into_iter().any(is_label));
    }
}

//! Labels: the names of clusters, nodes and regions.

/// Upper bound on the bytes of a label. Labels are part of every handshake and of gossip, whose
/// datagrams are small.
const MAX_LABEL: usize = 64;

/// Checks that `text` is a label.
///
/// # Errors
///
/// Returns a description of the accepted labels.
pub(super) fn check_label(text: &str) -> Result<(), &'static str> {
    if (1..=MAX_LABEL).contains(&text.len()) && !text.contains(char::is_control) {
        Ok(())
    } else {
        Err("1 to 64 bytes without control characters")
    }
}

/// Turns a host name into a label. Operating systems allow host names that are not valid labels.
pub(super) fn to_label(name: &str) -> String {
    let mut name = name.replace(char::is_control, "");
    while name.len() > MAX_LABEL {
        name.pop();
    }
    if name.is_empty() { "localhost".to_owned() } else { name }
}

//! Labels: the names of clusters, nodes and regions.

use crate::types::{MAX_LABEL, is_label};

/// Checks that `text` is a label.
///
/// # Errors
///
/// Returns a description of the accepted labels.
pub(super) fn check_label(text: &str) -> Result<(), &'static str> {
    if is_label(text) { Ok(()) } else { Err("1 to 64 bytes without control characters") }
}

/// Turns a host name into a label. Operating systems allow host names that are not valid labels.
pub(super) fn to_label(name: &str) -> String {
    let mut name = name.replace(char::is_control, "");
    while name.len() > MAX_LABEL {
        name.pop();
    }
    if name.is_empty() { "localhost".to_owned() } else { name }
}

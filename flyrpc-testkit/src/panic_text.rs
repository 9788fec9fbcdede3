//! The texts of panics.

use std::any::Any;

/// Returns the text that was passed to `panic!`.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic whose payload is not a string")
}

//! The messages of panics.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

const NO_TEXT: &str = "a panic whose payload is not a string";

/// Returns the message that was passed to `panic!`, of a panic that continues.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or(NO_TEXT)
}

/// Returns the message that was passed to `panic!`.
pub(crate) fn panic_message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<&str>() {
        Ok(text) => (*text).to_owned(),
        Err(panic) => match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => {
                discard(panic);
                NO_TEXT.to_owned()
            }
        },
    }
}

/// Drops a value that user code created, and ignores a panic in its destructor.
pub(crate) fn discard<T>(value: T) {
    let value = AssertUnwindSafe(value);
    if let Err(panic) = catch_unwind(move || drop(value)) {
        // Dropping the panic's payload may panic too, and so may the payload of that panic.
        std::mem::forget(panic);
    }
}

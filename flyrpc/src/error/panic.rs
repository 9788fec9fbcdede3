//! The messages of panics.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Returns the message that was passed to `panic!`.
pub(crate) fn panic_message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<&str>() {
        Ok(text) => (*text).to_owned(),
        Err(panic) => match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => {
                discard(panic);
                "a panic whose payload is not a string".to_owned()
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

//! The serving side of a call.

mod plain_tarpc;

pub use self::plain_tarpc::serve_tarpc;

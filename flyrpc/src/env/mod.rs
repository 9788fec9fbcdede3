//! The runtime environment, which a simulator must be able to replace: tasks, time, randomness, sockets
//! and name resolution. A node uses them only through [`Env`].

mod environment;
mod tokio_env;
mod watchdog;
mod yield_once;

pub(crate) use self::yield_once::yield_once;
pub use self::{
    environment::{BoxStream, Datagram, Env, Gate, Listener, StreamReader, StreamWriter},
    tokio_env::TokioEnv,
};

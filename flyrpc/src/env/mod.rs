//! Everything outside of the process that a simulator must replace: tasks, time, randomness, sockets and
//! name resolution. The node uses them through [`Env`] only.

mod environment;
mod tokio_env;
mod yield_once;

pub(crate) use self::yield_once::yield_once;
pub use self::{
    environment::{BoxStream, Datagram, Env, Listener, StreamWriter},
    tokio_env::TokioEnv,
};

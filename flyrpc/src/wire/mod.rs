//! The bytes between nodes, and nothing that reads or writes a socket.

pub mod body;

//! MessagePack, encoded and decoded for serde.

mod access;
mod compound;
mod decoder;
mod deserialize;
mod encoder;
mod error;
mod format;
mod head;
mod serialize;
mod token;

pub(crate) use self::{
    decoder::Decoder,
    encoder::{Written, write},
    error::{CodecError, Result, truncated_name},
    format::MAX_WRAPPERS,
    head::{Head, Kind, write_str},
    token::{Input, Token, at_key},
};

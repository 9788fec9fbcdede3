//! MessagePack, encoded and decoded for serde.

mod access;
mod compound;
mod decoder;
mod deserialize;
mod encoder;
mod error;
mod format;
mod head;
mod json_number;
mod serialize;
mod token;

pub(crate) use self::{
    decoder::{Buffering, Decoder},
    encoder::{Written, write},
    error::{CodecError, Result, Segment, truncated_name},
    format::MAX_WRAPPERS,
    head::{Head, Kind, write_str, write_unsigned},
    token::{Input, Token, at_key, key_segment},
};

//! The boundary between a link, which handles frames, and its socket, which carries bytes.
//!
//! The reader task takes complete frames, and the contents of long chunks, from a [`FrameReader`], and the writer
//! task passes complete batches to a [`FrameWriter`]. Neither task accesses the stream. On a sealed link, both
//! transform the bytes of the connection: the writer seals a batch as one or more records, and the reader opens each
//! record as a whole.

mod frame_reader;
mod frame_writer;

pub(super) use self::{
    frame_reader::{FrameReader, Received},
    frame_writer::{FrameWriter, Written},
};

#[cfg(test)]
mod tests;

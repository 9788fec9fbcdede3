//! Receives the first records of a sealed connection, during its handshake.

use bytes::{BufMut, BytesMut};
use tokio::io::AsyncReadExt;

use crate::{
    env::BoxStream,
    proto::{link::handshake::DialError, seal::records::Records, wire::frame},
};

/// Buffer space in bytes for records that are short.
const ROOM: usize = 256;

/// The records that arrive during a handshake.
pub(super) struct HandshakeRecords {
    records: Records,
    /// The contents of the records that were opened.
    frames: BytesMut,
    /// Whether a record was opened.
    any: bool,
}

impl HandshakeRecords {
    pub(super) fn new(records: Records) -> Self {
        HandshakeRecords { records, frames: BytesMut::new(), any: false }
    }

    /// Receives a record.
    pub(super) async fn receive_first(&mut self, stream: &mut BoxStream) -> Result<(), DialError> {
        self.open()?;
        while !self.any {
            self.receive(stream).await?;
        }
        Ok(())
    }

    /// Receives the first frame of the contents, and all records that have arrived with it.
    pub(super) async fn receive_frame(
        &mut self,
        stream: &mut BoxStream,
    ) -> Result<BytesMut, DialError> {
        self.open()?;
        loop {
            if let Some(frame) = frame::take(&mut self.frames)? {
                return Ok(frame);
            }
            self.receive(stream).await?;
        }
    }

    async fn receive(&mut self, stream: &mut BoxStream) -> Result<(), DialError> {
        match stream.reader.read_buf(&mut self.records.room(ROOM, false)).await? {
            0 => Err(DialError::ClosedDuringHandshake),
            _ => self.open(),
        }
    }

    /// Opens all complete records.
    pub(super) fn open(&mut self) -> Result<(), DialError> {
        let frames = &mut self.frames;
        while self.records.open_next(|content| frames.put_slice(content))? {
            self.any = true;
        }
        Ok(())
    }

    /// Returns the records that were not opened, and the contents of the others.
    pub(super) fn into_parts(self) -> (Records, BytesMut) {
        (self.records, self.frames)
    }
}

//! tarpc over its own TCP transport, with bincode.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use ::tarpc::{
    client, context, serde_transport,
    server::{self, BaseChannel, Channel as _},
    tokio_serde::formats::Bincode,
};
use anyhow::Result;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::{Contender, MAX_CALLS, MAX_MESSAGE, Served, Setup, accept};
use crate::handlers::{self, Record};

/// Capacity of the queue between callers and the task that writes, in messages. tarpc's default is 100.
const QUEUE: usize = 4096;

#[::tarpc::service]
pub(crate) trait Strings {
    async fn upcase(text: String) -> String;
    async fn echo(body: Bytes) -> Bytes;
    async fn echo_records(records: Vec<Record>) -> Vec<Record>;
    async fn pause(micros: u32);
    async fn burn(micros: u32);
}

/// The handlers.
#[derive(Debug, Clone)]
pub(crate) struct Handlers;

impl Strings for Handlers {
    async fn upcase(self, _: context::Context, text: String) -> String {
        handlers::upcase(&text)
    }

    async fn echo(self, _: context::Context, body: Bytes) -> Bytes {
        body
    }

    async fn echo_records(self, _: context::Context, records: Vec<Record>) -> Vec<Record> {
        records
    }

    async fn pause(self, _: context::Context, micros: u32) {
        handlers::pause(micros).await;
    }

    async fn burn(self, _: context::Context, micros: u32) {
        handlers::burn(micros);
    }
}

#[derive(Clone)]
pub(crate) struct Tarpc(StringsClient);

impl Contender for Tarpc {
    type Record = Record;

    async fn serve(setup: &Setup) -> Result<Served> {
        accept(setup, serve_connection).await
    }

    async fn connect(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to).await?;
        let transport = serde_transport::new(framed(stream)?, Bincode::default());
        let mut config = client::Config::default();
        config.max_in_flight_requests = MAX_CALLS;
        config.pending_request_buffer = QUEUE;
        Ok(Tarpc(StringsClient::new(config, transport).spawn()))
    }

    async fn upcase(&self, text: String) -> Result<String> {
        Ok(self.0.upcase(context::current(), text).await?)
    }

    async fn echo(&self, body: Bytes) -> Result<Bytes> {
        Ok(self.0.echo(context::current(), body).await?)
    }

    async fn echo_records(&self, records: Vec<Record>) -> Result<Vec<Record>> {
        Ok(self.0.echo_records(context::current(), records).await?)
    }

    async fn pause(&self, micros: u32) -> Result<()> {
        let mut context = context::current();
        context.deadline = Instant::now() + Duration::from_secs(3600);
        Ok(self.0.pause(context, micros).await?)
    }

    async fn burn(&self, micros: u32) -> Result<()> {
        Ok(self.0.burn(context::current(), micros).await?)
    }
}

async fn serve_connection(stream: TcpStream) -> Result<()> {
    let transport = serde_transport::new(framed(stream)?, Bincode::default());
    let config = server::Config { pending_response_buffer: QUEUE };
    let channel = BaseChannel::new(config, transport);
    let calls = channel.execute(Handlers.serve());
    calls.for_each(|call| async { drop(tokio::spawn(call)) }).await;
    Ok(())
}

/// Frames a connection as `serde_transport::tcp` does, but with TCP_NODELAY.
fn framed(stream: TcpStream) -> Result<Framed<TcpStream, LengthDelimitedCodec>> {
    stream.set_nodelay(true)?;
    Ok(LengthDelimitedCodec::builder().max_frame_length(MAX_MESSAGE).new_framed(stream))
}

//! tonic with prost, on one HTTP/2 connection, with and without TLS.

use std::net::SocketAddr;

use ::tonic::{
    Request, Response, Status,
    transport::{
        Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig,
        server::TcpIncoming,
    },
};
use anyhow::Result;
use bytes::Bytes;
use tokio::net::TcpListener;

use self::strings::{
    Body, Done, Micros, Records, Text,
    strings_client::StringsClient,
    strings_server::{Strings, StringsServer},
};
use super::{Contender, MAX_CALLS, MAX_MESSAGE, Served, Setup};
use crate::handlers::{self, Record};

#[allow(unreachable_pub, missing_debug_implementations, reason = "generated")]
mod strings {
    ::tonic::include_proto!("strings");
}

impl From<Record> for strings::Record {
    fn from(record: Record) -> Self {
        let Record { id, name, city, age, balance, active, referrer, scores } = record;
        strings::Record { id, name, city, age, balance, active, referrer, scores }
    }
}

/// Windows of streams and connections, in bytes. They are large enough that flow control does not delay a
/// large message.
const STREAM_WINDOW: u32 = 32 << 20;
const CONNECTION_WINDOW: u32 = 128 << 20;

/// Maximum size of a frame, in bytes. The default is 16 KiB.
const FRAME: u32 = 1 << 20;

/// The certificate of the server, which signs itself, and its key.
const CERTIFICATE: &str = include_str!("../../tls/localhost.crt");
const KEY: &str = include_str!("../../tls/localhost.key");

/// The handlers.
#[derive(Debug)]
struct Handlers;

#[::tonic::async_trait]
impl Strings for Handlers {
    async fn upcase(&self, request: Request<Text>) -> Result<Response<Text>, Status> {
        Ok(Response::new(Text { text: handlers::upcase(&request.into_inner().text) }))
    }

    async fn echo(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn echo_records(&self, request: Request<Records>) -> Result<Response<Records>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn pause(&self, request: Request<Micros>) -> Result<Response<Done>, Status> {
        handlers::pause(request.into_inner().micros).await;
        Ok(Response::new(Done {}))
    }

    async fn burn(&self, request: Request<Micros>) -> Result<Response<Done>, Status> {
        handlers::burn(request.into_inner().micros);
        Ok(Response::new(Done {}))
    }
}

/// tonic, on a connection with or without TLS.
#[derive(Clone)]
pub(crate) struct Tonic<const TLS: bool>(StringsClient<Channel>);

impl<const TLS: bool> Contender for Tonic<TLS> {
    type Record = strings::Record;

    async fn serve(setup: &Setup) -> Result<Served> {
        let listener = TcpListener::bind(setup.listen()).await?;
        let addr = listener.local_addr()?;
        let service = StringsServer::new(Handlers)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let mut server = Server::builder();
        if TLS {
            server = server.tls_config(
                ServerTlsConfig::new().identity(Identity::from_pem(CERTIFICATE, KEY)),
            )?;
        }
        let server = server
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .max_concurrent_streams(MAX_CALLS as u32)
            .add_service(service);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        tokio::spawn(server.serve_with_incoming(incoming));
        Ok(Served::new(addr, ()))
    }

    async fn connect(to: SocketAddr) -> Result<Self> {
        let scheme = if TLS { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{to}"))?;
        if TLS {
            let trusted = Certificate::from_pem(CERTIFICATE);
            let tls = ClientTlsConfig::new().ca_certificate(trusted).domain_name("localhost");
            endpoint = endpoint.tls_config(tls)?;
        }
        let channel = endpoint
            .tcp_nodelay(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .connect()
            .await?;
        let client = StringsClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        Ok(Tonic(client))
    }

    async fn upcase(&self, text: String) -> Result<String> {
        Ok(self.0.clone().upcase(Text { text }).await?.into_inner().text)
    }

    async fn echo(&self, bytes: Bytes) -> Result<Bytes> {
        Ok(self.0.clone().echo(Body { bytes }).await?.into_inner().bytes)
    }

    async fn echo_records(&self, records: Vec<strings::Record>) -> Result<Vec<strings::Record>> {
        Ok(self.0.clone().echo_records(Records { records }).await?.into_inner().records)
    }

    async fn pause(&self, micros: u32) -> Result<()> {
        self.0.clone().pause(Micros { micros }).await?;
        Ok(())
    }

    async fn burn(&self, micros: u32) -> Result<()> {
        self.0.clone().burn(Micros { micros }).await?;
        Ok(())
    }
}

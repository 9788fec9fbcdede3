//! A small HTTP client: one request at a time, with or without keep-alive.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// A connection to one server.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

/// The response of a server.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// The connection, if it can carry another request.
    pub(crate) kept: Option<Connection>,
}

impl Connection {
    pub(crate) async fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream: BufReader::new(stream) })
    }

    /// Returns true if the server has not closed the connection since the last response.
    pub(crate) fn is_open(&self) -> bool {
        let nothing = self.stream.get_ref().try_read(&mut [0]);
        nothing.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a request: a POST if it has a body, else a GET. The connection is kept alive if `keep` is
    /// true and the server agrees.
    pub(crate) async fn request(
        mut self,
        path: &str,
        body: Option<&str>,
        keep: bool,
    ) -> io::Result<Response> {
        let method = if body.is_some() { "POST" } else { "GET" };
        let (body, close) = (body.unwrap_or_default(), if keep { "keep-alive" } else { "close" });
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: notes\r\nConnection: {close}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.stream.get_mut().write_all(request.as_bytes()).await?;

        let status = self.line().await?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("the response has no status"))?;
        let (mut length, mut kept) = (0, keep);
        loop {
            let header = self.line().await?.to_ascii_lowercase();
            match header.split_once(": ") {
                None => break,
                Some(("content-length", value)) => {
                    length = value.parse().map_err(io::Error::other)?;
                }
                Some(("connection", "close")) => kept = false,
                Some(_) => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Response { status, body, kept: kept.then_some(self) })
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

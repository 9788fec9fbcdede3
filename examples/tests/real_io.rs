//! How to test a service whose handlers do real I/O. Here, each handler queries an HTTP server on this
//! machine.

use std::{
    future::Future,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use flyrpc::fly_rpc;
use flyrpc_testkit::{SimCluster, real_io};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

/// Exchange rates.
#[fly_rpc]
trait Rates {
    async fn rate(&self, currency: String) -> Result<String, String>;
}

/// The service, as it could run in production.
struct Bureau<S>(S);

/// The source of the rates, which a test can replace.
trait Source: Send + Sync + 'static {
    fn fetch(&self, currency: &str) -> impl Future<Output = io::Result<String>> + Send;
}

impl<S: Source> Rates for Bureau<S> {
    async fn rate(&self, currency: String) -> Result<String, String> {
        match timeout(secs(2), self.0.fetch(&currency)).await {
            Ok(fetched) => fetched.map_err(|error| error.to_string()),
            Err(_) => Err("no rate within 2 s".to_owned()),
        }
    }
}

/// Queries the server over a tokio socket, as asynchronous clients and connection pools do.
struct Socket(SocketAddr);

impl Source for Socket {
    async fn fetch(&self, currency: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.0).await?;
        let request = format!("GET /{currency} HTTP/1.1\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        let (_head, body) = response.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
        Ok(body.to_owned())
    }
}

/// Queries the server with a blocking client, on a thread for blocking work.
struct Blocking(SocketAddr);

impl Source for Blocking {
    async fn fetch(&self, currency: &str) -> io::Result<String> {
        let url = format!("http://{}/{currency}", self.0);
        let fetch = move || {
            let request = ureq::get(url).config().timeout_global(Some(secs(1))).build();
            request.call()?.body_mut().read_to_string()
        };
        spawn_blocking(fetch).await?.map_err(ureq::Error::into_io)
    }
}

/// Wraps a source so that the virtual clock does not advance during a fetch.
struct Timeless<S>(S);

impl<S: Source> Source for Timeless<S> {
    async fn fetch(&self, currency: &str) -> io::Result<String> {
        real_io(self.0.fetch(currency)).await
    }
}

/// Returns a fixed rate after the given time, without I/O.
struct Fake(Duration);

impl Source for Fake {
    async fn fetch(&self, currency: &str) -> io::Result<String> {
        sleep(self.0).await;
        Ok(format!("1.25 {currency}"))
    }
}

/// Starts an HTTP server in its own thread, which sleeps for `pause` before each response.
fn server(pause: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = listener.local_addr().expect("the listener is bound");
    thread::spawn(move || -> io::Result<()> {
        loop {
            let (mut stream, _) = listener.accept()?;
            let head: Vec<String> = BufReader::new(&stream)
                .lines()
                .take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
                .collect::<io::Result<_>>()?;
            let currency = head[0].split(['/', ' ']).nth(2).unwrap_or_default();
            thread::sleep(pause);
            let body = format!("1.25 {currency}");
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            // The client may have closed the connection.
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    addr
}

/// Returns a client in hkg of a bureau in iad. The round trip between them takes 20 ms.
async fn rates<S: Source>(
    source: impl Fn() -> S + Send + Sync + 'static,
) -> (SimCluster, RatesClient) {
    let cluster = SimCluster::builder()
        .region("iad", 1)
        .region("hkg", 1)
        .rtt("iad", "hkg", ms(20))
        .serve(move |_node| ServeRates::new(Bureau(source())))
        .start()
        .await;
    let rates: RatesClient = cluster.node("hkg-0").client();
    (cluster, rates.on_region("iad"))
}

#[tokio::test(start_paused = true)]
async fn in_paused_time_a_timeout_around_a_real_socket_fires_at_once() {
    let server = server(secs(1));
    let (_cluster, rates) = rates(move || Socket(server)).await;
    let real = std::time::Instant::now();
    let rate = rates.rate("EUR".into()).await.unwrap();
    assert_eq!(
        rate,
        Err("no rate within 2 s".to_owned()),
        "although the server replies within 1 s"
    );
    assert!(
        real.elapsed() < secs(1),
        "all tasks were idle, so the clock advanced to the next timer"
    );
}

#[tokio::test]
async fn in_real_time_everything_works_as_in_production() {
    let server = server(ms(50));
    let (_cluster, rates) = rates(move || Socket(server)).await;
    let start = Instant::now();
    assert_eq!(rates.rate("EUR".into()).await.unwrap().unwrap(), "1.25 EUR");
    assert!(start.elapsed() >= ms(20) + ms(50));
}

#[tokio::test(start_paused = true)]
async fn spawn_blocking_takes_no_virtual_time() {
    let server = server(ms(50));
    let (_cluster, rates) = rates(move || Blocking(server)).await;
    let start = Instant::now();
    assert_eq!(rates.rate("EUR".into()).await.unwrap().unwrap(), "1.25 EUR");
    assert_eq!(start.elapsed(), ms(20), "the round trip");
}

#[tokio::test(start_paused = true)]
async fn the_blocking_clients_own_timeout_ends_a_request_to_a_hanging_server() {
    let server = server(secs(3_600));
    let (_cluster, rates) = rates(move || Blocking(server)).await;
    let start = Instant::now();
    let error = rates.rate("EUR".into()).await.unwrap().unwrap_err();
    assert!(error.contains("timeout"), "{error}");
    assert_eq!(start.elapsed(), ms(20), "no tokio timer fired");
}

#[tokio::test(start_paused = true)]
async fn an_asynchronous_client_takes_no_virtual_time_within_real_io() {
    let server = server(ms(50));
    let (_cluster, rates) = rates(move || Timeless(Socket(server))).await;
    let start = Instant::now();
    assert_eq!(rates.rate("EUR".into()).await.unwrap().unwrap(), "1.25 EUR");
    assert_eq!(start.elapsed(), ms(20));
}

#[tokio::test(start_paused = true)]
async fn the_clock_advances_after_a_call_is_canceled_within_real_io() {
    let server = server(ms(200));
    let (_cluster, rates) = rates(move || Timeless(Socket(server))).await;
    let call = tokio::spawn(rates.rate("EUR".into()));
    sleep(ms(10)).await; // the call has arrived
    call.abort();
    let start = Instant::now();
    sleep(secs(60)).await;
    assert_eq!(start.elapsed(), secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_fake_takes_the_time_that_the_test_sets() {
    let (_cluster, rates) = rates(|| Fake(ms(300))).await;
    let start = Instant::now();
    assert_eq!(rates.rate("EUR".into()).await.unwrap().unwrap(), "1.25 EUR");
    assert_eq!(start.elapsed(), ms(20) + ms(300));
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

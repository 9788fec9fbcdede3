//! The metrics that a machine serves over HTTP.

use std::{
    error::Error,
    io::{self, Read, Write},
    net::TcpStream,
    path::Path,
};

use flyrpc_examples::process::{Child, Signal};

#[tokio::test]
async fn a_machine_serves_its_metrics() -> Result<(), Box<dyn Error>> {
    let args = ["machine", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
    let node = ["--name", "iad-1", "--region", "iad", "--primary-region", "iad"];
    let web = Path::new(env!("CARGO_BIN_EXE_web"));
    let mut machine = Child::spawn_program(web, args.iter().chain(&node), false)?;
    let line = machine.line().await?;
    let http = line.strip_prefix("http=").and_then(|line| line.split(' ').next());
    let http = http.ok_or_else(|| format!("a machine printed {line:?}"))?;

    let note = get(http, "/notes/1")?;
    assert!(note.ends_with("note 1, read in iad"), "{note}");
    let metrics = get(http, "/metrics")?;
    assert!(metrics.contains("\r\ncontent-type: text/plain; version=0.0.4\r\n"), "{metrics}");
    let labels = r#"rpc_method="Notes/read",rpc_status_code="OK",server_address="iad""#;
    for side in ["client", "server"] {
        let metric = format!("rpc_{side}_call_duration_seconds");
        let bucket = format!(r#"{metric}_bucket{{rpc_system_name="flyrpc",{labels},le="10"}} 1"#);
        assert!(metrics.contains(&bucket), "no {bucket} in {metrics}");
    }

    machine.signal(Signal::TERM)?;
    assert!(machine.ended().await?.success());
    Ok(())
}

/// Returns the response with its headers.
fn get(http: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(http)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: notes\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}

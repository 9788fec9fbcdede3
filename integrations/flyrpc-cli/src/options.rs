//! The options of all commands, with the secret.

use std::{env, path::Path, time::Duration};

use flyrpc::{Keyring, operations::VisitOptions};

use crate::{
    cli::Global,
    exit::Failure,
    input::{self, MAX_SECRET},
    session::host_and_port,
};

const ADDR: &str = "FLYRPC_ADDR";
/// The address of a node on this machine, or of a port forward.
const DEFAULT_ADDR: &str = "127.0.0.1:3590";
const SECRET: &str = "FLYRPC_SECRET";
const SECRET_FILE: &str = "FLYRPC_SECRET_FILE";

/// How to connect to nodes, and what to print.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) addr: String,
    pub(crate) cluster: Option<String>,
    pub(crate) secret: Option<Keyring>,
    pub(crate) json: bool,
    pub(crate) timeout: Duration,
}

impl Options {
    pub(crate) fn read(global: &Global) -> Result<Self, Failure> {
        let secret = match secret_text(global)? {
            Some((source, text)) => Some(parse_secret(&source, &text)?),
            None => None,
        };
        Ok(Options {
            addr: addr(global)?,
            cluster: global.cluster.clone(),
            secret,
            json: global.json,
            timeout: global.timeout,
        })
    }

    pub(crate) fn visit(&self) -> VisitOptions {
        let options = VisitOptions::new();
        let options = match &self.cluster {
            Some(cluster) => options.cluster(cluster),
            None => options,
        };
        match &self.secret {
            Some(secret) => options.secret(secret.clone()),
            None => options,
        }
    }
}

/// Returns the address to connect to. An empty variable counts as unset.
fn addr(global: &Global) -> Result<String, Failure> {
    let (source, addr) = match &global.addr {
        Some(addr) => ("--addr", addr.trim().to_owned()),
        None => (ADDR, variable(ADDR)?.unwrap_or_else(|| DEFAULT_ADDR.to_owned())),
    };
    match host_and_port(&addr) {
        Ok(_) => Ok(addr),
        Err(why) => Err(Failure::Usage(format!("{source} cannot be used: {why}"))),
    }
}

/// Parses a secret that was read from `source`. The error does not contain it.
pub(crate) fn parse_secret(source: &str, text: &str) -> Result<Keyring, Failure> {
    text.parse().map_err(|error| Failure::Usage(format!("{source} cannot be used: {error}")))
}

/// Reads the secret, and returns where it was found. An empty variable counts as unset.
pub(crate) fn secret_text(global: &Global) -> Result<Option<(String, String)>, Failure> {
    if let Some(path) = &global.secret_file {
        return read_file("--secret-file", path).map(Some);
    }
    let secret = variable(SECRET)?;
    match (secret, variable(SECRET_FILE)?) {
        (Some(_), Some(_)) => {
            Err(Failure::Usage(format!("{SECRET} and {SECRET_FILE} are both set: remove one")))
        }
        (Some(text), None) => Ok(Some((SECRET.to_owned(), text))),
        (None, Some(path)) => read_file(SECRET_FILE, Path::new(&path)).map(Some),
        (None, None) => Ok(None),
    }
}

fn read_file(source: &str, path: &Path) -> Result<(String, String), Failure> {
    let text = input::read_file(path, MAX_SECRET);
    // A variable that should be a path may contain the secret, so the path is not shown.
    let text = text.map_err(|error| {
        Failure::Usage(format!("{source} cannot be used: cannot read the file: {error}"))
    })?;
    Ok((source.to_owned(), text.trim().to_owned()))
}

fn variable(name: &str) -> Result<Option<String>, Failure> {
    let Some(value) = env::var_os(name) else { return Ok(None) };
    let value = value.into_string();
    let value = value.map_err(|_| Failure::Usage(format!("{name} is not text in UTF-8")))?;
    Ok(Some(value.trim().to_owned()).filter(|value| !value.is_empty()))
}

//! [`Seed`]: an address, or a name that resolves to addresses, where a node looks for other nodes.

use std::{
    error::Error,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// The default port of a seed, and the default listening port of a node on Fly.io.
pub(crate) const DEFAULT_PORT: u16 = 3590;

/// An address or name where a node looks for other nodes, at its start and while it runs.
///
/// The text form is `name[:port]`, `v4[:port]` or `[v6][:port]`. Without a port, the port is
/// [`DEFAULT_PORT`]. An IPv6 address without brackets has no port: all of `fdaa::3:3590` is an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Seed {
    /// The address of a node.
    Addr(SocketAddr),
    /// A DNS name. The addresses that it resolves to change when nodes start and stop.
    Name {
        /// The name, in lower case.
        host: String,
        /// The port on which the nodes behind this name listen.
        port: u16,
    },
}

impl Seed {
    /// Parses a list separated by commas or white space. Empty entries are skipped.
    pub(crate) fn parse_list(list: &str) -> Result<Vec<Seed>, ParseSeedError> {
        let separator = |c: char| c == ',' || c.is_whitespace();
        list.split(separator).filter(|entry| !entry.is_empty()).map(str::parse).collect()
    }

    /// Whether this is the local machine. If so, a node that listens on loopback can reach it and can be
    /// reached by it. Names are not resolved: only `localhost` and its subdomains count as local.
    pub(crate) fn is_loopback(&self) -> bool {
        match self {
            Seed::Addr(addr) => addr.ip().to_canonical().is_loopback(),
            Seed::Name { host, .. } => {
                let host = host.strip_suffix('.').unwrap_or(host);
                host == "localhost" || host.ends_with(".localhost")
            }
        }
    }
}

impl FromStr for Seed {
    type Err = ParseSeedError;

    fn from_str(entry: &str) -> Result<Self, Self::Err> {
        let entry = entry.trim();
        let error = |expected| ParseSeedError { entry: entry.to_owned(), expected };
        if let Ok(ip) = entry.parse::<IpAddr>() {
            return addr(ip, DEFAULT_PORT).map_err(error);
        }
        let split = split_port(entry).filter(|&(_, port)| port != 0);
        let (host, port) = split.ok_or_else(|| error(FORMS))?;
        if let Some(v6) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let ip: Ipv6Addr = v6.parse().map_err(|_| error(FORMS))?;
            return addr(ip.into(), port).map_err(error);
        }
        if let Ok(ip) = host.parse::<Ipv4Addr>() {
            return addr(ip.into(), port).map_err(error);
        }
        if !is_name(host) {
            return Err(error(FORMS));
        }
        Ok(Seed::Name { host: host.to_ascii_lowercase(), port })
    }
}

impl From<SocketAddr> for Seed {
    fn from(addr: SocketAddr) -> Self {
        Seed::Addr(addr)
    }
}

impl fmt::Display for Seed {
    /// Always includes the port, which [`Env::resolve`](crate::env::Env::resolve) requires.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seed::Addr(addr) => addr.fmt(f),
            Seed::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Text that is not a seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParseSeedError {
    /// The entry that could not be parsed.
    pub(crate) entry: String,
    /// A description of the accepted forms.
    pub(crate) expected: &'static str,
}

impl fmt::Display for ParseSeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a seed: expected {}", self.entry, self.expected)
    }
}

impl Error for ParseSeedError {}

const FORMS: &str = "`name[:port]`, `v4[:port]` or `[v6][:port]`, with a port from 1 to 65535";
const SPECIFIED: &str = "the address of a node, not the unspecified address";

fn addr(ip: IpAddr, port: u16) -> Result<Seed, &'static str> {
    if ip.is_unspecified() { Err(SPECIFIED) } else { Ok(Seed::Addr(SocketAddr::new(ip, port))) }
}

/// Parses `name[:port]`, where the port may be 0. Returns the name with a port, as
/// [`Env::resolve`](crate::env::Env::resolve) requires. Returns `None` if it is not a valid DNS name.
pub(super) fn host_and_port(text: &str) -> Option<String> {
    let (host, port) = split_port(text)?;
    is_name(host).then(|| format!("{}:{port}", host.to_ascii_lowercase()))
}

/// Splits `host:port`, or returns `None` if the port is not a number below 65,536. A colon inside brackets
/// belongs to the host.
fn split_port(entry: &str) -> Option<(&str, u16)> {
    let Some((host, port)) = entry.rsplit_once(':').filter(|(_, port)| !port.contains(']')) else {
        return Some((entry, DEFAULT_PORT));
    };
    // `parse` accepts a leading `+`.
    let number = port.parse().ok().filter(|_| !port.starts_with('+'))?;
    Some((host, number))
}

/// Whether `host` is a valid DNS name. A name whose last label is a number is refused, because it is a
/// mistyped address or only a port.
fn is_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let in_label = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_label = |label: &str| matches!(label.len(), 1..=63) && label.bytes().all(in_label);
    let last = host.rsplit('.').next().unwrap_or(host);
    host.len() <= 253 && host.split('.').all(is_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses `list`, and compares the formatted seeds or the error with `expected`.
    #[track_caller]
    fn check(list: &str, expected: &str) {
        let text = match Seed::parse_list(list) {
            Ok(seeds) => seeds.iter().map(Seed::to_string).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        };
        assert_eq!(text, expected, "for {list:?}");
    }

    #[test]
    fn names_and_addresses_keep_their_port() {
        check("app.internal:4000", "app.internal:4000");
        check("10.0.0.1:4000", "10.0.0.1:4000");
        check("[fdaa::3]:4000", "[fdaa::3]:4000");
    }

    #[test]
    fn a_seed_without_a_port_has_the_default_one() {
        check("app.internal", "app.internal:3590");
        check("10.0.0.1", "10.0.0.1:3590");
        check("[fdaa::3]", "[fdaa::3]:3590");
        check("fdaa::3", "[fdaa::3]:3590");
    }

    #[test]
    fn an_address_is_not_parsed_as_a_name() {
        assert!(matches!("10.0.0.1".parse(), Ok(Seed::Addr(_))));
        assert!(matches!("[::1]:1".parse(), Ok(Seed::Addr(_))));
        assert!(matches!("a.b:1".parse(), Ok(Seed::Name { .. })));
    }

    #[test]
    fn an_unbracketed_v6_address_has_no_port() {
        check("fdaa::3:3590", "[fdaa::3:3590]:3590");
    }

    #[test]
    fn lists_are_separated_by_commas_and_white_space() {
        check("a,b:1, c:2\n\t10.0.0.1 ,,", "a:3590 b:1 c:2 10.0.0.1:3590");
        check(" , ", "");
    }

    #[test]
    fn case_does_not_distinguish_names() {
        check("App.Internal", "app.internal:3590");
    }

    #[test]
    fn a_name_may_be_fully_qualified() {
        check("app.internal.:1", "app.internal.:1");
    }

    #[track_caller]
    fn check_refused(entry: &str) {
        let expected =
            "expected `name[:port]`, `v4[:port]` or `[v6][:port]`, with a port from 1 to 65535";
        check(&format!("ok,{entry}"), &format!("`{entry}` is not a seed: {expected}"));
    }

    #[test]
    fn an_invalid_seed_is_named() {
        check_refused("http://app");
        check_refused("a..b");
        check_refused("app!");
        check_refused(":4000");
        check_refused("[fdaa::3");
        check_refused("[fdaa::zz]");
        check_refused("[10.0.0.1]:1");
        check_refused("1:2:3:4:5:6:7:8:4000");
    }

    #[test]
    fn mistyped_addresses_and_ports_alone_are_not_names() {
        check_refused("10.0.0");
        check_refused("10.0.0.256:1");
        check_refused("4000");
    }

    #[test]
    fn invalid_ports_are_refused() {
        for entry in ["app:0", "app:65536", "app:", "app:x", "app:+1", "10.0.0.1:0", "[::1]:0"] {
            check_refused(entry);
        }
    }

    #[test]
    fn unspecified_addresses_are_refused() {
        for entry in ["0.0.0.0:1", "[::]:1", "::"] {
            let expected = "expected the address of a node, not the unspecified address";
            check(entry, &format!("`{entry}` is not a seed: {expected}"));
        }
    }

    #[test]
    fn only_loopback_and_localhost_are_the_local_machine() {
        for here in
            ["127.0.0.1", "127.8.0.1:1", "::1", "::ffff:127.0.0.1", "localhost", "a.LOCALHOST.:1"]
        {
            assert!(here.parse::<Seed>().unwrap().is_loopback(), "{here}");
        }
        for elsewhere in ["10.0.0.1", "fdaa::3", "app.internal", "localhost.example"] {
            assert!(!elsewhere.parse::<Seed>().unwrap().is_loopback(), "{elsewhere}");
        }
    }
}

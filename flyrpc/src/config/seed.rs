//! [`Seed`], where a node finds others: an address, or a name that resolves to addresses.

use std::{
    error::Error,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// The port of a seed without one, and of a node on Fly.io without a setting for it.
pub(crate) const DEFAULT_PORT: u16 = 3590;

/// Where a node finds others, when it starts and as long as it runs.
///
/// Written `name[:port]`, `v4[:port]` or `[v6][:port]`; without a port it is [`DEFAULT_PORT`]. An
/// IPv6 address without brackets is read whole, so that `fdaa::3:3590` has no port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Seed {
    /// The address of a node.
    Addr(SocketAddr),
    /// A name in DNS, whose answers change as nodes come and go.
    Name {
        /// The name, in lower case.
        host: String,
        /// The port that nodes under that name listen at.
        port: u16,
    },
}

impl Seed {
    /// Parses a list separated by commas or white space. Empty entries are skipped.
    pub(crate) fn parse_list(list: &str) -> Result<Vec<Seed>, ParseSeedError> {
        let separator = |c: char| c == ',' || c.is_whitespace();
        list.split(separator).filter(|entry| !entry.is_empty()).map(str::parse).collect()
    }

    /// Whether this is the local machine, so that a node which listens on loopback can reach it and be
    /// reached. Names are not resolved for this: only `localhost` and names below it count.
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
        let (host, port) = split_port(entry).map_err(error)?;
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
    /// Always with the port, which is what [`Env::resolve`](crate::env::Env::resolve) takes.
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
    /// What would be accepted.
    pub(crate) expected: &'static str,
}

impl fmt::Display for ParseSeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no seed: expected {}", self.entry, self.expected)
    }
}

impl Error for ParseSeedError {}

const FORMS: &str = "`name[:port]`, `v4[:port]` or `[v6][:port]`, with a port from 1 to 65535";
const SPECIFIED: &str = "the address of a node, not the unspecified one";

fn addr(ip: IpAddr, port: u16) -> Result<Seed, &'static str> {
    if ip.is_unspecified() { Err(SPECIFIED) } else { Ok(Seed::Addr(SocketAddr::new(ip, port))) }
}

/// Splits `host:port`. A colon inside of brackets belongs to the host.
fn split_port(entry: &str) -> Result<(&str, u16), &'static str> {
    let Some((host, port)) = entry.rsplit_once(':').filter(|(_, port)| !port.contains(']')) else {
        return Ok((entry, DEFAULT_PORT));
    };
    match port.parse() {
        // `parse` takes a leading `+`.
        Ok(number) if number != 0 && !port.starts_with('+') => Ok((host, number)),
        _ => Err(FORMS),
    }
}

/// Whether `host` is a valid name in DNS. One that ends in a number is refused, since it is a mistyped
/// address or a port alone.
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

    /// Reads `list` and writes back what it became, or the error.
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
    fn an_address_is_never_taken_for_a_name() {
        assert!(matches!("10.0.0.1".parse(), Ok(Seed::Addr(_))));
        assert!(matches!("[::1]:1".parse(), Ok(Seed::Addr(_))));
        assert!(matches!("a.b:1".parse(), Ok(Seed::Name { .. })));
    }

    #[test]
    fn an_unbracketed_v6_address_is_read_whole() {
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
        check(&format!("ok,{entry}"), &format!("`{entry}` is no seed: {expected}"));
    }

    #[test]
    fn what_is_no_seed_is_named() {
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
    fn mistyped_addresses_and_lone_ports_are_not_taken_for_names() {
        check_refused("10.0.0");
        check_refused("10.0.0.256:1");
        check_refused("4000");
    }

    #[test]
    fn ports_that_nobody_can_listen_at_are_refused() {
        for entry in ["app:0", "app:65536", "app:", "app:x", "app:+1", "10.0.0.1:0", "[::1]:0"] {
            check_refused(entry);
        }
    }

    #[test]
    fn unspecified_addresses_are_refused() {
        for entry in ["0.0.0.0:1", "[::]:1", "::"] {
            let expected = "expected the address of a node, not the unspecified one";
            check(entry, &format!("`{entry}` is no seed: {expected}"));
        }
    }

    #[test]
    fn only_loopback_and_localhost_are_this_machine() {
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

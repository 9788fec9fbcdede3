//! Flags that several programs have.

use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    time::Duration,
};

use flyrpc::NodeBuilder;
use tracing_subscriber::EnvFilter;

/// The flags that configure a node.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "This node")]
pub struct NodeFlags {
    /// The cluster to belong to [env: FLYRPC_CLUSTER, FLY_APP_NAME; else local].
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// What this node is called [env: FLY_MACHINE_ID; else the host name].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where this node runs [env: FLY_REGION, MY_REGION; else local].
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// The region where calls aimed at the primary run [env: PRIMARY_REGION; else local].
    #[arg(long, value_name = "REGION")]
    pub primary_region: Option<String>,
    /// Where to listen; port 0 takes a free one [env: FLYRPC_LISTEN; else loopback, a free port].
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where others reach this node [env: FLYRPC_ADVERTISE; else where it listens].
    #[arg(long, value_name = "IP:PORT")]
    pub advertise: Option<SocketAddr>,
    /// Where to find other nodes; may be repeated [env: FLYRPC_SEEDS].
    #[arg(long = "seed", value_name = "HOST:PORT", value_delimiter = ',')]
    pub seeds: Vec<String>,
}

impl NodeFlags {
    /// Sets on `builder` what was given, and nothing else.
    pub fn apply(self, mut builder: NodeBuilder) -> NodeBuilder {
        if let Some(cluster) = self.cluster {
            builder = builder.cluster(cluster);
        }
        if let Some(name) = self.name {
            builder = builder.name(name);
        }
        if let Some(region) = self.region {
            builder = builder.region(region);
        }
        if let Some(region) = self.primary_region {
            builder = builder.primary_region(region);
        }
        if let Some(addr) = self.listen {
            builder = builder.listen(addr);
        }
        if let Some(addr) = self.advertise {
            builder = builder.advertise(addr);
        }
        if !self.seeds.is_empty() {
            builder = builder.seeds(self.seeds);
        }
        builder
    }
}

/// A length of time as people write it: `300ms`, `2s`, `1m`, or seconds alone.
///
/// # Errors
///
/// A message for the user if `text` is not a duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        _ => f64::NAN,
    };
    let seconds = number.parse().map_or(f64::NAN, |number: f64| number * scale);
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| format!("`{text}` is no length of time: expected `300ms`, `2s` or `1m`"))
}

/// Logs to standard error what `RUST_LOG` asks for, else `default`.
pub fn log(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let colours = io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(io::stderr)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_read_as_people_write_it() {
        let check = |text, expected| assert_eq!(duration(text).ok(), expected, "{text:?}");
        check("300ms", Some(Duration::from_millis(300)));
        check("2s", Some(Duration::from_secs(2)));
        check("1.5", Some(Duration::from_millis(1500)));
        check("1m", Some(Duration::from_secs(60)));
        check("", None);
        check("soon", None);
        check("-1s", None);
        check("1 fortnight", None);
    }
}

//! Command-line flags shared by the example programs.

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
    /// Name of the cluster to join [env: FLYRPC_CLUSTER, FLY_APP_NAME; default: local].
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Name of this node [env: FLY_MACHINE_ID; default: the host name].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Region of this node [env: FLY_REGION, MY_REGION; default: local].
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Primary region, which serves calls to the primary [env: PRIMARY_REGION; default: local].
    #[arg(long, value_name = "REGION")]
    pub primary_region: Option<String>,
    /// Address to listen on; port 0 selects a free port [env: FLYRPC_LISTEN; default: loopback and a
    /// free port].
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,
    /// Address at which other nodes reach this one [env: FLYRPC_ADVERTISE; default: the address that
    /// it listens on].
    #[arg(long, value_name = "IP:PORT")]
    pub advertise: Option<SocketAddr>,
    /// Address where this node looks for peers; may be repeated [env: FLYRPC_SEEDS].
    #[arg(long = "seed", value_name = "HOST:PORT", value_delimiter = ',')]
    pub seeds: Vec<String>,
}

impl NodeFlags {
    /// Applies the flags that were given to `builder`, and leaves its other settings unchanged.
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

/// Parses a duration such as `300ms`, `2s` or `1m`. A number without a unit is in seconds.
///
/// # Errors
///
/// Returns a message for the user if `text` is not a duration.
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
        .map_err(|_| format!("`{text}` is not a duration: expected `300ms`, `2s` or `1m`"))
}

/// Initializes logging to standard error. The filter is `RUST_LOG`, or `default` if that variable is
/// unset or invalid.
pub fn log(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let colors = io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colors)
        .with_writer(io::stderr)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_with_and_without_a_unit_are_parsed() {
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

//! The arguments of the command.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    Args, Parser, Subcommand, ValueEnum, builder::NonEmptyStringValueParser, error::ErrorKind,
};
use clap_complete::Shell;

use crate::exit;

/// Inspects, calls and operates the nodes of a flyrpc cluster.
///
/// It connects to one node over TCP, as a visitor: no node lists it, and a port forward such as `fly proxy 3590` is
/// enough. That node answers the questions and makes the calls.
#[derive(Debug, Parser)]
#[command(name = "flyrpc", version, after_long_help = exit::help())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options of all commands.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The node to connect to: a name or an IP address, with or without a port. The default port is 3590. Otherwise, the
    /// variable FLYRPC_ADDR names it; if that is not set or empty, it is 127.0.0.1:3590.
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub(crate) addr: Option<String>,
    /// A file with the secret of the cluster. Otherwise, the secret is read from the variable FLYRPC_SECRET, or from the
    /// file that the variable FLYRPC_SECRET_FILE names.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Refuses nodes of other clusters. Without it, a node of any cluster is accepted.
    #[arg(long, global = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cluster: Option<String>,
    /// Prints JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How long to wait for a connection, and for each call: `500ms`, `5s`, `2m`. Other answers of nodes take at most 5 s.
    #[arg(long, global = true, value_name = "TIME", default_value = "5s", value_parser = parse_time)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Lists the node and the peers that it knows.
    Nodes {
        /// Also prints the ids of the keys that each node holds, and how its link is protected.
        #[arg(long)]
        keys: bool,
    },
    /// Calls a method.
    Call(CallArgs),
    /// Describes the services: methods, arguments, and which nodes lack them.
    Describe {
        /// The service. Without it, all services are described.
        service: Option<String>,
    },
    /// Finds out why a node is not seen or not called.
    Check {
        /// The address of a node, or the name or id of a node that the node at `--addr` knows. Without it, checks the
        /// node at `--addr`, and every peer that it lists as not callable.
        #[arg(value_name = "ADDR|NODE")]
        target: Option<String>,
        /// Prints only ASCII characters.
        #[arg(long)]
        ascii: bool,
    },
    /// Shows the calls of each region and method, once a second.
    Top(TopArgs),
    /// Stops a node from accepting calls until it is restarted. Calls in progress complete.
    Drain {
        /// The name or the id of the node. Without it, the node at `--addr`.
        node: Option<String>,
    },
    /// Stops a node from accepting calls until `flyrpc accept`.
    Hold {
        /// The name or the id of the node. Without it, the node at `--addr`.
        node: Option<String>,
    },
    /// Lets a held node accept calls again.
    Accept {
        /// The name or the id of the node. Without it, the node at `--addr`.
        node: Option<String>,
    },
    /// Prints a new key, or the secret of the first step of a rotation.
    Secret {
        /// Prints NEW,OLD: a new key, and the key that FLYRPC_SECRET, FLYRPC_SECRET_FILE, `--secret-file` or the standard
        /// input contains.
        next: Option<Next>,
    },
    /// Compares two files that `flyrpc describe --json` wrote. Exits with 1 if callers of the old services could no
    /// longer call the new ones.
    Compat {
        /// The services that run now.
        old: PathBuf,
        /// The services that are about to be deployed.
        new: PathBuf,
    },
    /// Prints the completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// The only argument of `secret`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Next {
    Next,
}

/// `flyrpc call hkg Strings.upcase '{"text":"fly"}'`
#[derive(Debug, Args)]
#[command(override_usage = "flyrpc call <REGION|--primary|--nearest|--node NODE|--each [REGION]> \
                            <SERVICE.METHOD> [JSON]")]
pub(crate) struct CallArgs {
    /// A region, unless an option names the target; the service and the method, as in `Strings.upcase`; and the
    /// arguments as a JSON object from their names to their values. `-` reads the object from the standard input.
    #[arg(required = true, num_args = 1..=3, value_name = "WORD")]
    pub(crate) words: Vec<String>,
    /// Calls a node in the primary region.
    #[arg(long, conflicts_with_all = ["nearest", "node", "each"])]
    pub(crate) primary: bool,
    /// Calls the node at `--addr` if it serves the method, and otherwise the nearest node that does.
    #[arg(long, conflicts_with_all = ["node", "each"])]
    pub(crate) nearest: bool,
    /// Calls this node, by its name or its id.
    #[arg(long, value_name = "NODE", conflicts_with = "each")]
    pub(crate) node: Option<String>,
    /// Calls every node that serves the method, or every one in the region. Prints a line for each.
    #[arg(long)]
    pub(crate) each: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Prints the calls of one second, and exits. Required for `--json`.
    #[arg(long)]
    pub(crate) once: bool,
}

/// Whether arguments that cannot be parsed ask for JSON.
pub(crate) fn wants_json(args: impl IntoIterator<Item = OsString>) -> bool {
    let mut options = args.into_iter().skip(1).take_while(|arg| arg != "--");
    options.any(|arg| arg == "--json")
}

/// Returns why the arguments are wrong, without the usage.
pub(crate) fn reason(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no command: see `flyrpc --help`".to_owned();
    }
    let text = error.to_string();
    let reason = text.split("\n\nUsage:").next().unwrap_or_default();
    let reason = reason.split("\n\nFor more information").next().unwrap_or_default();
    let words = reason.trim_start_matches("error: ").split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

fn parse_time(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let seconds_per_unit = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        _ => return Err("expected a time such as `500ms`, `5s` or `2m`".to_owned()),
    };
    let number = digits.parse::<f64>().ok().filter(|number| *number > 0.0);
    number
        .and_then(|number| Duration::try_from_secs_f64(number * seconds_per_unit).ok())
        .ok_or_else(|| "expected a time such as `500ms`, `5s` or `2m`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_time("5"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_time("1.5m"), Ok(Duration::from_secs(90)));
        for wrong in ["", "s", "0s", "-1s", "5h", "NaN", "1e300m"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}

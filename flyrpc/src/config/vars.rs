//! Reads a [`Config`] from environment variables.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use zeroize::Zeroizing;

use super::{
    check::{HEARTBEATS, MAX_BODY, MAX_DRAIN_TIMEOUT, check_advertise, parse_seeds, refuse},
    keyring::Keyring,
    label::check_label,
    seed::{DEFAULT_PORT, Seed, host_and_port},
    settings::{Config, FlyMachine},
};
use crate::{
    error::StartError,
    types::{Region, is_host_ip},
};

const SECRET: &str = "FLYRPC_SECRET";
const SECRET_FILE: &str = "FLYRPC_SECRET_FILE";

impl Config {
    /// Reads the settings from environment variables, and uses defaults for the others. A missing setting
    /// is not an error here, because it can still be set before the node starts.
    /// [`validate`](Config::validate) checks for missing settings.
    ///
    /// # Errors
    ///
    /// Returns an error for the first variable with an invalid value. It contains the value and a
    /// description of the accepted values.
    pub(crate) fn from_env() -> Result<Config, StartError> {
        let known = RefCell::new(BTreeSet::new());
        let config = Config::from_vars(|name| {
            known.borrow_mut().insert(name.to_owned());
            std::env::var_os(name)
        })?;
        for variable in unknown(std::env::vars_os().map(|(name, _)| name), &known.into_inner()) {
            tracing::warn!(variable, "unknown environment variable: flyrpc has no such setting");
        }
        Ok(config)
    }

    /// Like [`from_env`](Config::from_env), with `lookup` as the environment.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`from_env`](Config::from_env).
    pub(crate) fn from_vars(
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Config, StartError> {
        read(lookup)
    }
}

fn read(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Config, StartError> {
    let vars = Vars(lookup);
    let app = vars.label("FLY_APP_NAME")?;
    let machine = vars.label("FLY_MACHINE_ID")?;
    let private_ip = vars.read("FLY_PRIVATE_IP", private_ip)?;
    let fly_app = app.clone().filter(|_| machine.is_some() || private_ip.is_some());
    let seeds = match vars.text("FLYRPC_SEEDS")? {
        Some(list) => parse_seeds("FLYRPC_SEEDS", [list])?,
        None => fly_app.as_deref().map(fly_seed).transpose()?.into_iter().collect(),
    };
    let (listen, listen_name) = match vars.read("FLYRPC_LISTEN", listen)? {
        Some(Listen::Addr(addr)) => (Some(addr), None),
        Some(Listen::Name(name)) => (None, Some(name)),
        None => (None, None),
    };
    let default = Config::default();
    Ok(Config {
        cluster: vars.label("FLYRPC_CLUSTER")?.or(app).unwrap_or(default.cluster),
        name: machine.unwrap_or(default.name),
        version: match vars.label("FLYRPC_VERSION")? {
            Some(version) => version,
            None => vars.label("FLY_MACHINE_VERSION")?.unwrap_or(default.version),
        },
        region: match vars.label("FLY_REGION")? {
            Some(region) => region.into(),
            None => vars.label("MY_REGION")?.map_or(default.region, Region::from),
        },
        primary_region: vars.label("PRIMARY_REGION")?.map(Region::from),
        listen,
        listen_name,
        advertise: vars.read("FLYRPC_ADVERTISE", advertise)?,
        seeds,
        drain_timeout: vars
            .read("FLYRPC_DRAIN_TIMEOUT", drain_timeout)?
            .unwrap_or(default.drain_timeout),
        max_body: vars.read("FLYRPC_MAX_BODY", max_body)?.unwrap_or(default.max_body),
        max_body_memory: vars.read("FLYRPC_MAX_BODY_MEMORY", bytes)?,
        max_in_flight: vars
            .read("FLYRPC_MAX_IN_FLIGHT", max_in_flight)?
            .unwrap_or(default.max_in_flight),
        heartbeat: vars.read("FLYRPC_HEARTBEAT", heartbeat)?.unwrap_or(default.heartbeat),
        client_only: vars.text("RELEASE_COMMAND")?.is_some(),
        secret: vars.secret()?,
        insecure: vars.read("FLYRPC_INSECURE", switch)?.unwrap_or(default.insecure),
        fly: fly_app.map(|_| FlyMachine { private_ip }),
        ..default
    })
}

/// Returns those of the variables `names` that are named like settings and are none of the `known` ones.
fn unknown(
    names: impl Iterator<Item = OsString>,
    known: &BTreeSet<String>,
) -> impl Iterator<Item = String> {
    names.filter_map(|name| name.into_string().ok()).filter(|name| {
        let Some(rest) = name.strip_prefix("FLYRPC_") else { return false };
        // Of the command `flyrpc` and of the testkit.
        let of_tools = rest == "ADDR" || rest.starts_with("SIM_") || rest.starts_with("TESTKIT_");
        // Kubernetes sets them for a service whose name begins with `flyrpc`.
        let of_kubernetes = rest.contains("SERVICE_HOST") || rest.contains("PORT");
        !known.contains(name) && !of_tools && !of_kubernetes
    })
}

struct Vars<F>(F);

impl<F: Fn(&str) -> Option<OsString>> Vars<F> {
    /// The value of a variable without surrounding white space. An empty value counts as unset.
    fn text(&self, name: &str) -> Result<Option<String>, StartError> {
        let Some(value) = (self.0)(name) else { return Ok(None) };
        let value = value
            .into_string()
            .map_err(|value| refuse(name, value.to_string_lossy(), "text in UTF-8"))?;
        let value = value.trim();
        Ok(Some(value.to_owned()).filter(|value| !value.is_empty()))
    }

    /// The parsed value of a variable. The error of `parse` is a description of the accepted values.
    fn read<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Result<Option<T>, StartError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match parse(&text) {
            Ok(value) => Ok(Some(value)),
            Err(expected) => Err(refuse(name, text, expected)),
        }
    }

    /// The secret of the cluster, from a variable or from the file that a variable names. Errors do not contain
    /// the secret.
    fn secret(&self) -> Result<Option<Keyring>, StartError> {
        let refuse_secret = |setting: &str, why: &str| {
            Err(StartError::Secret { setting: setting.to_owned(), why: why.to_owned() })
        };
        let value = (self.0)(SECRET).filter(|value| !value.is_empty());
        let file = self.text(SECRET_FILE)?;
        let (setting, text) = match (value, file) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return refuse_secret(
                    SECRET,
                    "FLYRPC_SECRET_FILE is also set; set only one of them",
                );
            }
            (Some(value), None) => (SECRET, value.into_encoded_bytes()),
            (None, Some(path)) => match std::fs::read(&path) {
                Ok(contents) => (SECRET_FILE, contents),
                // The path is not shown, because it may be a key.
                Err(error) => {
                    return refuse_secret(SECRET_FILE, &format!("cannot read the file: {error}"));
                }
            },
        };
        let text = Zeroizing::new(text);
        let Ok(text) = std::str::from_utf8(&text) else {
            return refuse_secret(setting, "it is not text in UTF-8");
        };
        if text.trim().is_empty() && setting == SECRET {
            return Ok(None);
        }
        match Keyring::parse(text) {
            Ok(keyring) => Ok(Some(keyring)),
            Err(error) => refuse_secret(setting, &error.to_string()),
        }
    }

    fn label(&self, name: &str) -> Result<Option<String>, StartError> {
        self.read(name, |text| check_label(text).map(|()| text.to_owned()))
    }
}

fn switch(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err("`1` or `true`, or `0` or `false`"),
    }
}

fn private_ip(text: &str) -> Result<IpAddr, &'static str> {
    match text.parse::<IpAddr>() {
        Ok(ip) if is_host_ip(ip) => Ok(ip),
        _ => Err("the machine's address in the private network"),
    }
}

/// The name that resolves to every started machine of the app.
fn fly_seed(app: &str) -> Result<Seed, StartError> {
    format!("{app}.internal")
        .parse()
        .map_err(|_| refuse("FLY_APP_NAME", app, "the name of an app on Fly.io"))
}

fn address(text: &str, default_port: u16) -> Result<SocketAddr, &'static str> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse() {
        return Ok(SocketAddr::new(ip, default_port));
    }
    text.parse().map_err(|_| "`ip:port` or `ip`, with an IPv6 address before a port in brackets")
}

enum Listen {
    Addr(SocketAddr),
    Name(String),
}

fn listen(text: &str) -> Result<Listen, &'static str> {
    const FORMS: &str =
        "`ip[:port]` or `name[:port]`, with an IPv6 address before a port in brackets";
    if let Ok(addr) = address(text, DEFAULT_PORT) {
        return Ok(Listen::Addr(addr));
    }
    host_and_port(text).map(Listen::Name).ok_or(FORMS)
}

fn advertise(text: &str) -> Result<SocketAddr, &'static str> {
    let addr = address(text, 0)?;
    check_advertise(addr)?;
    Ok(addr)
}

fn drain_timeout(text: &str) -> Result<Duration, &'static str> {
    const FORMS: &str = "a duration such as `4s`, `500ms` or `2m`, at most 24 h";
    duration(text).filter(|timeout| *timeout <= MAX_DRAIN_TIMEOUT).ok_or(FORMS)
}

fn heartbeat(text: &str) -> Result<Duration, &'static str> {
    const FORMS: &str = "a duration such as `1s` or `500ms`, 10 ms to 1 h";
    duration(text).filter(|heartbeat| HEARTBEATS.contains(heartbeat)).ok_or(FORMS)
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        _ => return None,
    };
    number.checked_mul(milliseconds).map(Duration::from_millis)
}

fn max_body(text: &str) -> Result<usize, &'static str> {
    const FORMS: &str = "a size such as `32MiB`, or a number of bytes, 1 B to 4 GiB minus 1 B";
    bytes(text).ok().filter(|bytes| (1..=MAX_BODY).contains(bytes)).ok_or(FORMS)
}

fn bytes(text: &str) -> Result<usize, &'static str> {
    const FORMS: &str = "a size such as `256MiB` or `2GiB`, or a number of bytes";
    let (number, unit) = number_and_unit(text).ok_or(FORMS)?;
    let unit: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(FORMS),
    };
    let bytes = number.checked_mul(unit).ok_or(FORMS)?;
    usize::try_from(bytes).map_err(|_| FORMS)
}

fn max_in_flight(text: &str) -> Result<usize, &'static str> {
    text.parse().ok().filter(|&calls| calls > 0).ok_or("a number of calls, at least 1")
}

/// Splits a text such as `4s` into its number and its unit, which may be empty.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_are_named_like_settings_and_are_none_are_found() {
        let known = RefCell::new(BTreeSet::new());
        let lookup = |name: &str| {
            known.borrow_mut().insert(name.to_owned());
            None
        };
        Config::from_vars(lookup).unwrap();
        let names = [
            "FLYRPC_SEED",
            "FLYRPC_SEEDS",
            "FLYRPC_SECRETS",
            "FLYRPC_SECRET_FILE",
            "FLYRPC_ADDR",
            "FLYRPC_SIM_SEED",
            "FLYRPC_PORT",
            "FLYRPC_PORT_3590_TCP",
            "FLYRPC_WEB_SERVICE_HOST",
            "FLY_SEEDS",
            "PATH",
        ];
        let known = known.into_inner();
        let found: Vec<_> = unknown(names.map(OsString::from).into_iter(), &known).collect();
        assert_eq!(found, ["FLYRPC_SEED", "FLYRPC_SECRETS"]);
    }
}

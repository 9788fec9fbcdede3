//! The simulated resolver's table.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
};

use super::wire::Wire;

#[derive(Default)]
pub(super) struct Names(BTreeMap<String, Vec<IpAddr>>);

impl Names {
    pub(super) fn set(&mut self, name: String, addrs: Vec<IpAddr>) {
        self.0.insert(name, addrs);
    }

    /// Looks up `name`, which is `host:port`: an address, a name of the table, or a host's name.
    pub(super) fn resolve(&self, name: &str, wire: &Wire) -> io::Result<Vec<SocketAddr>> {
        if let Ok(addr) = name.parse() {
            return Ok(vec![addr]);
        }
        let invalid = || {
            let message = format!("`{name}` is not a name and a port, as in `app.internal:4100`");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        };
        let (host, port) = name.rsplit_once(':').ok_or_else(invalid)?;
        let port: u16 = port.parse().map_err(|_| invalid())?;
        let known = match self.0.get(host) {
            Some(ips) => ips.clone(),
            None => wire.find(host).map(|id| wire.hosts[id.0].ip).into_iter().collect(),
        };
        if known.is_empty() {
            let message = format!("the simulated network knows no address of `{host}`");
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        Ok(known.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }
}

//! The simulated name resolver.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
};

use super::topology::Topology;

#[derive(Default)]
pub(crate) struct Resolver(BTreeMap<String, Vec<IpAddr>>);

impl Resolver {
    pub(crate) fn set(&mut self, name: String, addrs: Vec<IpAddr>) {
        self.0.insert(name, addrs);
    }

    /// Resolves `name`, which has the form `host:port`. The host part is an IP address, a name that was
    /// set, or the name of a host.
    pub(crate) fn resolve(&self, name: &str, topology: &Topology) -> io::Result<Vec<SocketAddr>> {
        if let Ok(addr) = name.parse() {
            return Ok(vec![addr]);
        }
        let invalid = || {
            let message =
                format!("`{name}` is not of the form `name:port`, such as `app.internal:4100`");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        };
        let (host, port) = name.rsplit_once(':').ok_or_else(invalid)?;
        let port: u16 = port.parse().map_err(|_| invalid())?;
        let ips = match self.0.get(host) {
            Some(ips) => ips.clone(),
            None => topology.find_host(host).map(|id| topology.host(id).ip).into_iter().collect(),
        };
        if ips.is_empty() {
            let message = format!("the simulated network has no address for `{host}`");
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        Ok(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }
}

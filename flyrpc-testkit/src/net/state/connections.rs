//! All connections of the network.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{
    connection::Connection,
    fabric::Fabric,
    ids::{ConnId, HostId, Side},
};

pub(crate) struct Connections {
    by_id: BTreeMap<ConnId, Connection>,
    last_id: ConnId,
}

impl Connections {
    pub(crate) fn new() -> Self {
        Connections { by_id: BTreeMap::new(), last_id: ConnId(0) }
    }

    pub(crate) fn count(&self) -> usize {
        self.by_id.len()
    }

    /// Starts connecting.
    pub(crate) fn open(
        &mut self,
        from: (HostId, SocketAddr),
        to: (HostId, SocketAddr),
        fabric: &mut Fabric,
    ) -> ConnId {
        self.last_id = ConnId(self.last_id.0 + 1);
        let id = self.last_id;
        self.by_id.insert(id, Connection::open(id, from, to, fabric));
        id
    }

    /// Calls `act` with a connection unless it has finished. Removes the connection if it has finished
    /// after the call.
    pub(crate) fn with<R>(
        &mut self,
        id: ConnId,
        fabric: &mut Fabric,
        act: impl FnOnce(&mut Connection, &mut Fabric) -> R,
    ) -> Option<R> {
        let conn = self.by_id.get_mut(&id)?;
        let result = act(conn, fabric);
        if conn.is_finished() {
            self.by_id.remove(&id);
        }
        Some(result)
    }

    /// Sends the messages that were waiting for a path that is now open.
    pub(crate) fn flush(&mut self, fabric: &mut Fabric) {
        for conn in self.by_id.values_mut() {
            conn.flush(Side::Initiator, fabric);
            conn.flush(Side::Acceptor, fabric);
        }
    }

    pub(crate) fn on_host_crash(&mut self, host: HostId, fabric: &mut Fabric) {
        for conn in self.by_id.values_mut() {
            conn.on_host_crash(host, fabric);
        }
        self.by_id.retain(|_, conn| !conn.is_finished());
    }
}

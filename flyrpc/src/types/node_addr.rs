//! Checks which addresses a node can have.

use std::net::{IpAddr, SocketAddr};

/// Returns whether other nodes could reach a node at `addr`, judging by the address alone. Advertised
/// addresses in settings and addresses that peers send both undergo this check.
pub(crate) fn is_node_addr(addr: SocketAddr) -> bool {
    addr.port() != 0 && is_host_ip(addr.ip())
}

/// Returns whether one host can have this IP address, which must not be unspecified, multicast or
/// broadcast.
pub(crate) fn is_host_ip(ip: IpAddr) -> bool {
    // An IPv4 address can also be written as an IPv6 address.
    let ip = ip.to_canonical();
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_the_address_of_one_host_and_a_port() {
        let is_valid = |addr: &&str| is_node_addr(addr.parse().unwrap());
        let valid = ["10.0.0.1:1", "127.0.0.1:1", "[fdaa::3]:1", "[::ffff:10.0.0.1]:1"];
        assert!(valid.iter().all(is_valid));
        let invalid = [
            "10.0.0.1:0",
            "0.0.0.0:1",
            "[::]:1",
            "224.0.0.1:1",
            "[ff02::1]:1",
            "255.255.255.255:1",
            "[::ffff:0.0.0.0]:1",
            "[::ffff:224.0.0.1]:1",
            "[::ffff:255.255.255.255]:1",
        ];
        assert!(!invalid.iter().any(is_valid));
    }
}

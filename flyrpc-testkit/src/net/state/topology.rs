//! The hosts of the network: their names, addresses and regions, and the delays between regions.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use flyrpc::Region;

use super::ids::{HostId, Path, RegionIndex};
use crate::latency::RoundTrips;

pub(crate) struct Topology {
    hosts: Vec<Arc<HostInfo>>,
    by_name: BTreeMap<String, HostId>,
    by_ip: BTreeMap<IpAddr, HostId>,
    round_trips: RoundTrips,
    regions: Vec<Region>,
    /// Round trips by the indices of two regions. The greater index comes first.
    delays: Vec<Vec<Duration>>,
}

/// The properties of a host that never change.
pub(crate) struct HostInfo {
    pub(crate) name: String,
    pub(crate) region: RegionIndex,
    pub(crate) ip: IpAddr,
}

impl Topology {
    pub(crate) fn new(round_trips: RoundTrips) -> Self {
        Topology {
            hosts: Vec::new(),
            by_name: BTreeMap::new(),
            by_ip: BTreeMap::new(),
            round_trips,
            regions: Vec::new(),
            delays: Vec::new(),
        }
    }

    /// Adds a host.
    ///
    /// # Errors
    ///
    /// Returns the panic message if the name is taken, if the round trip to another region is unknown,
    /// or if there are no addresses left.
    pub(crate) fn add_host(&mut self, name: String, region: Region) -> Result<HostId, String> {
        if self.find_host(&name).is_some() {
            return Err(format!("there is already a host `{name}`"));
        }
        if self.regions.iter().any(|known| *known == *name) {
            return Err(format!(
                "host `{name}` has the name of a region, which would make faults ambiguous"
            ));
        }
        if self.find_host(region.as_str()).is_some() {
            return Err(format!(
                "region `{region}` has the name of a host, which would make faults ambiguous"
            ));
        }
        let region = self.intern_region(region)?;
        let nth = 1 + self.hosts.iter().filter(|host| host.region == region).count();
        let part = |number: usize| {
            u8::try_from(number)
                .map_err(|_| "there are more regions or hosts than simulated addresses".to_owned())
        };
        let octets = [10, part(region.0 + 1)?, part(nth >> 8)?, part(nth & 0xff)?];
        let ip = Ipv4Addr::from(octets).into();
        let id = HostId(self.hosts.len());
        self.by_name.insert(name.clone(), id);
        self.by_ip.insert(ip, id);
        self.hosts.push(Arc::new(HostInfo { name, region, ip }));
        Ok(id)
    }

    fn intern_region(&mut self, region: Region) -> Result<RegionIndex, String> {
        if let Some(known) = self.find_region(region.as_str()) {
            return Ok(known);
        }
        let delay = |other: &Region| {
            self.round_trips.between(&region, other).ok_or_else(|| {
                format!(
                    "no round trip is known between regions `{other}` and `{region}`: \
                     set it with `.rtt(\"{other}\", \"{region}\", …)`"
                )
            })
        };
        let delays = self.regions.iter().chain([&region]).map(delay).collect::<Result<_, _>>()?;
        self.delays.push(delays);
        self.regions.push(region);
        Ok(RegionIndex(self.regions.len() - 1))
    }

    pub(crate) fn host(&self, id: HostId) -> &Arc<HostInfo> {
        &self.hosts[id.0]
    }

    /// Returns all hosts, in the order in which they were added.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = &HostInfo> {
        self.hosts.iter().map(|host| &**host)
    }

    pub(crate) fn region(&self, id: HostId) -> &Region {
        &self.regions[self.host(id).region.0]
    }

    pub(crate) fn find_host(&self, name: &str) -> Option<HostId> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn find_region(&self, name: &str) -> Option<RegionIndex> {
        let region = Region::from(name);
        self.regions.iter().position(|known| *known == region).map(RegionIndex)
    }

    pub(crate) fn region_name(&self, region: RegionIndex) -> &str {
        self.regions[region.0].as_str()
    }

    /// Returns all regions, in the order in which their first hosts were added.
    pub(crate) fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter()
    }

    /// Returns the host that `from` reaches at `ip`.
    pub(crate) fn locate(&self, from: HostId, ip: IpAddr) -> Option<HostId> {
        if ip.is_loopback() || ip.is_unspecified() {
            return Some(from);
        }
        self.by_ip.get(&ip).copied()
    }

    /// Returns the delay of one direction without faults. If the round trip is an odd number of
    /// milliseconds, one direction has the extra millisecond: the direction from the region whose name
    /// sorts first, or within a region, from the host that was added first.
    pub(crate) fn base_delay(&self, path: Path) -> Duration {
        if path.from == path.to {
            return Duration::ZERO;
        }
        let region = |host: HostId| self.host(host).region.0;
        let (a, b) = (region(path.from), region(path.to));
        let round_trip = self.delays[a.max(b)][a.min(b)].as_millis() as u64;
        let longer = if a == b { path.from < path.to } else { self.regions[a] < self.regions[b] };
        Duration::from_millis(if longer { round_trip.div_ceil(2) } else { round_trip / 2 })
    }

    /// Returns the source address of packets to `to` from a socket of `host` that is bound to `port`.
    pub(crate) fn source(&self, host: HostId, to: IpAddr, port: u16) -> SocketAddr {
        let ip = if to.is_loopback() || to.is_unspecified() { to } else { self.host(host).ip };
        SocketAddr::new(ip, port)
    }
}

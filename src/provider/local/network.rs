//! The network of a cluster's local machines: whether it can be created, and its settings.
//!
//! Pure: Docker's networks and this computer's routes are passed in as text.

use std::net::Ipv4Addr;

use serde::Deserialize;

use crate::inventory::Cidr;

/// The MTU that Docker gives a network by default.
const DOCKERS_MTU: u32 = 1500;

/// A network that Docker has, as `docker network inspect` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerNetwork {
    name: String,
    #[serde(rename = "IPAM")]
    ipam: Ipam,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ipam {
    config: Option<Vec<IpamConfig>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IpamConfig {
    #[serde(default)]
    subnet: String,
}

/// A route of this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    interface: String,
    to: Block,
}

/// A range of addresses: unlike a [`Cidr`], of any size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    network: u32,
    mask: u32,
}

/// Why a cluster cannot have the network that its inventory names.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NetworkError {
    /// The cluster already has a different network.
    #[error(
        "the Docker network `{name}` is {has}, but the inventory says {wants}: take the \
         machines down first, or write their network in the inventory"
    )]
    Differs {
        /// The network.
        name: String,
        /// What it is.
        has: String,
        /// What the inventory says.
        wants: Cidr,
    },
    /// Some of its addresses are already in use.
    #[error(
        "the network {wants} overlaps with {other}: write a different network as \
         `provider.local.network.cidr`"
    )]
    Overlaps {
        /// What the inventory says.
        wants: Cidr,
        /// What uses it: a Docker network or an interface of this computer.
        other: String,
    },
}

/// Whether the network already exists; if not, it can be created.
///
/// # Errors
/// When it exists with other addresses, or overlaps with addresses that this computer uses.
pub(super) fn is_there(
    name: &str,
    wants: Cidr,
    networks: &[DockerNetwork],
    routes: &[Route],
) -> Result<bool, NetworkError> {
    if let Some(network) = networks.iter().find(|network| network.name == name) {
        let has = network.subnets().collect::<Vec<_>>().join(", ");
        return match has == wants.to_string() {
            true => Ok(true),
            false => Err(NetworkError::Differs { name: name.to_owned(), has, wants }),
        };
    }
    let overlaps = |other| NetworkError::Overlaps { wants, other };
    let ours = Block::from(wants);
    if let Some(network) = networks.iter().find(|network| network.overlaps(ours)) {
        return Err(overlaps(format!("the Docker network `{}`", network.name)));
    }
    match routes.iter().find(|route| !route.is_default() && route.to.overlaps(ours)) {
        Some(route) => Err(overlaps(format!("the interface `{}`", route.interface))),
        None => Ok(false),
    }
}

/// Parses `/proc/net/route`; skips lines that are not routes.
pub(super) fn routes(text: &str) -> Vec<Route> {
    text.lines().filter_map(route).collect()
}

/// The interface of the default route, if there is one.
pub(super) fn way_out(routes: &[Route]) -> Option<&str> {
    routes.iter().find(|route| route.is_default()).map(|route| route.interface.as_str())
}

/// The MTU for the network, if the default route has a smaller MTU than Docker's default.
pub(super) fn narrow(way_out_mtu: Option<u32>) -> Option<u32> {
    way_out_mtu.filter(|mtu| *mtu < DOCKERS_MTU)
}

/// The address of this computer in the network.
pub(super) fn gateway(subnet: Cidr) -> Ipv4Addr {
    Ipv4Addr::from_bits(subnet.network.to_bits() + 1)
}

impl DockerNetwork {
    fn subnets(&self) -> impl Iterator<Item = &str> {
        self.ipam.config.iter().flatten().map(|config| config.subnet.as_str())
    }

    fn overlaps(&self, other: Block) -> bool {
        self.subnets().filter_map(Block::parse).any(|block| block.overlaps(other))
    }
}

impl Route {
    fn is_default(&self) -> bool {
        self.to.mask == 0
    }
}

impl Block {
    /// `None` if it is not an IPv4 network: such a network cannot overlap with the cluster's.
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: Ipv4Addr = address.parse().ok()?;
        let prefix: u32 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
        let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
        Some(Self { network: address.to_bits() & mask, mask })
    }

    fn overlaps(self, other: Self) -> bool {
        let common = self.mask & other.mask;
        self.network & common == other.network & common
    }
}

impl From<Cidr> for Block {
    fn from(cidr: Cidr) -> Self {
        Self {
            network: cidr.network.to_bits(),
            mask: u32::MAX << (32 - u32::from(cidr.prefix)),
        }
    }
}

/// The kernel writes addresses as hexadecimal words in this computer's byte order.
fn route(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let word = |n: usize| {
        let word = u32::from_str_radix(fields.get(n)?, 16).ok()?;
        Some(u32::from_be_bytes(word.to_ne_bytes()))
    };
    let to = Block { network: word(1)?, mask: word(7)? };
    Some(Route { interface: (*fields.first()?).to_owned(), to })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
";

    fn networks() -> Vec<DockerNetwork> {
        let text = r#"[
            {"Name": "bridge", "IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]}},
            {"Name": "host", "IPAM": {"Config": null}},
            {"Name": "six", "IPAM": {"Config": [{"Subnet": "fd00::/64"}]}},
            {"Name": "platform-lab", "IPAM": {"Config": [{"Subnet": "10.77.0.0/24"}]}}
        ]"#;
        serde_json::from_str(text).unwrap()
    }

    fn check(name: &str, subnet: &str) -> Result<bool, NetworkError> {
        is_there(name, subnet.parse().unwrap(), &networks(), &routes(ROUTES))
    }

    #[test]
    fn a_cluster_finds_its_own_network_again() {
        assert_eq!(check("platform-lab", "10.77.0.0/24"), Ok(true));
        assert_eq!(check("platform-new", "10.78.0.0/24"), Ok(false));
    }

    #[test]
    fn a_network_that_somebody_uses_is_refused_by_name() {
        let other = |result| match result {
            Err(NetworkError::Overlaps { other, .. }) => other,
            otherwise => panic!("{otherwise:?}"),
        };
        let lab = "the Docker network `platform-lab`";
        assert_eq!(other(check("platform-new", "10.77.0.0/16")), lab);
        assert_eq!(other(check("platform-new", "10.77.0.128/25")), lab);
        let eth0 = "the interface `eth0`";
        assert_eq!(other(check("platform-new", "192.0.2.0/28")), eth0);
    }

    #[test]
    fn another_subnet_under_the_same_name_is_refused() {
        let found = check("platform-lab", "10.79.0.0/24");
        let Err(NetworkError::Differs { has, .. }) = found else { panic!("{found:?}") };
        assert_eq!(has, "10.77.0.0/24");
    }

    #[test]
    fn the_way_out_is_the_default_route_and_narrow_only_below_dockers_mtu() {
        assert_eq!(way_out(&routes(ROUTES)), Some("eth0"));
        assert_eq!(way_out(&routes("")), None);
        assert_eq!(narrow(Some(1400)), Some(1400));
        assert_eq!(narrow(Some(1500)), None);
        assert_eq!(narrow(Some(9000)), None);
        assert_eq!(narrow(None), None);
    }

    #[test]
    fn the_gateway_is_the_first_address() {
        assert_eq!(gateway("10.77.0.0/24".parse().unwrap()), Ipv4Addr::new(10, 77, 0, 1));
    }
}

//! Where a master or an agent is: the address that it listens on and the one that others use.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use crate::flags::{FlagError, Flags};

/// Why a process cannot tell where it is.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A flag is faulty.
    #[error(transparent)]
    Flag(#[from] FlagError),
    /// The host's own name has no address.
    #[error(
        "Failed to obtain the IP address for '{0}'; the DNS service may not be able to resolve \
         it: Name or service not known. Set --ip"
    )]
    Unresolvable(String),
}

/// The place of a process in the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What it listens on.
    pub listen: SocketAddr,
    /// The address that others use.
    pub ip: IpAddr,
    /// The port that others use.
    pub port: u16,
    /// The name that it shows.
    pub hostname: String,
}

impl Place {
    /// From `--ip`, `--port`, `--hostname`, `--advertise_ip` and `--advertise_port`.
    ///
    /// # Errors
    /// When a flag is faulty, or the host's name has no address and no `--ip` is given.
    pub fn from_flags(flags: &Flags) -> Result<Self, PlaceError> {
        let port: u16 = flags.parsed("port")?.unwrap_or_default();
        let given: Option<IpAddr> = flags.parsed("ip")?;
        let advertised: Option<IpAddr> = flags.parsed("advertise_ip")?;
        let own_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let ip = match advertised.or(given) {
            Some(ip) => ip,
            None => resolve(&own_name)?,
        };
        let hostname = match flags.get("hostname") {
            Some(name) => name.to_owned(),
            None if flags.is_on("hostname_lookup") && given.is_none() => own_name,
            None => ip.to_string(),
        };
        let listen = SocketAddr::new(given.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), port);
        let port = flags.parsed("advertise_port")?.unwrap_or(port);
        Ok(Self { listen, ip, port, hostname })
    }

    /// `ip:port`, as others use it.
    pub fn address(&self) -> String {
        SocketAddr::new(self.ip, self.port).to_string()
    }

    /// The address as the number that older messages hold, in network order.
    pub fn ip_number(&self) -> u32 {
        match self.ip {
            IpAddr::V4(ip) => u32::from_le_bytes(ip.octets()),
            IpAddr::V6(_) => 0,
        }
    }
}

fn resolve(name: &str) -> Result<IpAddr, PlaceError> {
    let found = (name, 0).to_socket_addrs().ok();
    let mut addresses = found.into_iter().flatten().map(|address| address.ip());
    addresses
        .find(IpAddr::is_ipv4)
        .ok_or_else(|| PlaceError::Unresolvable(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Table;

    const TABLE: &str = "advertise_ip\nadvertise_port\nhostname\n[no-]hostname_lookup true\nip\nport 5050\n";

    #[test]
    fn others_use_what_is_advertised() {
        let arguments =
            ["--ip=127.0.1.11", "--advertise_ip=10.0.0.1", "--advertise_port=80"];
        let arguments = arguments.iter().map(|a| (*a).to_owned());
        let flags = Flags::load(&Table::parse(TABLE), "MESOS_", [], arguments).unwrap();
        let place = Place::from_flags(&flags).unwrap();
        assert_eq!(place.listen.to_string(), "127.0.1.11:5050");
        assert_eq!(
            (place.address().as_str(), place.hostname.as_str()),
            ("10.0.0.1:80", "10.0.0.1")
        );
    }

    #[test]
    fn an_address_is_a_number_in_network_order() {
        let ip = "127.0.1.11".parse().unwrap();
        let listen = SocketAddr::new(ip, 5050);
        let place = Place { listen, ip, port: 5050, hostname: "h".into() };
        assert_eq!(place.ip_number(), 184_615_039);
    }
}

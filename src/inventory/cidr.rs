//! Networks: those in which machines are made, and those that may reach them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::str::FromStr;

use super::diagnostic::Diagnostic;
use super::{AdminCidr, Cidr};

/// Why a text is not a [`Cidr`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadCidr {
    /// It does not have the form of a network.
    #[error("`{0}` is not an IPv4 network")]
    Form(String),
    /// It is too large or too small.
    #[error("a network of local machines has a prefix from /8 to /28, not /{0}")]
    Prefix(u8),
    /// It is the address of a host in this network.
    #[error("`{text}` is an address within the network `{network}`")]
    HostBits {
        /// What was given.
        text: String,
        /// The network that contains it.
        network: Cidr,
    },
}

impl Cidr {
    /// The number of machines for which it has room: the first ten addresses and the last are
    /// reserved.
    pub const fn room(self) -> u32 {
        (1 << (32 - self.prefix)) - 12
    }

    /// The first and the last of the addresses that no machine gets, without the gateway's.
    pub fn reserved(self) -> [Ipv4Addr; 2] {
        [2, 10].map(|n| Ipv4Addr::from_bits(self.network.to_bits() + n))
    }

    /// Whether an address is one of those that no machine gets.
    pub fn reserves(self, address: Ipv4Addr) -> bool {
        let [first, last] = self.reserved();
        (first..=last).contains(&address)
    }

    /// Whether all its addresses are private ones (RFC 1918).
    pub fn is_private(self) -> bool {
        self.network.is_private() && self.last().is_private()
    }

    /// The smallest network that contains this one and has room for so many machines; `None` if
    /// that would be larger than a /8.
    pub fn with_room(self, n_machines: u32) -> Option<Self> {
        (8..=self.prefix)
            .rev()
            .map(|prefix| Self::around(self.network, prefix))
            .find(|cidr| cidr.room() >= n_machines)
    }

    fn around(address: Ipv4Addr, prefix: u8) -> Self {
        let mask = u32::MAX << (32 - prefix);
        Self { network: Ipv4Addr::from_bits(address.to_bits() & mask), prefix }
    }

    /// The number of equal parts into which a network is split for zones: one part for each zone.
    pub const N_PARTS: usize = 8;

    /// The number of machines for which each part has room: AWS reserves the first four addresses
    /// of a part and the last.
    pub(super) const fn room_in_part(self) -> u32 {
        (1_u32 << (29_u8.saturating_sub(self.prefix))).saturating_sub(5)
    }

    /// The network with this prefix that contains this one.
    pub(super) fn widened(self, prefix: u8) -> Self {
        Self::around(self.network, prefix)
    }

    fn last(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() | (u32::MAX >> self.prefix))
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;

    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let form = || BadCidr::Form(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(form)?;
        let address: Ipv4Addr = address.parse().map_err(|_| form())?;
        let prefix: u8 = prefix.parse().map_err(|_| form())?;
        if !(8..=28).contains(&prefix) {
            return Err(BadCidr::Prefix(prefix));
        }
        match Self::around(address, prefix) {
            cidr if cidr.network == address => Ok(cidr),
            network => Err(BadCidr::HostBits { text: text.to_owned(), network }),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// Why a text is not an [`AdminCidr`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadAdminCidr {
    /// It does not have the form of a network.
    #[error("`{0}` is not a network")]
    Form(String),
    /// It is an address without a prefix, and the prefix is not guessed.
    #[error("`{0}` is an address, not a network")]
    Address(IpAddr),
    /// It is the address of a host in this network.
    #[error("`{address}/{}` is an address within the network `{network}`", network.prefix)]
    HostBits {
        /// The address that was given.
        address: IpAddr,
        /// The network that contains it.
        network: AdminCidr,
    },
}

impl AdminCidr {
    /// The network that contains only this address.
    pub(super) fn only(address: IpAddr) -> Self {
        Self { network: address, prefix: bits_of(address) }
    }

    /// The network with this prefix that contains an address.
    fn around(address: IpAddr, prefix: u8) -> Self {
        let host_bits = u32::from(bits_of(address) - prefix);
        let network = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
                Ipv4Addr::from_bits(address.to_bits() & mask).into()
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
                Ipv6Addr::from_bits(address.to_bits() & mask).into()
            }
        };
        Self { network, prefix }
    }
}

/// How many bits an address has.
fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for AdminCidr {
    type Err = BadAdminCidr;

    fn from_str(text: &str) -> Result<Self, BadAdminCidr> {
        let form = || BadAdminCidr::Form(text.to_owned());
        if let Ok(address) = text.parse() {
            return Err(BadAdminCidr::Address(address));
        }
        let (address, prefix) = text.split_once('/').ok_or_else(form)?;
        let address: IpAddr = address.parse().map_err(|_| form())?;
        let prefix: u8 = prefix.parse().map_err(|_| form())?;
        if prefix > bits_of(address) {
            return Err(form());
        }
        match Self::around(address, prefix) {
            cidr if cidr.network == address => Ok(cidr),
            network => Err(BadAdminCidr::HostBits { address, network }),
        }
    }
}

impl fmt::Display for AdminCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

pub(super) fn not_private(at: &Range<usize>, cidr: Cidr) -> Diagnostic {
    Diagnostic::new(at, format!("{cidr} is not a private network")).help(
        "the real hosts of that network could not be reached: use a part of 10.0.0.0/8, \
         172.16.0.0/12 or 192.168.0.0/16",
    )
}

/// Why a text is not a network that can be made; `like` is an example of a valid one.
pub(super) fn bad_cidr(at: &Range<usize>, error: &BadCidr, like: Cidr) -> Diagnostic {
    let help = match error {
        BadCidr::HostBits { network, .. } => format!("write `{network}`"),
        _ => format!("write an address and a prefix, such as `{like}`"),
    };
    Diagnostic::new(at, error.to_string()).help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_are_read_and_shown_and_what_is_none_is_refused() {
        assert_eq!(cidr("10.77.0.0/24").to_string(), "10.77.0.0/24");
        assert!(matches!("10.77.0.0/29".parse::<Cidr>(), Err(BadCidr::Prefix(29))));
        for bad in ["", "10.77.0.0", "10.77.0/24", "fd00::/64", "10.0.0.0/x", "a/8"] {
            assert!(matches!(bad.parse::<Cidr>(), Err(BadCidr::Form(_))), "{bad}");
        }
    }

    #[test]
    fn an_address_within_a_network_names_the_network() {
        let Err(BadCidr::HostBits { network, .. }) = "10.77.3.9/22".parse::<Cidr>()
        else {
            panic!("the host bits must be refused");
        };
        assert_eq!(network, cidr("10.77.0.0/22"));
    }

    #[test]
    fn room_counts_from_the_eleventh_address_to_the_last_but_one() {
        assert_eq!(cidr("10.77.0.0/28").room(), 4);
        assert_eq!(cidr("10.77.0.0/24").room(), 244);
        assert_eq!(cidr("10.77.0.16/28").with_room(5), Some(cidr("10.77.0.0/27")));
        assert_eq!(cidr("10.0.0.0/28").with_room(u32::MAX), None);
    }

    #[test]
    fn a_network_that_only_begins_private_is_not_private() {
        assert!(cidr("10.0.0.0/8").is_private() && cidr("172.16.0.0/12").is_private());
        assert!(!cidr("192.168.0.0/15").is_private() && !cidr("8.8.8.0/24").is_private());
    }

    #[test]
    fn the_eighth_part_of_a_network_has_room_but_for_five_addresses() {
        assert_eq!(cidr("10.42.9.0/24").room_in_part(), 27);
        assert_eq!(cidr("10.42.0.0/16").room_in_part(), 8187);
        assert_eq!(cidr("10.77.0.0/28").room_in_part(), 0);
    }

    #[test]
    fn networks_of_operators_are_of_any_size_and_have_no_host_bits() {
        for good in [
            "0.0.0.0/0",
            "203.0.113.0/24",
            "203.0.113.7/32",
            "128.0.0.0/1",
            "::/0",
            "2001:db8::/32",
            "2001:db8::7/128",
        ] {
            assert_eq!(good.parse::<AdminCidr>().unwrap().to_string(), good);
        }
        let Err(BadAdminCidr::HostBits { network, .. }) =
            "203.0.113.7/24".parse::<AdminCidr>()
        else {
            panic!("the host bits must be refused");
        };
        assert_eq!(network.to_string(), "203.0.113.0/24");
        let Err(BadAdminCidr::HostBits { network, .. }) =
            "2001:db8::7/64".parse::<AdminCidr>()
        else {
            panic!("the host bits must be refused");
        };
        assert_eq!(network.to_string(), "2001:db8::/64");
        assert!(matches!("10.0.0.1".parse::<AdminCidr>(), Err(BadAdminCidr::Address(_))));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "fd00::/129", "0/0", "10.0.0.0/-1"] {
            assert!(
                matches!(bad.parse::<AdminCidr>(), Err(BadAdminCidr::Form(_))),
                "{bad}"
            );
        }
    }
}

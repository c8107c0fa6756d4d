//! Splits a cluster's network into subnets, and chooses addresses in them.

use std::net::Ipv4Addr;

use crate::inventory::Cidr;

/// The number of subnets that a network is split into, one for each zone. It is more than are
/// needed at first, so that a further zone never changes existing subnets.
pub(super) const SUBNETS: u32 = 8;
const SUBNET_BITS: u8 = 3;

/// The n-th subnet of a network, from 0; `None` if there are fewer.
pub(super) fn subnet(network: Cidr, n: usize) -> Option<Cidr> {
    let n = u32::try_from(n).ok().filter(|n| *n < SUBNETS)?;
    let prefix = network.prefix + SUBNET_BITS;
    let size = 1_u32 << (32 - prefix);
    Some(Cidr {
        network: Ipv4Addr::from_bits(network.network.to_bits() + n * size),
        prefix,
    })
}

/// The n-th address from the end of a subnet, from 0. AWS reserves the first four addresses and
/// the last one, and chooses its own addresses anywhere; addresses from the end rarely conflict
/// with its choice. `None` if the subnet is too small.
pub(super) fn place(subnet: Cidr, n: usize) -> Option<Ipv4Addr> {
    const AT_ITS_START: u32 = 4;
    let size = 1_u32 << (32 - subnet.prefix);
    let back = u32::try_from(n).ok()?.checked_add(2)?;
    let at = size.checked_sub(back).filter(|at| *at >= AT_ITS_START)?;
    Some(Ipv4Addr::from_bits(subnet.network.to_bits() + at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_cut_into_eight() {
        let cut = |network: &str, n| {
            subnet(network.parse().unwrap(), n).map(|subnet| subnet.to_string())
        };
        assert_eq!(cut("10.42.0.0/16", 0).as_deref(), Some("10.42.0.0/19"));
        assert_eq!(cut("10.42.0.0/16", 7).as_deref(), Some("10.42.224.0/19"));
        assert_eq!(cut("10.81.3.0/24", 1).as_deref(), Some("10.81.3.32/27"));
        assert_eq!(cut("10.42.0.0/16", 8), None);
    }

    #[test]
    fn places_count_from_the_end_and_spare_what_aws_takes() {
        let place = |n| place("10.81.3.32/27".parse().unwrap(), n);
        assert_eq!(place(0), Some([10, 81, 3, 62].into()));
        assert_eq!(place(26), Some([10, 81, 3, 36].into()));
        assert_eq!(place(27), None);
    }
}

//! Reads where instances of AWS are: their region, their zones, their network.

use std::ops::{Range, RangeInclusive};

use super::super::Cidr;
use super::super::cidr::BadCidr;
use super::super::cidr::{bad_cidr, not_private};
use super::super::diagnostic::Diagnostic;
use super::super::reader::{Fields, Reader, Spanned};
use super::super::tree::{Node, Value};
use super::{Aws, AwsNetwork};

/// The network of machines if the file does not set it.
const DEFAULT_NETWORK: Cidr =
    Cidr { network: std::net::Ipv4Addr::new(10, 42, 0, 0), prefix: 16 };

/// The prefixes that a new network may have. AWS allows none larger than a /16, and a /24 is the
/// smallest whose eight subnets have room for a few machines each.
const PREFIXES: RangeInclusive<u8> = 16..=24;

pub(super) fn region(node: &Node, r: &mut Reader) -> Option<String> {
    let text = r.text(node)?;
    if is_region(text) {
        return Some(text.to_owned());
    }
    let help = match text.strip_suffix(|c: char| c.is_ascii_lowercase()) {
        Some(region) if is_region(region) => {
            format!("`{text}` is a zone: write its region, `{region}`")
        }
        _ => "write one such as `us-east-1`".to_owned(),
    };
    let message = format!("`{text}` is not a region of AWS");
    r.refuse(Diagnostic::new(&node.span, message).help(help))
}

/// Whether a text has the form of a region: `us-east-1`, `us-gov-west-1`.
fn is_region(text: &str) -> bool {
    let words: Vec<&str> = text.split('-').collect();
    let [rest @ .., number] = words.as_slice() else { return false };
    let is_word =
        |word: &&str| word.len() > 1 && word.chars().all(|c| c.is_ascii_lowercase());
    rest.len() > 1
        && rest.iter().all(is_word)
        && (1..=2).contains(&number.len())
        && number.chars().all(|c| c.is_ascii_digit())
}

/// The region of a zone such as `us-east-1a`.
fn region_of(zone: &str) -> Option<&str> {
    zone.strip_suffix(|c: char| c.is_ascii_lowercase()).filter(|region| is_region(region))
}

pub(super) fn zones(
    fields: &Fields,
    region: Option<&str>,
    network: Option<&AwsNetwork>,
    r: &mut Reader,
) -> Vec<String> {
    let Some(node) = fields.get("zones") else { return Vec::new() };
    if let Some(AwsNetwork::Given { .. }) = network {
        let help = "leave them out: machines are spread over these subnets";
        let message = "the subnets already determine the zones";
        r.fault(Diagnostic::new(&node.at, message).help(help));
    }
    let zones = r.distinct(node, "zones", zone);
    match &node.value {
        Value::List(items) if items.is_empty() => {
            let help = "leave `zones` out for the first three of the region";
            r.fault(Diagnostic::new(&node.span, "there is no zone").help(help));
        }
        Value::List(items) if items.len() > Cidr::N_PARTS => {
            let message = format!("a cluster has at most {} zones", Cidr::N_PARTS);
            r.fault(Diagnostic::new(&node.at, message).help("leave some out"));
        }
        _ => {}
    }
    are_of_one_region(&zones, region, r);
    zones.into_iter().map(|zone| zone.value).collect()
}

fn zone(r: &mut Reader, node: &Node) -> Option<String> {
    let rule = "write one such as `us-east-1a`; local zones and those of Wavelength and \
                Outposts are not supported";
    r.text_that(node, |text| region_of(text).is_some(), "an availability zone", rule)
}

fn are_of_one_region(zones: &[Spanned<String>], region: Option<&str>, r: &mut Reader) {
    let first = zones.first().and_then(|zone| region_of(&zone.value));
    let Some(expected) = region.or(first) else { return };
    for zone in zones.iter().filter(|zone| region_of(&zone.value) != Some(expected)) {
        let message =
            format!("the zone `{}` is not in the region {expected}", zone.value);
        let help = format!("write one such as `{expected}a`: a cluster is in one region");
        r.fault(Diagnostic::new(&zone.span, message).help(help));
    }
}

type ReadNetwork = (Option<AwsNetwork>, Option<Spanned<Cidr>>);

/// The network, and its position in the file if it has to be made.
pub(super) fn network(of: &Fields, r: &mut Reader) -> ReadNetwork {
    let Some(node) = of.get("network") else {
        return (Some(AwsNetwork::Made(DEFAULT_NETWORK)), None);
    };
    let Some(fields) = r.fields(node, "the network", &["cidr", "vpc", "subnets"]) else {
        return (None, None);
    };
    let given = fields.get("vpc").or(fields.get("subnets"));
    match (fields.get("cidr"), given) {
        (Some(cidr), Some(_)) => {
            let message = "`cidr` cannot be used with `vpc` or `subnets`";
            let help =
                "`cidr` makes a new network; `vpc` and `subnets` use one that exists";
            r.fault(Diagnostic::new(&cidr.at, message).help(help));
            (None, None)
        }
        (Some(cidr), None) => {
            let cidr = made(cidr, r);
            (cidr.as_ref().map(|cidr| AwsNetwork::Made(cidr.value)), cidr)
        }
        (None, Some(_)) => (given_network(&fields, r), None),
        (None, None)
            if ["cidr", "vpc", "subnets"].iter().any(|key| fields.attempts(key)) =>
        {
            (None, None)
        }
        (None, None) => {
            let help =
                "write `cidr: 10.42.0.0/16`, or `vpc: vpc-…` and `subnets: [subnet-…]`";
            r.fault(Diagnostic::new(fields.at(), "no network is given here").help(help));
            (None, None)
        }
    }
}

fn made(node: &Node, r: &mut Reader) -> Option<Spanned<Cidr>> {
    let fault = match r.text(node)?.parse::<Cidr>() {
        Ok(Cidr { prefix, .. })
        | Err(
            BadCidr::Prefix(prefix)
            | BadCidr::HostBits { network: Cidr { prefix, .. }, .. },
        ) if !PREFIXES.contains(&prefix) => {
            let message = format!(
                "a network made here has a prefix from /{} to /{}, not /{prefix}",
                PREFIXES.start(),
                PREFIXES.end()
            );
            Diagnostic::new(&node.span, message).help(format!(
                "AWS makes no network larger than a /16, and this one is split into {} \
                 subnets, one for each zone",
                Cidr::N_PARTS
            ))
        }
        Ok(value) if value.is_private() => {
            return Some(Spanned { value, span: node.span.clone() });
        }
        Ok(value) => not_private(&node.span, value),
        Err(error) => bad_cidr(&node.span, &error, DEFAULT_NETWORK),
    };
    r.refuse(fault)
}

fn given_network(fields: &Fields, r: &mut Reader) -> Option<AwsNetwork> {
    let vpc = fields
        .required("vpc", "vpc: vpc-0a1b2c3d4e5f60718", r)
        .and_then(|node| id(node, "vpc", "a VPC", r));
    let subnets = fields.required("subnets", "subnets: [subnet-0a1b2c3d4e5f60718]", r)?;
    if matches!(&subnets.value, Value::List(items) if items.is_empty()) {
        let message = "there is no subnet to put machines in";
        let help = "write at least one: `subnets: [subnet-0a1b2c3d4e5f60718]`";
        return r.refuse(Diagnostic::new(&subnets.span, message).help(help));
    }
    let subnets =
        r.distinct(subnets, "subnets", |r, node| id(node, "subnet", "a subnet", r));
    let subnets = subnets.into_iter().map(|subnet| subnet.value).collect();
    Some(AwsNetwork::Given { vpc: vpc?, subnets })
}

fn id(node: &Node, kind: &str, what: &str, r: &mut Reader) -> Option<String> {
    let rule = format!("write its id, such as `{kind}-0a1b2c3d4e5f60718`");
    r.text_that(node, |text| is_id(text, kind), &format!("the id of {what}"), &rule)
}

/// Whether a text has the form of an id of AWS: 17 hexadecimal digits, or 8 for old resources.
pub(super) fn is_id(text: &str, kind: &str) -> bool {
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.strip_prefix(kind).and_then(|rest| rest.strip_prefix('-')).is_some_and(
        |digits| [8, 17].contains(&digits.len()) && digits.chars().all(is_hex),
    )
}

impl Aws {
    /// The region if the file sets it, either itself or by its zones.
    pub fn known_region(&self) -> Option<&str> {
        let of_zones = || self.zones.first().and_then(|zone| region_of(zone));
        self.region.as_deref().or_else(of_zones)
    }

    /// The number of zones with machines; three if the file names neither zones nor subnets.
    fn n_zones(&self) -> usize {
        match &self.network {
            AwsNetwork::Given { subnets, .. } => subnets.len(),
            AwsNetwork::Made(_) if self.zones.is_empty() => 3,
            AwsNetwork::Made(_) => self.zones.len(),
        }
    }
}

/// Checks that each zone's part of a new network has room for its machines.
pub(in super::super) fn network_has_room(
    aws: &Aws,
    at: Option<&Range<usize>>,
    groups: &[usize],
    r: &mut Reader,
) {
    let (AwsNetwork::Made(cidr), Some(at)) = (&aws.network, at) else { return };
    let n_zones = aws.n_zones();
    // Each group is spread on its own, and each may put one more machine into the first zones.
    let in_zone: usize =
        groups.iter().map(|n_machines| n_machines.div_ceil(n_zones)).sum();
    let room = |cidr: &Cidr| cidr.room_in_part() as usize;
    if in_zone <= room(cidr) {
        return;
    }
    let message = format!(
        "a zone's part of the network {cidr} has room for {} machines, but one zone gets \
         {in_zone}",
        room(cidr)
    );
    let wider = (*PREFIXES.start()..cidr.prefix)
        .rev()
        .map(|prefix| cidr.widened(prefix))
        .find(|wider| wider.is_private() && room(wider) >= in_zone);
    let help = match wider {
        Some(wider) => format!("write `network: {{cidr: {wider}}}`"),
        None => "write more zones, or fewer machines".to_owned(),
    };
    r.fault(Diagnostic::new(at, message).help(help));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_and_zones_are_known_by_their_form() {
        for good in ["us-east-1", "us-gov-west-1", "ap-southeast-7", "eusc-de-east-1"] {
            assert!(is_region(good), "{good}");
            assert_eq!(region_of(&format!("{good}b")), Some(good));
        }
        let local = "us-west-2-lax-1a";
        for bad in ["", "us-east", "us-east-1a", "us_east_1", "US-EAST-1", "us-1", local]
        {
            assert!(!is_region(bad), "{bad}");
        }
        for bad in ["us-east-1", "us-east-1ab", "use1-az1", "us-east-1-wl1-bos-wlz-1"] {
            assert_eq!(region_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn ids_have_their_kind_and_hexadecimal_digits() {
        assert!(is_id("vpc-0a1b2c3d4e5f60718", "vpc") && is_id("ami-12c6146b", "ami"));
        for bad in ["vpc-0a1b", "vpc-0A1B2C3D", "subnet-0a1b2c3d", "vpc0a1b2c3d4", "vpc-"]
        {
            assert!(!is_id(bad, "vpc"), "{bad}");
        }
    }
}

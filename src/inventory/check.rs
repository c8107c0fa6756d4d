//! Checks across the parts of an inventory: names, addresses, numbers.
//!
//! A part that could not be read gives no second fault here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::ops::Range;

use super::access::{DraftProvider, Kind};
use super::aws;
use super::diagnostic::Diagnostic;
use super::group::{DraftGroup, DraftHost};
use super::reader::{Reader, Spanned, spoken};
use super::settings::DraftPlatform;
use super::{Cidr, Provider, Role, numbered};

mod mesos;

pub(super) fn check(
    provider: &DraftProvider,
    groups: &[DraftGroup],
    platform: &DraftPlatform,
    r: &mut Reader,
) {
    names_are_unique(provider, groups, r);
    addresses_are_unique(groups, r);
    ensemble_is_odd(groups, r);
    mesos::check(groups, r);
    registry_exists(groups, r);
    network_has_room(provider, groups, r);
    heap_fits_memory(groups, platform, r);
    vip_fits(provider, groups, platform, r);
    tls_is_shown(groups, platform, r);
}

/// The first machine with a name, for the message about the second one.
struct Holder<'g> {
    group: &'g str,
    at: Range<usize>,
    /// Whether the name comes from the host's address.
    derived: bool,
}

fn names_are_unique(provider: &DraftProvider, groups: &[DraftGroup], r: &mut Reader) {
    let mut holders: BTreeMap<String, Holder> = BTreeMap::new();
    // Other instances of AWS are named after their ids, and no group can have such a name.
    let is_numbered =
        |group: &&DraftGroup| provider.kind != Some(Kind::Aws) || group.is_named();
    for group in groups.iter().filter(is_numbered) {
        for name in made_names(group) {
            let at = group.name.span.clone();
            holders.insert(name, Holder { group: &group.name.value, at, derived: false });
        }
    }
    for (group, host) in given_hosts(groups) {
        let derived = host.name_at.is_none();
        let at = host.name_at.as_ref().unwrap_or(&host.address_at).clone();
        match holders.entry(host.host.name.to_string()) {
            Entry::Vacant(free) => {
                free.insert(Holder { group, at, derived });
            }
            // Both names come from the same address: that is reported as a fault of the address.
            Entry::Occupied(first) if derived && first.get().derived => {}
            Entry::Occupied(first) => {
                let message = format!("the name `{}` is given twice", first.key());
                r.fault(Diagnostic::new(&at, message).help(taken(first.get(), r)));
            }
        }
    }
}

fn made_names(group: &DraftGroup) -> impl Iterator<Item = String> {
    let made = group.members.as_ref().filter(|members| members.given.is_none());
    let n_machines = made.map_or(0, |members| members.n_machines);
    (1..=n_machines).map(|n| numbered(&group.name.value, n))
}

fn given_hosts(groups: &[DraftGroup]) -> impl Iterator<Item = (&str, &DraftHost)> {
    groups.iter().flat_map(|group| {
        let given = group.members.as_ref().and_then(|members| members.given.as_ref());
        given.into_iter().flatten().map(|host| (group.name.value.as_str(), host))
    })
}

fn taken(first: &Holder, r: &Reader) -> String {
    let line = r.line(&first.at);
    format!(
        "a machine of group `{}` already has this name ({line}): choose another name",
        first.group
    )
}

fn addresses_are_unique(groups: &[DraftGroup], r: &mut Reader) {
    let mut holders: BTreeMap<IpAddr, (&str, &Range<usize>)> = BTreeMap::new();
    for (group, host) in given_hosts(groups) {
        let Some((other, at)) = holders.get(&host.host.address) else {
            holders.insert(host.host.address, (group, &host.address_at));
            continue;
        };
        let message = format!("the address {} is given twice", host.host.address);
        let help = format!(
            "group `{other}` already has this address ({}): a machine belongs to one group, \
             which may have several roles",
            r.line(at)
        );
        r.fault(Diagnostic::new(&host.address_at, message).help(help));
    }
}

fn ensemble_is_odd(groups: &[DraftGroup], r: &mut Reader) {
    let members = groups.iter().filter(|group| group.runs_zookeeper()).collect();
    is_odd(members, "ZooKeeper members", r);
}

/// Checks the number of members that decide by a majority: an even number tolerates no more losses
/// than the odd number below it.
fn is_odd(groups: Vec<&DraftGroup>, what: &str, r: &mut Reader) {
    let mut members = Vec::new();
    for group in groups {
        let Some(found) = &group.members else { return };
        members.push((group, found));
    }
    let n_members: usize = members.iter().map(|(_, found)| found.n_machines).sum();
    let (Some((_, first)), 0) = (members.first(), n_members % 2) else { return };
    let names: Vec<&str> =
        members.iter().map(|(group, _)| group.name.value.as_str()).collect();
    let where_from = match names.as_slice() {
        [_] => String::new(),
        names => format!(" in the groups {}", spoken(names)),
    };
    let message = format!("{n_members} {what}{where_from}: their number must be odd");
    let (fewer, more) = (n_members - 1, n_members + 1);
    let n_spare = match (fewer - 1) / 2 {
        0 => "none".to_owned(),
        n => n.to_string(),
    };
    let help = format!(
        "with {n_members} members {n_spare} may fail, as with {fewer}: use {fewer} or {more}"
    );
    r.fault(Diagnostic::new(&first.at, message).help(help));
}

fn registry_exists(groups: &[DraftGroup], r: &mut Reader) {
    let has_edge = groups
        .iter()
        .any(|group| group.roles.iter().any(|role| role.value == Role::Edge));
    if has_edge || groups.iter().any(|group| !group.roles_known) {
        return;
    }
    let roles = groups.iter().flat_map(|group| &group.roles);
    let pulls = |role: Role| !matches!(role, Role::Base | Role::Edge);
    if let Some(needy) = roles.into_iter().find(|role| pulls(role.value)) {
        let message = format!(
            "no group has the role `edge`, but `{}` gets its images from the registry there",
            needy.value
        );
        let help =
            "add a group such as `edge: {roles: [edge], …}`, or `edge` to these roles";
        r.fault(Diagnostic::new(&needy.span, message).help(help));
    }
}

fn network_has_room(provider: &DraftProvider, groups: &[DraftGroup], r: &mut Reader) {
    let made = groups.iter().filter_map(|group| group.members.as_ref());
    let network = match &provider.value {
        Some(Provider::Local(network)) => network,
        Some(Provider::Aws(aws)) => {
            let of_groups: Vec<usize> =
                made.clone().map(|made| made.n_machines).collect();
            let largest = made.max_by_key(|made| made.n_machines).map(|made| &made.at);
            let at = provider.cidr.as_ref().map(|cidr| &cidr.span).or(largest);
            return aws::network_has_room(aws, at, &of_groups, r);
        }
        Some(Provider::Ssh(_)) | None => return,
    };
    let n_machines = made.clone().map(|members| members.n_machines).sum::<usize>();
    let (subnet, n_machines) =
        (network.subnet, u32::try_from(n_machines).unwrap_or(u32::MAX));
    if n_machines <= subnet.room() {
        return;
    }
    let largest =
        made.max_by_key(|members| members.n_machines).map(|members| &members.at);
    let Some(at) = provider.cidr.as_ref().map(|cidr| &cidr.span).or(largest) else {
        return;
    };
    let message = format!(
        "the network {subnet} has room for {} machines, but the groups have {n_machines}",
        subnet.room()
    );
    r.fault(Diagnostic::new(at, message).help(wider(subnet, n_machines)));
}

fn wider(subnet: Cidr, n_machines: u32) -> String {
    let wider = subnet.with_room(n_machines).filter(|wider| wider.is_private());
    let larger = wider.map_or("a larger one".to_owned(), |wider| {
        format!("`local: {{network: {{cidr: {wider}}}}}`")
    });
    format!("write {larger}: ten addresses are reserved for other uses")
}

/// Checks that the virtual IP can be the address of an edge host, and of nothing else.
fn vip_fits(
    provider: &DraftProvider,
    groups: &[DraftGroup],
    platform: &DraftPlatform,
    r: &mut Reader,
) {
    let Some(Spanned { value: vip, span }) = &platform.vip else { return };
    let host =
        given_hosts(groups).find(|(_, host)| host.host.address == IpAddr::V4(*vip));
    let (message, help) = match &provider.value {
        Some(Provider::Aws(_)) => (
            "an address does not move between instances of AWS by itself".to_owned(),
            "remove `vip`: the edge host has its own public address".to_owned(),
        ),
        Some(Provider::Local(network)) if !network.subnet.reserves(*vip) => {
            let [first, last] = network.subnet.reserved();
            let message =
                format!("machines of {} may get the address {vip}", network.subnet);
            (message, format!("write an address from {first} to {last}"))
        }
        _ if host.is_some() => (
            format!("{vip} is the address of a host"),
            "write a free address of the edge hosts' network".to_owned(),
        ),
        _ if !serves_mesos(groups) => (
            "the cluster has no edge with HAProxy, to which the address would lead"
                .to_owned(),
            "remove `vip`, or add groups with the roles `edge` and `agent`".to_owned(),
        ),
        _ => return,
    };
    r.fault(Diagnostic::new(span, message).help(help));
}

/// Checks that there is an HAProxy that shows the operator's own certificate.
fn tls_is_shown(groups: &[DraftGroup], platform: &DraftPlatform, r: &mut Reader) {
    let Some(Spanned { span, .. }) = &platform.tls else { return };
    if !serves_mesos(groups) {
        let message = "the cluster has no edge with HAProxy, which would show it";
        let help = "remove `tls`, or add groups with the roles `edge` and `agent`";
        r.fault(Diagnostic::new(span, message).help(help));
    }
}

/// Whether the cluster has an edge in front of Mesos. A group whose roles could not be read may be
/// anything.
fn serves_mesos(groups: &[DraftGroup]) -> bool {
    let has = |is: fn(Role) -> bool| {
        groups.iter().any(|group| {
            !group.roles_known || group.roles.iter().any(|role| is(role.value))
        })
    };
    has(|role| role == Role::Edge) && has(Role::brings_mesos)
}

fn heap_fits_memory(groups: &[DraftGroup], platform: &DraftPlatform, r: &mut Reader) {
    let Some(heap) = &platform.heap else { return };
    let too_small =
        groups.iter().filter(|group| group.runs_zookeeper()).find_map(|group| {
            let memory =
                group.memory.as_ref().filter(|memory| memory.value <= heap.value)?;
            Some((&group.name.value, memory.value))
        });
    if let Some((group, memory)) = too_small {
        let message = format!(
            "a heap of {} does not fit in the {memory} of group `{group}`",
            heap.value
        );
        let help = "write less than half of the memory, or leave it out";
        r.fault(Diagnostic::new(&heap.span, message).help(help));
    }
}

#[cfg(test)]
mod tests {
    use crate::inventory::read;

    fn faults(roles: &str) -> Vec<String> {
        let text = format!(
            "cluster: x\nprovider: {{local: {{}}}}\ngroups: {{a: {{roles: {roles}, count: 1}}}}"
        );
        let faults = read(&text, &|_| true).err().unwrap_or_default();
        faults.into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn what_could_not_be_read_gives_no_second_fault() {
        assert_eq!(faults("[control, egde]"), ["unknown role `egde`"]);
        assert_eq!(faults("[control, [edge]]").len(), 1);
    }
}

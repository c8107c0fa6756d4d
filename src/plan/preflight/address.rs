//! Checks that a host has the address in the inventory, and that each entry is another machine.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::PreflightFailure;
use crate::component::Spec;
use crate::host::HostName;
use crate::resource::Facts;
use crate::topology::{Node, Topology};

/// How many of a host's addresses are shown.
const SHOWN: usize = 4;

/// An address that the host does not have although one of its services has to listen on it.
pub(super) fn not_its_own(node: &Node, facts: &Facts) -> Option<(String, String)> {
    let at_its_address = |spec: &Spec| spec.ports.iter().any(|port| !port.on_all);
    let listens = Spec::of_node(node).any(at_its_address);
    let (address, own) = (node.address, &facts.system.addresses);
    if !listens || own.is_empty() || own.contains(&address) {
        return None;
    }
    let alike = own.iter().filter(|own| own.is_ipv4() == address.is_ipv4());
    let alike: Vec<String> = alike.map(ToString::to_string).collect();
    let more = if alike.len() > SHOWN { ", …" } else { "" };
    let shown = alike[..alike.len().min(SHOWN)].join(", ");
    Some((
        format!("{address} is not one of its addresses ({shown}{more})"),
        "set `address` to the address at which the other hosts reach it, and `ssh` to the one \
         at which this computer reaches it"
            .to_owned(),
    ))
}

/// Another machine that already has the virtual IP: two that have it would take each other's
/// connections. It is one of the cluster's own hosts while not all of these are known.
pub(super) fn vip_of_another(
    topology: &Topology,
    facts: &BTreeMap<HostName, Facts>,
) -> Option<PreflightFailure> {
    let vip = IpAddr::from(topology.vip?);
    let known =
        topology.nodes.iter().map(|node| Some((node, &facts.get(&node.host)?.system)));
    let known: Vec<_> = known.collect::<Option<_>>()?;
    if known.iter().any(|(_, system)| system.addresses.contains(&vip)) {
        return None;
    }
    let (node, _) = known.iter().find(|(_, system)| system.answering == Some(vip))?;
    Some(PreflightFailure {
        host: node.host.clone(),
        problem: format!("another machine on its network already has the virtual IP {vip}"),
        help: "set `platform.vip` to an address that nobody has, or take that address from the \
               other machine"
            .to_owned(),
        port: None,
    })
}

/// Entries that lead to the same machine.
pub(super) fn twins(
    topology: &Topology,
    facts: &BTreeMap<HostName, Facts>,
) -> Vec<PreflightFailure> {
    let mut machines: BTreeMap<_, Vec<&HostName>> = BTreeMap::new();
    for node in &topology.nodes {
        let Some(facts) = facts.get(&node.host) else { continue };
        let system = &facts.system;
        if !system.identity.is_empty() {
            let machine = (&system.identity, &system.addresses);
            machines.entry(machine).or_default().push(&node.host);
        }
    }
    let twins = machines.into_values().filter(|hosts| hosts.len() > 1);
    twins
        .flat_map(|hosts| hosts.clone().into_iter().map(move |host| twin(host, &hosts)))
        .collect()
}

fn twin(host: &HostName, all: &[&HostName]) -> PreflightFailure {
    let names: Vec<&str> = all.iter().map(|host| host.as_str()).collect();
    let (last, first) = names.split_last().expect("there are two at least");
    PreflightFailure {
        host: host.clone(),
        problem: format!("{} and {last} are the same machine", first.join(", ")),
        help: "keep only one of these entries in the inventory: each must be a different machine"
            .to_owned(),
        port: None,
    }
}

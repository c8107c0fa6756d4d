//! keepalived on the edge hosts: one of them has the cluster's virtual IP, and another takes it when
//! that one dies, loses its HAProxy, or reaches nobody any more.
//!
//! The hosts speak VRRP of version 3, each to each, because only that version can notice a dead host
//! within two seconds. It knows no password, and needs none: a message counts only if it comes from
//! a host of the list, and by its TTL from the same network.

use std::net::{IpAddr, Ipv4Addr};

use minijinja::context;

use super::service::Native;
use super::spec::{Health, Spec, asks_nothing, no_remedy};
use super::{Context, Stage, Wants, path};
use crate::inventory::Component;
use crate::inventory::component::MARATHON_EDGE_PORT;
use crate::resource::{Facts, File, Tree};
use crate::template::{BadTemplate, render};
use crate::topology::Topology;

/// The unit that runs it.
pub const UNIT: &str = "platform-keepalived.service";
/// Where its configuration is on its host.
const CONFIG: &str = "/etc/platform/keepalived";
/// The priority of the first host; each other has one less.
const FIRST: u16 = 200;
/// How many hosts of other roles a host tries to reach.
const WITNESSES: usize = 3;

/// keepalived on an edge host.
pub(super) const SPEC: Spec = Spec {
    component: Component::Keepalived,
    title: "The virtual IP",
    instance: "keepalived",
    serve: ["keepalived on {} runs", "keepalived runs on {}, and one has the virtual IP"],
    unit: UNIT,
    stage: Stage::Edge,
    ports: &[],
    connects_to: &[],
    interrupted_by: &[],
    framework: None,
    zookeeper: None,
    state: &[],
    health: Health::VirtualIp,
    wants,
    ask: asks_nothing,
    remedy: no_remedy,
};

/// keepalived's image, files and unit.
///
/// # Errors
/// When a template cannot be rendered.
fn wants(context: Context<'_>, _: &Facts) -> Result<Wants, BadTemplate> {
    let (Some(image), Some(vip)) =
        (context.pulled(Component::Keepalived), context.topology.vip)
    else {
        return Ok(Vec::new());
    };
    let tree = Tree::of(&image, "keepalived");
    let config = config(context, vip)?;
    let files = vec![File::public(path(&format!("{CONFIG}/keepalived.conf")), config)];
    let text = render(
        "keepalived/platform-keepalived.service",
        include_str!("../../templates/keepalived/platform-keepalived.service"),
        context! {
            cluster => context.topology.cluster.as_str(),
            root => tree.path().as_str(),
            config => CONFIG,
            address => context.node.address.to_string(),
        },
    )?;
    let native = Native { image, tree, files, reloaded: Vec::new(), unit: UNIT, text };
    Ok(native.wants(Stage::Edge))
}

fn config(context: Context<'_>, vip: Ipv4Addr) -> Result<String, BadTemplate> {
    let Context { topology, node, .. } = context;
    let edges = topology.members_of(Component::Keepalived);
    let own = edges.iter().find(|edge| edge.host == node.host);
    let peers = edges.iter().filter(|edge| edge.host != node.host);
    let peers: Vec<String> = peers.map(|edge| edge.address.to_string()).collect();
    let mut others = peers.clone();
    others.extend(witnesses(topology).map(|address| address.to_string()));
    render(
        "keepalived/keepalived.conf",
        include_str!("../../templates/keepalived/keepalived.conf"),
        context! {
            cluster => topology.cluster.as_str(),
            host => node.host.as_str(),
            port => MARATHON_EDGE_PORT,
            router_id => router_id(vip),
            priority => FIRST.saturating_sub(own.map_or(0, |edge| edge.id)),
            address => node.address.to_string(),
            vip => vip.to_string(),
            peers,
            others,
        },
    )
}

/// The hosts of other roles that a host tries to reach. They are few and stay the same when agents
/// are added: a change of the list restarts keepalived.
fn witnesses(topology: &Topology) -> impl Iterator<Item = IpAddr> {
    let members = topology.zookeeper().into_iter().flat_map(|it| it.members());
    let found = members.filter(move |member| {
        let node = topology.node(&member.host);
        node.is_some_and(|node| !node.runs(Component::Keepalived))
    });
    found.take(WITNESSES).map(|member| member.address)
}

/// What it costs that the edge cannot move to another host; `None` if it can, or there is none.
pub fn note(topology: &Topology) -> Option<String> {
    let edges = topology.members_of(Component::Haproxy);
    match (edges.as_slice(), topology.vip) {
        ([], _) | ([_, _, ..], Some(_)) => None,
        ([edge], _) => Some(format!(
            "the edge is one host: while {} is down, nobody outside reaches the cluster's services",
            edge.host
        )),
        ([_, _, ..], None) => Some(
            "there is no virtual IP: when an edge host dies, its users have to turn to another one \
             by themselves; `platform: {vip: …}` gives the edge one address"
                .to_owned(),
        ),
    }
}

/// The number of the group of hosts in VRRP, 1 to 255: two virtual IPs of one network of 254 hosts
/// never share it.
fn router_id(vip: Ipv4Addr) -> u8 {
    match vip.octets()[3] {
        0 => 255,
        last => last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_id_is_never_zero() {
        assert_eq!(router_id([10, 0, 0, 100].into()), 100);
        assert_eq!(router_id([10, 0, 1, 0].into()), 255);
    }
}

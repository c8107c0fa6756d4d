//! The firewall of each host: nftables, with one table of this program's own.
//!
//! It decides about the ports that the components' specs name, about the ports of tasks on agents,
//! and, if the inventory names the networks of administrators, about SSH. It leaves all other ports
//! and tables alone. It acts before Docker redirects connections to containers, so that a published
//! port does not go around it. It drops what it does not let in: `reject` is not available there on
//! older kernels, and an answer to a forged address helps nobody. Only packets that open a
//! connection are judged, so no change of the rules ends one.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::{Value, context};

use super::identity::Identity;
use super::service::unit_file;
use super::spec::{Port, Spec};
use super::{Context, Stage, Wants, path};
use crate::inventory::{AdminCidr, Component, Inventory, Provider};
use crate::path::HostPath;
use crate::resource::{self, File, Package, Resource};
use crate::template::{BadTemplate, render};
use crate::topology::{Node, Topology};

/// The port of SSH servers, unless set otherwise.
const SSH_PORT: u16 = 22;

/// What the firewall of each host is made from, besides the topology.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether hosts have one.
    pub enabled: bool,
    /// The networks that may reach SSH and the edge; if empty, both answer everyone.
    pub admins: Vec<AdminCidr>,
    /// The ports of the hosts' SSH servers.
    pub ssh: BTreeSet<u16>,
    /// Whether hosts are instances of AWS, whose metadata service holds credentials.
    pub metadata: bool,
}

impl Settings {
    /// The settings of an inventory.
    pub fn of(inventory: &Inventory) -> Self {
        let firewall = &inventory.platform.firewall;
        // A machine may be reached through a redirected port: both are taken for its own.
        let (admins, port) = match &inventory.provider {
            Provider::Aws(aws) => (&aws.admin_cidrs, None),
            Provider::Ssh(access) => (&firewall.admin_cidrs, access.port),
            Provider::Local(_) => (&firewall.admin_cidrs, None),
        };
        Self {
            enabled: firewall.enabled,
            admins: admins.clone(),
            ssh: [SSH_PORT].into_iter().chain(port).collect(),
            metadata: matches!(inventory.provider, Provider::Aws(_)),
        }
    }

    /// What the operator should know if hosts have none.
    pub fn warning(&self) -> Option<String> {
        (!self.enabled).then(|| {
            "the hosts' firewall is switched off (`platform.firewall.enabled`): everyone who \
             reaches a host reaches ZooKeeper, the Mesos masters and all tasks on it"
                .to_owned()
        })
    }

    /// The ports of SSH about which it decides: only if it is known who the administrators are.
    fn judged_ssh(&self) -> impl Iterator<Item = u16> {
        self.ssh.iter().copied().filter(|_| !self.admins.is_empty())
    }

    /// Whether everyone may connect to a port.
    fn is_open(&self, port: Port) -> bool {
        port.on_all && self.admins.is_empty()
    }
}

/// The package, the files, and the rules themselves; nothing if it is switched off.
///
/// # Errors
/// When the template cannot be rendered.
pub(super) fn wants(context: Context<'_>) -> Result<Wants, BadTemplate> {
    if !context.inputs.firewall.enabled {
        return Ok(Vec::new());
    }
    let rules = File::public(rules_path(), rules(context)?);
    let script = include_str!("../../templates/firewall/firewall").to_owned();
    let script = File::public(path("/etc/platform/firewall/firewall"), script);
    let unit = render(
        "firewall/platform-firewall.service",
        include_str!("../../templates/firewall/platform-firewall.service"),
        context! { cluster => context.topology.cluster.as_str() },
    )?;
    let firewall = resource::Firewall { rules: rules.content.sha256() };
    let unit = unit_file(resource::Firewall::UNIT, unit);
    let files = [rules, script, unit].map(Resource::File).into_iter();
    let package = Resource::Package(Package::named("nftables"));
    let of_stage = files.chain([Resource::Firewall(firewall)]);
    let of_stage = of_stage.map(|resource| (Stage::Firewall, resource));
    Ok([(Stage::Base, package)].into_iter().chain(of_stage).collect())
}

/// The file with the rules that a host should have. They contain the addresses of all hosts.
pub fn rules_path() -> HostPath {
    path("/etc/platform/firewall/rules.nft")
}

/// The rules of a host, for `nft -f`. Hosts have IPv4 addresses.
fn rules(context: Context<'_>) -> Result<String, BadTemplate> {
    let Context { topology, node, inputs } = context;
    let settings = &inputs.firewall;
    let ours = ports(node, settings);
    let that = |fits: fn(&Access<'_>) -> bool| {
        listed(ours.iter().filter(|(_, access)| fits(access)).map(|(port, _)| port))
    };
    let tasks = match node.runs(Component::MesosAgent) {
        true => Identity::of(node).ports,
        false => Vec::new(),
    };
    let hosts = topology.nodes.iter().map(|node| {
        let (host, address) = (node.host.as_str(), node.address.to_string());
        context! { host, address }
    });
    render(
        "firewall/rules.nft",
        include_str!("../../templates/firewall/rules.nft"),
        context! {
            host => node.host.as_str(),
            clients => clients(context, &ours),
            hosts => hosts.collect::<Vec<Value>>(),
            admins => admins(&settings.admins),
            for_admins => that(|access| access.of_admins),
            closed => that(|access| !access.is_open),
            edge => that(|access| access.is_edge),
            internal => listed(internal(topology, settings)),
            containers => node.has_containers(),
            tasks => listed(tasks),
            metadata => settings.metadata,
        },
    )
}

/// Who may connect to a port of a host, besides the host itself.
struct Access<'a> {
    /// Whether everyone may.
    is_open: bool,
    /// Whether administrators may, wherever they are.
    of_admins: bool,
    /// Whether it is one of the edge's.
    is_edge: bool,
    /// Whether another host may.
    clients: Box<dyn Fn(&Node) -> bool + 'a>,
}

/// The ports of a host about which its firewall decides.
fn ports<'a>(node: &Node, settings: &Settings) -> BTreeMap<u16, Access<'a>> {
    let of_specs = Spec::of_node(node)
        .flat_map(|spec| spec.ports.iter().map(move |port| (spec, *port)))
        .map(|(spec, port)| {
            let access = Access {
                is_open: settings.is_open(port),
                of_admins: port.on_all,
                is_edge: port.on_all,
                clients: Box::new(move |node: &Node| spec.has_client(port, node)),
            };
            (port.number, access)
        });
    let ssh = settings.judged_ssh().map(|port| {
        let clients = Box::new(|_: &Node| true);
        (port, Access { is_open: false, of_admins: true, is_edge: false, clients })
    });
    of_specs.chain(ssh).collect()
}

/// The ports of the cluster's hosts to which no container connects: those that are not the edge's.
fn internal(topology: &Topology, settings: &Settings) -> BTreeSet<u16> {
    let runs = |spec: &&Spec| topology.nodes.iter().any(|node| node.runs(spec.component));
    let of_specs = Spec::all().filter(runs).flat_map(|spec| spec.ports);
    let of_specs = of_specs.filter(|port| !port.on_all).map(|port| port.number);
    of_specs.chain(settings.judged_ssh()).collect()
}

/// The other hosts that may connect to a closed port, each with these ports.
fn clients(context: Context<'_>, ours: &BTreeMap<u16, Access<'_>>) -> Vec<Value> {
    let nodes = context.topology.nodes.iter();
    let others = nodes.filter(|other| other.host != context.node.host);
    let clients = others.filter_map(|other| {
        let may = ours.iter().filter(|(_, port)| !port.is_open && (port.clients)(other));
        let pairs = listed(may.map(|(port, _)| format!("{} . {port}", other.address)));
        let host = other.host.as_str();
        (!pairs.is_empty()).then(|| context! { host, pairs })
    });
    clients.collect()
}

/// A set of networks for each family of addresses of which there are any.
fn admins(cidrs: &[AdminCidr]) -> Vec<Value> {
    let families = [("admins4", "ip", "ipv4_addr"), ("admins6", "ip6", "ipv6_addr")];
    let sets = families.into_iter().filter_map(|(name, ip, of)| {
        let is_of = |cidr: &&AdminCidr| cidr.network.is_ipv4() == (ip == "ip");
        let networks = listed(cidrs.iter().filter(is_of));
        (!networks.is_empty()).then(|| context! { name, ip, of, networks })
    });
    sets.collect()
}

fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    items.join(", ")
}

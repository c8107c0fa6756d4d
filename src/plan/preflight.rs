//! Finds, before anything is changed, what would make a run fail half-way.

mod address;
mod engine;

use std::collections::BTreeMap;

use serde::Serialize;

use super::Plan;
use crate::component::Spec;
use crate::host::HostName;
use crate::inventory::catalog::Catalog;
use crate::inventory::{CgroupNeed, ClusterName, Needs};
use crate::resource::{BootState, Cgroups, Facts, Owned};
use crate::topology::{Node, Topology};
use crate::unit::Size;

/// How far a host's clock may be off, in seconds. ZooKeeper and TLS tolerate more, but beyond
/// that the logs of several hosts cannot be read together.
const CLOCK: f64 = 5.0;

/// The least free space on a host that gets images or packages.
const DISK: Size = Size::gib(1);

/// The least memory of a host with containers.
const MEMORY: Size = Size::mib(512);

/// One reason not to begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PreflightFailure {
    /// The host.
    pub host: HostName,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub help: String,
    /// The port that another program holds and the service that needs it, if that is the
    /// problem.
    #[serde(skip)]
    pub port: Option<(u16, &'static str)>,
}

impl PreflightFailure {
    /// Adds the name of the program that holds the port.
    pub fn name_holder(&mut self, program: &str) {
        if let Some((port, service)) = self.port {
            self.problem = taken(port, service, program);
        }
    }
}

/// Every reason not to begin, for all hosts. `catalog` says what the wanted versions need.
pub fn preflight_failures(
    topology: &Topology,
    catalog: &Catalog,
    facts: &BTreeMap<HostName, Facts>,
) -> Vec<PreflightFailure> {
    let known = topology
        .nodes
        .iter()
        .filter_map(|node| facts.get(&node.host).map(|facts| (node, facts)));
    let unfit = known.flat_map(|(node, facts)| of_host(node, catalog, facts));
    let others = of_other_clusters(&topology.cluster, facts).into_iter();
    let of_hosts = others.chain(address::twins(topology, facts)).chain(unfit);
    of_hosts.chain(address::vip_of_another(topology, facts)).collect()
}

/// The hosts that lack the disk space for what a plan copies there. A host that gets nothing large
/// needs no space.
pub(super) fn without_room(
    plan: &Plan,
    facts: &BTreeMap<HostName, Facts>,
) -> Vec<PreflightFailure> {
    let full = plan.hosts_that_get().into_iter().filter_map(|host| {
        let system = &facts.get(host)?.system;
        (system.free_disk < DISK).then(|| PreflightFailure {
            host: host.clone(),
            problem: format!("only {} are free on {}", system.free_disk, system.disk),
            help:
                "free some space: images and packages need at least 1GiB below /var/lib"
                    .to_owned(),
            port: None,
        })
    });
    full.collect()
}

/// The hosts that belong to another cluster. Each cluster would remove what only the other wants.
pub fn of_other_clusters(
    cluster: &ClusterName,
    facts: &BTreeMap<HostName, Facts>,
) -> Vec<PreflightFailure> {
    let others = facts.iter().filter_map(|(host, facts)| {
        let other = facts.cluster().filter(|other| *other != cluster.as_str())?;
        Some(PreflightFailure {
            host: host.clone(),
            problem: format!("it belongs to the cluster `{other}`"),
            help: format!(
                "remove it from that cluster first: run `platform down` with the inventory of \
                 `{other}`, and with `--purge` if its data is no longer needed"
            ),
            port: None,
        })
    });
    others.collect()
}

fn of_host(node: &Node, catalog: &Catalog, facts: &Facts) -> Vec<PreflightFailure> {
    let mut found = Vec::new();
    let mut object = |problem: String, help: &str, port| {
        let (host, help) = (node.host.clone(), help.to_owned());
        found.push(PreflightFailure { host, problem, help, port });
    };
    if !facts.system.systemd {
        object(
            format!("{} is not run by systemd", facts.system.os),
            "use a machine or an image that boots with systemd",
            None,
        );
    }
    if facts.system.manager().is_err() {
        object(
            format!("{} has neither dpkg nor rpm", facts.system.os),
            "use a distribution of the Debian or the Fedora family",
            None,
        );
    }
    if facts.system.clock_skew.abs() > CLOCK {
        let skew = facts.system.clock_skew;
        let direction = if skew > 0.0 { "ahead of" } else { "behind" };
        object(
            format!("its clock is {:.0} s {direction} this computer's", skew.abs()),
            "set both to use the same time servers, for example with chrony",
            None,
        );
    }
    for name in facts.sysctls_lacking().filter(|name| !comes_later(name, node, facts)) {
        object(
            format!("its kernel does not have the setting `{name}`"),
            "check the spelling of that name under `sysctls` in the inventory; if a kernel \
             module provides it, load that module on the host, and name it in \
             /etc/modules-load.d",
            None,
        );
    }
    if node.has_containers() {
        let unfit = address::not_its_own(node, facts).into_iter();
        let unfit = unfit.chain(engine::unusable(facts));
        for (problem, help) in unfit.chain(unmet(node, catalog, facts)) {
            object(problem, &help, None);
        }
        containers(facts, &mut object);
        for (port, service) in taken_ports(node, facts) {
            object(
                taken(port, service, "another program"),
                "stop that program, or give the role to another host",
                Some((port, service)),
            );
        }
    }
    found
}

/// Whether a kernel setting appears with the modules that Docker loads, on a host that is about to
/// get Docker. Settings are made after packages are installed.
fn comes_later(sysctl: &str, node: &Node, facts: &Facts) -> bool {
    let name = sysctl.replace('/', ".");
    let of_docker = ["net.bridge.", "net.netfilter.", "net.nf_conntrack_max"];
    node.has_containers()
        && !engine::is_there(facts)
        && of_docker.iter().any(|of_docker| name.starts_with(of_docker))
}

fn taken(port: u16, service: &str, program: &str) -> String {
    format!("port {port}, which {service} needs, is taken by {program}")
}

type Port = Option<(u16, &'static str)>;

fn containers(facts: &Facts, object: &mut impl FnMut(String, &str, Port)) {
    let system = &facts.system;
    if system.memory < MEMORY {
        object(
            format!("it has {} of memory", system.memory),
            "give it at least 512MiB",
            None,
        );
    }
}

/// What the wanted versions need on a host and the host does not have.
fn unmet(node: &Node, catalog: &Catalog, facts: &Facts) -> Vec<(String, String)> {
    let here = catalog.components.iter().filter(|(component, _)| node.runs(**component));
    let mut unmet = Vec::new();
    for (component, entry) in here {
        let what = format!("{component} {}", entry.version);
        if let Some((version, below)) = too_new_docker(&entry.needs, facts) {
            unmet.push((
                format!(
                    "Docker {version} is too new for {what}, which needs a version below {below}"
                ),
                "install an older Docker, such as the docker.io package of Debian 12".to_owned(),
            ));
        }
        unmet.extend(match entry.needs.cgroups {
            Some(CgroupNeed::V1) => no_version_1(node, &what, facts),
            Some(CgroupNeed::V2) => not_version_2_alone(&what, facts),
            None => None,
        });
    }
    unmet
}

/// What is wrong with the control groups of a host that needs version 1; `None` if the plan
/// reboots it with version 1.
fn no_version_1(node: &Node, what: &str, facts: &Facts) -> Option<(String, String)> {
    let wish = format!("`host: {{cgroups: hybrid}}` to the group `{}`", node.group);
    if facts.system.cgroups == Cgroups::V1 {
        let is_ours = |owned: &Owned| matches!(owned, Owned::Boot { .. });
        let goes = !node.hybrid && facts.manifest.entries().iter().any(is_ours);
        return goes.then(|| {
            let problem = format!(
                "{what} needs control groups of version 1, but the inventory no longer has the \
                 setting with which this host boots with them"
            );
            (problem, format!("add {wish} again, or remove {what} from the host first"))
        });
    }
    let alone = "it has only control groups of version 2";
    let hindrance = facts.boot().ok().and_then(BootState::hindrance);
    match (hindrance, node.hybrid) {
        (Some(hindrance), _) => Some((
            format!("{alone}, but {what} needs version 1, and {hindrance}"),
            hindrance.help().to_owned(),
        )),
        (None, true) => None,
        (None, false) => Some((
            format!("{alone}, but {what} needs version 1"),
            format!(
                "add {wish}: the plan then changes the kernel's command line and reboots the \
                 host, which gives it version 1 beside version 2"
            ),
        )),
    }
}

/// What is wrong with the control groups of a host that needs version 2 only.
fn not_version_2_alone(what: &str, facts: &Facts) -> Option<(String, String)> {
    (facts.system.cgroups == Cgroups::V1).then(|| {
        (
            format!("it has control groups of version 1, but {what} needs version 2 only"),
            "boot it without `systemd.unified_cgroup_hierarchy=0` and similar settings on the \
             kernel's command line; if `host: {cgroups: hybrid}` added it, `platform down` \
             removes it"
                .to_owned(),
        )
    })
}

/// The version of the installed engine, or of the one that would be installed, and the first
/// version that is too new.
fn too_new_docker<'a>(needs: &Needs, facts: &'a Facts) -> Option<(&'a str, u32)> {
    let below = needs.docker_below?;
    let version = engine::version(facts)?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    (major >= below).then_some((version, below))
}

/// The ports on which another program listens although the service that needs them does not run.
fn taken_ports(node: &Node, facts: &Facts) -> Vec<(u16, &'static str)> {
    let idle = |unit: &str| {
        facts.unit(unit).is_ok_and(|state| {
            matches!(state.active.as_str(), "inactive" | "failed" | "activating")
        })
    };
    Spec::of_node(node)
        .filter(|spec| idle(spec.unit))
        .flat_map(|spec| spec.ports.iter().map(|port| (port.number, spec.instance)))
        .filter(|(port, _)| facts.system.listening.contains(port))
        .collect()
}

//! What would make a run fail half-way, found before anything is touched.

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

/// How far a host's clock may be off, in seconds. ZooKeeper and TLS bear more, but logs of
/// several hosts cannot be read together beyond that.
const CLOCK: f64 = 5.0;

/// The least free space that a host needs that gets images or packages.
const DISK: Size = Size::gib(1);

/// The least memory that a host with containers needs.
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
    /// The port that another program holds and the service that needs it, where that is the
    /// problem.
    #[serde(skip)]
    pub port: Option<(u16, &'static str)>,
}

impl PreflightFailure {
    /// Names the program that holds the port.
    pub fn name_holder(&mut self, program: &str) {
        if let Some((port, service)) = self.port {
            self.problem = taken(port, service, program);
        }
    }
}

/// Every reason not to begin, on all hosts together. `catalog` says what the versions need
/// that are to run.
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
    others.chain(address::twins(topology, facts)).chain(unfit).collect()
}

/// The hosts that lack the room for what a plan brings there. One that gets nothing of size, or
/// nothing at all, needs none.
pub(super) fn without_room(
    plan: &Plan,
    facts: &BTreeMap<HostName, Facts>,
) -> Vec<PreflightFailure> {
    let full = plan.hosts_that_get().into_iter().filter_map(|host| {
        let system = &facts.get(host)?.system;
        (system.free_disk < DISK).then(|| PreflightFailure {
            host: host.clone(),
            problem: format!("only {} are free on {}", system.free_disk, system.disk),
            help: "make room: what comes there needs at least 1GiB below /var/lib"
                .to_owned(),
            port: None,
        })
    });
    full.collect()
}

/// The hosts that another cluster has: what one does not want, it would take from the other.
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
                "take it from there first: `platform down`, with `--purge` where its data is \
                 not wanted any more, with the inventory of `{other}`"
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
            "let both follow the same time servers, for example with chrony",
            None,
        );
    }
    for name in facts.sysctls_lacking().filter(|name| !comes_later(name, node, facts)) {
        object(
            format!("its kernel does not have the setting `{name}`"),
            "look for a slip in that name under `sysctls` in the inventory; where a module of \
             the kernel brings it, load that module on the host, and name it in \
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

/// Whether a kernel setting comes with the modules that Docker loads, on a host that is about to
/// get Docker: settings are made after packages.
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

/// What the versions need that are to run on a host, and what it has instead.
fn unmet(node: &Node, catalog: &Catalog, facts: &Facts) -> Vec<(String, String)> {
    let here = catalog.components.iter().filter(|(component, _)| node.runs(**component));
    let mut unmet = Vec::new();
    for (component, entry) in here {
        let what = format!("{component} {}", entry.version);
        if let Some((version, below)) = too_new_docker(&entry.needs, facts) {
            unmet.push((
                format!("Docker {version} is too new for {what}, which needs one below {below}"),
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

/// What is wrong with the control groups of a host that needs version 1; nothing where the plan
/// has it booted with that.
fn no_version_1(node: &Node, what: &str, facts: &Facts) -> Option<(String, String)> {
    let wish = format!("`host: {{cgroups: hybrid}}` to the group `{}`", node.group);
    if facts.system.cgroups == Cgroups::V1 {
        let is_ours = |owned: &Owned| matches!(owned, Owned::Boot { .. });
        let goes = !node.hybrid && facts.manifest.entries().iter().any(is_ours);
        return goes.then(|| {
            let problem = format!(
                "{what} needs control groups of version 1, which it boots with for the sake of \
                 a setting that the inventory no longer has"
            );
            (problem, format!("add {wish} again, or take {what} from it first"))
        });
    }
    let alone = "its control groups are of version 2 alone";
    let hindrance = facts.boot().ok().and_then(BootState::hindrance);
    match (hindrance, node.hybrid) {
        (Some(hindrance), _) => Some((
            format!("{alone}, {what} needs version 1, and {hindrance}"),
            hindrance.help().to_owned(),
        )),
        (None, true) => None,
        (None, false) => Some((
            format!("{alone}, and {what} needs version 1"),
            format!(
                "add {wish}: the plan then holds the change of the kernel's command line and \
                 the reboot that give it version 1 beside version 2"
            ),
        )),
    }
}

/// What is wrong with the control groups of a host that needs version 2 and no other.
fn not_version_2_alone(what: &str, facts: &Facts) -> Option<(String, String)> {
    (facts.system.cgroups == Cgroups::V1).then(|| {
        (
            format!("its control groups are of version 1, and {what} needs version 2 alone"),
            "boot it without `systemd.unified_cgroup_hierarchy=0` and the like on the kernel's \
             command line: where `host: {cgroups: hybrid}` put it there, `platform down` takes \
             it back"
                .to_owned(),
        )
    })
}

/// The version of the engine, or where there is none of the one that would be installed, and
/// the first that is too new.
fn too_new_docker<'a>(needs: &Needs, facts: &'a Facts) -> Option<(&'a str, u32)> {
    let below = needs.docker_below?;
    let version = engine::version(facts)?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    (major >= below).then_some((version, below))
}

/// The ports of services that do not run yet, on which something else listens.
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

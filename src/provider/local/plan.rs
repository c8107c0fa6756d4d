//! Which local machines to make, start and not change.
//!
//! Pure: compares what the inventory asks for with what Docker reports.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;

use super::{Machine, docker};
use crate::host::HostName;
use crate::inventory::{Cidr, ClusterName, Inventory, Members};
use crate::provider::{MachinePlan, MachineStep, MissingMachine, may_be_booting};
use crate::unit::Size;

/// The first machine's place in its network; the places before it are for the gateway and for
/// addresses that belong to no machine.
const FIRST_PLACE: u32 = 11;

/// A machine that the inventory asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name: the name of its group and its number, from 1.
    pub host: HostName,
    /// Its group.
    pub group: String,
    /// The most memory it may use; if `None`, all of this computer's.
    pub memory: Option<Size>,
}

/// A machine that Docker knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// The machine.
    pub machine: Machine,
    /// Its state.
    pub state: State,
    /// When it was last started; `None` if it does not run, or Docker does not say.
    pub started: Option<Timestamp>,
}

/// The state of an existing machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// The run that made it was interrupted: it never ran, and has no data.
    Unfinished,
    /// Docker is about to remove it: it cannot be started any more.
    Going,
    /// It does not run; this is Docker's word for its state.
    Stopped(String),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Paused => f.write_str("paused"),
            Self::Unfinished => f.write_str("unfinished"),
            Self::Going => f.write_str("being removed"),
            Self::Stopped(how) => f.write_str(how),
        }
    }
}

/// A machine to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMachine {
    /// Its name.
    pub host: HostName,
    /// Its group.
    pub group: String,
    /// Its address, which never changes.
    pub address: Ipv4Addr,
    /// The most memory it may use.
    pub memory: Option<Size>,
    /// Whether the remains of an unusable machine have to be removed first.
    pub remains: bool,
}

/// What to do about a cluster's machines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerPlan {
    /// What an interrupted removal left; it has to be removed before anything is made.
    pub remove: Vec<String>,
    /// The machines to make.
    pub create: Vec<NewMachine>,
    /// The existing machines to start again.
    pub start: Vec<Existing>,
    /// The machines that run.
    pub unchanged: Vec<Existing>,
    /// The machines that are no longer in the inventory; they are not changed.
    pub surplus: Vec<Existing>,
}

/// The network has fewer addresses than machines.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the network {subnet} has no address left for {host}: write a larger one in the inventory"
)]
pub struct NoRoom {
    /// The network.
    pub subnet: Cidr,
    /// The first machine without an address.
    pub host: HostName,
}

/// The machines that the inventory asks for, in the order of the file.
pub fn wanted(inventory: &Inventory) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for group in &inventory.groups {
        let Members::Count(count) = group.members else { continue };
        let hosts = (1..=count).filter_map(|n| group.host(n));
        wanted.extend(hosts.map(|host| Wanted {
            host,
            group: group.name.clone(),
            memory: group.memory,
        }));
    }
    wanted
}

/// Compares what is wanted with what exists. Every existing machine keeps its address; new
/// machines get the lowest free addresses from the network's eleventh on.
///
/// # Errors
/// When the network has too few addresses.
pub fn plan(
    wanted: &[Wanted],
    existing: &[Existing],
    subnet: Cidr,
) -> Result<ContainerPlan, NoRoom> {
    let mut plan = ContainerPlan::default();
    let mut free = free_addresses(existing, subnet);
    for machine in wanted {
        let found = existing.iter().find(|other| other.machine.host == machine.host);
        match found.map(|found| (found, &found.state)) {
            Some((found, State::Running)) => plan.unchanged.push(found.clone()),
            Some((found, State::Paused | State::Stopped(_))) => {
                plan.start.push(found.clone());
            }
            Some((_, State::Unfinished | State::Going)) | None => {
                let no_room = || NoRoom { subnet, host: machine.host.clone() };
                let address = free.next().ok_or_else(no_room)?;
                plan.create.push(new_machine(machine, address, found.is_some()));
            }
        }
    }
    let is_wanted = |host: &HostName| wanted.iter().any(|wanted| wanted.host == *host);
    let surplus = existing.iter().filter(|other| !is_wanted(&other.machine.host));
    plan.surplus = surplus.cloned().collect();
    Ok(plan)
}

impl ContainerPlan {
    /// The same in the form that all providers share, at this time.
    pub fn machine_plan(&self, cluster: &ClusterName, now: Timestamp) -> MachinePlan {
        let is_new = |started: Timestamp| may_be_booting(started, now);
        let booting =
            self.unchanged.iter().filter(|found| found.started.is_some_and(is_new));
        let new = self.create.iter().map(|new| missing(new.planned(), true));
        let old = self.start.iter().map(|old| missing(old.machine.clone(), false));
        MachinePlan {
            running: self.unchanged.iter().map(|found| found.machine.clone()).collect(),
            booting: booting.map(|found| found.machine.host.clone()).collect(),
            missing: new.chain(old).collect(),
            steps: self.steps(),
            notes: self.notes(cluster),
            ..MachinePlan::default()
        }
    }

    /// The machines that are made or started.
    pub fn hosts(&self) -> impl Iterator<Item = &HostName> {
        let create = self.create.iter().map(|new| &new.host);
        create.chain(self.start.iter().map(|old| &old.machine.host))
    }

    fn steps(&self) -> Vec<MachineStep> {
        let step = |subject: &str, what: String| {
            let subject = subject.to_owned();
            MachineStep { subject, what, call: None }
        };
        let remove = self.remove.iter();
        let remove = remove
            .map(|thing| step("rest of an earlier `down`", format!("remove {thing}")));
        let create = self.create.iter().map(|new| {
            step(new.host.as_str(), format!("make container at {}", new.address))
        });
        let start = self.start.iter().map(|old| {
            let what = format!("start container: it is {}", old.state);
            step(old.machine.host.as_str(), what)
        });
        remove.chain(create).chain(start).collect()
    }

    /// Notes about machines that are not in the inventory.
    fn notes(&self, cluster: &ClusterName) -> Vec<String> {
        let stays = self.surplus.iter().filter(|other| other.state != State::Going);
        let said = stays.map(|other| {
            let (host, state) = (&other.machine.host, &other.state);
            let container = docker::container(cluster, host);
            format!(
                "{host} ({state}) is not in the inventory and is not changed; add it to the \
                 inventory again, or remove it for good: `docker rm --force \
                 {container} && docker volume rm {container}-docker`"
            )
        });
        said.collect()
    }
}

impl NewMachine {
    /// The machine as it will be. Its host key is made with it, and is not known before.
    pub fn planned(&self) -> Machine {
        Machine {
            host: self.host.clone(),
            group: self.group.clone(),
            address: IpAddr::V4(self.address),
            ssh: None,
            host_keys: Vec::new(),
        }
    }
}

fn missing(machine: Machine, is_new: bool) -> MissingMachine {
    let (name, group) = (machine.host.to_string(), machine.group.clone());
    MissingMachine { name, group, count: 1, machine: Some(machine), is_new }
}

fn new_machine(wanted: &Wanted, address: Ipv4Addr, remains: bool) -> NewMachine {
    let Wanted { host, group, memory } = wanted.clone();
    NewMachine { host, group, address, memory, remains }
}

/// Machines that are made again hold no address.
fn free_addresses(existing: &[Existing], subnet: Cidr) -> impl Iterator<Item = Ipv4Addr> {
    let taken: BTreeSet<IpAddr> = existing
        .iter()
        .filter(|other| !matches!(other.state, State::Unfinished | State::Going))
        .map(|other| other.machine.address)
        .collect();
    let network = subnet.network.to_bits();
    (FIRST_PLACE..FIRST_PLACE + subnet.room())
        .map(move |place| Ipv4Addr::from_bits(network + place))
        .filter(move |address| !taken.contains(&IpAddr::V4(*address)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::inventory;

    fn inventory(groups: &str) -> Inventory {
        let text =
            format!("cluster: lab\nprovider: {{local: {{}}}}\ngroups: {{{groups}}}\n");
        inventory::read(&text, &|_: &Path| true).unwrap()
    }

    fn subnet(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn existing(host: &str, address: &str, state: State) -> Existing {
        let machine = Machine {
            host: host.parse().unwrap(),
            group: host.split('-').next().unwrap().to_owned(),
            address: address.parse().unwrap(),
            ssh: None,
            host_keys: vec!["ssh-ed25519 AAAA".to_owned()],
        };
        Existing { machine, state, started: None }
    }

    fn created(plan: &ContainerPlan) -> Vec<String> {
        plan.create.iter().map(|new| format!("{} {}", new.host, new.address)).collect()
    }

    const TWO_GROUPS: &str = "control: {roles: [control], count: 3, memory: 1GiB}, \
                              edge: {roles: [edge], count: 1}";

    #[test]
    fn the_first_machines_are_numbered_in_the_order_of_the_file() {
        let wanted = wanted(&inventory(TWO_GROUPS));
        let plan = plan(&wanted, &[], subnet("10.77.0.0/24")).unwrap();
        let expected = [
            "control-1 10.77.0.11",
            "control-2 10.77.0.12",
            "control-3 10.77.0.13",
            "edge-1 10.77.0.14",
        ];
        assert_eq!(created(&plan), expected);
        assert_eq!(plan.create[0].memory, Some(Size::gib(1)));
        assert_eq!(plan.create[3].memory, None);
    }

    #[test]
    fn a_group_that_grows_moves_nobody() {
        let there = [
            existing("control-1", "10.77.0.11", State::Running),
            existing("edge-1", "10.77.0.12", State::Running),
        ];
        let wanted = wanted(&inventory(TWO_GROUPS));
        let plan = plan(&wanted, &there, subnet("10.77.0.0/24")).unwrap();
        assert_eq!(created(&plan), ["control-2 10.77.0.13", "control-3 10.77.0.14"]);
        let kept: Vec<_> =
            plan.unchanged.iter().map(|it| it.machine.address.to_string()).collect();
        assert_eq!(kept, ["10.77.0.11", "10.77.0.12"]);
    }

    #[test]
    fn what_does_not_run_is_started_and_what_is_not_wanted_is_left_alone() {
        let there = [
            existing("edge-1", "10.77.0.11", State::Stopped("exited".to_owned())),
            existing("edge-2", "10.77.0.12", State::Paused),
            existing("old-1", "10.77.0.13", State::Running),
        ];
        let wanted = wanted(&inventory("edge: {roles: [edge], count: 2}"));
        let plan = plan(&wanted, &there, subnet("10.77.0.0/24")).unwrap();
        assert_eq!(plan.start, there[..2]);
        assert_eq!(plan.surplus, there[2..]);
        assert!(plan.create.is_empty() && plan.unchanged.is_empty());
        let notes = plan.notes(&"lab".parse().unwrap());
        assert_eq!(
            notes,
            [
                "old-1 (running) is not in the inventory and is not changed; add it to the \
              inventory again, or remove it for good: `docker rm --force \
              platform-lab-old-1 && docker volume rm platform-lab-old-1-docker`"
            ]
        );
    }

    #[test]
    fn a_machine_that_runs_for_long_or_for_an_unknown_time_is_not_booting() {
        let there = [
            ("edge-1", Some("2026-07-01T10:00:00Z")),
            ("edge-2", Some("2026-07-01T09:00:00Z")),
            ("edge-3", None),
        ];
        let there = there.map(|(host, started)| Existing {
            started: started.map(|at| at.parse().unwrap()),
            ..existing(host, "10.77.0.11", State::Running)
        });
        let wanted = wanted(&inventory("edge: {roles: [edge], count: 3}"));
        let plan = plan(&wanted, &there, subnet("10.77.0.0/24")).unwrap();
        let now = "2026-07-01T10:00:02Z".parse().unwrap();
        let plan = plan.machine_plan(&"lab".parse().unwrap(), now);
        assert_eq!(plan.running.len(), 3);
        assert_eq!(plan.booting, ["edge-1".parse().unwrap()].into());
    }

    #[test]
    fn a_machine_that_is_unfinished_or_being_removed_is_made_anew() {
        for state in [State::Unfinished, State::Going] {
            let there = [existing("edge-1", "10.77.0.12", state)];
            let wanted = wanted(&inventory("edge: {roles: [edge], count: 1}"));
            let plan = plan(&wanted, &there, subnet("10.77.0.0/24")).unwrap();
            assert_eq!(created(&plan), ["edge-1 10.77.0.11"]);
            assert!(plan.create[0].remains && plan.start.is_empty());
        }
    }

    #[test]
    fn a_network_without_room_names_the_machine_that_found_none() {
        let there = [existing("old-1", "10.77.0.11", State::Running)];
        let wanted = wanted(&inventory(TWO_GROUPS));
        let error = plan(&wanted, &there, subnet("10.77.0.0/28")).unwrap_err();
        assert_eq!(error.host.as_str(), "edge-1");
    }
}

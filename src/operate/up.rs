//! `platform up`: makes the machines what the inventory says, and proves that they work.

use std::collections::BTreeMap;

use super::access::Access;
use super::arrival::Lookout;
use super::courier::{Registries, Van};
use super::down::Hosts;
use super::fit::objections;
use super::gather::{Gathered, gather};
use super::lab::Lab;
use super::machines::Made;
use super::run::{Ended, finish, shown, take_lock};
use super::services::Services;
use super::survey::{self, Survey, survey};
use super::trouble::Trouble;
use super::witness::Eyes;
use super::{Ambient, connect, image, machines, proof};
use crate::event::{Event, RunResult, count, in_words};
use crate::host::HostName;
use crate::plan::{self, Gate, Plan, gates_on};
use crate::run::apply::{Crew, Tally, apply};
use crate::run::lock::ClusterLock;
use crate::run::{Fleet, gate};
use crate::topology::{Machine, Topology};

/// Brings a cluster up, or up to date: makes missing machines, looks, plans, asks, applies,
/// proves. Run again, it goes on where a run that was cut off ended; where nothing differs it
/// writes nothing.
///
/// # Errors
/// When anything does not succeed; the events say what was done and what was not.
pub async fn up(
    lab: &Lab,
    agreed: bool,
    extent: Extent,
    ambient: &Ambient<'_>,
) -> Result<Ended, Trouble> {
    // A catalogue that cannot work is said before anyone is asked for anything.
    image::tell_new_pins(lab, ambient).await?;
    let roster = machines::roster(lab, ambient).await?;
    let before = Before { n_made: roster.n_missing(), unchanged: roster.is_complete() };
    let blank = roster.is_blank();
    if !before.unchanged && !agreed && !ambient.ask.proceed(&roster.show()) {
        return Err(Trouble::Declined);
    }
    if !before.unchanged && extent == Extent::All {
        lab.state.begin_proof()?;
    }
    let Made { machines, booting } = machines::make(lab, roster, ambient).await?;
    if extent == Extent::Machines {
        return Ok(machines_only(machines.len(), before));
    }
    let fleet = connect::connect_booting(lab, &machines, &booting, ambient).await?;
    let hosts = Hosts { lab, machines: &machines, fleet: &fleet };
    let mut seen = look_past_removal(&hosts, agreed, ambient).await?;
    if seen.plan.is_empty() {
        lab.state.keep()?;
        return prove(&hosts, &seen, before, None, ambient).await;
    }
    // Who agreed to make all machines agreed to what they are made for.
    let agreed = agreed || (before.n_made > 0 && blank);
    if !agreed && !ambient.ask.proceed(&shown(&seen.plan)) {
        return Err(before.declined());
    }
    lab.state.keep()?;
    lab.state.begin_proof()?;
    ambient.events.emit(&Event::Planned { stages: seen.plan.summary() });
    let held = take_lock(&seen.topology, &fleet, "up", ambient).await?;
    let tally = act(&mut seen, &fleet, &held, ambient).await;
    let ended = match finish(tally, ambient) {
        Ok(()) => prove(&hosts, &seen, before, Some(&held), ambient).await,
        Err(trouble) => Err(trouble),
    };
    held.release().await;
    ended
}

/// Looks and plans. A removal of all data that was cut off is ended first where the rest cannot
/// serve without what is gone; where it can, it stays.
async fn look_past_removal(
    hosts: &Hosts<'_>,
    agreed: bool,
    ambient: &Ambient<'_>,
) -> Result<Look, Trouble> {
    let look = async || look(hosts.lab, hosts.machines, hosts.fleet, ambient).await;
    match look().await {
        Err(lost) if lost.is_of_lost_data() && hosts.lab.state.removal_is_open() => {
            hosts.end_removal(agreed, ambient).await?;
            look().await
        }
        seen => seen,
    }
}

/// How far a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// To a platform that is proved to work.
    All,
    /// To machines that run, with nothing on them.
    Machines,
}

/// What was done to have the machines, before any was looked at.
#[derive(Debug, Clone, Copy)]
struct Before {
    /// How many were made or started.
    n_made: usize,
    /// Whether nothing was changed of them, nor of what they stand on.
    unchanged: bool,
}

impl Before {
    /// What was done, in words; none where that is nothing.
    fn told(self) -> Option<String> {
        match self {
            Self { unchanged: true, .. } => None,
            Self { n_made: 0, .. } => {
                Some("what the machines stand on changed".to_owned())
            }
            Self { n_made, .. } => {
                Some(format!("{} made or started", count(n_made, "machine")))
            }
        }
    }
}

impl Before {
    /// The operator did not agree to what comes after it.
    fn declined(self) -> Trouble {
        match self.told() {
            None => Trouble::Declined,
            Some(done) => Trouble::DeclinedAfter(done),
        }
    }
}

fn machines_only(n_machines: usize, before: Before) -> Ended {
    let runs = if n_machines == 1 { "runs" } else { "run" };
    let there =
        format!("{} {runs}; nothing was done on them", count(n_machines, "machine"));
    match before.told() {
        None => {
            let summary = format!("nothing to do: {there}");
            Ended { result: RunResult::Unchanged, summary }
        }
        Some(done) => {
            Ended { result: RunResult::Changed, summary: format!("{done}: {there}") }
        }
    }
}

/// What was seen of a cluster, and what is to be done about it.
pub(super) struct Look {
    pub(super) topology: Topology,
    pub(super) plan: Plan,
    pub(super) gathered: Gathered,
    pub(super) survey: Survey,
    pub(super) n_changes: usize,
    n_hosts: usize,
}

impl Look {
    pub(super) fn new(
        topology: Topology,
        plan: Plan,
        gathered: Gathered,
        survey: Survey,
    ) -> Self {
        let (n_changes, n_hosts) = (plan.n_changes(), plan.hosts().len());
        Self { topology, plan, gathered, survey, n_changes, n_hosts }
    }

    /// The services of the cluster.
    pub(super) fn services<'a>(&'a self, fleet: &'a Fleet) -> Services<'a> {
        Services { fleet, topology: &self.topology, logins: &self.gathered.logins }
    }

    /// The nodes of the cluster's ensemble.
    fn access<'a>(&'a self, fleet: &'a Fleet) -> Access<'a> {
        let password = &self.gathered.materials.zookeeper.super_password;
        Access { fleet, topology: &self.topology, password }
    }

    /// The changes that the plan had, in words.
    pub(super) fn changes(&self) -> String {
        let (changes, hosts) =
            (count(self.n_changes, "change"), count(self.n_hosts, "host"));
        format!("{changes} made on {hosts}")
    }
}

/// Looks at the cluster and plans; changes nothing.
///
/// # Errors
/// When a host does not answer, is not fit, or no plan is safe.
pub(super) async fn look(
    lab: &Lab,
    machines: &[Machine],
    fleet: &Fleet,
    ambient: &Ambient<'_>,
) -> Result<Look, Trouble> {
    let mut topology = Topology::new(&lab.inventory, machines)?;
    let mut gathered = gather(lab, &topology, ambient).await?;
    let survey = survey(lab, fleet, &mut topology, &mut gathered, ambient).await?;
    let (catalog, facts) = (&gathered.catalog, &survey.facts);
    let objections = objections(fleet, &topology, catalog, facts, None).await;
    let plan = plan::build(&survey.situation(&topology, &objections))?;
    Ok(Look::new(topology, plan, gathered, survey))
}

/// Carries the plan out.
pub(super) async fn act(
    seen: &mut Look,
    fleet: &Fleet,
    lock: &ClusterLock,
    ambient: &Ambient<'_>,
) -> Tally {
    let generations: BTreeMap<HostName, String> = seen
        .survey
        .facts
        .iter()
        .map(|(host, facts)| (host.clone(), facts.generation.clone()))
        .collect();
    let plan = std::mem::take(&mut seen.plan);
    let registries = || Registries::new(fleet, &seen.topology, &seen.gathered);
    let van = Van { registries: registries(), events: &ambient.events };
    let services = seen.services(fleet);
    let lookout = Some(Lookout { fleet, lock, ambient });
    let redactor = &seen.gathered.redactor;
    let eyes = Eyes { services, registries: registries(), lookout, redactor };
    let access = seen.access(fleet);
    let crew = Crew {
        fleet,
        courier: &van,
        warden: &access,
        witness: &eyes,
        events: &ambient.events,
        parallel: ambient.parallel,
        cluster: seen.topology.cluster.as_str(),
        run: &ambient.run,
        redactor,
        stopped: &|| ambient.is_stopped(),
    };
    apply(plan, generations, &crew).await
}

/// Waits until every component says that it works; where nothing had to change and no proof is
/// due, that is one look. A proof is made under the cluster's lock: `held`, or one of its own.
async fn prove(
    hosts: &Hosts<'_>,
    seen: &Look,
    before: Before,
    held: Option<&ClusterLock>,
    ambient: &Ambient<'_>,
) -> Result<Ended, Trouble> {
    let Hosts { lab, fleet, .. } = hosts;
    stand(&gates_on(&seen.topology, |_| true), seen, fleet, ambient).await?;
    if seen.topology.ensemble.is_some() {
        note_ensemble(lab, ambient);
    }
    // It served too late to be asked when everything was looked at.
    if !seen.survey.nodes_told {
        let nodes = survey::nodes(&seen.topology, &seen.gathered);
        seen.access(fleet).insist(nodes).await?;
    }
    let changed = before.n_made + seen.n_changes > 0;
    let due = proof::can_be_made(&seen.topology)
        && (changed || is_unproved(lab, seen, fleet).await?);
    if due {
        let own = match held {
            Some(_) => None,
            None => Some(take_lock(&seen.topology, fleet, "up", ambient).await?),
        };
        let ground = proof::Ground::Any;
        let proved = proof::prove(seen.services(fleet), ground, ambient).await;
        if let Some(own) = own {
            own.release().await;
        }
        proved?;
    }
    lab.state.forget_addition()?;
    lab.state.end_removal()?;
    lab.state.end_proof()?;
    Ok(ended(seen, before, due))
}

/// What a run has done that ended well.
fn ended(seen: &Look, before: Before, proved: bool) -> Ended {
    let (result, summary) = match (before.told(), seen.n_changes) {
        (None, 0) => {
            let hosts = as_they_should_be(seen.topology.nodes.len());
            match proved {
                true => {
                    let summary = format!("the proof that was due is made: {hosts}");
                    (RunResult::Changed, summary)
                }
                false => (RunResult::Unchanged, format!("nothing to do: {hosts}")),
            }
        }
        (None, _) => (RunResult::Changed, seen.changes()),
        (Some(done), _) => (RunResult::Changed, format!("{done}, {}", seen.changes())),
    };
    Ended { result, summary }
}

/// Whether an earlier run changed the cluster and did not prove it: by the notes of this folder,
/// or because its app is still there, as where that run was another computer's.
async fn is_unproved(lab: &Lab, seen: &Look, fleet: &Fleet) -> Result<bool, Trouble> {
    // Machines that an `add-node` was broken off with may have all that they need.
    let noted = lab.state.proof_is_open() || lab.state.addition()?.is_some();
    Ok(noted || proof::is_left(seen.services(fleet)).await)
}

/// `1 host is as it should be`, `2 hosts are as they should be`.
fn as_they_should_be(n_hosts: usize) -> String {
    let are = if n_hosts == 1 { "is as it should be" } else { "are as they should be" };
    format!("{} {are}", count(n_hosts, "host"))
}

/// Waits until all of these gates are open, or one is known to stay shut.
///
/// # Errors
/// When one does not open in time, or the operator stops the wait.
pub(super) async fn stand(
    gates: &[Gate],
    seen: &Look,
    fleet: &Fleet,
    ambient: &Ambient<'_>,
) -> Result<(), Trouble> {
    let registries = Registries::new(fleet, &seen.topology, &seen.gathered);
    let (services, redactor) = (seen.services(fleet), &seen.gathered.redactor);
    let eyes = Eyes { services, registries, lookout: None, redactor };
    let stopped = || ambient.is_stopped();
    let waiting =
        gates.iter().map(|gate| gate::wait(gate, &eyes, &ambient.events, &stopped));
    futures::future::try_join_all(waiting).await?;
    Ok(())
}

/// Notes that the ensemble has served. It serves all the same where the note cannot be written,
/// and the next run tries again.
fn note_ensemble(lab: &Lab, ambient: &Ambient<'_>) {
    if let Err(error) = lab.state.note_ensemble() {
        let message = format!(
            "{}; without this note, an ensemble that loses all of its data is formed anew \
             without a word",
            in_words(&error)
        );
        ambient.events.emit(&Event::Warned { message });
    }
}

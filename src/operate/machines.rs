//! The machines of an inventory: which there are, which are missing, and making those.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Instant;

use futures::stream::{self, StreamExt};

use super::Ambient;
use super::image::{self, Bench};
use super::lab::Lab;
use super::trouble::Trouble;
use crate::component::Stage;
use crate::event::{Event, Outcome, in_words};
use crate::host::HostName;
use crate::inventory::{Cidr, Provider};
use crate::provider::local::{
    self, Existing, MachineError, MachinePlan, NewMachine, Settings, Workshop,
};
use crate::provider::ssh;
use crate::topology::{Machine, Topology};

/// How many machines are made at once: each boots a whole system.
const AT_ONCE: usize = 8;

/// The machines of an inventory, and what it takes to have them all.
pub(super) struct Roster {
    /// Machines that run.
    pub(super) running: Vec<Machine>,
    /// What is to be made or started.
    missing: Option<(Cidr, MachinePlan)>,
}

/// Asks the provider.
///
/// # Errors
/// When it does not answer, or its network is too small, or its machines would let nobody in.
pub(super) async fn roster(lab: &Lab) -> Result<Roster, Trouble> {
    match &lab.inventory.provider {
        Provider::Ssh(_) => {
            Ok(Roster { running: ssh::machines(&lab.inventory), missing: None })
        }
        Provider::Aws(_) => Err(Trouble::NoAws),
        Provider::Local(network) => {
            let existing = local::list(&lab.inventory.cluster).await?;
            if !existing.is_empty() && !lab.state.has_ssh_key() {
                return Err(Trouble::KeyLost(lab.state.ssh_key_file()));
            }
            let wanted = local::wanted(&lab.inventory);
            let plan = local::plan(&wanted, &existing, network.subnet)?;
            let running = plan.unchanged.clone();
            Ok(Roster { running, missing: Some((network.subnet, plan)) })
        }
    }
}

/// The machines that run and that the inventory has.
///
/// # Errors
/// When the provider does not answer.
pub(super) async fn running(lab: &Lab) -> Result<Vec<Machine>, Trouble> {
    Ok(roster(lab).await?.running)
}

/// The machines of these names and groups; all where there is none.
///
/// # Errors
/// When a name is unknown.
pub(super) fn limited(
    machines: Vec<Machine>,
    limit: &[String],
) -> Result<Vec<Machine>, Trouble> {
    let names = |machine: &Machine| [machine.group.clone(), machine.host.to_string()];
    let known: Vec<String> = machines.iter().flat_map(names).collect();
    if let Some(name) = limit.iter().find(|name| !known.contains(name)) {
        let known: BTreeSet<String> = known.into_iter().collect();
        return Err(Trouble::NoSuchHost {
            name: name.clone(),
            known: known.into_iter().collect(),
        });
    }
    let kept = |machine: &Machine| {
        limit.is_empty() || names(machine).iter().any(|name| limit.contains(name))
    };
    Ok(machines.into_iter().filter(kept).collect())
}

impl Roster {
    /// The cluster with all of its machines, those included that do not run.
    ///
    /// # Errors
    /// When they cannot form the ensemble.
    pub(super) fn topology(&self, lab: &Lab) -> Result<Topology, Trouble> {
        Ok(Topology::new(&lab.inventory, &self.all())?)
    }

    /// All machines of the inventory, those included that do not run, by name.
    pub(super) fn all(&self) -> Vec<Machine> {
        let mut machines = self.running.clone();
        if let Some((_, plan)) = &self.missing {
            machines.extend(plan.create.iter().map(NewMachine::planned));
            machines.extend(plan.start.iter().map(|old| old.machine.clone()));
        }
        machines
    }

    /// The machines that are to be made or started.
    pub(super) fn missing_hosts(&self) -> Vec<HostName> {
        let plan = self.missing.iter();
        plan.flat_map(|(_, plan)| hosts(plan)).cloned().collect()
    }

    /// How many machines are to be made or started.
    pub(super) fn n_missing(&self) -> usize {
        self.missing.as_ref().map_or(0, |(_, plan)| plan.create.len() + plan.start.len())
    }

    /// Whether there is no machine yet that could have anything on it.
    pub(super) fn is_blank(&self) -> bool {
        let started = self.missing.as_ref().map_or(0, |(_, plan)| plan.start.len());
        self.running.is_empty() && started == 0
    }

    /// What is to be made or started, as text.
    pub(super) fn show(&self) -> String {
        let mut text = format!("{}\n", Stage::Machines);
        let Some((_, plan)) = &self.missing else { return text };
        for new in &plan.create {
            let _ =
                writeln!(text, "  {}\n    make container at {}", new.host, new.address);
        }
        for old in &plan.start {
            let (host, state) = (&old.machine.host, &old.state);
            let _ = writeln!(text, "  {host}\n    start container: it is {state}");
        }
        let _ =
            writeln!(text, "\nWhat each of them gets is planned once it can be asked.");
        text
    }

    /// What is to be made or started, as JSON.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let plan = self.missing.as_ref().map(|(_, plan)| plan);
        let create = plan.iter().flat_map(|plan| &plan.create);
        let start = plan.iter().flat_map(|plan| &plan.start);
        serde_json::json!({
            "make": create.map(|new| new.host.as_str()).collect::<Vec<&str>>(),
            "start": start.map(|old| old.machine.host.as_str()).collect::<Vec<&str>>(),
        })
    }
}

/// Makes and starts what is missing: all machines of the inventory, in its order.
///
/// # Errors
/// When one cannot be made; the others are made all the same, and the next run goes on there.
/// When the operator stops it, those under way are finished and no more are begun.
pub(super) async fn make(
    lab: &Lab,
    roster: Roster,
    ambient: &Ambient<'_>,
) -> Result<Vec<Machine>, Trouble> {
    let Some((subnet, plan)) = roster.missing.filter(|(_, plan)| !is_complete(plan))
    else {
        return Ok(roster.running);
    };
    let settings = Settings {
        cluster: lab.inventory.cluster.clone(),
        subnet,
        image: image::machine(&lab.images()?, &Bench::of(ambient)).await?,
        authorized_key: lab.state.ssh_key()?.public,
    };
    // A machine lets in nobody else: the key must not be lost with this run.
    lab.state.keep()?;
    let begun = Instant::now();
    let stage = Stage::Machines.to_string();
    let hosts: Vec<HostName> = hosts(&plan).cloned().collect();
    let n_steps = hosts.len();
    ambient.events.emit(&Event::StageStarted { stage: stage.clone(), hosts, n_steps });
    let made = all(&settings, &plan, ambient).await;
    let ok = made.is_ok();
    ambient.events.emit(&Event::StageFinished { stage, took: begun.elapsed(), ok });
    made?;
    running(lab).await
}

fn is_complete(plan: &MachinePlan) -> bool {
    plan.create.is_empty() && plan.start.is_empty()
}

fn hosts(plan: &MachinePlan) -> impl Iterator<Item = &HostName> {
    let create = plan.create.iter().map(|new| &new.host);
    create.chain(plan.start.iter().map(|old| &old.machine.host))
}

async fn all(
    settings: &Settings,
    plan: &MachinePlan,
    ambient: &Ambient<'_>,
) -> Result<(), Trouble> {
    if let Some(message) = local::raise_limits(hosts(plan).count()).await {
        ambient.events.emit(&Event::Warned { message });
    }
    let workshop = Workshop::open(settings.clone()).await?;
    let create = plan.create.iter().map(Job::Make);
    let jobs = create.chain(plan.start.iter().map(Job::Start)).collect();
    let (workshop, cluster) = (&workshop, &settings.cluster);
    let work = async |job: &Job<'_>| match job {
        Job::Make(new) => workshop.create(new).await.map(drop),
        Job::Start(old) => local::start(cluster, old).await,
    };
    carry_out(jobs, work, ambient).await
}

/// Does this work for each machine, a few at a time. Once the operator wants to stop, what is
/// under way is finished and no more is begun.
async fn carry_out(
    jobs: Vec<Job<'_>>,
    work: impl AsyncFn(&Job<'_>) -> Result<(), MachineError>,
    ambient: &Ambient<'_>,
) -> Result<(), Trouble> {
    let work = &work;
    let jobs: Vec<_> = jobs
        .into_iter()
        .map(|job| async move {
            let begun = Instant::now();
            if ambient.is_stopped() {
                let reason = "the run was stopped".to_owned();
                job.tell_end(begun, Outcome::NotStarted { reason }, ambient);
                return Ok(false);
            }
            job.tell_start(ambient);
            let done = work(&job).await;
            job.tell_end(begun, outcome(&done), ambient);
            done.map(|()| true)
        })
        .collect();
    let ended: Vec<Result<bool, MachineError>> =
        stream::iter(jobs).buffer_unordered(AT_ONCE).collect().await;
    let done = ended.into_iter().collect::<Result<Vec<bool>, MachineError>>()?;
    let n_left = done.iter().filter(|done| !**done).count();
    match n_left {
        0 => Ok(()),
        _ => Err(Trouble::Interrupted { n_done: done.len() - n_left, n_left }),
    }
}

fn outcome(done: &Result<(), MachineError>) -> Outcome {
    match done {
        Ok(()) => Outcome::Done,
        Err(error) => Outcome::Failed { reason: in_words(error) },
    }
}

enum Job<'a> {
    Make(&'a NewMachine),
    Start(&'a Existing),
}

impl Job<'_> {
    fn host(&self) -> &HostName {
        match self {
            Self::Make(new) => &new.host,
            Self::Start(old) => &old.machine.host,
        }
    }

    fn step(&self) -> String {
        match self {
            Self::Make(_) => "make container".to_owned(),
            Self::Start(_) => "start container".to_owned(),
        }
    }

    fn tell_start(&self, ambient: &Ambient<'_>) {
        ambient.events.emit(&Event::StepStarted {
            stage: Stage::Machines.to_string(),
            host: Some(self.host().clone()),
            step: self.step(),
        });
    }

    fn tell_end(&self, begun: Instant, outcome: Outcome, ambient: &Ambient<'_>) {
        ambient.events.emit(&Event::StepFinished {
            stage: Stage::Machines.to_string(),
            host: Some(self.host().clone()),
            step: self.step(),
            took: begun.elapsed(),
            outcome,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::fixture;
    use super::*;

    fn machine(n: usize) -> NewMachine {
        NewMachine {
            host: format!("node-{n}").parse().unwrap(),
            group: "node".to_owned(),
            address: [10, 0, 0, 9].into(),
            memory: None,
            remains: false,
        }
    }

    #[tokio::test]
    async fn machines_under_way_are_finished_and_no_more_begun_once_the_operator_stops() {
        let ambient = fixture::ambient(false);
        let new: Vec<NewMachine> = (0..AT_ONCE + 3).map(machine).collect();
        let work = async |_: &Job<'_>| {
            ambient.stopped.store(true, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(())
        };
        let jobs = new.iter().map(Job::Make).collect();
        let stopped = carry_out(jobs, work, &ambient).await.expect_err("it was stopped");
        assert_eq!(stopped.to_string(), "stopped: 1 step done, 10 left");
    }
}

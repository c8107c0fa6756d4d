//! `platform add-node`: adds machines to a group, and changes only what they require.
//!
//! The inventory defines the cluster, so it is written first. A note in the state folder tells
//! the next run what was not finished. Only new machines are made and set up. If another host
//! differs from the inventory in another way, that is reported and left to `up`.

mod order;

use std::collections::BTreeSet;

use super::cannot_add::CannotAdd;
use super::cluster_files::ClusterFiles;
use super::error::Error;
use super::look::{Part, look};
use super::machines::Made;
use super::run::{Ended, finish, shown, take_lock};
use super::up::{Assessment, act, wait_for_gates};
use super::{RunContext, connect, gather, image, machines, proof};
use crate::component::Spec;
use crate::event::{Event, RunResult, count};
use crate::host::{HostName, joined};
use crate::inventory::Component;
use crate::inventory::component::Redundancy;
use crate::inventory::edit::Addition;
use crate::plan::gates_on;
use crate::provider::capabilities;
use crate::run::Fleet;
use crate::run::health::services::Services;
use crate::run::lock::ClusterLock;
use crate::topology::{Machine, Node, Topology};
use order::Order;

/// What the operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The group; if `None`, the only group that has agents and nothing else.
    pub group: Option<String>,
    /// The machines to add.
    pub addition: Addition,
}

/// Adds machines to a cluster: edits the inventory, makes what is missing, installs on the new
/// machines all that their group gets, and proves each new agent with a task. After an
/// interrupted run, the same command continues with the same machines.
///
/// # Errors
/// When any part fails; the events report what was done and what was not, and the error says
/// whether the inventory already has the machines.
pub async fn add_node(
    files: &ClusterFiles,
    request: &Request,
    agreed: bool,
    ctx: &RunContext<'_>,
) -> Result<Ended, Error> {
    gather::own_certificate(files, ctx)?;
    image::tell_new_pins(files, ctx).await?;
    let order = Order::of(files, request, ctx)?;
    let machines = machines::look(order.files(), ctx).await?;
    let known = order.known(&machines.plan)?;
    let others = others(&order, &machines.plan.running, &known);
    let (mut fleet, silent) =
        reach(order.files(), &others, &machines.plan.booting, ctx).await?;
    works(order.files(), &others, &fleet, ctx).await?;
    let mut cluster = Cluster { order: &order, known: &known, fleet: &mut fleet };
    // Machines that exist are checked before anything is changed.
    let checked = match capabilities(&files.inventory.provider).makes_machines {
        true => None,
        false => {
            let running = &machines.plan.running;
            Some(cluster.check(running, &BTreeSet::new(), &silent, ctx).await?)
        }
    };
    if !agreed {
        let plan = checked.as_ref().map(|checked| &checked.seen.plan);
        ctx.agree(&order.show(&machines.plan, plan))?;
    }
    order.write(known.clone(), ctx)?;
    order.files().state.keep_pins()?;
    let added = async {
        let checked = match checked {
            Some(checked) => checked,
            None => {
                let Made { machines, booting } =
                    machines::make(order.files(), machines, ctx).await?;
                let checked = cluster.check(&machines, &booting, &silent, ctx).await?;
                if checked.changes_others() && !agreed {
                    ctx.agree(&shown(&checked.seen.plan))?;
                }
                checked
            }
        };
        cluster.bring_in(checked, ctx).await
    };
    let ended = added.await.map_err(|why| order.written(why))?;
    order.files().state.forget_addition()?;
    Ok(ended)
}

/// A cluster that gets new machines.
struct Cluster<'a> {
    order: &'a Order,
    /// The machines that were there before.
    known: &'a BTreeSet<HostName>,
    /// The connections, at first to the machines that were there before.
    fleet: &'a mut Fleet,
}

/// New machines that were checked, and what has to be done.
struct Checked {
    new: BTreeSet<HostName>,
    seen: Assessment,
}

impl Checked {
    /// Whether hosts that are not new are changed as well.
    fn changes_others(&self) -> bool {
        self.seen.plan.hosts().into_iter().any(|host| !self.new.contains(host))
    }
}

impl Cluster<'_> {
    /// Connects to the new machines, checks the cluster, and plans.
    async fn check(
        &mut self,
        machines: &[Machine],
        booting: &BTreeSet<HostName>,
        silent: &[HostName],
        ctx: &RunContext<'_>,
    ) -> Result<Checked, Error> {
        let files = self.order.files();
        let new = newcomers(machines, self.known, self.order.group());
        self.fleet.extend(connect::connect_booting(files, &new, booting, ctx).await?);
        let new: BTreeSet<HostName> = new.into_iter().map(|it| it.host).collect();
        let (fleet, part) = ((&*self.fleet, silent), Part::Newcomers(&new));
        let seen = look(files, machines, fleet, part, ctx).await?;
        Ok(Checked { new, seen })
    }

    /// Installs on new machines all that their group gets, and proves them.
    async fn bring_in(
        &self,
        Checked { new, mut seen }: Checked,
        ctx: &RunContext<'_>,
    ) -> Result<Ended, Error> {
        self.order.files().state.keep()?;
        let held = take_lock(&seen.topology, self.fleet, "add-node", ctx).await?;
        let proved = apply_and_prove(&mut seen, &new, (self.fleet, &held), ctx).await;
        held.release().await;
        let proved = proved?;
        let machines = count(new.len(), "machine");
        let names: Vec<HostName> = new.into_iter().collect();
        let summary =
            format!("{machines} added: {}; {}{proved}", joined(&names), seen.changes());
        Ok(Ended { result: RunResult::Changed, summary })
    }
}

/// Makes the changes and proves the new machines, under the cluster's lock. Returns what was
/// proved.
async fn apply_and_prove(
    seen: &mut Assessment,
    new: &BTreeSet<HostName>,
    (fleet, held): (&Fleet, &ClusterLock),
    ctx: &RunContext<'_>,
) -> Result<&'static str, Error> {
    if !seen.plan.is_empty() {
        ctx.events.emit(&Event::Planned { stages: seen.plan.summary() });
        finish(act(seen, fleet, held, ctx).await, ctx)?;
    }
    wait_for_gates(
        &gates_on(&seen.topology, |host| new.contains(host)),
        seen,
        fleet,
        ctx,
    )
    .await?;
    prove(seen, fleet, new, ctx).await
}

/// The machines that were there before.
fn others(
    order: &Order,
    running: &[Machine],
    known: &BTreeSet<HostName>,
) -> Vec<Machine> {
    let is_other = |machine: &&Machine| {
        known.contains(&machine.host) || machine.group != order.group()
    };
    running.iter().filter(is_other).cloned().collect()
}

/// The machines that were not there before.
fn newcomers(
    machines: &[Machine],
    known: &BTreeSet<HostName>,
    group: &str,
) -> Vec<Machine> {
    let is_new =
        |machine: &&Machine| machine.group == group && !known.contains(&machine.host);
    machines.iter().filter(is_new).cloned().collect()
}

/// Connects to the machines that were there before. A machine with an agent and nothing else may
/// be unreachable: nothing is changed on it, and nothing new depends on it.
async fn reach(
    files: &ClusterFiles,
    others: &[Machine],
    booting: &BTreeSet<HostName>,
    ctx: &RunContext<'_>,
) -> Result<(Fleet, Vec<HostName>), Error> {
    let services: Vec<Component> = Spec::all()
        .map(|spec| spec.component)
        .filter(|component| component.redundancy() != Redundancy::Pool)
        .collect();
    connect::connect_to(files, (others, booting), &services, ctx).await
}

/// Checks that a cluster with Mesos has a leading master. Without one no new agent can register,
/// and the inventory would have useless machines.
async fn works(
    files: &ClusterFiles,
    others: &[Machine],
    fleet: &Fleet,
    ctx: &RunContext<'_>,
) -> Result<(), Error> {
    if !files.inventory.has_mesos() {
        return Ok(());
    }
    let topology = Topology::new(&files.inventory, others)?;
    let logins = gather::logins(files, ctx)?;
    let services = Services { fleet, topology: &topology, logins: &logins };
    match services.agents().await {
        Ok(_) => Ok(()),
        Err(why) => Err(CannotAdd::NotUp(why).into()),
    }
}

/// Proves each new agent with a task, if the cluster can run tasks. Returns what was proved.
async fn prove(
    seen: &Assessment,
    fleet: &Fleet,
    new: &BTreeSet<HostName>,
    ctx: &RunContext<'_>,
) -> Result<&'static str, Error> {
    let is_new = |node: &&Node| new.contains(&node.host);
    let agents: Vec<Node> = seen.topology.agents().filter(is_new).cloned().collect();
    if agents.is_empty() {
        return Ok("");
    }
    if !proof::can_be_made(&seen.topology) {
        return Ok("; no test task was run: the cluster has no Marathon");
    }
    let scope = proof::ProofScope::Agents(&agents);
    proof::prove(seen.services(fleet), scope, ctx).await?;
    Ok("; each has run a task")
}

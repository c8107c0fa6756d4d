//! Carries out a plan's steps, phase by phase, and waits until its instances run.

use std::ops::ControlFlow;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, sleep};

use super::super::launch::{Launch, Order};
use super::super::plan::{AwsPlan, NetworkIds, Step};
use super::super::seen::{Instance, InstanceState};
use super::super::wanted::GroupKind;
use super::super::{AwsError, HostKey, MakeContext};
use super::read::of_cluster;
use super::tell::{Backoff, StageReporter};
use super::write::ResourceMaker;
use super::{Cloud, filter};
use crate::event::{Event, in_words};
use crate::host::HostName;
use crate::inventory::Cidr;

/// The longest that an instance may take to start or to stop: large ones take minutes.
const RUNNING: Duration = Duration::from_secs(600);
/// The longest that AWS's other calls may not know a resource that was just created.
const SETTLED: Duration = Duration::from_secs(60);
/// The longest wait while AWS asks to slow down.
const THROTTLED: Duration = Duration::from_secs(180);
/// How many times the same instances can have been launched, and have ended, while AWS remembers
/// the calls: for a day or two.
const TURNS: usize = 100;
/// The result of a step.
enum Made {
    Nothing,
    Vpc(String),
    Subnet(String, String),
    Gateway(String),
    GroupKind(GroupKind, String),
    Instances(Vec<Instance>),
}

impl Cloud {
    /// Carries out all steps of a plan, and waits until every wanted instance runs; returns them
    /// all. Steps of a phase that have begun are finished; after a failure no further phase
    /// begins, and the next run continues there.
    ///
    /// # Errors
    /// When a call fails, an instance ends, or the operator stops the run.
    pub async fn make(
        &self,
        plan: AwsPlan,
        making: &MakeContext<'_>,
    ) -> Result<Vec<Instance>, AwsError> {
        let AwsPlan { phases, mut network, instances, .. } = plan;
        let n_steps: usize = phases.iter().map(Vec::len).sum();
        let (mut there, mut n_done) = (instances, 0);
        for phase in phases {
            if (making.stopped)() {
                return Err(AwsError::Stopped { n_done, n_left: n_steps - n_done });
            }
            let steps = phase.iter().map(|step| self.step(step, &network, making));
            let ended = join_all(steps).await;
            n_done += ended.iter().filter(|made| made.is_ok()).count();
            for made in ended.into_iter().collect::<Result<Vec<Made>, AwsError>>()? {
                made.enter(&mut network, &mut there);
            }
        }
        match there.iter().all(|found| found.state.is_up()) {
            true => Ok(there),
            false => self.until_running(&there, making).await,
        }
    }

    async fn step(
        &self,
        step: &Step,
        network: &NetworkIds,
        making: &MakeContext<'_>,
    ) -> Result<Made, AwsError> {
        let maker = ResourceMaker { cloud: self, wanted: making.wanted, network };
        let work = async {
            let made = match step {
                Step::Launch(launch) => launched(&maker, launch, making).await,
                step => patiently(async || done(&maker, step, making).await).await,
            };
            made.map_err(|error| match error.is_taken() {
                true => AwsError::AnotherRun { what: in_words(&error) },
                false => error,
            })
        };
        making.teller().step(step.host(), &step.to_string(), work).await
    }

    /// Waits until these instances run, and reports their states meanwhile.
    async fn until_running(
        &self,
        there: &[Instance],
        making: &MakeContext<'_>,
    ) -> Result<Vec<Instance>, AwsError> {
        let ids: Vec<&str> = there.iter().map(|found| found.id.as_str()).collect();
        let look = async || {
            let mut known =
                self.instances(vec![of_cluster(&making.wanted.cluster)]).await?;
            // An instance that was just launched may not be visible yet.
            known.retain(|found| ids.contains(&found.id.as_str()));
            if let Some(ended) = known.iter().find(|found| !found.state.is_alive()) {
                return Err(end(ended));
            }
            let up = known.iter().filter(|found| found.state.is_up()).count();
            if up == ids.len() {
                known.sort_by_key(|found| ids.iter().position(|id| *id == found.id));
                return Ok(ControlFlow::Break((known, format!("{up} running"))));
            }
            match (making.stopped)() {
                true => Err(AwsError::Stopped { n_done: up, n_left: ids.len() - up }),
                false => Ok(ControlFlow::Continue(states(&known, ids.len()))),
            }
        };
        making.teller().until("all instances run", RUNNING, look).await
    }

    /// Waits until instances that are stopping have stopped: they cannot be started before that.
    async fn until_stopped(
        &self,
        ids: &[String],
        teller: StageReporter<'_>,
    ) -> Result<(), AwsError> {
        let look = async || {
            let found = self.instances(vec![filter("instance-id", ids)]).await?;
            let seen = states(&found, ids.len());
            let is_stopping = |found: &Instance| found.state == InstanceState::Stopping;
            Ok(match found.iter().any(is_stopping) {
                true => ControlFlow::Continue(seen),
                false => ControlFlow::Break(((), seen)),
            })
        };
        teller.until("the instances to start have stopped", RUNNING, look).await
    }
}

impl MakeContext<'_> {
    fn teller(&self) -> StageReporter<'_> {
        StageReporter { stage: self.stage, events: self.events }
    }
}

impl Made {
    fn enter(self, network: &mut NetworkIds, there: &mut Vec<Instance>) {
        match self {
            Self::Nothing => {}
            Self::Vpc(id) => network.vpc = Some(id),
            Self::Subnet(zone, id) => {
                network.subnets.insert(zone, id);
            }
            Self::Gateway(id) => network.gateway = Some(id),
            Self::GroupKind(security_group, id) => {
                network.security_groups.insert(security_group, id);
            }
            Self::Instances(instances) => there.extend(instances),
        }
    }
}

async fn done(
    maker: &ResourceMaker<'_>,
    step: &Step,
    making: &MakeContext<'_>,
) -> Result<Made, AwsError> {
    let network = maker.network;
    let group = |which: &GroupKind| -> Result<&String, AwsError> {
        let lacking = AwsError::Answer { call: "CreateSecurityGroup", what: "an id" };
        network.security_groups.get(which).ok_or(lacking)
    };
    match step {
        Step::ImportKey { name, public } => maker.import_key(name, public).await?,
        Step::MakeVpc { cidr } => return vpc(maker, *cidr).await,
        Step::MakeSubnet { zone, cidr } => {
            let id = maker.make_subnet(zone, *cidr).await?;
            return Ok(Made::Subnet(zone.clone(), id));
        }
        Step::MakeInternetGateway => {
            return maker.make_gateway().await.map(Made::Gateway);
        }
        Step::AttachInternetGateway => maker.attach_gateway().await?,
        Step::Route => maker.route(&route_table(maker).await?).await?,
        Step::MakeSecurityGroup { security_group, name } => {
            let id = maker.make_security_group(name).await?;
            return Ok(Made::GroupKind(*security_group, id));
        }
        Step::Allow { security_group, rules } => {
            let id = group(security_group)?;
            match rules {
                Some(rules) => maker.allow(id, rules).await?,
                None => maker.allow(id, &maker.wanted.rules(*security_group, id)).await?,
            }
        }
        Step::Forbid { security_group, rules } => {
            maker.forbid(group(security_group)?, rules).await?
        }
        Step::Protect { instance, security_groups, .. } => {
            let ids: Result<Vec<&String>, AwsError> =
                security_groups.iter().map(group).collect();
            maker.protect(instance, ids?.into_iter().cloned().collect()).await?;
        }
        Step::Expire { resources, at } => maker.expire(resources, *at).await?,
        Step::Start { instances } => {
            let ids: Vec<String> = instances.iter().map(|(id, _)| id.clone()).collect();
            maker.cloud.until_stopped(&ids, making.teller()).await?;
            maker.start(ids).await?;
        }
        Step::Launch(_) => {}
    }
    Ok(Made::Nothing)
}

/// Creates the network. If another run created one at the same moment, the one with the lower id
/// is kept, so that both runs choose the same.
async fn vpc(maker: &ResourceMaker<'_>, cidr: Cidr) -> Result<Made, AwsError> {
    let id = maker.make_vpc(cidr).await?;
    let all = maker.cloud.vpcs_that(of_cluster(&maker.wanted.cluster)).await?;
    match all.into_iter().map(|vpc| vpc.id).filter(|other| *other < id).min() {
        None => Ok(Made::Vpc(id)),
        Some(first) => {
            maker.cloud.delete_vpc(&id).await?;
            Err(AwsError::AnotherRun { what: format!("it created {first}") })
        }
    }
}

/// The main route table of the network, which AWS creates with it.
async fn route_table(maker: &ResourceMaker<'_>) -> Result<String, AwsError> {
    if let Some(table) = &maker.network.route_table {
        return Ok(table.clone());
    }
    let here = filter("vpc-id", maker.network.vpc.iter());
    let tables = maker.cloud.main_tables(here).await?;
    let lacking = AwsError::Answer { call: "DescribeRouteTables", what: "a main table" };
    tables.into_values().next().map(|(id, _)| id).ok_or(lacking)
}

/// Launches instances; if a place has no capacity, tries the next place in the plan.
async fn launched(
    maker: &ResourceMaker<'_>,
    launch: &Launch,
    making: &MakeContext<'_>,
) -> Result<Made, AwsError> {
    let (mut found, mut tried) = (Vec::new(), Vec::new());
    let network = maker.network;
    let security_groups = launch.security_groups.iter();
    let security_groups: Vec<String> = security_groups
        .filter_map(|which| network.security_groups.get(which).cloned())
        .collect();
    for attempt in &launch.attempts {
        let order = Order {
            attempt,
            subnet: network
                .subnets
                .get(&attempt.placement.zone)
                .map_or("", String::as_str),
            security_groups: &security_groups,
            count: launch.count - found.len(),
            turn: 0,
        };
        let why = match launched_anew(maker, launch, order, making).await {
            Ok(new) => {
                found.extend(new);
                match launch.count.saturating_sub(found.len()) {
                    0 => return Ok(Made::Instances(found)),
                    lacking => format!("no capacity for {lacking} more"),
                }
            }
            Err(error) if error.is_capacity() => in_words(&error),
            Err(error) => return Err(error),
        };
        let (kind, zone) = (&attempt.kind, &attempt.placement.zone);
        let (whom, said) = (launch.whom(), format!("{kind} in {zone}: {why}"));
        making.events.emit(&Event::Warned { message: format!("{whom}: {said}") });
        tried.push(said);
    }
    Err(AwsError::NoCapacity { whom: launch.whom(), tried: tried.join("; ") })
}

/// Launches instances with one call. If AWS remembers the same call from an earlier run, and its
/// instances have ended, the call is changed so that AWS does not recognize it.
async fn launched_anew(
    maker: &ResourceMaker<'_>,
    launch: &Launch,
    mut order: Order<'_>,
    making: &MakeContext<'_>,
) -> Result<Vec<Instance>, AwsError> {
    loop {
        let token = launch.token(&maker.wanted.cluster, &order);
        let key = HostKey::of(making.seed, &token)?;
        let call = async || maker.launch(launch, &order, &token, &key).await;
        match patiently(call).await {
            Err(error) if error.is_of_an_ended_launch() && order.turn < TURNS => {
                order.turn += 1;
            }
            ended => return ended,
        }
    }
}

/// Makes a call, and repeats it while AWS asks to slow down, or does not know a new resource yet.
async fn patiently<T>(
    call: impl AsyncFn() -> Result<T, AwsError>,
) -> Result<T, AwsError> {
    let begun = Instant::now();
    let mut pauses = Backoff::new();
    loop {
        let error = match call().await {
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        let patience = match () {
            () if error.is_throttling() => THROTTLED,
            () if error.is_gone() => SETTLED,
            () => return Err(error),
        };
        if begun.elapsed() > patience {
            return Err(error);
        }
        sleep(pauses.next()).await;
    }
}

/// `3 running, 2 pending, 1 not seen yet`.
pub(super) fn states(known: &[Instance], n_awaited: usize) -> String {
    const ALL: [InstanceState; 6] = [
        InstanceState::Running,
        InstanceState::Pending,
        InstanceState::Stopping,
        InstanceState::Stopped,
        InstanceState::ShuttingDown,
        InstanceState::Terminated,
    ];
    let count = |state| known.iter().filter(|found| found.state == state).count();
    let counted = ALL.into_iter().map(|state| (state.to_string(), count(state)));
    let unseen = ("not seen yet".to_owned(), n_awaited.saturating_sub(known.len()));
    let said = counted.chain([unseen]).filter(|(_, n)| *n > 0);
    said.map(|(what, n)| format!("{n} {what}")).collect::<Vec<String>>().join(", ")
}

fn end(found: &Instance) -> AwsError {
    AwsError::Ended {
        host: found.host().map_or_else(String::new, |host: HostName| host.to_string()),
        id: found.id.clone(),
        state: found.state.to_string(),
        reason: found.reason.clone(),
    }
}

//! `platform up`: makes the machines what the inventory says, and proves that they work.

use std::collections::BTreeMap;

use super::cluster_files::ClusterFiles;
use super::down::Hosts;
use super::error::Error;
use super::fit::preflight_failures;
use super::gather::{Gathered, gather, leaf_names, own_certificate};
use super::machines::Made;
use super::preview::{self, Preview};
use super::run::{Ended, finish, shown, shown_machines, shown_with, take_lock};
use super::survey::{self, Survey, survey};
use super::{RunContext, connect, image, machines, proof, starting};
use crate::component::{haproxy, zookeeper};
use crate::event::{Event, RunResult, count, in_words};
use crate::host::HostName;
use crate::plan::{self, Gate, Plan, gates_on};
use crate::provider::MachinePlan;
use crate::run::apply::{ApplyContext, Tally, apply};
use crate::run::health::ClusterHealth;
use crate::run::health::services::Services;
use crate::run::lock::ClusterLock;
use crate::run::reboot::RebootCheck;
use crate::run::registries::RegistryTransport;
use crate::run::znodes::EnsembleAdmin;
use crate::run::{Fleet, gate};
use crate::topology::{Machine, Topology};

/// Brings a cluster up, or up to date: makes missing machines, checks, plans, asks, applies,
/// proves. If a run was interrupted, the next run continues its work; if nothing differs, it
/// writes nothing.
///
/// # Errors
/// When any part fails; the events report what was done and what was not.
pub async fn up(
    files: &ClusterFiles,
    agreed: bool,
    extent: Extent,
    ctx: &RunContext<'_>,
) -> Result<Ended, Error> {
    // Faults of the operator's files are reported before anyone is asked for anything.
    own_certificate(files, ctx)?;
    image::tell_new_pins(files, ctx).await?;
    let machines = machines::look(files, ctx).await?;
    let before = Before {
        n_made: machines.plan.n_missing(),
        unchanged: machines.plan.is_complete(),
        n_exchanged: 0,
        n_unseen: None,
    };
    let consent = match agreed {
        true => Consent::All,
        false => ask_for_machines(files, &machines.plan, extent, ctx).await?,
    };
    if !before.unchanged && extent == Extent::All {
        files.state.begin_proof()?;
    }
    let made = machines::make(files, machines, ctx).await?;
    if extent == Extent::Machines {
        return Ok(machines_only(made.machines.len(), before));
    }
    bring_up(files, &made, consent, before, ctx).await
}

/// Brings machines that run up to date, and proves that they work. While the certificate authority
/// is exchanged, there is more to do after each part of the exchange; and there may be more to do
/// once a ZooKeeper serves that did not answer before.
async fn bring_up(
    files: &ClusterFiles,
    Made { machines, booting }: &Made,
    mut consent: Consent,
    mut before: Before,
    ctx: &RunContext<'_>,
) -> Result<Ended, Error> {
    let connected = connect::connect_booting(files, machines, booting, ctx).await;
    let fleet = connected.map_err(|why| before.added_to(why))?;
    let hosts = Hosts { files, machines, fleet: &fleet };
    loop {
        let brought = bring_up_once(&hosts, &consent, before, ctx).await;
        match brought.map_err(|why| before.added_to(why))? {
            Brought::Up(ended) => return Ok(ended),
            Brought::ToNextPart { n_changes } => before.n_exchanged += n_changes,
            Brought::ToSeeing { n_changes } => before.n_unseen = Some(n_changes),
        }
        if !matches!(consent, Consent::All) {
            consent = Consent::Machines;
        }
    }
}

/// How far one plan brought the machines.
enum Brought {
    /// They are as they should be, and are proved to work.
    Up(Ended),
    /// A part of the exchange of the certificate authority is done.
    ToNextPart {
        /// The changes that were made for it.
        n_changes: usize,
    },
    /// ZooKeeper serves now. It did not answer when the cluster was checked, so the plan could not
    /// know that others may access its nodes.
    ToSeeing {
        /// The changes that were made so far.
        n_changes: usize,
    },
}

async fn bring_up_once(
    hosts: &Hosts<'_>,
    consent: &Consent,
    before: Before,
    ctx: &RunContext<'_>,
) -> Result<Brought, Error> {
    let Hosts { files, fleet, .. } = hosts;
    let agreed = matches!(consent, Consent::All);
    let mut seen = look_past_removal(hosts, agreed, ctx).await?;
    if seen.plan.is_empty() {
        files.state.keep()?;
        return prove_or_go_on(hosts, &seen, before, None, ctx).await;
    }
    warn_of_exchange(files, ctx)?;
    consent.check(&seen, ctx)?;
    files.state.keep()?;
    files.state.begin_proof()?;
    ctx.events.emit(&Event::Planned { stages: seen.plan.summary() });
    let held = take_lock(&seen.topology, fleet, "up", ctx).await?;
    let tally = act(&mut seen, fleet, &held, ctx).await;
    let brought = match finish(tally, ctx) {
        Ok(()) => prove_or_go_on(hosts, &seen, before, Some(&held), ctx).await,
        Err(error) => Err(error),
    };
    held.release().await;
    brought
}

/// Proves that the cluster works, or goes on to the next part of an exchange of the certificate
/// authority: every host has now what this part gives.
async fn prove_or_go_on(
    hosts: &Hosts<'_>,
    seen: &Assessment,
    before: Before,
    held: Option<&ClusterLock>,
    ctx: &RunContext<'_>,
) -> Result<Brought, Error> {
    if hosts.files.state.continue_exchange((ctx.clock)())? {
        ctx.begin("the next part of the exchange of the certificate authority")?;
        return Ok(Brought::ToNextPart { n_changes: seen.n_changes });
    }
    prove(hosts, seen, before, held, ctx).await
}

/// Tells the operator what the part of an exchange of the certificate authority that begins means
/// for clients outside of the cluster.
fn warn_of_exchange(files: &ClusterFiles, ctx: &RunContext<'_>) -> Result<(), Error> {
    let exchange = files.state.exchange((ctx.clock)())?;
    let message = exchange.map(|part| part.warning(&files.state.ca_certificate()));
    if let Some(message) = message {
        ctx.events.warn_once(message);
    }
    Ok(())
}

/// What the operator has agreed to so far.
enum Consent {
    /// The whole plan.
    All,
    /// The plan that was shown before the machines were made.
    Foreseen(Preview),
    /// No changes on hosts.
    Machines,
}

/// Shows which machines are made or changed, and what they will get; asks whether to do it. If
/// all machines are as they should be, there is nothing to ask yet.
///
/// # Errors
/// When the operator says no, or a machine that runs is not fit.
async fn ask_for_machines(
    files: &ClusterFiles,
    machines: &MachinePlan,
    extent: Extent,
    ctx: &RunContext<'_>,
) -> Result<Consent, Error> {
    if machines.is_complete() {
        return Ok(Consent::Machines);
    }
    let preview = match extent {
        Extent::All => preview::preview(files, machines, ctx).await?,
        Extent::Machines => None,
    };
    let text = match extent {
        Extent::Machines => shown_machines(machines),
        Extent::All => {
            let notes = preview.as_ref().map(Preview::notes).unwrap_or_default();
            shown_with(machines, preview.as_ref().map(|preview| &preview.plan), &notes)
        }
    };
    ctx.agree(&text)?;
    Ok(preview.map_or(Consent::Machines, Consent::Foreseen))
}

impl Consent {
    /// Checks that the operator agrees to a plan. Changes that were not shown before are shown
    /// now.
    ///
    /// # Errors
    /// When the operator says no.
    fn check(&self, seen: &Assessment, ctx: &RunContext<'_>) -> Result<(), Error> {
        match self {
            Self::All => Ok(()),
            Self::Machines => ctx.agree(&shown(&seen.plan)),
            Self::Foreseen(preview) => {
                let new = preview.not_foreseen(seen);
                if new.is_empty() {
                    return Ok(());
                }
                ctx.agree(&differing(&new, seen))
            }
        }
    }
}

/// The changes of a plan that were not shown before the machines were made.
fn differing(new: &[String], seen: &Assessment) -> String {
    let lines: String = new.iter().map(|change| format!("  {change}\n")).collect();
    let rest = match seen.n_changes - new.len() {
        0 => String::new(),
        n => format!("\nBesides these: {}, as shown before.\n", count(n, "change")),
    };
    format!(
        "The machines differ from what the plan expected. New changes:\n{lines}{rest}"
    )
}

/// Checks the cluster, and plans. If a removal of all data was interrupted, and the rest of the
/// cluster cannot serve without the removed data, the removal is finished first. If the rest can
/// serve, it is kept.
async fn look_past_removal(
    hosts: &Hosts<'_>,
    agreed: bool,
    ctx: &RunContext<'_>,
) -> Result<Assessment, Error> {
    let look = async || look(hosts.files, hosts.machines, hosts.fleet, ctx).await;
    match look().await {
        Err(lost) if lost.is_of_lost_data() && hosts.files.state.removal_is_open() => {
            hosts.end_removal(agreed, ctx).await?;
            look().await
        }
        seen => seen,
    }
}

/// How far a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Until the platform is proved to work.
    All,
    /// Until the machines run, with nothing installed.
    Machines,
}

/// What was done to make the machines, before any host was checked.
#[derive(Debug, Clone, Copy)]
struct Before {
    /// How many machines were made or started.
    n_made: usize,
    /// Whether nothing was changed: neither a machine, nor the network or anything else that
    /// machines need.
    unchanged: bool,
    /// How many changes were made on hosts for earlier parts of an exchange of the certificate
    /// authority.
    n_exchanged: usize,
    /// How many changes were made on hosts before ZooKeeper could say who may access its nodes, if
    /// the cluster was checked again for that.
    n_unseen: Option<usize>,
}

impl Before {
    /// What was done, in words; `None` if nothing was done.
    fn told(self) -> Option<String> {
        let machines = match self {
            Self { unchanged: true, .. } => None,
            Self { n_made: 0, .. } => {
                Some("the machines' network or settings changed".to_owned())
            }
            Self { n_made, .. } => {
                Some(format!("{} made or started", count(n_made, "machine")))
            }
        };
        let exchanged = (self.n_exchanged > 0).then(|| {
            let changes = count(self.n_exchanged, "change");
            format!("{changes} made to exchange the certificate authority")
        });
        let unseen = self.n_unseen.filter(|n_changes| *n_changes > 0).map(|n_changes| {
            format!("{} made before ZooKeeper served", count(n_changes, "change"))
        });
        let done: Vec<String> =
            machines.into_iter().chain(exchanged).chain(unseen).collect();
        (!done.is_empty()).then(|| done.join(", "))
    }
}

impl Before {
    /// The error, with what was done before it.
    fn added_to(self, why: Error) -> Error {
        match self.told() {
            None => why,
            Some(done) => {
                let done = format!("before that: {done}");
                Error::AfterChanges { why: Box::new(why), done }
            }
        }
    }
}

fn machines_only(n_machines: usize, before: Before) -> Ended {
    let runs = if n_machines == 1 { "runs" } else { "run" };
    let there = format!("{} {runs}; nothing was installed", count(n_machines, "machine"));
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

/// What was seen of a cluster, and what has to be done.
pub(super) struct Assessment {
    pub(super) topology: Topology,
    pub(super) plan: Plan,
    pub(super) gathered: Gathered,
    pub(super) survey: Survey,
    pub(super) n_changes: usize,
    n_hosts: usize,
}

impl Assessment {
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

    /// Access to the nodes of the cluster's ensemble.
    fn access<'a>(&'a self, fleet: &'a Fleet) -> EnsembleAdmin<'a> {
        let password = self.gathered.inputs.secret(zookeeper::SUPER_SECRET);
        EnsembleAdmin { fleet, topology: &self.topology, password }
    }

    /// The number of changes of the plan, in words.
    pub(super) fn changes(&self) -> String {
        let (changes, hosts) =
            (count(self.n_changes, "change"), count(self.n_hosts, "host"));
        format!("{changes} made on {hosts}")
    }
}

/// Checks the cluster and plans; changes nothing.
///
/// # Errors
/// When a host does not answer, is not fit, or no plan is safe.
pub(super) async fn look(
    files: &ClusterFiles,
    machines: &[Machine],
    fleet: &Fleet,
    ctx: &RunContext<'_>,
) -> Result<Assessment, Error> {
    let mut topology = Topology::new(&files.inventory, machines)?;
    let mut gathered = gather(files, &topology, ctx).await?;
    let (survey, plan) = starting::waited_for(ctx, async || {
        let survey = survey(files, fleet, &mut topology, &mut gathered, ctx).await?;
        let (catalog, facts) = (&gathered.catalog, &survey.facts);
        let failures = preflight_failures(fleet, &topology, catalog, facts, None).await;
        let plan = plan::build(&survey.situation(&topology, &failures));
        Ok((survey, plan))
    })
    .await?;
    Ok(Assessment::new(topology, plan?, gathered, survey))
}

/// Carries the plan out.
pub(super) async fn act(
    seen: &mut Assessment,
    fleet: &Fleet,
    lock: &ClusterLock,
    ctx: &RunContext<'_>,
) -> Tally {
    let generations: BTreeMap<HostName, String> = seen
        .survey
        .facts
        .iter()
        .map(|(host, facts)| (host.clone(), facts.generation.clone()))
        .collect();
    let plan = std::mem::take(&mut seen.plan);
    let registries = || seen.gathered.registries(fleet, &seen.topology);
    let transport = RegistryTransport { registries: registries(), events: &ctx.events };
    let services = seen.services(fleet);
    let reboots = Some(RebootCheck { fleet, lock, events: &ctx.events });
    let redactor = &seen.gathered.redactor;
    let health = ClusterHealth { services, registries: registries(), reboots, redactor };
    let access = seen.access(fleet);
    let apply_ctx = ApplyContext {
        fleet,
        images: &transport,
        znodes: &access,
        health: &health,
        events: &ctx.events,
        parallel: ctx.parallel,
        cluster: seen.topology.cluster.as_str(),
        run: &ctx.run,
        redactor,
        stopped: &|| ctx.is_stopped(),
    };
    apply(plan, generations, &apply_ctx).await
}

/// Waits until every component reports that it works; if nothing had to change and no proof is
/// due, that is one check. If ZooKeeper serves only now, and others may access its nodes, there is
/// more to do first. A proof is made under the cluster's lock: `held`, or a new one.
async fn prove(
    hosts: &Hosts<'_>,
    seen: &Assessment,
    before: Before,
    held: Option<&ClusterLock>,
    ctx: &RunContext<'_>,
) -> Result<Brought, Error> {
    let Hosts { files, fleet, .. } = hosts;
    wait_for_gates(&gates_on(&seen.topology, |_| true), seen, fleet, ctx).await?;
    if seen.topology.zookeeper().is_some() {
        note_ensemble(files, ctx);
    }
    // ZooKeeper did not serve yet when the cluster was checked.
    if !seen.survey.nodes_told {
        let nodes = survey::nodes(&seen.topology, &seen.gathered);
        match (seen.access(fleet).insist(nodes).await, before.n_unseen) {
            (Ok(()), _) => (),
            (Err(_), None) => {
                return Ok(Brought::ToSeeing { n_changes: seen.n_changes });
            }
            (Err(still), Some(_)) => return Err(still.into()),
        }
    }
    let changed = before.n_made + seen.n_changes > 0;
    let due = proof::can_be_made(&seen.topology)
        && (changed || is_unproved(files, seen, fleet).await?);
    if due {
        let own = match held {
            Some(_) => None,
            None => Some(take_lock(&seen.topology, fleet, "up", ctx).await?),
        };
        let scope = proof::ProofScope::Any;
        let proved = proof::prove(seen.services(fleet), scope, ctx).await;
        if let Some(own) = own {
            own.release().await;
        }
        proved?;
    }
    files.state.forget_addition()?;
    files.state.end_removal()?;
    files.state.end_proof()?;
    files.state.keep_certificates_of(&leaf_names(&seen.topology))?;
    Ok(Brought::Up(ended(seen, before, due)))
}

/// What a successful run has done.
fn ended(seen: &Assessment, before: Before, proved: bool) -> Ended {
    let (result, summary) = match (before.told(), seen.n_changes) {
        (None, 0) => {
            let hosts = as_they_should_be(seen.topology.nodes.len());
            match proved {
                true => {
                    let summary = format!("the missing proof was made: {hosts}");
                    (RunResult::Changed, summary)
                }
                false => (RunResult::Unchanged, format!("nothing to do: {hosts}")),
            }
        }
        (None, _) => (RunResult::Changed, seen.changes()),
        (Some(done), _) => (RunResult::Changed, format!("{done}, {}", seen.changes())),
    };
    let summary = match haproxy::page_url(&seen.topology) {
        Some(page) if result == RunResult::Changed => {
            format!("{summary}; the landing page is {page}")
        }
        _ => summary,
    };
    Ended { result, summary }
}

/// Whether an earlier run changed the cluster and did not prove it: the notes in the state folder
/// say so, or its test app is still there (that run may have been on another computer).
async fn is_unproved(
    files: &ClusterFiles,
    seen: &Assessment,
    fleet: &Fleet,
) -> Result<bool, Error> {
    // The machines of an interrupted `add-node` may lack nothing but the proof.
    let noted = files.state.proof_is_open() || files.state.addition()?.is_some();
    Ok(noted || proof::is_left(seen.services(fleet)).await)
}

/// `1 host is as it should be`, `2 hosts are as they should be`.
fn as_they_should_be(n_hosts: usize) -> String {
    let are = if n_hosts == 1 { "is as it should be" } else { "are as they should be" };
    format!("{} {are}", count(n_hosts, "host"))
}

/// Waits until all of these gates are open, or it is known that one will not open.
///
/// # Errors
/// When a gate does not open in time, or the operator stops the wait.
pub(super) async fn wait_for_gates(
    gates: &[Gate],
    seen: &Assessment,
    fleet: &Fleet,
    ctx: &RunContext<'_>,
) -> Result<(), Error> {
    let registries = seen.gathered.registries(fleet, &seen.topology);
    let (services, redactor) = (seen.services(fleet), &seen.gathered.redactor);
    let health = ClusterHealth { services, registries, reboots: None, redactor };
    let stopped = || ctx.is_stopped();
    let waiting =
        gates.iter().map(|gate| gate::wait(gate, &health, &ctx.events, &stopped));
    futures::future::try_join_all(waiting).await?;
    Ok(())
}

/// Notes that the ensemble has served. If the note cannot be written, the ensemble serves all the
/// same, and the next run tries again.
fn note_ensemble(files: &ClusterFiles, ctx: &RunContext<'_>) {
    if let Err(error) = files.state.note_ensemble() {
        let message = format!(
            "{}; without this note, if an ensemble loses all of its data, a later run forms a \
             new one without a warning",
            in_words(&error)
        );
        ctx.events.emit(&Event::Warned { message });
    }
}

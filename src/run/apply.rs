//! Carries out a plan: stage by stage, wave by wave, with the hosts of a wave in parallel.
//!
//! Every step of the plan is counted as done, failed or not started. If one host fails, the other
//! hosts finish their current work; no further wave or stage begins.

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

use super::Fleet;
use super::confirm::confirm;
use super::gate::{self, Closed, HealthCheck};
use super::steps::{NOT_STARTED, Steps};
use crate::component::znode::{Secure, Znode};
use crate::event::{Events, Outcome, in_words};
use crate::host::HostName;
use crate::inventory::Component;
use crate::plan::{Gate, HostChanges, Plan, Push, StagePlan, Wave, Work};
use crate::progress::{StageReport, StepReport, not_started};
use crate::reason;
use crate::remote::{Argv, As, ErrorKind, Exec, Input, Output, Remote, RemoteError};
use crate::resource::apply::{self, Job, Progress};
use crate::resource::{Action, Image};
use crate::secret::Redactor;

pub use super::steps::{Failure, Tally, Why};

/// The longest that the changes of one stage may take on one host: packages over a slow
/// connection.
const STAGE: Duration = Duration::from_secs(20 * 60);

/// The longest that the transfer of one image to a host or a registry may take.
const IMAGE: Duration = Duration::from_secs(20 * 60);

/// Bytes that are sent to a host.
pub type Bytes = Box<dyn AsyncRead + Send + Unpin>;

/// Why an image was not transferred: as text, because there are many kinds of causes.
pub type TransportError = Box<dyn std::error::Error + Send + Sync>;

/// Copies images from the sources that the catalogue names.
pub trait ImageTransport: Send + Sync {
    /// The image in the format of `docker load`.
    fn archive<'a>(
        &'a self,
        image: &'a Image,
    ) -> BoxFuture<'a, Result<Bytes, TransportError>>;

    /// Sends an image to a host's registry. Parts that the registry has are not sent again.
    fn push<'a>(&'a self, push: &'a Push) -> BoxFuture<'a, Result<(), TransportError>>;
}

/// Gives ZooKeeper nodes their access lists.
pub trait ZnodeAccess: Send + Sync {
    /// Creates a node with its access list, or sets the list on an existing node. If repeated, it
    /// changes nothing.
    fn secure<'a>(&'a self, node: &'a Znode) -> BoxFuture<'a, Result<(), String>>;
}

/// Everything that is needed to carry out a plan.
pub struct ApplyContext<'a> {
    /// The hosts.
    pub fleet: &'a Fleet,
    /// Copies images.
    pub images: &'a dyn ImageTransport,
    /// Secures ZooKeeper nodes.
    pub znodes: &'a dyn ZnodeAccess,
    /// Asks components about their health.
    pub health: &'a dyn HealthCheck,
    /// Receives the events.
    pub events: &'a Events,
    /// How many hosts are worked on at once.
    pub parallel: usize,
    /// The name of the cluster: a host that has recorded it belongs to no other cluster.
    pub cluster: &'a str,
    /// The name of this run: the hosts record it.
    pub run: &'a str,
    /// Removes secrets from the output of hosts.
    pub redactor: &'a Redactor,
    /// Whether the operator wants to stop: checked before each wave.
    pub stopped: &'a (dyn Fn() -> bool + Send + Sync),
}

/// Carries out a plan. `generations` says after which change of each host the plan was made; a
/// host that was changed since then refuses. If repeated after a failure, with a new plan, it
/// continues where this one ended.
pub async fn apply(
    plan: Plan,
    mut generations: BTreeMap<HostName, String>,
    ctx: &ApplyContext<'_>,
) -> Tally {
    let mut tally = Tally::default();
    for (n, stage) in plan.stages.iter().enumerate() {
        if tally.failed.is_empty() && !(ctx.stopped)() {
            let before = tally.failed.len() + tally.n_not_started;
            let hosts = stage.work.hosts().into_iter().cloned().collect();
            let n_steps = stage.work.n_changes();
            let report = StageReport::begin(ctx.events, stage.stage, hosts, n_steps);
            let mark = format!("{} {}/{n}", ctx.cluster, ctx.run);
            run_stage(stage, &mark, &mut generations, ctx, &mut tally).await;
            let after = tally.failed.len() + tally.n_not_started;
            report.end(after == before && !tally.interrupted);
        } else {
            skip_stage(stage, ctx, &mut tally);
        }
    }
    tally.interrupted |= (ctx.stopped)();
    tally
}

async fn run_stage(
    stage: &StagePlan,
    mark: &str,
    generations: &mut BTreeMap<HostName, String>,
    ctx: &ApplyContext<'_>,
    tally: &mut Tally,
) {
    let name = stage.stage.to_string();
    match &stage.work {
        Work::Push(pushes) => push_all(&name, pushes, ctx, tally).await,
        Work::Access { members, nodes } => {
            let component = Component::Zookeeper;
            let serves = Gate::Serves { component, members: members.clone() };
            match pass(&name, &serves, ctx, tally).await {
                true => secure_all(&name, nodes, ctx, tally).await,
                false => skip_nodes(&name, nodes, ctx, tally),
            }
        }
        Work::Hosts(waves) => {
            for (n, wave) in waves.iter().enumerate() {
                let open = tally.failed.is_empty() && !(ctx.stopped)();
                if !open || !pass_all(&name, wave.before(), ctx, tally).await {
                    skip_hosts(&name, wave.hosts(), ctx, tally);
                    continue;
                }
                let at = At { stage: &name, next: format!("{mark}/{n}") };
                run_wave(&at, wave, generations, ctx, tally).await;
                if tally.failed.is_empty() {
                    pass_all(&name, wave.after(), ctx, tally).await;
                }
            }
        }
    }
    if tally.failed.is_empty() {
        pass_all(&name, &stage.gates, ctx, tally).await;
    }
}

/// Waits for gates, one after the other, until one stays closed; returns whether all opened.
async fn pass_all(
    stage: &str,
    gates: &[Gate],
    ctx: &ApplyContext<'_>,
    tally: &mut Tally,
) -> bool {
    for gate in gates {
        if !pass(stage, gate, ctx, tally).await {
            return false;
        }
    }
    true
}

/// Waits for a gate; returns whether it opened.
async fn pass(
    stage: &str,
    gate: &Gate,
    ctx: &ApplyContext<'_>,
    tally: &mut Tally,
) -> bool {
    let Err(closed) = gate::wait(gate, ctx.health, ctx.events, ctx.stopped).await else {
        return true;
    };
    let kind = match closed {
        Closed::Stopped { .. } => {
            tally.interrupted = true;
            return false;
        }
        Closed::TimedOut { .. } => ErrorKind::TimedOut,
        Closed::Never { .. } => ErrorKind::Failed,
    };
    tally.failed.push(Failure {
        stage: stage.to_owned(),
        host: None,
        step: gate.to_string(),
        why: Why { kind, said: closed.to_string() },
    });
    false
}

/// The position of a run: the stage, and the mark that its wave leaves on the hosts.
struct At<'a> {
    stage: &'a str,
    next: String,
}

async fn run_wave(
    at: &At<'_>,
    wave: &Wave,
    generations: &mut BTreeMap<HostName, String>,
    ctx: &ApplyContext<'_>,
    tally: &mut Tally,
) {
    let jobs: Vec<_> = wave
        .hosts()
        .iter()
        .map(|changes| {
            let expected = generations.get(&changes.host).cloned().unwrap_or_default();
            async move {
                let steps = Steps::new(at.stage, changes, ctx);
                (changes, run_host(changes, &expected, &at.next, ctx, steps).await)
            }
        })
        .collect();
    let mut ended = stream::iter(jobs).buffer_unordered(ctx.parallel.max(1));
    while let Some((changes, steps)) = ended.next().await {
        if steps.n_done > 0 {
            generations.insert(changes.host.clone(), at.next.clone());
        }
        steps.close(tally);
    }
}

/// Makes the changes of one host: first the images from this computer, then the script.
async fn run_host<'a>(
    changes: &'a HostChanges,
    expected: &str,
    next: &str,
    ctx: &ApplyContext<'_>,
    mut steps: Steps<'a>,
) -> Steps<'a> {
    let Some(remote) = ctx.fleet.get(&changes.host) else {
        steps.fail_current(Why::failed("there is no connection to it"));
        return steps;
    };
    for (step, change) in changes.changes.iter().enumerate() {
        let Action::LoadImage(image) = &change.action else { continue };
        if let Err(why) = load(remote.as_ref(), steps.stage, image, ctx.images).await {
            let said = format!("cannot load {}: {}", image.name, why.said);
            steps.fail(step, Why { said, ..why });
            return steps;
        }
    }
    let job = Job { changes: &changes.changes, expected, next };
    let pieces = job.stream().into_iter().map(|piece| io::Result::Ok(Cursor::new(piece)));
    let input = StreamReader::new(stream::iter(pieces));
    let purpose = format!("apply {}", steps.stage);
    let mut on_line = |line: &str| steps.hear(line);
    let exec = Exec {
        purpose,
        argv: Argv::new(["sh", "-c", &apply::receiver()]),
        user: As::Root,
        input: Input::Stream(Box::new(input)),
        on_line: Some(&mut on_line),
        deadline: STAGE,
    };
    let ended = remote.exec(exec).await;
    match steps.on_trial() {
        Some(firewall) => {
            let ended = confirm(&changes.host, remote.as_ref(), firewall).await;
            steps.conclude_trial(ended);
        }
        None => steps.conclude(ended),
    }
    steps
}

async fn load(
    remote: &dyn Remote,
    stage: &str,
    image: &Image,
    images: &dyn ImageTransport,
) -> Result<(), Why> {
    let archive = images.archive(image).await;
    let archive = archive.map_err(|error| Why::failed(in_words(error.as_ref())))?;
    let exec = Exec {
        purpose: format!("apply {stage}: load {}", image.name),
        argv: Argv::new(apply::loader(image)),
        user: As::Root,
        input: Input::Stream(archive),
        on_line: None,
        deadline: IMAGE,
    };
    let output = remote.exec(exec).await.map_err(|error| match error {
        // The error about the image is enough.
        RemoteError::Input { source, .. } => Why::failed(in_words(&source)),
        error => error.into(),
    })?;
    match output.status {
        0 => Ok(()),
        _ => Err(refused(&output).unwrap_or_else(|| {
            Why::failed(reason::decisive_first(&String::from_utf8_lossy(&output.stderr)))
        })),
    }
}

/// Why a host did nothing, if it says so.
fn refused(output: &Output) -> Option<Why> {
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().find_map(|line| match apply::progress(line) {
        Some(Progress::Refused(said)) => Some(Why { kind: ErrorKind::Unsafe, said }),
        _ => None,
    })
}

async fn push_all(
    stage: &str,
    pushes: &[Push],
    ctx: &ApplyContext<'_>,
    tally: &mut Tally,
) {
    let sending = pushes.iter().map(|push| async move {
        let report =
            StepReport::begin(ctx.events, stage, Some(&push.to), push_step(push));
        (report, ctx.images.push(push).await)
    });
    let mut sent = stream::iter(sending).buffer_unordered(2);
    while let Some((report, sent)) = sent.next().await {
        let failed = sent.err().map(|error| in_words(error.as_ref()));
        account(report, failed, tally);
    }
}

/// Secures nodes one after the other, parents first; stops at the first that fails.
async fn secure_all(
    stage: &str,
    nodes: &[Secure],
    ctx: &ApplyContext<'_>,
    tally: &mut Tally,
) {
    for (n, node) in nodes.iter().enumerate() {
        if !tally.failed.is_empty() || (ctx.stopped)() {
            return skip_nodes(stage, &nodes[n..], ctx, tally);
        }
        let report = StepReport::begin(ctx.events, stage, None, node.to_string());
        let failed = ctx.znodes.secure(&node.node).await.err();
        account(report, failed, tally);
    }
}

/// Reports the end of a step, and counts it; `failed` is why it failed, if it did.
fn account(report: StepReport<'_>, failed: Option<String>, tally: &mut Tally) {
    match failed {
        None => {
            tally.n_done += 1;
            report.end(Outcome::Done);
        }
        Some(reason) => {
            let why = Why::failed(reason.clone());
            let (stage, host) = (report.stage.clone(), report.host.clone());
            let step = report.step.clone();
            tally.failed.push(Failure { stage, host, step, why });
            report.end(Outcome::Failed { reason });
        }
    }
}

fn skip_nodes(stage: &str, nodes: &[Secure], ctx: &ApplyContext<'_>, tally: &mut Tally) {
    for node in nodes {
        not_started(ctx.events, stage, None, node.to_string(), NOT_STARTED);
        tally.n_not_started += 1;
    }
}

fn skip_stage(stage: &StagePlan, ctx: &ApplyContext<'_>, tally: &mut Tally) {
    let name = stage.stage.to_string();
    match &stage.work {
        Work::Push(pushes) => skip_pushes(&name, pushes, ctx, tally),
        Work::Access { nodes, .. } => skip_nodes(&name, nodes, ctx, tally),
        Work::Hosts(waves) => {
            for wave in waves {
                skip_hosts(&name, wave.hosts(), ctx, tally);
            }
        }
    }
}

fn skip_pushes(stage: &str, pushes: &[Push], ctx: &ApplyContext<'_>, tally: &mut Tally) {
    for push in pushes {
        not_started(ctx.events, stage, Some(&push.to), push_step(push), NOT_STARTED);
        tally.n_not_started += 1;
    }
}

fn push_step(push: &Push) -> String {
    format!("push image {}", push.component)
}

fn skip_hosts(
    stage: &str,
    hosts: &[HostChanges],
    ctx: &ApplyContext<'_>,
    tally: &mut Tally,
) {
    for changes in hosts {
        Steps::new(stage, changes, ctx).close(tally);
    }
}

//! Carries out a plan: stage by stage, wave by wave, the hosts of a wave side by side.
//!
//! Every step of the plan is accounted for as done, failed or not started. One host's failure
//! lets its neighbours' current work end; no next wave or stage begins.

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

use super::Fleet;
use super::gate::{self, Closed, Witness};
use super::steps::{NOT_STARTED, Steps};
use crate::component::znode::{Secure, Znode};
use crate::event::{Event, Events, Outcome, in_words};
use crate::host::HostName;
use crate::inventory::catalog::Component;
use crate::plan::{Gate, HostChanges, Plan, Push, StagePlan, Wave, Work};
use crate::reason;
use crate::remote::{Argv, As, ErrorKind, Exec, Input, Output, Remote, RemoteError};
use crate::resource::apply::{self, Job, Progress};
use crate::resource::{Action, Image};
use crate::secret::Redactor;

pub use super::steps::{Failure, Tally, Why};

/// The longest that the changes of one stage may take on one host: packages over a slow line.
const STAGE: Duration = Duration::from_secs(20 * 60);

/// The longest that one image may take to a host or a registry.
const IMAGE: Duration = Duration::from_secs(20 * 60);

/// Bytes on their way to a host.
pub type Bytes = Box<dyn AsyncRead + Send + Unpin>;

/// Why an image did not arrive: rendered, since the causes are of many kinds.
pub type CourierError = Box<dyn std::error::Error + Send + Sync>;

/// Brings images from where the catalogue says they are.
pub trait Courier: Send + Sync {
    /// The image as `docker load` takes it.
    fn archive<'a>(
        &'a self,
        image: &'a Image,
    ) -> BoxFuture<'a, Result<Bytes, CourierError>>;

    /// Sends an image to a host's registry. What is there already is not sent again.
    fn push<'a>(&'a self, push: &'a Push) -> BoxFuture<'a, Result<(), CourierError>>;
}

/// Gives nodes of ZooKeeper to those who may use them.
pub trait Warden: Send + Sync {
    /// Makes a node for those on its list, or has one that is there follow the list. Repeated,
    /// it changes nothing.
    fn secure<'a>(&'a self, node: &'a Znode) -> BoxFuture<'a, Result<(), String>>;
}

/// What a plan is carried out with.
pub struct Crew<'a> {
    /// The hosts.
    pub fleet: &'a Fleet,
    /// Brings images.
    pub courier: &'a dyn Courier,
    /// Secures nodes of ZooKeeper.
    pub warden: &'a dyn Warden,
    /// Asks components how they are.
    pub witness: &'a dyn Witness,
    /// Takes what happens.
    pub events: &'a Events,
    /// How many hosts are worked on at once.
    pub parallel: usize,
    /// Names the cluster: a host that remembers it is no other's.
    pub cluster: &'a str,
    /// Names this run: the hosts remember it.
    pub run: &'a str,
    /// Keeps secrets out of what hosts say.
    pub redactor: &'a Redactor,
    /// Whether the operator wants to stop: looked at before each wave.
    pub stopped: &'a (dyn Fn() -> bool + Send + Sync),
}

/// Carries out a plan. `generations` says after which change of each host the plan was made;
/// a host that was changed since refuses. Repeated after a failure, with a new plan, it
/// goes on where this one ended.
pub async fn apply(
    plan: Plan,
    mut generations: BTreeMap<HostName, String>,
    crew: &Crew<'_>,
) -> Tally {
    let mut tally = Tally::default();
    for (n, stage) in plan.stages.iter().enumerate() {
        if tally.failed.is_empty() && !(crew.stopped)() {
            let begun = Instant::now();
            let before = tally.failed.len() + tally.n_not_started;
            crew.events.emit(&Event::StageStarted {
                stage: stage.stage.to_string(),
                hosts: stage.work.hosts().into_iter().cloned().collect(),
                n_steps: stage.work.n_changes(),
            });
            let mark = format!("{} {}/{n}", crew.cluster, crew.run);
            run_stage(stage, &mark, &mut generations, crew, &mut tally).await;
            let after = tally.failed.len() + tally.n_not_started;
            let ok = after == before && !tally.interrupted;
            let stage = stage.stage.to_string();
            crew.events.emit(&Event::StageFinished { stage, took: begun.elapsed(), ok });
        } else {
            skip_stage(stage, crew, &mut tally);
        }
    }
    tally.interrupted |= (crew.stopped)();
    tally
}

async fn run_stage(
    stage: &StagePlan,
    mark: &str,
    generations: &mut BTreeMap<HostName, String>,
    crew: &Crew<'_>,
    tally: &mut Tally,
) {
    let name = stage.stage.to_string();
    match &stage.work {
        Work::Push(pushes) => push_all(&name, pushes, crew, tally).await,
        Work::Access { members, nodes } => {
            let component = Component::Zookeeper;
            let serves = Gate::Serves { component, members: members.clone() };
            match pass(&name, &serves, crew, tally).await {
                true => secure_all(&name, nodes, crew, tally).await,
                false => skip_nodes(&name, nodes, crew, tally),
            }
        }
        Work::Hosts(waves) => {
            for (n, wave) in waves.iter().enumerate() {
                let open = tally.failed.is_empty() && !(crew.stopped)();
                if !open || !pass_all(&name, wave.before(), crew, tally).await {
                    skip_hosts(&name, wave.hosts(), crew, tally);
                    continue;
                }
                let at = At { stage: &name, next: format!("{mark}/{n}") };
                run_wave(&at, wave, generations, crew, tally).await;
                if tally.failed.is_empty() {
                    pass_all(&name, wave.after(), crew, tally).await;
                }
            }
        }
    }
    if tally.failed.is_empty() {
        pass_all(&name, &stage.gates, crew, tally).await;
    }
}

/// Waits for gates, one after the other, up to the first that stays shut; whether all opened.
async fn pass_all(
    stage: &str,
    gates: &[Gate],
    crew: &Crew<'_>,
    tally: &mut Tally,
) -> bool {
    for gate in gates {
        if !pass(stage, gate, crew, tally).await {
            return false;
        }
    }
    true
}

/// Waits for a gate; whether it opened.
async fn pass(stage: &str, gate: &Gate, crew: &Crew<'_>, tally: &mut Tally) -> bool {
    let Err(closed) = gate::wait(gate, crew.witness, crew.events, crew.stopped).await
    else {
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

/// Where a run is: the stage, and the mark that its wave leaves on the hosts.
struct At<'a> {
    stage: &'a str,
    next: String,
}

async fn run_wave(
    at: &At<'_>,
    wave: &Wave,
    generations: &mut BTreeMap<HostName, String>,
    crew: &Crew<'_>,
    tally: &mut Tally,
) {
    let jobs: Vec<_> = wave
        .hosts()
        .iter()
        .map(|changes| {
            let expected = generations.get(&changes.host).cloned().unwrap_or_default();
            async move {
                let steps = Steps::new(at.stage, changes, crew);
                (changes, run_host(changes, &expected, &at.next, crew, steps).await)
            }
        })
        .collect();
    let mut ended = stream::iter(jobs).buffer_unordered(crew.parallel.max(1));
    while let Some((changes, steps)) = ended.next().await {
        if steps.n_done > 0 {
            generations.insert(changes.host.clone(), at.next.clone());
        }
        steps.close(tally);
    }
}

/// Makes the changes of one host: images from this computer first, then the script.
async fn run_host<'a>(
    changes: &'a HostChanges,
    expected: &str,
    next: &str,
    crew: &Crew<'_>,
    mut steps: Steps<'a>,
) -> Steps<'a> {
    let Some(remote) = crew.fleet.get(&changes.host) else {
        steps.fail_current(Why::failed("there is no connection to it"));
        return steps;
    };
    for (step, change) in changes.changes.iter().enumerate() {
        let Action::LoadImage(image) = &change.action else { continue };
        if let Err(why) = load(remote.as_ref(), steps.stage, image, crew.courier).await {
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
    steps.conclude(ended);
    steps
}

async fn load(
    remote: &dyn Remote,
    stage: &str,
    image: &Image,
    courier: &dyn Courier,
) -> Result<(), Why> {
    let archive = courier.archive(image).await;
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
        // What is wrong with the image says it all.
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

/// Why a host did nothing, where it says so.
fn refused(output: &Output) -> Option<Why> {
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().find_map(|line| match apply::progress(line) {
        Some(Progress::Refused(said)) => Some(Why { kind: ErrorKind::Unsafe, said }),
        _ => None,
    })
}

async fn push_all(stage: &str, pushes: &[Push], crew: &Crew<'_>, tally: &mut Tally) {
    let sending = pushes.iter().map(|push| async move {
        let step = push_step(push);
        let host = Some(push.to.clone());
        let begun = Instant::now();
        let (stage, name) = (stage.to_owned(), step.clone());
        crew.events.emit(&Event::StepStarted { stage, host, step: name });
        let sent = crew.courier.push(push).await;
        (push, step, begun.elapsed(), sent)
    });
    let mut sent = stream::iter(sending).buffer_unordered(2);
    while let Some((push, step, took, sent)) = sent.next().await {
        let (stage, host) = (stage.to_owned(), Some(push.to.clone()));
        let outcome = match sent {
            Ok(()) => {
                tally.n_done += 1;
                Outcome::Done
            }
            Err(error) => {
                let reason = in_words(error.as_ref());
                let failure = Failure {
                    stage: stage.clone(),
                    host: host.clone(),
                    step: step.clone(),
                    why: Why::failed(reason.clone()),
                };
                tally.failed.push(failure);
                Outcome::Failed { reason }
            }
        };
        crew.events.emit(&Event::StepFinished { stage, host, step, took, outcome });
    }
}

/// Secures nodes one after the other, parents first; none after one that could not be.
async fn secure_all(stage: &str, nodes: &[Secure], crew: &Crew<'_>, tally: &mut Tally) {
    for (n, node) in nodes.iter().enumerate() {
        if !tally.failed.is_empty() || (crew.stopped)() {
            return skip_nodes(stage, &nodes[n..], crew, tally);
        }
        let (stage, step, begun) = (stage.to_owned(), node.to_string(), Instant::now());
        let started =
            Event::StepStarted { stage: stage.clone(), host: None, step: step.clone() };
        crew.events.emit(&started);
        let outcome = match crew.warden.secure(&node.node).await {
            Ok(()) => {
                tally.n_done += 1;
                Outcome::Done
            }
            Err(reason) => {
                let why = Why::failed(reason.clone());
                let (stage, step) = (stage.clone(), step.clone());
                tally.failed.push(Failure { stage, host: None, step, why });
                Outcome::Failed { reason }
            }
        };
        let took = begun.elapsed();
        crew.events.emit(&Event::StepFinished { stage, host: None, step, took, outcome });
    }
}

fn skip_nodes(stage: &str, nodes: &[Secure], crew: &Crew<'_>, tally: &mut Tally) {
    for node in nodes {
        crew.events.emit(&Event::StepFinished {
            stage: stage.to_owned(),
            host: None,
            step: node.to_string(),
            took: Duration::ZERO,
            outcome: Outcome::NotStarted { reason: NOT_STARTED.to_owned() },
        });
        tally.n_not_started += 1;
    }
}

fn skip_stage(stage: &StagePlan, crew: &Crew<'_>, tally: &mut Tally) {
    let name = stage.stage.to_string();
    match &stage.work {
        Work::Push(pushes) => skip_pushes(&name, pushes, crew, tally),
        Work::Access { nodes, .. } => skip_nodes(&name, nodes, crew, tally),
        Work::Hosts(waves) => {
            for wave in waves {
                skip_hosts(&name, wave.hosts(), crew, tally);
            }
        }
    }
}

fn skip_pushes(stage: &str, pushes: &[Push], crew: &Crew<'_>, tally: &mut Tally) {
    for push in pushes {
        let reason = NOT_STARTED.to_owned();
        crew.events.emit(&Event::StepFinished {
            stage: stage.to_owned(),
            host: Some(push.to.clone()),
            step: push_step(push),
            took: Duration::ZERO,
            outcome: Outcome::NotStarted { reason },
        });
        tally.n_not_started += 1;
    }
}

fn push_step(push: &Push) -> String {
    format!("push image {}", push.component)
}

fn skip_hosts(stage: &str, hosts: &[HostChanges], crew: &Crew<'_>, tally: &mut Tally) {
    for changes in hosts {
        Steps::new(stage, changes, crew).close(tally);
    }
}

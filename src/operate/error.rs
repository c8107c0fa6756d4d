//! Why a verb failed, and the kind of failure for scripts.

use std::io;
use std::path::PathBuf;

use super::app::group::AllThereIs;
use super::app::{AgentError, DeployError, NoDeployment, NoTask, NoVersion, StillGoes};
use super::cannot_add::CannotAdd;
use super::cluster_files::{ClusterFiles, ClusterFilesError};
use super::job::{BadJob, NoJob, NotRun, NotShown};
use super::push::PushError;
use super::stored_images::StoredImagesError;
use super::target::{ServiceError, TargetError};
use super::users::UserError;
use crate::event::{count, in_words};
use crate::host::{HostName, joined};
use crate::images::{
    archive::ArchiveError, build::BuildError, pins::PinError, upstream::UpstreamError,
};
use crate::inventory::edit::Refused;
use crate::plan::NoPlan;
use crate::provider::aws::AwsError;
use crate::provider::local::{MachineError, NoRoom};
use crate::remote::{ErrorKind, RemoteError};
use crate::resource::Unknown;
use crate::run::apply::{Failure, Tally};
use crate::run::gate::Closed;
use crate::run::lock::LockError as ClusterLockError;
use crate::run::probe::ProbeError;
use crate::state::{
    CaError, JournalError, LockError, SecretError, SshKeyError, StateError,
};
use crate::template::BadTemplate;
use crate::topology::BadEnsemble;

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitKind {
    /// A step failed.
    Failed,
    /// The command line does not match the operator's files; nothing was touched.
    Usage,
    /// One of the operator's files is wrong; nothing was touched.
    Invalid,
    /// The change was not safe, or not agreed to; nothing was changed.
    Refused,
    /// A host does not answer.
    Unreachable,
    /// A wait reached its deadline.
    TimedOut,
    /// The operator stopped it.
    Interrupted,
}

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operator's files.
    #[error(transparent)]
    ClusterFiles(#[from] ClusterFilesError),
    /// A secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The certificate authority.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The SSH key for machines that the program makes.
    #[error(transparent)]
    SshKey(#[from] SshKeyError),
    /// Another run on this computer.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Another run on another computer.
    #[error(transparent)]
    ClusterLock(#[from] ClusterLockError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// An image's archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An image's folder.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// An image's registry.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The digests of tags.
    #[error(transparent)]
    Pins(#[from] PinError),
    /// Local machines need an image.
    #[error("{0} has no image for local machines: add `machine: {{build: FOLDER}}`")]
    NoMachineImage(String),
    /// Machines of AWS.
    #[error(transparent)]
    Aws(Box<AwsError>),
    /// The inventory's machines never expire.
    #[error(
        "this cluster never expires: `--expired` is for inventories of provider `aws`, with \
         `expires: 8h` there"
    )]
    NeverExpires,
    /// The expiry time of the cluster is unknown.
    #[error(
        "nothing of this cluster has the tag `{0}`, so its expiry time is unknown: write \
         `expires: 8h` under `provider.aws` and run `platform up`, or run `platform down` without \
         `--expired`"
    )]
    NoExpiry(&'static str),
    /// All things of the cluster that could not be removed.
    #[error("{} left: {}", .0.len(), .0.join("; "))]
    Left(Vec<String>),
    /// Local machines.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The local network.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The ensemble.
    #[error(transparent)]
    Ensemble(#[from] BadEnsemble),
    /// A template of the inventory.
    #[error(transparent)]
    Template(#[from] BadTemplate),
    /// All hosts that could not be reached.
    #[error("{}", several("cannot connect to", .0))]
    Unreachable(Vec<RemoteError>),
    /// All hosts that did not answer the probe.
    #[error("{}", several("cannot probe", .0))]
    Probe(Vec<ProbeError>),
    /// A question that a host did not answer.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// There is no safe plan.
    #[error(transparent)]
    NoPlan(#[from] NoPlan),
    /// The state folder lacks the SSH key of the machines.
    #[error(
        "the machines of this cluster accept only the SSH key that was in {}, and that file is \
         missing: restore the state folder from a copy; if there is no copy, `platform down` \
         removes the machines and `platform up` makes new ones",
        .0.display()
    )]
    KeyLost(PathBuf),
    /// Machines cannot be added.
    #[error(transparent)]
    CannotAdd(#[from] CannotAdd),
    /// The inventory cannot be edited.
    #[error("{} cannot be edited", path.display())]
    Edit {
        /// The inventory.
        path: PathBuf,
        /// The cause.
        source: Refused,
    },
    /// A user cannot be changed.
    #[error(transparent)]
    User(#[from] UserError),
    /// It is not known whom to talk to.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A request to Marathon or Chronos.
    #[error(transparent)]
    Service(Box<ServiceError>),
    /// An image was not pushed.
    #[error(transparent)]
    Push(Box<PushError>),
    /// Images of the registry cannot be shown.
    #[error(transparent)]
    StoredImages(Box<StoredImagesError>),
    /// An app cannot go back to a version.
    #[error(transparent)]
    NoVersion(#[from] NoVersion),
    /// There is no such deployment.
    #[error(transparent)]
    NoDeployment(#[from] NoDeployment),
    /// A change would be one of all that Marathon has.
    #[error(transparent)]
    AllThereIs(#[from] AllThereIs),
    /// There is no such task.
    #[error(transparent)]
    NoTask(#[from] NoTask),
    /// An agent cannot be asked about a task.
    #[error(transparent)]
    Agent(Box<AgentError>),
    /// What was asked for cannot be printed.
    #[error("cannot write to standard output")]
    Print(#[source] io::Error),
    /// Apps are not as their files say.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// There is no such job.
    #[error(transparent)]
    NoJob(#[from] NoJob),
    /// The file of a job has faults.
    #[error(transparent)]
    BadJob(#[from] BadJob),
    /// A job is not run.
    #[error(transparent)]
    NotRun(#[from] NotRun),
    /// Chronos does not show a job.
    #[error(transparent)]
    NotShown(#[from] NotShown),
    /// The operator does not wait any more.
    #[error(transparent)]
    StillGoes(#[from] StillGoes),
    /// A part of the work was done, and a later part failed.
    #[error("{}; {done}", in_words(why))]
    AfterChanges {
        /// The failure.
        why: Box<Self>,
        /// What was changed before it, and perhaps what to do.
        done: String,
    },
    /// The operator said no, or nobody was there to ask.
    #[error("not agreed to: the changes were not made")]
    Declined,
    /// Steps failed; the events report which.
    #[error("{}", incomplete(.0))]
    Incomplete(Tally),
    /// The proof failed.
    #[error(transparent)]
    NotProved(#[from] super::proof::NotProved),
    /// Others than their owners may access nodes of ZooKeeper, or ZooKeeper does not report who
    /// may.
    #[error(transparent)]
    NotSecured(#[from] crate::run::znodes::NotSecured),
    /// A gate did not open.
    #[error(transparent)]
    Gate(#[from] Closed),
    /// The operator stopped it.
    #[error("stopped: {} done, {n_left} left", count(*n_done, "step"))]
    Interrupted {
        /// The number of steps that were done.
        n_done: usize,
        /// The number of steps that were not started.
        n_left: usize,
    },
    /// The operator stopped it between two pieces of work that no plan counts. The text names
    /// the first piece of work that was not done.
    #[error("stopped before {0}; that and everything after it was not done")]
    StoppedBefore(String),
    /// The cluster has problems; the status reports them.
    #[error("the cluster has problems")]
    Unwell,
    /// A host or group that the inventory does not have.
    #[error("there is no host or group `{name}`; there are {}", .known.join(", "))]
    NoSuchHost {
        /// The unknown name.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// None of the inventory's machines runs.
    #[error("no machine of this cluster exists: run `platform up {}`", .0.display())]
    NoMachine(PathBuf),
    /// A command failed on hosts.
    #[error("the command failed on {}", joined(.0))]
    Command(Vec<HostName>),
}

impl From<AwsError> for Error {
    fn from(error: AwsError) -> Self {
        Self::Aws(Box::new(error))
    }
}

impl From<AgentError> for Error {
    fn from(error: AgentError) -> Self {
        Self::Agent(Box::new(error))
    }
}

impl From<PushError> for Error {
    fn from(error: PushError) -> Self {
        Self::Push(Box::new(error))
    }
}

impl From<StoredImagesError> for Error {
    fn from(error: StoredImagesError) -> Self {
        Self::StoredImages(Box::new(error))
    }
}

impl From<ServiceError> for Error {
    fn from(error: ServiceError) -> Self {
        Self::Service(Box::new(error))
    }
}

impl Error {
    /// Whether it may go away by itself: a service is away, or elects a leader.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Service(error) if error.may_pass())
    }

    /// Whether a group that decides by a majority lost its data, so that no run can go on.
    pub(super) fn is_of_lost_data(&self) -> bool {
        matches!(self, Self::NoPlan(NoPlan::Refused(all)) if all.are_of_lost_data())
    }

    /// Replaces the error of a name that is unknown because no machine runs.
    #[must_use]
    pub fn or_no_machine(self, files: &ClusterFiles) -> Self {
        match self {
            Self::NoSuchHost { known, .. } if known.is_empty() => {
                Self::NoMachine(files.path.clone())
            }
            error => error,
        }
    }

    /// The kind of this failure.
    pub fn kind(&self) -> ExitKind {
        match self {
            Self::State(StateError::Foreign { .. })
            | Self::ClusterFiles(ClusterFilesError::State(StateError::Foreign {
                ..
            })) => ExitKind::Refused,
            Self::ClusterFiles(ClusterFilesError::ChangedMeanwhile(_))
            | Self::Edit { .. } => ExitKind::Refused,
            Self::ClusterFiles(_)
            | Self::NoMachineImage(_)
            | Self::Pins(PinError::Form { .. })
            | Self::NoRoom(_)
            | Self::NeverExpires
            | Self::Template(_)
            | Self::Secret(_) => ExitKind::Invalid,
            Self::Lock(_)
            | Self::ClusterLock(_)
            | Self::KeyLost(_)
            | Self::Declined
            | Self::NoVersion(_)
            | Self::BadJob(_)
            | Self::NotRun(_)
            | Self::NoExpiry(_)
            | Self::Machine(MachineError::Network(_))
            | Self::NoPlan(NoPlan::Refused(_)) => ExitKind::Refused,
            Self::CannotAdd(CannotAdd::NoGroup(_) | CannotAdd::OtherWay(_))
            | Self::NoSuchHost { .. }
            | Self::AllThereIs(_)
            | Self::User(UserError::Unknown { .. }) => ExitKind::Usage,
            Self::User(_) | Self::CannotAdd(_) => ExitKind::Refused,
            // These kinds say that nothing was changed, which is not true here.
            Self::AfterChanges { why, .. } => match why.kind() {
                ExitKind::Refused | ExitKind::Invalid | ExitKind::Usage => {
                    ExitKind::Failed
                }
                kind => kind,
            },
            Self::NoMachine(_) => ExitKind::Unreachable,
            Self::Target(error) => error.kind(),
            Self::Deploy(error) => error.kind(),
            Self::Service(error) => error.kind(),
            Self::Agent(error) => error.kind(),
            Self::NoTask(NoTask::Named { .. }) => ExitKind::Usage,
            Self::Push(error) => error.kind(),
            Self::StoredImages(error) => error.kind(),
            Self::Unreachable(errors) => of_remotes(errors.iter()),
            Self::Probe(errors) => of_probes(errors),
            Self::Machine(
                MachineError::NoLogin { .. } | MachineError::NotRemoved { .. },
            )
            | Self::NotShown(_)
            | Self::Gate(Closed::TimedOut { .. }) => ExitKind::TimedOut,
            Self::Incomplete(tally) => {
                gravest(tally.failed.iter().map(|failure| failure.why.kind))
            }
            Self::Interrupted { .. }
            | Self::StoppedBefore(_)
            | Self::StillGoes(_)
            | Self::Gate(Closed::Stopped { .. }) => ExitKind::Interrupted,
            Self::Aws(error) => of_aws(error),
            _ => ExitKind::Failed,
        }
    }
}

fn of_aws(error: &AwsError) -> ExitKind {
    match error {
        AwsError::NoRegion | AwsError::PublicKey { .. } => ExitKind::Invalid,
        AwsError::Refusal(refusal) if refusal.is_of_inventory() => ExitKind::Invalid,
        AwsError::Refusal(_) | AwsError::AnotherRun { .. } => ExitKind::Refused,
        AwsError::Unreachable { .. } => ExitKind::Unreachable,
        AwsError::TimedOut { .. } => ExitKind::TimedOut,
        AwsError::Stopped { .. } => ExitKind::Interrupted,
        _ => ExitKind::Failed,
    }
}

fn of_remotes<'a>(errors: impl Iterator<Item = &'a RemoteError>) -> ExitKind {
    gravest(errors.map(RemoteError::kind))
}

fn of_probes(errors: &[ProbeError]) -> ExitKind {
    match errors.iter().any(|error| matches!(error, ProbeError::Stopped { .. })) {
        true => ExitKind::Interrupted,
        false => gravest(errors.iter().map(ProbeError::kind)),
    }
}

/// The most serious of several kinds: unsafe is more serious than unreachable.
pub(super) fn gravest(kinds: impl Iterator<Item = ErrorKind>) -> ExitKind {
    let kinds: Vec<ErrorKind> = kinds.collect();
    let has = |kind| kinds.contains(&kind);
    if has(ErrorKind::Unsafe) {
        ExitKind::Refused
    } else if has(ErrorKind::Unreachable) || has(ErrorKind::NotLetIn) {
        ExitKind::Unreachable
    } else if has(ErrorKind::TimedOut) {
        ExitKind::TimedOut
    } else {
        ExitKind::Failed
    }
}

/// The part of a plan that was not done. A gate that did not open is not counted as a step.
fn incomplete(tally: &Tally) -> String {
    let (steps, conditions): (Vec<&Failure>, Vec<&Failure>) =
        tally.failed.iter().partition(|failure| failure.host.is_some());
    let (n_done, n_left) = (tally.n_done, tally.n_not_started);
    match (steps.len(), conditions.first()) {
        (0, Some(closed)) => {
            let left =
                if n_left == 0 { String::new() } else { format!(", {n_left} left") };
            format!("{} done{left}; {}", count(n_done, "step"), closed.why.said)
        }
        (0, None) => format!("{} done, {n_left} left", count(n_done, "step")),
        (n, _) => {
            format!("{n} of {} failed", count(n_done + n + n_left, "step"))
        }
    }
}

/// One error unchanged; several errors as one line each.
fn several<E: std::error::Error>(what: &str, errors: &[E]) -> String {
    match errors {
        [error] => in_words(error),
        errors => listed(
            &format!("{what} {} hosts", errors.len()),
            errors.iter().map(|error| in_words(error)),
        ),
    }
}

fn listed(head: &str, lines: impl Iterator<Item = String>) -> String {
    let lines: String = lines.map(|line| format!("\n  {line}")).collect();
    format!("{head}:{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::apply::Why;

    fn failure(host: Option<&str>) -> Failure {
        let why = Why { kind: ErrorKind::Failed, said: "gave up waiting".to_owned() };
        let host = host.map(|host| host.parse().unwrap());
        Failure { stage: "zookeeper".to_owned(), host, step: "step".to_owned(), why }
    }

    #[test]
    fn without_machines_an_unknown_name_is_not_the_fault() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lab.yaml");
        let text = "cluster: lab\nprovider: {local: {}}\ngroups:\n  \
                    edge: {roles: [edge], count: 1}\n";
        std::fs::write(&path, text).unwrap();
        let files = ClusterFiles::open(&path).unwrap();
        let unknown = |known| Error::NoSuchHost { name: "w-1".to_owned(), known };
        let error = unknown(vec![]).or_no_machine(&files);
        assert_eq!(
            error.to_string(),
            format!(
                "no machine of this cluster exists: run `platform up {}`",
                path.display()
            )
        );
        assert_eq!(error.kind(), ExitKind::Unreachable);
        let error = unknown(vec!["edge-1".to_owned()]).or_no_machine(&files);
        assert_eq!(error.kind(), ExitKind::Usage);
    }

    #[test]
    fn what_was_not_done_is_counted_in_the_steps_of_the_plan() {
        let said = |n_done, failed, n_not_started| {
            let interrupted = false;
            incomplete(&Tally { n_done, failed, n_not_started, interrupted })
        };
        assert_eq!(said(1, vec![failure(None)], 0), "1 step done; gave up waiting");
        assert_eq!(
            said(2, vec![failure(None)], 3),
            "2 steps done, 3 left; gave up waiting"
        );
        assert_eq!(said(0, vec![failure(Some("c1"))], 0), "1 of 1 step failed");
        assert_eq!(
            said(4, vec![failure(Some("c1")), failure(None)], 2),
            "1 of 7 steps failed"
        );
    }
}

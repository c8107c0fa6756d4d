//! The agents of a cluster, each asked through its own host: nobody outside reaches them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::super::error::{Error, ExitKind};
use super::super::gather::agent_secret;
use super::super::target::{Target, TargetError, of_service};
use super::super::{RunContext, connect, machines};
use crate::api::http::{Access, ApiError, Endpoint, Login, ThroughHost};
use crate::api::mesos::{Agent, TaskRun};
use crate::component::mesos::OPERATOR;
use crate::event::in_words;
use crate::inventory::Component;
use crate::inventory::component::AGENT_PORT;
use crate::operate::cluster_files::ClusterFiles;
use crate::remote::Remote;
use crate::run::Fleet;
use crate::topology::Machine;

/// The longest that an agent may take for one answer: its state takes it 6 s while DNS is silent.
const ANSWER: Duration = Duration::from_secs(15);

/// The agents of a cluster.
pub(super) struct Agents<'a> {
    files: ClusterFiles,
    /// The machines that run an agent.
    machines: Vec<Machine>,
    /// Those that were connected to.
    fleet: Mutex<Fleet>,
    ctx: &'a RunContext<'a>,
}

/// A task's agent cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The inventory has no such agent.
    #[error(
        "the task ran on {0}, where the inventory has no agent: that machine is gone, or is another \
         cluster's"
    )]
    Unknown(String),
    /// The agent does not know a task.
    #[error(
        "the agent does not know task {0}: it has just begun, or has ended; try again"
    )]
    NotThere(String),
    /// A task has no such file there.
    #[error(
        "task {task} has no file {file} at its agent: it has not begun, or its files were removed, as an \
         agent does with those of old tasks"
    )]
    NoFile {
        /// The task.
        task: String,
        /// The file.
        file: &'static str,
    },
    /// It does not answer as it should.
    #[error("{said}")]
    Api {
        /// The error, with its causes.
        said: String,
        /// The kind of this failure.
        kind: ExitKind,
    },
}

impl From<ApiError> for AgentError {
    fn from(error: ApiError) -> Self {
        Self::Api { said: in_words(&error), kind: of_service(&error.reason) }
    }
}

impl AgentError {
    /// The kind of this failure.
    pub(in crate::operate) fn kind(&self) -> ExitKind {
        match self {
            Self::Api { kind, .. } => *kind,
            Self::Unknown(_) | Self::NotThere(_) | Self::NoFile { .. } => {
                ExitKind::Failed
            }
        }
    }
}

impl<'a> Agents<'a> {
    /// The agents of the target's cluster; connects to none yet. `what` they know, for an error.
    ///
    /// # Errors
    /// When the target is not from an inventory, or its machines are not known.
    pub(super) async fn of(
        target: &Target,
        what: &'static str,
        ctx: &'a RunContext<'a>,
    ) -> Result<Self, Error> {
        let files = ClusterFiles::open(target.inventory(what)?)?;
        let groups = files.inventory.groups.iter();
        let groups: BTreeSet<&str> = groups
            .filter(|group| files.inventory.runs(group, Component::MesosAgent))
            .map(|group| group.name.as_str())
            .collect();
        let mut machines = machines::running(&files, ctx).await?;
        machines.retain(|machine| groups.contains(machine.group.as_str()));
        Ok(Self { files, machines, fleet: Mutex::default(), ctx })
    }

    /// The agent of this name, which is its address, and its host.
    ///
    /// # Errors
    /// When the inventory does not have it, or its host cannot be reached.
    pub(super) async fn agent(
        &self,
        name: &str,
    ) -> Result<(Agent, Arc<dyn Remote>), Error> {
        let named = |machine: &&Machine| machine.address.to_string() == name;
        let machine = self.machines.iter().find(named);
        let machine = machine.ok_or_else(|| AgentError::Unknown(name.to_owned()))?;
        let remote = self.host(machine).await?;
        let password = self.files.state.kept_secret(&agent_secret(&machine.host))?;
        let password =
            password.ok_or_else(|| TargetError::NotUp(self.files.path.clone()))?;
        let agent = Agent::new(Access {
            name: format!("the agent of {}", machine.host),
            ask: Endpoint::new(name, AGENT_PORT),
            own: BTreeSet::new(),
            login: Some(Login { user: OPERATOR.to_owned(), password }),
            dialer: Arc::new(ThroughHost(Arc::clone(&remote))),
            deadline: ANSWER,
        });
        Ok((agent, remote))
    }

    /// Where a task runs, with its agent and its host; `None` if the agent does not know it.
    ///
    /// # Errors
    /// As [`agent`](Self::agent), and when the agent does not answer.
    pub(super) async fn run_of(
        &self,
        (task, host): (&str, &str),
    ) -> Result<Option<(TaskRun, Agent, Arc<dyn Remote>)>, Error> {
        let (agent, remote) = self.agent(host).await?;
        let run = agent.run_of(task).await.map_err(AgentError::from)?;
        Ok(run.map(|run| (run, agent, remote)))
    }

    /// The connection to a host, which is made once.
    async fn host(&self, machine: &Machine) -> Result<Arc<dyn Remote>, Error> {
        let mut fleet = self.fleet.lock().await;
        if let Some(remote) = fleet.get(&machine.host) {
            return Ok(Arc::clone(remote));
        }
        let one = std::slice::from_ref(machine);
        let mut connected = connect::connect_all(&self.files, one, self.ctx).await?;
        self.files.state.keep_pins()?;
        fleet.append(&mut connected);
        Ok(Arc::clone(&fleet[&machine.host]))
    }
}

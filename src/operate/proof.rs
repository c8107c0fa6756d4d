//! Proves that a platform works: a test app is run and reached, one of its tasks is killed and
//! replaced, and the app is removed.
//!
//! The app is a small server in Perl, which is part of every Debian and Ubuntu. It is run as a
//! command and not as a container: it needs no image, so it proves what all apps need.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::RunContext;
use crate::api::http::{ApiError, Reason};
use crate::api::marathon::{Marathon, Task};
use crate::api::mesos::AgentInfo;
use crate::component::Stage;
use crate::event::count;
use crate::event::{Outcome, in_words};
use crate::inventory::Component;
use crate::progress::{self, StageReport, StepReport};
use crate::remote::Remote;
use crate::run::health::services::{Services, agent_of};
use crate::topology::{Member, Node, Topology};

/// The app's id.
const APP: &str = "/platform-proof";
/// The app's answer.
const ANSWER: &str = "this platform works";
/// The longest that any step may take: agents send offers within seconds.
const DEADLINE: Duration = Duration::from_secs(120);
/// The longest that a task may take to answer.
const REACH: Duration = Duration::from_secs(10);
/// The pause between two checks.
const PAUSE: Duration = Duration::from_millis(500);

/// The proof failed.
#[derive(Debug, thiserror::Error)]
#[error("the test app failed: cannot {step}: {why}")]
pub struct NotProved {
    step: String,
    why: String,
}

/// Whether a cluster can run apps: it needs agents and Marathon.
pub(super) fn can_be_made(topology: &Topology) -> bool {
    let runs = |component| topology.nodes.iter().any(|node| node.runs(component));
    runs(Component::MesosAgent) && runs(Component::Marathon)
}

/// Whether a proof left its app behind; each proof removes its app at its end. `false` if
/// Marathon cannot be asked.
pub(super) async fn is_left(services: Services<'_>) -> bool {
    let members = services.topology.members_of(Component::Marathon);
    for marathon in members.iter().filter_map(|member| services.marathon(member).ok()) {
        match marathon.app(APP).await {
            Ok(_) => return true,
            Err(ApiError { reason: Reason::NotFound(_), .. }) => return false,
            Err(_) => {}
        }
    }
    false
}

/// Where the app has to run.
#[derive(Debug, Clone, Copy)]
pub(super) enum ProofScope<'a> {
    /// On all agents, but at most two; the app also has to survive the loss of a task, and every
    /// edge host has to serve Marathon.
    Any,
    /// On each of these agents, and on no others.
    Agents(&'a [Node]),
}

/// Runs the app, uses it, and removes it, even if a step failed. What an interrupted proof left
/// is removed first.
///
/// # Errors
/// When a step does not succeed in time: the error says which step, and what was seen last.
pub(super) async fn prove(
    services: Services<'_>,
    scope: ProofScope<'_>,
    ctx: &RunContext<'_>,
) -> Result<(), NotProved> {
    let (hosts, n_steps) = match scope {
        ProofScope::Any => (Vec::new(), 5 + usize::from(has_edge(services.topology))),
        ProofScope::Agents(nodes) => {
            (nodes.iter().map(|node| node.host.clone()).collect(), 4)
        }
    };
    let stage = StageReport::begin(&ctx.events, Stage::Verify, hosts, n_steps);
    let proved = steps(services, scope, ctx).await;
    stage.end(proved.is_ok());
    proved
}

async fn steps(
    services: Services<'_>,
    scope: ProofScope<'_>,
    ctx: &RunContext<'_>,
) -> Result<(), NotProved> {
    let found = Proof::new(services, scope);
    let proof = step(ctx, "find Marathon and agents", found).await?;
    let name = match &proof.only_on {
        None => format!("run an app with {}", count(proof.n_instances, "instance")),
        Some(_) => "run a task on each new agent".to_owned(),
    };
    let run = step(ctx, &name, proof.run()).await;
    let used = match run {
        Ok(()) => proof.use_it(ctx).await,
        failed => failed,
    };
    let removed = step(ctx, "remove the app", proof.remove()).await;
    used.and(removed)?;
    match scope {
        ProofScope::Any if has_edge(services.topology) => {
            step(ctx, "use Marathon through the edge", through_edge(services)).await
        }
        _ => Ok(()),
    }
}

fn has_edge(topology: &Topology) -> bool {
    topology.nodes.iter().any(|node| node.runs(Component::Haproxy))
}

/// Uses Marathon through every edge host.
async fn through_edge(services: Services<'_>) -> Result<(), String> {
    for edge in services.topology.members_of(Component::Haproxy) {
        let served = services.serves_marathon(&edge).await;
        served.map_err(|why| format!("{} does not serve it: {why}", edge.host))?;
    }
    Ok(())
}

/// Runs a step, and reports its beginning and its end.
pub(super) async fn step<T>(
    ctx: &RunContext<'_>,
    name: &str,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, NotProved> {
    let named =
        async { work.await.map_err(|why| NotProved { step: name.to_owned(), why }) };
    let report = StepReport::begin(&ctx.events, &Stage::Verify.to_string(), None, name);
    let done = named.await;
    report.end(match &done {
        Ok(_) => Outcome::Done,
        Err(NotProved { why, .. }) => Outcome::Failed { reason: why.clone() },
    });
    done
}

struct Proof<'a> {
    marathon: Marathon,
    /// The host from which tasks are reached: it is in the cluster's own network.
    from: &'a dyn Remote,
    n_instances: usize,
    /// The names of the agents that have to run an instance each; if `None`, any agents.
    only_on: Option<BTreeSet<String>>,
}

impl<'a> Proof<'a> {
    async fn new(services: Services<'a>, scope: ProofScope<'_>) -> Result<Self, String> {
        let agents = services.agents().await?;
        let (n_instances, only_on) = match scope {
            ProofScope::Any => {
                let n_active = agents.iter().filter(|agent| agent.active).count();
                (n_active.min(2), None)
            }
            ProofScope::Agents(nodes) => {
                (nodes.len(), Some(names_of_active(nodes, &agents)?))
            }
        };
        if n_instances == 0 {
            return Err("no agent is active".to_owned());
        }
        let members = services.topology.members_of(Component::Marathon);
        let reached = |member: &Member| {
            let remote = services.fleet.get(&member.host)?;
            Some((services.marathon(member).ok()?, remote.as_ref()))
        };
        let found = members.iter().find_map(reached);
        let (marathon, from) = found.ok_or("there is no Marathon to ask")?;
        Ok(Self { marathon, from, n_instances, only_on })
    }

    async fn run(&self) -> Result<(), String> {
        self.remove().await?;
        let definition = definition(self.n_instances, self.only_on.as_ref());
        self.marathon.create(&definition).await.map_err(said)?;
        self.marathon.wait_settled(APP, DEADLINE).await.map_err(said)
    }

    async fn use_it(&self, ctx: &RunContext<'_>) -> Result<(), NotProved> {
        step(ctx, "reach every instance", self.reach_all()).await?;
        if self.only_on.is_some() {
            return Ok(());
        }
        step(ctx, "lose a task and see it replaced", self.lose_one()).await
    }

    async fn reach_all(&self) -> Result<(), String> {
        let tasks = self.tasks().await?;
        let hosts: BTreeSet<&str> = tasks.iter().map(|task| task.host.as_str()).collect();
        if hosts.len() < self.n_instances {
            let agents = count(hosts.len(), "agent");
            return Err(format!("its tasks are on {agents} only"));
        }
        let is_right = |host: &&str| self.only_on.iter().all(|only| only.contains(*host));
        if let Some(stray) = hosts.iter().find(|host| !is_right(host)) {
            return Err(format!("a task is on {stray}, but no task should be there"));
        }
        for task in &tasks {
            self.reach(task).await?;
        }
        Ok(())
    }

    async fn reach(&self, task: &Task) -> Result<(), String> {
        let port = *task.ports.first().ok_or("a task has no port")?;
        let port = u16::try_from(port).map_err(|_| format!("a task has port {port}"))?;
        let at = format!("{}:{port}", task.host);
        let asked = timeout(REACH, ask(self.from, &task.host, port)).await;
        let answer = asked.map_err(|_| format!("{at} does not answer within 10 s"))?;
        match answer {
            Ok(answer) if answer.contains(ANSWER) => Ok(()),
            Ok(_) => Err(format!("something else answers at {at}")),
            Err(why) => Err(format!("{at} does not answer: {why}")),
        }
    }

    async fn lose_one(&self) -> Result<(), String> {
        let lost = self.tasks().await?.into_iter().next().ok_or("it has no task")?;
        self.marathon.kill_task(APP, &lost.id).await.map_err(said)?;
        let begun = Instant::now();
        let replaced = async || -> Result<_, String> {
            let left = DEADLINE.saturating_sub(begun.elapsed());
            self.marathon.wait_settled(APP, left).await.map_err(said)?;
            let tasks = self.tasks().await?;
            let is_gone = tasks.iter().all(|task| task.id != lost.id);
            Ok(match is_gone && tasks.len() == self.n_instances {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(format!("{} tasks", tasks.len())),
            })
        };
        let found = progress::poll(DEADLINE, || PAUSE, |_| (), replaced).await?;
        found.map_err(|_| format!("{} is not replaced after 120 s", lost.id))?;
        self.reach_all().await
    }

    /// Removes the app, if it exists.
    async fn remove(&self) -> Result<(), String> {
        let change = match self.marathon.delete(APP).await {
            Err(ApiError { reason: Reason::NotFound(_), .. }) => return Ok(()),
            change => change.map_err(said)?,
        };
        self.marathon.wait_deployment(&change.deployment, DEADLINE).await.map_err(said)
    }

    /// The app's tasks that have not ended.
    async fn tasks(&self) -> Result<Vec<Task>, String> {
        let app = self.marathon.app(APP).await.map_err(said)?;
        Ok(app.tasks.into_iter().filter(|task| !task.has_ended()).collect())
    }
}

fn said(error: ApiError) -> String {
    in_words(&error)
}

/// Sends a request to a task's port, and returns the whole answer.
async fn ask(from: &dyn Remote, host: &str, port: u16) -> Result<String, String> {
    let mut stream =
        from.dial(host, port, REACH).await.map_err(|error| in_words(&error))?;
    let mut answer = String::new();
    let asked = async {
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        stream.read_to_string(&mut answer).await
    };
    asked.await.map(|_| answer).map_err(|error| error.to_string())
}

/// The names by which Marathon knows the agents of these hosts.
fn names_of_active(
    nodes: &[Node],
    agents: &[AgentInfo],
) -> Result<BTreeSet<String>, String> {
    let name = |node: &Node| match agent_of(node.address, agents) {
        Some(agent) if agent.active => Ok(agent.hostname.clone()),
        Some(_) => Err(format!("the agent on {} is not active", node.host)),
        None => Err(format!("the agent on {} is not registered", node.host)),
    };
    nodes.iter().map(name).collect()
}

/// Which agents may run an instance: at most one instance on each agent, and only on these agents
/// if they are given.
fn constraints(only_on: Option<&BTreeSet<String>>) -> Value {
    let mut constraints = vec![json!(["hostname", "UNIQUE"])];
    if let Some(names) = only_on {
        // A pattern for a whole name, in which only dots are special.
        let exact = names.iter().map(|name| name.replace('.', "\\."));
        let any = exact.collect::<Vec<String>>().join("|");
        constraints.push(json!(["hostname", "LIKE", any]));
    }
    Value::Array(constraints)
}

fn definition(n_instances: usize, only_on: Option<&BTreeSet<String>>) -> Value {
    let server = format!(
        "exec perl -MIO::Socket::INET -e '\
         $s = IO::Socket::INET->new(LocalPort => $ENV{{PORT0}}, Listen => 8, ReuseAddr => 1) \
         or die $!; \
         while ($c = $s->accept) {{ \
         print $c \"HTTP/1.0 200 OK\\r\\nContent-Type: text/plain\\r\\n\\r\\n{ANSWER}\\n\"; \
         shutdown $c, 1; 1 while <$c>; close $c }}'"
    );
    json!({
        "id": APP,
        "cmd": server,
        "cpus": 0.1,
        "mem": 32,
        "instances": n_instances,
        "constraints": constraints(only_on),
        "portDefinitions": [{"port": 0, "protocol": "tcp", "name": "http"}],
        "healthChecks": [{
            "protocol": "MESOS_TCP",
            "portIndex": 0,
            "gracePeriodSeconds": 60,
            "intervalSeconds": 2,
            "timeoutSeconds": 2,
            "maxConsecutiveFailures": 5,
            "delaySeconds": 1,
        }],
        // Each agent runs one instance: there is no room for more while a task is replaced.
        "upgradeStrategy": {"minimumHealthCapacity": 0, "maximumOverCapacity": 0},
    })
}

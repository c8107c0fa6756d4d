//! The life of one task, from its first file to its last update; also after the agent was away.
//!
//! Decides little: what a state or an end means is in `record`.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::core::{Agent, Drain, now};
use super::docker::{self, Docker};
use super::health::{self, Verdict};
use super::process::{self, Watched};
use super::record::{Details, Key, Kill, Record, end_of, grace};
use super::store::write_file;
use super::{fetch, launch};

/// How often Docker is asked whether a container runs.
const ASK: Duration = Duration::from_millis(200);

/// The grace of a command task that says none.
const COMMAND_GRACE: f64 = 3.0;

/// Asks for the end of a task; one that is unknown is left alone.
pub fn kill(agent: &Agent, key: &Key, asked: Option<f64>, reason: Option<String>) {
    begin_kill(agent, key, asked, reason, false);
}

fn begin_kill(
    agent: &Agent,
    key: &Key,
    asked: Option<f64>,
    reason: Option<String>,
    is_unhealthy: bool,
) {
    let stop_timeout = agent.docker.as_ref().map(|docker| docker.settings().stop_timeout);
    agent.change(key, |record| {
        let default = match stop_timeout {
            Some(timeout) if record.is_docker() => timeout.as_secs_f64(),
            _ => COMMAND_GRACE,
        };
        let grace_seconds = grace(record, asked, reason.as_deref(), default);
        record.begin_kill(Kill { since: now(), grace_seconds, reason, is_unhealthy });
    });
    if let Some(task) = agent.state().tasks.get(key) {
        // The task is at its end already when nobody listens.
        let _ = task.killed.send(());
    }
}

/// Runs a new task to its end.
pub async fn run_new(agent: Arc<Agent>, key: Key, mut killed: watch::Receiver<()>) {
    let prepared = tokio::select! {
        prepared = prepare(&agent, &key) => prepared,
        _ = killed.changed() => return fail(&agent, &key, Refusal {
            state: "TASK_KILLED",
            reason: "REASON_TASK_KILLED_DURING_LAUNCH",
            message: "Task was killed before it was launched".to_owned(),
        }),
    };
    match prepared {
        Ok(()) => supervise(agent, key, killed).await,
        Err(refusal) => fail(&agent, &key, refusal),
    }
}

/// Goes on with a task that an earlier agent left.
pub async fn run_recovered(agent: Arc<Agent>, key: Key, killed: watch::Receiver<()>) {
    let Some(record) = agent.record(&key) else { return };
    if record.process.is_none() {
        let meta = agent.store.task_meta(&record);
        let Some(found) = launch::noted_process(&meta, process::boot_id()) else {
            return fail(
                &agent,
                &key,
                Refusal {
                    state: "TASK_FAILED",
                    reason: "REASON_EXECUTOR_TERMINATED",
                    message: "Abnormal executor termination: unknown container"
                        .to_owned(),
                },
            );
        };
        agent.change(&key, |record| record.process = Some(found));
    }
    supervise(agent, key, killed).await;
}

/// Why a task did not come to run.
struct Refusal {
    state: &'static str,
    reason: &'static str,
    message: String,
}

fn fail(agent: &Agent, key: &Key, refusal: Refusal) {
    agent.update(
        key,
        refusal.state,
        Details {
            message: Some(refusal.message),
            reason: Some(refusal.reason.to_owned()),
            healthy: None,
            is_from_agent: true,
        },
    );
}

fn launch_failed(error: impl std::fmt::Display) -> Refusal {
    Refusal {
        state: "TASK_FAILED",
        reason: "REASON_CONTAINER_LAUNCH_FAILED",
        message: format!("Failed to launch container: {error}"),
    }
}

/// Brings everything that the task needs, and starts it.
async fn prepare(agent: &Agent, key: &Key) -> Result<(), Refusal> {
    let record = agent.record(key).ok_or_else(|| launch_failed("it is gone"))?;
    if record.task["executor"]["type"] == "DEFAULT" && !agent.settings.admits_executors()
    {
        return Err(launch_failed(
            "the default executor received unexpected '401 Unauthorized' for SUBSCRIBE",
        ));
    }
    let framework = agent.framework(&key.framework_id);
    let switches = agent.settings.flags.is_on("switch_user");
    let user = launch::user_of(&record, &framework, switches).map_err(launch_failed)?;
    if let Some(user) = &user {
        user.own(&record.sandbox).map_err(launch_failed)?;
    }
    let deadline = agent
        .settings
        .flags
        .duration("executor_registration_timeout")
        .map_err(launch_failed)?;
    let bringing = bring(agent, &record, user.as_ref(), deadline);
    tokio::time::timeout(deadline, bringing).await.map_err(|_| Refusal {
        state: "TASK_FAILED",
        reason: "REASON_EXECUTOR_REGISTRATION_TIMEOUT",
        message: format!("Executor did not register within {}secs", deadline.as_secs()),
    })??;
    let meta = agent.store.task_meta(&record);
    let docker = agent.docker.as_ref();
    let (process, mut child) =
        launch::start(&record, &meta, user.as_ref(), docker).map_err(launch_failed)?;
    tokio::task::spawn_blocking(move || child.wait());
    agent.change(key, |record| record.process = Some(process));
    Ok(())
}

async fn bring(
    agent: &Agent,
    record: &Record,
    user: Option<&launch::User>,
    deadline: Duration,
) -> Result<(), Refusal> {
    fetch::fetch_all(&record.task["command"], &record.sandbox, user)
        .await
        .map_err(launch_failed)?;
    if !record.is_docker() {
        return Ok(());
    }
    let docker = agent
        .docker
        .as_ref()
        .ok_or_else(|| launch_failed(launch::LaunchError::NoDocker))?;
    let home = match docker::pull_config(&record.sandbox, docker.settings()) {
        Some(config) => {
            let home = agent.store.task_meta(record).join("home");
            let path = home.join(".docker/config.json");
            write_file(&path, config.to_string().as_bytes(), 0o600)
                .map_err(launch_failed)?;
            home
        }
        None => record.sandbox.clone(),
    };
    let force = record.task["container"]["docker"]["force_pull_image"] == true;
    let image = docker::image(record);
    docker.ensure_image(image, force, &home, deadline).await.map_err(launch_failed)
}

/// Stays with a process until its end, whoever started it.
async fn supervise(agent: Arc<Agent>, key: Key, killed: watch::Receiver<()>) {
    let Some(record) = agent.record(&key) else { return };
    if record.state() == "TASK_STAGING" {
        agent.update(&key, "TASK_STARTING", Details::default());
    }
    if !record.is_docker() {
        // Its process was there, so that even one that has ended by now was running.
        say_running(&agent, &key);
    }
    let watched = match record.process.as_ref().map(Watched::open) {
        Some(Ok(watched)) => watched,
        Some(Err(error)) => {
            return agent.exit(1, format!("cannot watch task {}: {error}", key.task_id));
        }
        None => None,
    };
    if let Some(watched) = watched {
        let (verdicts, received) = mpsc::channel(1);
        let life = Life { agent: &agent, key: &key, watched: &watched };
        tokio::select! {
            () = life.ended() => (),
            () = life.begin_and_check(verdicts) => (),
            () = life.obey(killed, received) => (),
        }
    }
    finish(&agent, &key).await;
}

/// Says that the task runs, where that is news.
fn say_running(agent: &Agent, key: &Key) {
    if agent.record(key).is_some_and(|record| record.state() == "TASK_STARTING") {
        agent.update(key, "TASK_RUNNING", Details::default());
    }
}

/// Says how the task ended.
async fn finish(agent: &Agent, key: &Key) {
    let Some(record) = agent.record(key) else { return };
    let exit = launch::noted_exit(&agent.store.task_meta(&record));
    if let (None, true, Some(docker)) = (exit, record.is_docker(), &agent.docker) {
        // The client was killed; its container must not live on unseen.
        let _ = docker.kill(&record.container_name()).await;
    }
    let end = end_of(&record, exit);
    let state = if end.state == "TASK_KILLED" && is_gone_with_agent(agent, key) {
        "TASK_GONE_BY_OPERATOR"
    } else {
        end.state
    };
    let is_unhealthy = record.kill.as_ref().is_some_and(|kill| kill.is_unhealthy);
    agent.update(
        key,
        state,
        Details {
            message: Some(end.message),
            healthy: is_unhealthy.then_some(false),
            ..Details::default()
        },
    );
}

/// A task whose process is being watched.
struct Life<'a> {
    agent: &'a Agent,
    key: &'a Key,
    watched: &'a Watched,
}

impl Life<'_> {
    async fn ended(&self) {
        if let Err(error) = self.watched.ended().await {
            self.agent.exit(1, format!("cannot watch {}: {error}", self.key.task_id));
        }
    }

    /// Says that the task runs once it does, then checks its health; resolves never.
    async fn begin_and_check(&self, verdicts: mpsc::Sender<Verdict>) {
        if let Some(record) = self.agent.record(self.key)
            && record.is_docker()
            && let Some(docker) = &self.agent.docker
        {
            let address = wait_until_running(docker, &record.container_name()).await;
            self.agent.change(self.key, |record| record.address = address);
        }
        say_running(self.agent, self.key);
        let Some(record) = self.agent.record(self.key) else { return };
        health::watch(&record, self.agent.docker.as_ref(), verdicts).await;
        std::future::pending::<()>().await;
    }

    /// Carries out kills and the verdicts of health checks; resolves never.
    async fn obey(
        &self,
        mut killed: watch::Receiver<()>,
        mut verdicts: mpsc::Receiver<Verdict>,
    ) {
        let mut force_at = self.ask_to_end();
        loop {
            tokio::select! {
                Ok(()) = killed.changed() => force_at = self.ask_to_end(),
                Some(verdict) = verdicts.recv() => self.take(&verdict),
                () = due(force_at) => {
                    force_at = None;
                    self.force().await;
                }
                else => std::future::pending().await,
            }
        }
    }

    fn take(&self, verdict: &Verdict) {
        let is_running =
            self.agent.record(self.key).is_some_and(|r| r.state() == "TASK_RUNNING");
        if !is_running {
            return;
        }
        self.agent.update(
            self.key,
            "TASK_RUNNING",
            Details {
                reason: Some("REASON_TASK_HEALTH_CHECK_STATUS_UPDATED".to_owned()),
                healthy: Some(verdict.healthy),
                ..Details::default()
            },
        );
        if verdict.kill {
            begin_kill(self.agent, self.key, None, None, true);
        }
    }

    /// Asks the task to end, if it is to; answers when it is to be forced.
    fn ask_to_end(&self) -> Option<Instant> {
        let record = self.agent.record(self.key)?;
        let kill = record.kill.as_ref()?;
        let framework = self.agent.framework(&self.key.framework_id);
        if record.state() != "TASK_KILLING" && knows(&framework, "TASK_KILLING_STATE") {
            self.agent.update(
                self.key,
                "TASK_KILLING",
                Details {
                    healthy: kill.is_unhealthy.then_some(false),
                    ..Details::default()
                },
            );
        }
        let left = Duration::try_from_secs_f64(kill.since + kill.grace_seconds - now())
            .unwrap_or_default();
        match &self.agent.docker {
            Some(docker) if record.is_docker() => {
                let (docker, name) = (docker.clone(), record.container_name());
                tokio::spawn(async move {
                    if let Err(error) = docker.stop(&name, left).await {
                        super::log(&format!("{error}"));
                    }
                });
            }
            _ => self.watched.signal_group(Signal::TERM),
        }
        Some(Instant::now() + left)
    }

    async fn force(&self) {
        let Some(record) = self.agent.record(self.key) else { return };
        match &self.agent.docker {
            // Docker stops it at the same moment by itself; this is for one that did not.
            Some(docker) if record.is_docker() => {
                let _ = docker.kill(&record.container_name()).await;
            }
            _ => self.watched.signal_group(Signal::KILL),
        }
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Whether a task that is killed ends for good with its agent, and its framework knows of that.
fn is_gone_with_agent(agent: &Agent, key: &Key) -> bool {
    let marks_gone = agent.state().drain.as_ref().is_some_and(Drain::marks_gone);
    marks_gone && knows(&agent.framework(&key.framework_id), "PARTITION_AWARE")
}

/// Whether a framework has a capability.
fn knows(framework: &serde_json::Value, capability: &str) -> bool {
    let list = framework["capabilities"].as_array();
    list.into_iter().flatten().any(|known| known["type"] == capability)
}

/// Asks until the container runs; whoever calls gives up when the client has ended.
async fn wait_until_running(docker: &Docker, name: &str) -> Option<String> {
    let mut ticks = tokio::time::interval(ASK);
    loop {
        ticks.tick().await;
        if let Some(address) = docker.running(name).await {
            return address;
        }
    }
}

//! The master's part of the agents' protocol, and agents as processes, for the tests.

use std::cell::RefCell;
use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use serde_json::Value;
use standins::http;
use standins::protocol::{REGISTER, Register, ToAgent, Word};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// The longest that anything here may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Where updates come.
const UPDATE: &str = "/standin/agent/update";

/// The id that the master gives.
const AGENT_ID: &str = "agent-S0";

type Lines = mpsc::UnboundedReceiver<ToAgent>;

#[derive(Clone)]
struct Shared {
    refusal: Option<u16>,
    registrations: mpsc::UnboundedSender<(Register, mpsc::UnboundedSender<ToAgent>)>,
    words: mpsc::UnboundedSender<Word>,
}

/// A master that does nothing by itself.
pub(crate) struct Master {
    address: String,
    registrations: mpsc::UnboundedReceiver<(Register, mpsc::UnboundedSender<ToAgent>)>,
    words: mpsc::UnboundedReceiver<Word>,
    line: Option<mpsc::UnboundedSender<ToAgent>>,
    acknowledged: RefCell<Vec<Value>>,
    last_uuid: Option<Value>,
}

impl Master {
    pub(crate) async fn listen(ip: &str) -> Self {
        Self::start(ip, None).await
    }

    /// A master that answers every registration with this status.
    pub(crate) async fn refuse(ip: &str, status: u16) -> Self {
        Self::start(ip, Some(status)).await
    }

    async fn start(ip: &str, refusal: Option<u16>) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (registrations, registered) = mpsc::unbounded_channel();
        let (words, said) = mpsc::unbounded_channel();
        let router = Router::new()
            .route(REGISTER, post(register))
            .route(Word::Pong.path(), post(hear_pong))
            .route(Word::Unregister.path(), post(hear_unregister))
            .route(UPDATE, post(hear_update))
            .with_state(Shared { refusal, registrations, words });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            registrations: registered,
            words: said,
            line: None,
            acknowledged: RefCell::default(),
            last_uuid: None,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The next registration, after which `say` speaks to that agent.
    pub(crate) async fn registered(&mut self) -> Register {
        let next = tokio::time::timeout(DEADLINE, self.registrations.recv()).await;
        let (registration, line) = next.expect("no agent registers").unwrap();
        line.send(ToAgent::Registered { agent_id: AGENT_ID.into() }).unwrap();
        self.line = Some(line);
        self.last_uuid = None;
        registration
    }

    pub(crate) fn say(&self, message: ToAgent) {
        self.line.as_ref().unwrap().send(message).unwrap();
    }

    pub(crate) async fn next_word(&mut self) -> Word {
        let next = tokio::time::timeout(DEADLINE, self.words.recv()).await;
        next.expect("the agent says nothing").unwrap()
    }

    /// The next update of this task that is not the last one again. An agent that died before it
    /// heard an acknowledgement repeats its update, and is told again.
    pub(crate) async fn next_update(&mut self, task_id: &str) -> Value {
        loop {
            let Word::Update { status, .. } = self.next_word().await else { continue };
            if self.acknowledged.borrow().contains(&status["uuid"]) {
                self.acknowledge(&status);
            } else if status["task_id"]["value"] == task_id
                && self.last_uuid.as_ref() != Some(&status["uuid"])
            {
                self.last_uuid = Some(status["uuid"].clone());
                return status;
            }
        }
    }

    pub(crate) fn acknowledge(&self, status: &Value) {
        self.acknowledged.borrow_mut().push(status["uuid"].clone());
        self.say(ToAgent::Acknowledge {
            framework_id: "fw".into(),
            task_id: status["task_id"]["value"].as_str().unwrap().into(),
            uuid: status["uuid"].as_str().unwrap().into(),
        });
    }
}

async fn register(State(shared): State<Shared>, body: Bytes) -> Response {
    if let Some(status) = shared.refusal {
        return http::text(StatusCode::from_u16(status).unwrap(), "refused");
    }
    let registration = serde_json::from_slice(&body).unwrap();
    let (line, lines) = mpsc::unbounded_channel();
    let _ = shared.registrations.send((registration, line));
    let stream = futures::stream::unfold(lines, async |mut lines: Lines| {
        let message = lines.recv().await?;
        let record = http::record(&serde_json::to_value(message).unwrap());
        Some((Ok::<_, Infallible>(record), lines))
    });
    Response::new(Body::from_stream(stream))
}

async fn hear_pong(State(shared): State<Shared>) -> Response {
    hear(&shared, Word::Pong)
}

async fn hear_unregister(State(shared): State<Shared>) -> Response {
    hear(&shared, Word::Unregister)
}

async fn hear_update(State(shared): State<Shared>, body: Bytes) -> Response {
    let said: Value = serde_json::from_slice(&body).unwrap();
    let framework_id = said["framework_id"]["value"].as_str().unwrap().to_owned();
    hear(&shared, Word::Update { framework_id, status: said["status"].clone() })
}

fn hear(shared: &Shared, word: Word) -> Response {
    let _ = shared.words.send(word);
    http::empty()
}

/// An agent's process; its tasks and its folder end with it.
pub(crate) struct AgentProcess {
    folder: tempfile::TempDir,
    ip: String,
    port: u16,
    master: String,
    pub(crate) arguments: Vec<String>,
    child: Child,
}

impl AgentProcess {
    pub(crate) fn start(ip: &str, master: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A task's user has to reach its sandbox.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let port =
            std::net::TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap().port();
        let arguments: Vec<String> =
            arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let child = spawn(folder.path(), &format!("{ip}:{port}"), master, &arguments);
        let master = master.to_owned();
        Self { folder, ip: ip.to_owned(), port, master, arguments, child }
    }

    fn address(&self) -> String {
        format!("{}:{}", self.ip, self.port)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends the process as SIGKILL does.
    pub(crate) fn kill_outright(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        self.child =
            spawn(self.folder.path(), &self.address(), &self.master, &self.arguments);
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(status.success());
    }

    pub(crate) async fn terminate(&mut self) {
        self.signal("TERM");
        self.ended().await;
    }

    /// The exit status, and the log.
    pub(crate) async fn ended(&mut self) -> (Option<i32>, String) {
        let mut code = None;
        until("the agent to end", async || {
            let status = self.child.try_wait().unwrap();
            code = status.and_then(|status| status.code());
            status.is_some()
        })
        .await;
        (code, std::fs::read_to_string(log_path(self.folder.path())).unwrap())
    }

    /// Whether the agent has kept its id.
    pub(crate) fn has_id(&self) -> bool {
        self.folder.path().join("work/meta/slaves/latest/slave.info").exists()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let client = http::client(DEADLINE).unwrap();
        let url = format!("http://{}{path}", self.address());
        client.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// The realm that an endpoint asks to authenticate for.
    pub(crate) async fn realm(&self, path: &str) -> Option<String> {
        let client = http::client(DEADLINE).unwrap();
        let url = format!("http://{}{path}", self.address());
        let response = client.get(url).send().await.unwrap();
        let value = response.headers().get("www-authenticate")?;
        Some(value.to_str().unwrap().to_owned())
    }
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("log")
}

fn spawn(folder: &Path, address: &str, master: &str, arguments: &[String]) -> Child {
    let (ip, port) = address.rsplit_once(':').unwrap();
    let log = std::fs::File::create(log_path(folder)).unwrap();
    Command::new(env!("CARGO_BIN_EXE_mesos-agent"))
        .arg(format!("--master={master}"))
        .arg(format!("--ip={ip}"))
        .arg(format!("--port={port}"))
        .arg(format!("--hostname={ip}"))
        .arg(format!("--work_dir={}/work", folder.display()))
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for record in records(&self.folder.path().join("work/meta/slaves")) {
            let text = std::fs::read_to_string(record).unwrap_or_default();
            let value: Value = serde_json::from_str(&text).unwrap_or_default();
            if let Some(pid) = value["process"]["pid"].as_i64()
                && value["ended"].is_null()
            {
                let group = format!("-{pid}");
                let _ = Command::new("kill")
                    .args(["-s", "KILL", "--", &group])
                    .stderr(Stdio::null())
                    .status();
            }
        }
    }
}

/// The records of tasks below a folder.
fn records(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.ends_with("task.json") {
            found.push(path);
        } else if !path.is_symlink() && path.is_dir() {
            found.extend(records(&path));
        }
    }
    found
}

/// The user that the tests, and so the agents, run as.
pub(crate) fn own_name() -> String {
    let output = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Whether a process has ended, reaped or not.
pub(crate) fn is_over(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim().starts_with('Z'))
}

/// Waits for a condition, and fails when it does not come true in time.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while !condition().await {
            ticks.tick().await;
        }
    };
    let waited = tokio::time::timeout(DEADLINE, wait).await;
    assert!(waited.is_ok(), "still waiting for {what}");
}

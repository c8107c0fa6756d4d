//! The stand-ins as processes, which end with the test.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use standins::http;

/// The longest that anything here may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

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

    /// `ip:port`.
    pub(crate) fn address(&self) -> String {
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

/// A master's process at port 5050; its folder ends with it.
pub(crate) struct MasterProcess {
    folder: tempfile::TempDir,
    ip: String,
    arguments: Vec<String>,
    child: Child,
}

impl MasterProcess {
    pub(crate) fn start(ip: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments: Vec<String> =
            arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let child = spawn_master(folder.path(), ip, &arguments);
        Self { folder, ip: ip.to_owned(), arguments, child }
    }

    /// Ends the process as SIGKILL does.
    pub(crate) fn kill_outright(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        self.child = spawn_master(self.folder.path(), &self.ip, &self.arguments);
    }
}

fn spawn_master(folder: &Path, ip: &str, arguments: &[String]) -> Child {
    let log = std::fs::File::create(log_path(folder)).unwrap();
    Command::new(env!("CARGO_BIN_EXE_mesos-master"))
        .arg(format!("--ip={ip}"))
        .arg(format!("--work_dir={}/work", folder.display()))
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Drop for MasterProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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

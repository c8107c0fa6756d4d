//! The stand-ins as processes, which end with the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use standins::http;

use crate::cluster::{DEADLINE, Process, docker, folder};

/// An agent's process; its tasks and its folder end with it.
pub(crate) struct AgentProcess {
    folder: tempfile::TempDir,
    ip: String,
    port: u16,
    master: String,
    pub(crate) arguments: Vec<String>,
    process: Process,
}

impl AgentProcess {
    pub(crate) fn start(ip: &str, master: &str, arguments: &[&str]) -> Self {
        let folder = folder();
        let port =
            std::net::TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap().port();
        let arguments: Vec<String> =
            arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let process = spawn(folder.path(), &format!("{ip}:{port}"), master, &arguments);
        let master = master.to_owned();
        Self { folder, ip: ip.to_owned(), port, master, arguments, process }
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
        self.process.kill_outright();
    }

    pub(crate) fn start_again(&mut self) {
        self.process =
            spawn(self.folder.path(), &self.address(), &self.master, &self.arguments);
    }

    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    pub(crate) async fn terminate(&mut self) {
        self.process.terminate().await;
    }

    /// The exit status, and the log.
    pub(crate) async fn ended(&mut self) -> (Option<i32>, String) {
        let code = self.process.ended().await;
        (code, self.process.log())
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

fn spawn(folder: &Path, address: &str, master: &str, more: &[String]) -> Process {
    let (ip, port) = address.rsplit_once(':').unwrap();
    let mut arguments = vec![
        format!("--master={master}"),
        format!("--ip={ip}"),
        format!("--port={port}"),
        format!("--hostname={ip}"),
        format!("--work_dir={}/work", folder.display()),
    ];
    arguments.extend_from_slice(more);
    let program = env!("CARGO_BIN_EXE_mesos-agent");
    Process::start(program, &folder.join("log"), &arguments, &[])
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        self.process.kill_outright();
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
    process: Process,
}

impl MasterProcess {
    pub(crate) fn start(ip: &str, arguments: &[&str]) -> Self {
        let folder = folder();
        let arguments: Vec<String> =
            arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let process = spawn_master(folder.path(), ip, &arguments);
        Self { folder, ip: ip.to_owned(), arguments, process }
    }

    /// Ends the process as SIGKILL does.
    pub(crate) fn kill_outright(&mut self) {
        self.process.kill_outright();
    }

    pub(crate) fn start_again(&mut self) {
        self.process = spawn_master(self.folder.path(), &self.ip, &self.arguments);
    }
}

fn spawn_master(folder: &Path, ip: &str, more: &[String]) -> Process {
    let mut arguments =
        vec![format!("--ip={ip}"), format!("--work_dir={}/work", folder.display())];
    arguments.extend_from_slice(more);
    let program = env!("CARGO_BIN_EXE_mesos-master");
    Process::start(program, &folder.join("log"), &arguments, &[])
}

/// A container that ends with the test, whatever becomes of the test.
pub(crate) struct Container(pub(crate) String);

impl Container {
    /// Whether it runs.
    pub(crate) fn is_running(&self) -> bool {
        let format = "--format={{.State.Running}}";
        docker(&["container", "inspect", format, &self.0]) == "true"
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let arguments = ["rm", "--force", "--volumes", &self.0];
        // Nobody is left to be told.
        let _ = Command::new("docker").args(arguments).output();
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

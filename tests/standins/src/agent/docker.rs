//! Docker tasks: the command lines made of a `TaskInfo`, and the few questions asked of Docker.
//!
//! The command lines are pure. Invariant: no variable's value is in an argument, where every user
//! of the machine could read it.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::record::Record;
use super::settings::DockerSettings;

/// Where a container finds its sandbox.
pub const SANDBOX: &str = "/mnt/mesos/sandbox";

/// How long Docker may take to answer a question.
const ANSWER: Duration = Duration::from_secs(60);

const MIB: f64 = 1_048_576.0;

/// The least memory that a container gets, as the real agent has it.
const MIN_MEMORY: f64 = 32.0 * MIB;

/// Why Docker did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// The client could not be run, or took too long.
    #[error("Failed to run '{command}': {reason}")]
    Run {
        /// The command line.
        command: String,
        /// What is wrong.
        reason: String,
    },
    /// The client failed.
    #[error("Failed to run '{command}': exited with status {status}; stderr='{stderr}'")]
    Failed {
        /// The command line.
        command: String,
        /// The exit status.
        status: i32,
        /// The last of what it said.
        stderr: String,
    },
}

/// The variables of a container, by where their values are put.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variables {
    /// Lines of a file for `--env-file`.
    pub file: String,
    /// Names and values that the client is to inherit, since a line feed fits in no file.
    pub inherited: Vec<(String, String)>,
}

/// Sorts a task's variables.
pub fn variables(all: &[(String, String)]) -> Variables {
    let mut sorted = Variables::default();
    for (name, value) in all {
        if value.contains('\n') {
            sorted.inherited.push((name.clone(), value.clone()));
        } else {
            sorted.file.push_str(&format!("{name}={value}\n"));
        }
    }
    sorted
}

/// The arguments of `docker run` for a task.
pub fn run_arguments(
    record: &Record,
    env_file: &Path,
    inherited: &[&str],
) -> Vec<String> {
    let container = &record.task["container"];
    let docker = &container["docker"];
    let mut argv = vec!["run".to_owned()];
    if docker["privileged"] == true {
        argv.push("--privileged".into());
    }
    argv.extend(limits(record));
    argv.push(format!("--env-file={}", env_file.display()));
    argv.extend(inherited.iter().flat_map(|name| ["-e".to_owned(), (*name).to_owned()]));
    for volume in items(&container["volumes"]) {
        argv.extend(["-v".into(), volume_text(volume, &record.sandbox)]);
    }
    argv.push(sandbox_mount(&record.sandbox));
    argv.extend(network(container));
    for parameter in items(&docker["parameters"]) {
        argv.push(format!("--{}={}", text(&parameter["key"]), text(&parameter["value"])));
    }
    argv.push(format!("--label=MESOS_TASK_ID={}", record.task_id()));
    argv.push(format!("--name={}", record.container_name()));
    let (entrypoint, arguments) = command(&record.task["command"]);
    argv.extend(entrypoint);
    argv.push(image(record).to_owned());
    argv.extend(arguments);
    argv
}

/// The image of a task.
pub fn image(record: &Record) -> &str {
    record.task["container"]["docker"]["image"].as_str().unwrap_or_default()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn limits(record: &Record) -> Vec<String> {
    let amount = |name: &str| {
        items(&record.task["resources"])
            .filter(|resource| resource["name"] == name)
            .filter_map(|resource| resource["scalar"]["value"].as_f64())
            .reduce(|sum, value| sum + value)
    };
    let mut argv = Vec::new();
    if let Some(cpus) = amount("cpus") {
        argv.push(format!("--cpu-shares={}", (cpus * 1024.0).max(2.0) as u64));
    }
    if let Some(mem) = amount("mem") {
        argv.push(format!("--memory={}", (mem * MIB).max(MIN_MEMORY) as u64));
    }
    argv
}

/// A volume; a relative host path is one in the sandbox, and none at all an anonymous volume.
fn volume_text(volume: &Value, sandbox: &Path) -> String {
    let mode = if volume["mode"] == "RO" { "ro" } else { "rw" };
    let inside = text(&volume["container_path"]);
    let inside = if inside.starts_with('/') {
        inside.to_owned()
    } else {
        format!("{SANDBOX}/{inside}")
    };
    match volume["host_path"].as_str() {
        None => inside,
        Some(host) => format!("{}:{inside}:{mode}", sandbox.join(host).display()),
    }
}

/// The sandbox is named after its task, and tasks of Chronos have colons in their names, which
/// divide what `-v` takes. A real agent goes round that by a link.
fn sandbox_mount(sandbox: &Path) -> String {
    let source = sandbox.display().to_string().replace('"', "\"\"");
    format!("--mount=type=bind,\"source={source}\",target={SANDBOX}")
}

fn network(container: &Value) -> Vec<String> {
    let docker = &container["docker"];
    let name = match docker["network"].as_str() {
        Some("BRIDGE") => "bridge",
        Some("NONE") => "none",
        Some("USER") => {
            container["network_infos"][0]["name"].as_str().unwrap_or("bridge")
        }
        _ => "host",
    };
    let mut argv = vec![format!("--net={name}")];
    if let Some(hostname) = container["hostname"].as_str()
        && name != "host"
    {
        argv.push(format!("--hostname={hostname}"));
    }
    for mapping in items(&docker["port_mappings"]) {
        let protocol = mapping["protocol"].as_str().unwrap_or("tcp").to_lowercase();
        let (host, inside) = (&mapping["host_port"], &mapping["container_port"]);
        argv.extend(["-p".into(), format!("{host}:{inside}/{protocol}")]);
    }
    argv
}

/// What goes before and behind the image.
fn command(command: &Value) -> (Option<String>, Vec<String>) {
    let value = command["value"].as_str();
    let arguments = items(&command["arguments"]).map(|item| text(item).to_owned());
    if command["shell"] == false {
        return (None, value.map(str::to_owned).into_iter().chain(arguments).collect());
    }
    match value {
        Some(value) => {
            (Some("--entrypoint=/bin/sh".into()), vec!["-c".into(), value.to_owned()])
        }
        None => (None, Vec::new()),
    }
}

/// The `config.json` of the agent's own flag, where a task brought none: what pulls use.
pub fn pull_config<'a>(
    sandbox: &Path,
    settings: &'a DockerSettings,
) -> Option<&'a Value> {
    let brought = |name: &str| sandbox.join(name).exists();
    let is_brought = brought(".docker/config.json") || brought(".dockercfg");
    settings.config.as_ref().filter(|_| !is_brought)
}

/// The Docker client.
#[derive(Debug, Clone)]
pub struct Docker {
    settings: DockerSettings,
}

impl Docker {
    /// A client with these settings.
    pub fn new(settings: DockerSettings) -> Self {
        Self { settings }
    }

    /// The settings.
    pub fn settings(&self) -> &DockerSettings {
        &self.settings
    }

    /// The whole command line for these arguments.
    pub fn argv(&self, arguments: Vec<String>) -> Vec<String> {
        let head =
            [self.settings.program.clone(), "-H".to_owned(), self.settings.host.clone()];
        head.into_iter().chain(arguments).collect()
    }

    /// Runs the client, and kills it when it takes longer than `deadline`. A task's pull has
    /// its sandbox as home, and so the `.docker/config.json` there.
    ///
    /// # Errors
    /// When it fails or takes too long.
    pub async fn run(
        &self,
        arguments: &[&str],
        home: Option<&Path>,
        deadline: Duration,
    ) -> Result<String, DockerError> {
        let owned = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let argv = self.argv(owned);
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).stdin(Stdio::null()).kill_on_drop(true);
        command.envs(home.map(|home| ("HOME", home)));
        let failed =
            |reason: String| DockerError::Run { command: argv.join(" "), reason };
        let output = tokio::time::timeout(deadline, command.output())
            .await
            .map_err(|_| failed(format!("no answer within {} s", deadline.as_secs())))?
            .map_err(|error| failed(error.to_string()))?;
        outcome(&output, &argv)
    }

    /// Makes the image be there: pulled where it is missing or `force` says so.
    ///
    /// # Errors
    /// When it cannot be pulled.
    pub async fn ensure_image(
        &self,
        image: &str,
        force: bool,
        home: &Path,
        deadline: Duration,
    ) -> Result<(), DockerError> {
        let look = ["image", "inspect", "--format={{.Id}}", image];
        if !force && self.run(&look, None, ANSWER).await.is_ok() {
            return Ok(());
        }
        self.run(&["pull", image], Some(home), deadline).await.map(|_| ())
    }

    /// Whether the container runs, and the address it has of its own, if any.
    pub async fn running(&self, name: &str) -> Option<Option<String>> {
        let format = "--format={{.State.Running}} \
                      {{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
        let look = ["container", "inspect", format, name];
        let answer = self.run(&look, None, ANSWER).await.ok()?;
        let mut words = answer.split_whitespace();
        (words.next() == Some("true")).then(|| words.next().map(str::to_owned))
    }

    /// Stops the container within the grace, or kills it.
    ///
    /// # Errors
    /// When Docker does not.
    pub async fn stop(&self, name: &str, grace: Duration) -> Result<(), DockerError> {
        // Docker takes whole seconds; a part of one is not to become none.
        let seconds = grace.as_secs_f64().ceil() as u64;
        let time = format!("--time={seconds}");
        let deadline = ANSWER + Duration::from_secs(seconds);
        self.run(&["stop", &time, name], None, deadline).await.map(|_| ())
    }

    /// Kills the container.
    ///
    /// # Errors
    /// When Docker does not, as when it has ended.
    pub async fn kill(&self, name: &str) -> Result<(), DockerError> {
        self.run(&["kill", name], None, ANSWER).await.map(|_| ())
    }

    /// Removes an ended container with its anonymous volumes.
    ///
    /// # Errors
    /// When Docker does not, as when it is gone.
    pub async fn remove(&self, name: &str) -> Result<(), DockerError> {
        self.run(&["rm", "--force", "--volumes", name], None, ANSWER).await.map(|_| ())
    }

    /// The running containers that carry a name of Mesos.
    ///
    /// # Errors
    /// When Docker does not answer.
    pub async fn mesos_containers(&self) -> Result<Vec<String>, DockerError> {
        let list = ["ps", "--filter=name=^/?mesos-", "--format={{.Names}}"];
        let answer = self.run(&list, None, ANSWER).await?;
        Ok(answer.lines().filter(|name| is_of_mesos(name)).map(str::to_owned).collect())
    }
}

/// Whether a container's name is one that agents give: others may begin alike.
fn is_of_mesos(name: &str) -> bool {
    let id = name.strip_prefix("mesos-");
    id.is_some_and(|id| uuid::Uuid::try_parse(id).is_ok())
}

fn outcome(output: &Output, argv: &[String]) -> Result<String, DockerError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(DockerError::Failed {
        command: argv.join(" "),
        status: output.status.code().unwrap_or(-1),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::PathBuf;

    fn record(task: Value) -> Record {
        let sandbox = PathBuf::from("/w/s");
        Record { sandbox, ..Record::new("f", task, "a", "c") }
    }

    fn argv(task: Value) -> String {
        run_arguments(&record(task), Path::new("/m/env"), &["LONG"]).join(" ")
    }

    #[test]
    fn a_bridged_container_has_ports_limits_and_volumes() {
        let resources = json!([
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.5}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 64.0}},
        ]);
        let container = json!({"type": "DOCKER", "hostname": "inside",
            "volumes": [
                {"container_path": "/data", "host_path": "/srv", "mode": "RO"},
                {"container_path": "tmp", "host_path": "t", "mode": "RW"},
                {"container_path": "/own", "mode": "RW"},
            ],
            "docker": {"image": "i:1", "network": "BRIDGE", "privileged": true,
                "port_mappings": [
                    {"host_port": 31000, "container_port": 80, "protocol": "tcp"},
                    {"host_port": 31001, "container_port": 53, "protocol": "UDP"}],
                "parameters": [{"key": "label", "value": "a=b"}]}});
        let got = argv(json!({"container": container, "resources": resources,
            "task_id": {"value": "t"}, "command": {"value": "exec x"}}));
        let want = "run --privileged --cpu-shares=512 --memory=67108864 \
            --env-file=/m/env -e LONG -v /srv:/data:ro -v /w/s/t:/mnt/mesos/sandbox/tmp:rw \
            -v /own --mount=type=bind,\"source=/w/s\",target=/mnt/mesos/sandbox \
            --net=bridge --hostname=inside \
            -p 31000:80/tcp -p 31001:53/udp --label=a=b --label=MESOS_TASK_ID=t --name=mesos-c \
            --entrypoint=/bin/sh i:1 -c exec x";
        assert_eq!(got, want);
    }

    #[test]
    fn any_name_of_a_task_can_be_a_sandbox() {
        let mount = sandbox_mount(Path::new("/w/ct:1:0:a:b,\"c\""));
        let source = r#""source=/w/ct:1:0:a:b,""c""""#;
        assert_eq!(mount, format!("--mount=type=bind,{source},target={SANDBOX}"));
    }

    #[test]
    fn without_a_shell_the_images_entrypoint_gets_the_arguments() {
        for (command, want) in [
            (json!({"shell": false, "arguments": ["a", "b"]}), "--name=mesos-c i a b"),
            (json!({"shell": false}), "--name=mesos-c i"),
            (json!({}), "--name=mesos-c i"),
        ] {
            let task = json!({"command": command, "container": {"type": "DOCKER",
                "docker": {"image": "i", "network": "HOST"}}});
            let got = argv(task);
            assert!(got.contains("--net=host"), "{got}");
            assert!(got.ends_with(want), "{got}");
        }
    }

    #[test]
    fn only_names_that_agents_give_are_theirs() {
        assert!(is_of_mesos("mesos-f68f9cc4-b26d-4cce-bb04-901e75356a09"));
        for name in ["mesos-master", "mesos-", "f68f9cc4-b26d-4cce-bb04-901e75356a09"] {
            assert!(!is_of_mesos(name), "{name}");
        }
    }

    #[test]
    fn values_are_in_the_file_or_inherited() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let sorted = variables(&[pair("A", "1 2"), pair("B", "x\ny")]);
        assert_eq!(sorted.file, "A=1 2\n");
        assert_eq!(sorted.inherited, [pair("B", "x\ny")]);
    }
}

//! Starts a task's process so that it outlives the agent, and reads how it ended.
//!
//! The process is a shell in a session of its own, which notes who it is, runs the task, and notes
//! the status that the task leaves with, whether an agent is there to see it or not.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::docker::{self, Docker};
use super::process;
use super::record::{Process, Record};
use super::store::{StoreError, write_file};

/// Each note is one line, written at once, so that a line without an end is no note yet. The
/// traps keep the shell for the note when the whole group is asked to end.
const WRAPPER: &str = r#"notes=$1
shift
trap : HUP INT QUIT TERM
read -r stat <"/proc/$$/stat"
echo "$stat" >"$notes/process"
"$@"
echo "$?" >"$notes/exit"
"#;

/// Why a task could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The task's user.
    #[error("Failed to get user information for '{0}'")]
    User(String),
    /// The task says nothing to run.
    #[error("the task has no command")]
    NoCommand,
    /// A Docker task for an agent without Docker.
    #[error("None of the enabled containerizers (mesos) could create a container")]
    NoDocker,
    /// A file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system.
    #[error("Failed to launch the task: {0}")]
    System(#[from] io::Error),
}

/// A user of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The number of the user's first group.
    pub gid: u32,
}

impl User {
    /// Finds a user by name.
    ///
    /// # Errors
    /// When the machine has no such user.
    pub fn find(name: &str) -> Result<Self, LaunchError> {
        let unknown = || LaunchError::User(name.to_owned());
        let passwd = fs::read_to_string("/etc/passwd").map_err(|_| unknown())?;
        user_in(&passwd, name).ok_or_else(unknown)
    }

    /// Gives a file to the user.
    ///
    /// # Errors
    /// When the agent may not.
    pub fn own(&self, path: &Path) -> io::Result<()> {
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))
    }
}

fn user_in(passwd: &str, name: &str) -> Option<User> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some(User { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

/// The user that a task runs as, where the agent may choose.
///
/// # Errors
/// When the machine has no such user.
pub fn user_of(
    record: &Record,
    framework: &Value,
    switches: bool,
) -> Result<Option<User>, LaunchError> {
    if !switches || !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let name = record.task["command"]["user"].as_str().or(framework["user"].as_str());
    name.filter(|name| !name.is_empty()).map(User::find).transpose()
}

/// The variables that a `CommandInfo` sets.
pub fn variables_of(command: &Value) -> Vec<(String, String)> {
    let list = command["environment"]["variables"].as_array();
    list.into_iter()
        .flatten()
        .filter_map(|variable| {
            let name = variable["name"].as_str()?.to_owned();
            Some((name, variable["value"].as_str().unwrap_or_default().to_owned()))
        })
        .collect()
}

/// The words of a command task.
///
/// # Errors
/// When it says nothing to run.
pub fn command_words(command: &Value) -> Result<Vec<String>, LaunchError> {
    let value = command["value"].as_str();
    if command["shell"] != false {
        let value = value.ok_or(LaunchError::NoCommand)?;
        return Ok(vec!["/bin/sh".into(), "-c".into(), value.to_owned()]);
    }
    // The first argument is the name that the program is to see for itself; the program is `value`.
    let arguments = command["arguments"].as_array().into_iter().flatten();
    let mut words: Vec<String> =
        arguments.filter_map(|word| word.as_str().map(str::to_owned)).collect();
    match (value, words.first_mut()) {
        (Some(value), Some(first)) => value.clone_into(first),
        (Some(value), None) => words.push(value.to_owned()),
        (None, Some(_)) => (),
        (None, None) => return Err(LaunchError::NoCommand),
    }
    Ok(words)
}

/// What of the agent's own environment a task inherits.
fn is_inherited(name: &str) -> bool {
    !["MESOS_", "LIBPROCESS_", "NOTIFY_SOCKET"].iter().any(|own| name.starts_with(own))
}

/// Starts the task; the process that is returned is the shell, which the caller must reap.
///
/// # Errors
/// When it cannot be started.
pub fn start(
    record: &Record,
    meta: &Path,
    user: Option<&User>,
    docker: Option<&Docker>,
) -> Result<(Process, std::process::Child), LaunchError> {
    let notes = meta.join("notes");
    fs::create_dir_all(&notes)?;
    let mut command = Command::new("/usr/bin/setsid");
    command.args(["/bin/sh", "-c", WRAPPER, "mesos-executor"]).arg(&notes);
    command.env_clear().envs(
        std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_inherited)),
    );
    if record.is_docker() {
        add_docker(&mut command, record, meta, docker.ok_or(LaunchError::NoDocker)?)?;
    } else {
        add_command(&mut command, record)?;
        if let Some(user) = user {
            user.own(&notes)?;
            command.uid(user.uid).gid(user.gid);
        }
    }
    let output = |name: &str| -> io::Result<File> {
        let path = record.sandbox.join(name);
        let file = File::options().create(true).append(true).open(&path)?;
        if let Some(user) = user {
            user.own(&path)?;
        }
        Ok(file)
    };
    command.stdin(Stdio::null()).stdout(output("stdout")?).stderr(output("stderr")?);
    let child = command.current_dir(&record.sandbox).spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let process =
        process::find(pid).ok_or_else(|| io::Error::other("it was gone at once"))?;
    Ok((process, child))
}

fn add_command(command: &mut Command, record: &Record) -> Result<(), LaunchError> {
    let info = &record.task["command"];
    command.args(command_words(info)?);
    command.env("MESOS_SANDBOX", &record.sandbox);
    command.env("MESOS_TASK_ID", record.task_id());
    command.envs(variables_of(info));
    Ok(())
}

fn add_docker(
    command: &mut Command,
    record: &Record,
    meta: &Path,
    docker: &Docker,
) -> Result<(), LaunchError> {
    let mut all = vec![
        ("MESOS_SANDBOX".to_owned(), docker::SANDBOX.to_owned()),
        ("MESOS_TASK_ID".to_owned(), record.task_id().to_owned()),
        ("MESOS_CONTAINER_NAME".to_owned(), record.container_name()),
    ];
    all.extend(variables_of(&record.task["command"]));
    let sorted = docker::variables(&all);
    let env_file = meta.join("env");
    write_file(&env_file, sorted.file.as_bytes(), 0o600)?;
    let names: Vec<&str> =
        sorted.inherited.iter().map(|(name, _)| name.as_str()).collect();
    command.args(docker.argv(docker::run_arguments(record, &env_file, &names)));
    command.envs(sorted.inherited);
    Ok(())
}

/// The process that a launch began which no agent lived to record.
pub fn noted_process(meta: &Path, boot_id: String) -> Option<Process> {
    process::from_file(&meta.join("notes/process"), boot_id)
}

/// The status that the task left with; none when its shell was killed with it.
pub fn noted_exit(meta: &Path) -> Option<i32> {
    let note = fs::read_to_string(meta.join("notes/exit")).ok()?;
    note.strip_suffix('\n')?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_command_is_a_line_of_shell_or_words() {
        for (command, want) in [
            (json!({"value": "a b"}), &["/bin/sh", "-c", "a b"][..]),
            (
                json!({"shell": false, "value": "/bin/x", "arguments": ["x", "1"]}),
                &["/bin/x", "1"],
            ),
            (json!({"shell": false, "value": "/bin/x"}), &["/bin/x"]),
            (json!({"shell": false, "arguments": ["x", "1"]}), &["x", "1"]),
        ] {
            assert_eq!(command_words(&command).unwrap(), want, "{command}");
        }
        assert!(command_words(&json!({})).is_err());
        assert!(command_words(&json!({"shell": false})).is_err());
    }

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nab:x:7:8::/:/bin/sh\n";
        assert_eq!(user_in(passwd, "ab"), Some(User { uid: 7, gid: 8 }));
        assert_eq!(user_in(passwd, "a"), None);
    }

    #[test]
    fn a_note_without_an_end_is_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("notes")).unwrap();
        assert_eq!(noted_exit(folder.path()), None);
        fs::write(folder.path().join("notes/exit"), "13").unwrap();
        assert_eq!(noted_exit(folder.path()), None);
        fs::write(folder.path().join("notes/exit"), "137\n").unwrap();
        assert_eq!(noted_exit(folder.path()), Some(137));
    }
}

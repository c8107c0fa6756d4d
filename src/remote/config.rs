//! The operator's own SSH settings, as `ssh -G` reports them.
//!
//! If this program read `~/.ssh/config` itself, it would sooner or later get `Include`, `Match`
//! or `ProxyJump` wrong; OpenSSH does not. One call takes about 5 ms for each host. So if every
//! line of the files that OpenSSH read is known to apply to all hosts alike (`alike`), as in the
//! files that systems ship with, the first answer is used for all hosts.

mod alike;
mod answer;
mod tokens;

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OnceCell, Semaphore};

use self::tokens::Here;
use super::local::{self, LocalError};
use super::{Argv, Output};

pub use self::tokens::BadValue;

/// `Match exec` may run the operator's programs, and a canonical name may need a DNS query.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);
/// The number of hosts asked about at once: `Match exec` may wait, but each call is a process.
const ASKED_AT_ONCE: usize = 8;

/// What the operator's SSH configuration says about one host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostConfig {
    /// Where to connect.
    pub hostname: String,
    /// The user to log in as.
    pub user: String,
    /// The port of the SSH server.
    pub port: u16,
    /// Private keys to try; those of OpenSSH's default list may not exist.
    pub identity_files: Vec<PathBuf>,
    /// Certificates to show for them, in addition to those that lie next to their keys.
    pub certificate_files: Vec<PathBuf>,
    /// Whether only the keys of `identity_files` may be tried, and no other keys of the SSH
    /// agent.
    pub identities_only: bool,
    /// The SSH agent's socket, if it is not the one from the environment.
    pub identity_agent: Agent,
    /// Hosts to connect through, nearest first, each as `[user@]host[:port]`.
    pub proxy_jump: Vec<String>,
    /// A command for a shell of this computer; its input and output are the connection to the
    /// host. Its tokens are replaced, by names in which a shell finds no special characters.
    pub proxy_command: Option<OsString>,
    /// The files of known hosts; the operator's files come before the system's.
    pub known_hosts: Vec<PathBuf>,
    /// A list of revoked keys, in the format that `ssh-keygen -Q` reads.
    pub revoked_keys: Option<PathBuf>,
    /// The name by which the host's key is known, if it is not `hostname`.
    pub host_key_alias: Option<String>,
}

/// Where the SSH agent's socket is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Agent {
    /// As `SSH_AUTH_SOCK` says.
    #[default]
    Environment,
    /// As another environment variable says.
    Variable(String),
    /// At this socket.
    Socket(PathBuf),
    /// There is no agent.
    None,
}

/// Why the operator's settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `ssh -G` did not finish.
    #[error("cannot ask OpenSSH for the settings of {host}")]
    Ask {
        /// The host that was asked about.
        host: String,
        /// The cause.
        source: LocalError,
    },
    /// `ssh -G` failed: most often because of a mistake in the operator's configuration.
    #[error("OpenSSH cannot read the settings of {host}: {said}")]
    Refused {
        /// The host that was asked about.
        host: String,
        /// Its message, with file and line if it knows them.
        said: String,
    },
    /// A setting cannot be completed.
    #[error("`{setting}` cannot be used for {host}")]
    Value {
        /// The host that was asked about.
        host: String,
        /// The setting as written.
        setting: String,
        /// The cause.
        source: BadValue,
    },
}

/// Asks for the operator's settings, as rarely as possible; shared by a whole run.
#[derive(Debug)]
pub struct OperatorConfig {
    file: Option<PathBuf>,
    /// The answer for the first host, if it also serves all others.
    for_all: OnceCell<Option<HostConfig>>,
    for_each: Mutex<HashMap<Question, Arc<OnceCell<HostConfig>>>>,
    places: Semaphore,
}

/// What an answer depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// The host as the operator names it.
    pub host: String,
    /// The user that the inventory names.
    pub user: Option<String>,
    /// The port that the inventory names.
    pub port: Option<u16>,
}

impl OperatorConfig {
    /// Asks with OpenSSH's usual files, or with the given file instead.
    pub fn new(file: Option<PathBuf>) -> Self {
        let places = Semaphore::new(ASKED_AT_ONCE);
        Self { file, for_all: OnceCell::new(), for_each: Mutex::default(), places }
    }

    /// Gives the operator's settings for a host; values in the question take precedence over
    /// them.
    ///
    /// `Match exec` passes names to shells of this computer: the caller has checked the names. If
    /// this computer has no OpenSSH client, there are no settings and OpenSSH's defaults apply.
    ///
    /// # Errors
    /// If OpenSSH rejects its configuration, or does not answer in time.
    pub async fn of(&self, question: &Question) -> Result<HostConfig, ConfigError> {
        let for_all = || async { self.ask_for_all(question).await };
        let mut config = match self.for_all.get_or_try_init(for_all).await? {
            // OpenSSH answers in lower case.
            Some(config) => {
                let hostname = question.host.to_ascii_lowercase();
                HostConfig { hostname, ..config.clone() }
            }
            None => self.ask_once(question).await?,
        };
        config.user = question.user.clone().unwrap_or(config.user);
        config.port = question.port.unwrap_or(config.port);
        Ok(config)
    }

    async fn ask_once(&self, question: &Question) -> Result<HostConfig, ConfigError> {
        let cell =
            self.for_each.lock().await.entry(question.clone()).or_default().clone();
        let ask = || async { read(&self.ask(question, &[]).await?.stdout, question) };
        cell.get_or_try_init(ask).await.cloned()
    }

    /// The answer that serves all hosts, if there is one.
    async fn ask_for_all(
        &self,
        question: &Question,
    ) -> Result<Option<HostConfig>, ConfigError> {
        // Neither user nor port: the answer must also serve hosts for which the inventory sets
        // others.
        let plain = Question { user: None, port: None, ..question.clone() };
        // -v prints the files that were read.
        let answer = match self.ask(&plain, &["-v"]).await {
            Err(ConfigError::Ask { source: LocalError::Start { .. }, .. }) => {
                return Ok(Some(without_openssh(&home())));
            }
            answer => answer?,
        };
        let Some(files) = alike::files_read(&answer.stderr) else { return Ok(None) };
        for file in files {
            let alike =
                tokio::fs::read(&file).await.map(|text| alike::treats_hosts_alike(&text));
            if !alike.unwrap_or(false) {
                return Ok(None);
            }
        }
        read(&answer.stdout, &plain).map(Some)
    }

    async fn ask(
        &self,
        question: &Question,
        more: &[&str],
    ) -> Result<Output, ConfigError> {
        let host = || question.host.clone();
        let argv = question_argv(question, self.file.as_deref(), more);
        // The only error is a closed semaphore, and this one is never closed.
        let _place = self.places.acquire().await.ok();
        let output = local::run(&argv, &[], ANSWER_DEADLINE)
            .await
            .map_err(|source| ConfigError::Ask { host: host(), source })?;
        match output.status {
            0 => Ok(output),
            _ => Err(ConfigError::Refused {
                host: host(),
                said: complaint(&output.stderr),
            }),
        }
    }
}

/// Replaces a leading `~` by the home directory of the user who runs the program.
pub fn expand_home(path: &Path) -> PathBuf {
    tokens::in_home(path.as_os_str().as_bytes(), &home())
}

fn home() -> PathBuf {
    std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"))
}

fn question_argv(question: &Question, file: Option<&Path>, more: &[&str]) -> Argv {
    let words = ["ssh", "-T", "-G", "-o", Here::QUESTION].iter().chain(more);
    let mut words: Vec<String> = words.map(|&word| word.to_owned()).collect();
    let mut option = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
    if let Some(file) = file {
        option("-F", file.display().to_string());
    }
    if let Some(user) = &question.user {
        option("-l", user.clone());
    }
    if let Some(port) = question.port {
        option("-p", port.to_string());
    }
    words.extend(["--".to_owned(), question.host.clone()]);
    Argv::new(words)
}

fn read(answer: &[u8], question: &Question) -> Result<HostConfig, ConfigError> {
    answer::read(answer, question).map_err(|bad| ConfigError::Value {
        host: question.host.clone(),
        setting: bad.setting,
        source: bad.why,
    })
}

/// The settings if there is no OpenSSH client to ask.
fn without_openssh(home: &Path) -> HostConfig {
    let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    let keys = ["id_rsa", "id_ecdsa", "id_ed25519"];
    HostConfig {
        user,
        port: 22,
        identity_files: keys.map(|name| home.join(".ssh").join(name)).to_vec(),
        known_hosts: vec![
            home.join(".ssh/known_hosts"),
            PathBuf::from("/etc/ssh/ssh_known_hosts"),
        ],
        ..HostConfig::default()
    }
}

/// OpenSSH's error message, without its debug lines.
fn complaint(stderr: &[u8]) -> String {
    let chatter = |line: &&str| {
        !line.starts_with("debug") && !line.starts_with("OpenSSH_") && !line.is_empty()
    };
    let stderr = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(chatter).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_what_is_left_without_the_chatter() {
        let said = b"OpenSSH_9.2p1\ndebug1: Reading configuration data /c\r\n\n\
                     /c line 2: Bad configuration option: frob\r\n";
        assert_eq!(complaint(said), "/c line 2: Bad configuration option: frob");
    }
}

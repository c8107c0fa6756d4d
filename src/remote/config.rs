//! The operator's own SSH settings, as `ssh -G` tells them.
//!
//! Reading `~/.ssh/config` ourselves would get `Include`, `Match` and `ProxyJump` wrong one
//! day; OpenSSH never does. Asking costs a process of some 8 ms for each host, so where no
//! file that OpenSSH read treats hosts differently, the first answer serves them all.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{Mutex, OnceCell};

use super::local::{self, LocalError};
use super::{Argv, Output};

/// `Match exec` may run the operator's programs, and a canonical name may ask the DNS.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

/// What the operator's SSH configuration says of one host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostConfig {
    /// Where to connect.
    pub hostname: String,
    /// The user to log in as.
    pub user: String,
    /// The port of the SSH server.
    pub port: u16,
    /// Private keys to try; those of OpenSSH's own list may not exist.
    pub identity_files: Vec<PathBuf>,
    /// Certificates to show for them, beside those that lie next to their keys.
    pub certificate_files: Vec<PathBuf>,
    /// Whether only keys of `identity_files` may be tried, the agent's others not.
    pub identities_only: bool,
    /// The agent's socket, where it is not the one of the environment.
    pub identity_agent: Agent,
    /// Hosts to go through, nearest first, each as `[user@]host[:port]`.
    pub proxy_jump: Vec<String>,
    /// A command whose input and output are the way to the host.
    pub proxy_command: Option<String>,
    /// The files of known hosts, the operator's before the system's.
    pub known_hosts: Vec<PathBuf>,
    /// A list of revoked keys, in the form that `ssh-keygen -Q` reads.
    pub revoked_keys: Option<PathBuf>,
    /// The name by which the host's key is known, where it is not `hostname`.
    pub host_key_alias: Option<String>,
}

/// Where the agent is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Agent {
    /// Where `SSH_AUTH_SOCK` says.
    #[default]
    Environment,
    /// Where another variable of the environment says.
    Variable(String),
    /// At this socket.
    Socket(PathBuf),
    /// There is none.
    None,
}

/// Why the operator's settings could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `ssh -G` did not run to its end.
    #[error("cannot ask OpenSSH for the settings of {host}")]
    Ask {
        /// The host that was asked about.
        host: String,
        /// Why.
        source: LocalError,
    },
    /// `ssh -G` refused: most often a fault in the operator's configuration.
    #[error("OpenSSH cannot tell the settings of {host}: {said}")]
    Refused {
        /// The host that was asked about.
        host: String,
        /// What it said, with file and line where it knows them.
        said: String,
    },
}

/// Asks for the operator's settings, no more often than it must; shared by a whole run.
#[derive(Debug, Default)]
pub struct OperatorConfig {
    file: Option<PathBuf>,
    /// The answer for the first host, and whether it serves all others too.
    first: OnceCell<(HostConfig, bool)>,
    others: Mutex<HashMap<Question, HostConfig>>,
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
    /// Asks with OpenSSH's usual files, or with this one in their place.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, ..Self::default() }
    }

    /// What the operator's settings say of a host; what the question names wins over them.
    ///
    /// Without an OpenSSH client on this computer there are no settings: its defaults hold.
    ///
    /// # Errors
    /// When OpenSSH refuses its configuration, or does not answer in time.
    pub async fn of(&self, question: &Question) -> Result<HostConfig, ConfigError> {
        let first = || async { self.ask_whether_uniform(question).await };
        let (config, uniform) = self.first.get_or_try_init(first).await?;
        let mut config = match uniform {
            true => HostConfig { hostname: question.host.clone(), ..config.clone() },
            false => self.ask_once(question).await?,
        };
        config.user = question.user.clone().unwrap_or(config.user);
        config.port = question.port.unwrap_or(config.port);
        Ok(config)
    }

    async fn ask_once(&self, question: &Question) -> Result<HostConfig, ConfigError> {
        if let Some(config) = self.others.lock().await.get(question) {
            return Ok(config.clone());
        }
        let answer = self.ask(question).await?;
        let config = parse(&answer.stdout, &home());
        self.others.lock().await.insert(question.clone(), config.clone());
        Ok(config)
    }

    async fn ask_whether_uniform(
        &self,
        question: &Question,
    ) -> Result<(HostConfig, bool), ConfigError> {
        // Neither user nor port: without `Match` the rest of the answer is the same, and the
        // answer must serve hosts for which the inventory names others.
        let plain = Question { user: None, port: None, ..question.clone() };
        let answer = match self.ask(&plain).await {
            Err(ConfigError::Ask { source: LocalError::Start { .. }, .. }) => {
                return Ok((without_openssh(&home()), true));
            }
            answer => answer?,
        };
        let mut uniform = true;
        for file in files_read(&answer.stderr) {
            // What cannot be read here OpenSSH has read, or left out, a moment ago.
            let text = tokio::fs::read_to_string(&file).await.unwrap_or_default();
            uniform &= !tells_hosts_apart(&text);
        }
        Ok((parse(&answer.stdout, &home()), uniform))
    }

    async fn ask(&self, question: &Question) -> Result<Answer, ConfigError> {
        let host = || question.host.clone();
        let argv = question_argv(question, self.file.as_deref());
        let output = local::run(&argv, &[], ANSWER_DEADLINE)
            .await
            .map_err(|source| ConfigError::Ask { host: host(), source })?;
        let Output { status, stdout, stderr } = output;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (stdout, stderr) = (text(stdout), text(stderr));
        match status {
            0 => Ok(Answer { stdout, stderr }),
            _ => Err(ConfigError::Refused { host: host(), said: complaint(&stderr) }),
        }
    }
}

struct Answer {
    stdout: String,
    stderr: String,
}

/// Replaces a leading `~` by the home directory of the one who runs the program.
pub fn expand_home(path: &Path) -> PathBuf {
    in_home(&path.to_string_lossy(), &home())
}

/// Replaces the `%` tokens that OpenSSH leaves in some answers.
pub fn expand_tokens(text: &str, config: &HostConfig) -> String {
    let mut expanded = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c == '%').then(|| chars.next()).flatten() {
            None => expanded.push(c),
            Some('h') => expanded.push_str(&config.hostname),
            Some('p') => expanded.push_str(&config.port.to_string()),
            Some('r') => expanded.push_str(&config.user),
            Some('d') => expanded.push_str(&home().to_string_lossy()),
            Some('%') => expanded.push('%'),
            Some(other) => expanded.extend(['%', other]),
        }
    }
    expanded
}

fn home() -> PathBuf {
    std::env::home_dir().unwrap_or_else(|| PathBuf::from("/"))
}

fn question_argv(question: &Question, file: Option<&Path>) -> Argv {
    // -v names the files that were read.
    let mut words: Vec<String> = ["ssh", "-v", "-G"].map(str::to_owned).to_vec();
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

/// Reads the answer of `ssh -G`.
fn parse(answer: &str, home: &Path) -> HostConfig {
    let mut config = HostConfig { port: 22, ..HostConfig::default() };
    let mut global = Vec::new();
    for (keyword, value) in answer.lines().filter_map(|line| line.split_once(' ')) {
        let some = || (value != "none").then(|| value.to_owned());
        let paths = || value.split_whitespace().map(|path| in_home(path, home));
        match keyword {
            "hostname" => config.hostname = value.to_owned(),
            "user" => config.user = value.to_owned(),
            "port" => config.port = value.parse().unwrap_or(22),
            "identityfile" => {
                config.identity_files.extend(some().map(|path| in_home(&path, home)));
            }
            "certificatefile" => {
                config.certificate_files.extend(some().map(|path| in_home(&path, home)));
            }
            "identitiesonly" => config.identities_only = value == "yes",
            "identityagent" => config.identity_agent = parse_agent(value, home),
            "proxyjump" => {
                config.proxy_jump =
                    some().iter().flat_map(|v| v.split(',')).map(str::to_owned).collect();
            }
            "proxycommand" => config.proxy_command = some(),
            "userknownhostsfile" => config.known_hosts = paths().collect(),
            "globalknownhostsfile" => global = paths().collect(),
            "revokedhostkeys" => {
                config.revoked_keys = some().map(|path| in_home(&path, home));
            }
            "hostkeyalias" => config.host_key_alias = some(),
            _ => {}
        }
    }
    config.known_hosts.extend(global);
    config
}

fn parse_agent(value: &str, home: &Path) -> Agent {
    match (value, value.strip_prefix('$')) {
        ("none", _) => Agent::None,
        ("SSH_AUTH_SOCK", _) => Agent::Environment,
        (_, Some(name)) => Agent::Variable(name.trim_matches(['{', '}']).to_owned()),
        (path, None) => Agent::Socket(in_home(path, home)),
    }
}

/// What holds where there is no OpenSSH client to ask.
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

fn in_home(path: &str, home: &Path) -> PathBuf {
    match path.strip_prefix('~') {
        Some("") => home.to_owned(),
        Some(rest) if rest.starts_with('/') => home.join(&rest[1..]),
        _ => PathBuf::from(path),
    }
}

/// The configuration files that OpenSSH read, as it says with `-v`.
fn files_read(stderr: &str) -> Vec<PathBuf> {
    let said = |line: &str| {
        line.split_once("Reading configuration data ")
            .map(|(_, f)| PathBuf::from(f.trim()))
    };
    stderr.lines().filter_map(said).collect()
}

/// Whether a configuration file could say other things of one host than of another.
fn tells_hosts_apart(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim();
        let end =
            line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
        let (keyword, value) = line.split_at(end);
        let value =
            value.trim_start_matches(|c: char| c.is_whitespace() || c == '=').trim();
        match keyword.to_ascii_lowercase().as_str() {
            "host" => value != "*",
            "match" => !value.eq_ignore_ascii_case("all"),
            "hostname" | "canonicalizehostname" => true,
            // These come as they are written; their tokens are replaced for each host.
            "identityfile" | "certificatefile" | "proxycommand" | "controlpath" => false,
            comment if comment.starts_with('#') => false,
            _ => value.contains('%'),
        }
    })
}

/// What OpenSSH complained of, without its chatter.
fn complaint(stderr: &str) -> String {
    let chatter = |line: &&str| {
        !line.starts_with("debug") && !line.starts_with("OpenSSH_") && !line.is_empty()
    };
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(chatter).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> HostConfig {
        parse(answer, Path::new("/home/op"))
    }

    #[test]
    fn an_answer_is_read_with_paths_in_the_operators_home() {
        let config = read(
            "user bob\nhostname 10.0.0.9\nport 2222\nidentitiesonly yes\n\
             hostkeyalias web\nidentityagent none\nidentityfile ~/.ssh/a\nidentityfile /k/b\n\
             certificatefile ~/.ssh/c\n\
             globalknownhostsfile /etc/ssh/g1 /etc/ssh/g2\nuserknownhostsfile ~/.ssh/kh\n\
             proxyjump ops@b1:22,b2\nproxycommand nc %h %p\nrevokedhostkeys /k/gone\n",
        );
        let expected = HostConfig {
            hostname: "10.0.0.9".into(),
            user: "bob".into(),
            port: 2222,
            identity_files: vec!["/home/op/.ssh/a".into(), "/k/b".into()],
            certificate_files: vec!["/home/op/.ssh/c".into()],
            identities_only: true,
            identity_agent: Agent::None,
            proxy_jump: vec!["ops@b1:22".into(), "b2".into()],
            proxy_command: Some("nc %h %p".into()),
            known_hosts: ["/home/op/.ssh/kh", "/etc/ssh/g1", "/etc/ssh/g2"]
                .map(PathBuf::from)
                .to_vec(),
            revoked_keys: Some("/k/gone".into()),
            host_key_alias: Some("web".into()),
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn none_means_that_there_is_none() {
        let config = read(
            "proxyjump none\nproxycommand none\nidentityfile none\nrevokedhostkeys none\n",
        );
        assert_eq!(config, HostConfig { port: 22, ..HostConfig::default() });
    }

    #[test]
    fn agents_are_found_by_socket_variable_or_environment() {
        let agent =
            |value: &str| read(&format!("identityagent {value}\n")).identity_agent;
        assert_eq!(agent("SSH_AUTH_SOCK"), Agent::Environment);
        assert_eq!(agent("$MINE"), Agent::Variable("MINE".into()));
        assert_eq!(agent("${MINE}"), Agent::Variable("MINE".into()));
        assert_eq!(agent("~/a.sock"), Agent::Socket("/home/op/a.sock".into()));
    }

    #[test]
    fn tokens_are_replaced_and_others_left() {
        let config = read("hostname web\nport 2222\nuser bob\n");
        assert_eq!(
            expand_tokens("nc -x %% %h:%p %r %z %", &config),
            "nc -x % web:2222 bob %z %"
        );
    }

    #[test]
    fn only_files_that_treat_all_hosts_alike_let_one_answer_serve_all() {
        for alike in [
            "",
            "# Host web\nHost *\n  SendEnv LANG LC_*\n",
            "host = *\nUser bob\nIdentityFile ~/.ssh/%h\nProxyCommand nc %h %p",
            "Match all\n  IdentityAgent none\n",
            "Include /etc/ssh/ssh_config.d/*.conf",
        ] {
            assert!(!tells_hosts_apart(alike), "{alike}");
        }
        for apart in [
            "Host web\n  User bob",
            "HOST=10.*",
            "Host * !web",
            "\tMatch user bob",
            "HostName %h.example",
            "CanonicalizeHostname yes",
            "UserKnownHostsFile ~/.ssh/kh_%h",
        ] {
            assert!(tells_hosts_apart(apart), "{apart}");
        }
    }

    #[test]
    fn the_files_that_were_read_are_taken_from_the_chatter() {
        let chatter = "OpenSSH_9.2p1\ndebug1: Reading configuration data /etc/ssh/ssh_config\r\n\
                       debug1: /etc/ssh/ssh_config line 19: include x matched no files\n";
        assert_eq!(files_read(chatter), [PathBuf::from("/etc/ssh/ssh_config")]);
        assert_eq!(complaint(chatter), "");
    }
}

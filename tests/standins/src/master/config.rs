//! What the flags of a master mean.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::flags::{FlagError, Flags, Table};
use crate::http::Credentials;
use crate::mesos::access::{Access, Gate};
use crate::mesos::place::{Place, PlaceError};
use crate::zk::{ZkError, ZkUrl};

/// The names of all flags of Mesos 1.11.0, with their defaults.
const TABLE: &str = include_str!("flags.txt");

/// Why a master does not start; worded as the real one words it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A flag is faulty.
    #[error(transparent)]
    Flag(#[from] FlagError),
    /// The address is not known.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The address of ZooKeeper is faulty.
    #[error("Failed to create a master contender: {0}")]
    Zk(#[from] ZkError),
    /// The registry needs a quorum.
    #[error(
        "Need to specify --quorum for replicated log based registry when using ZooKeeper"
    )]
    NoQuorum,
    /// The registry is of an unknown kind.
    #[error("'{0}' is not a supported option for registry persistence")]
    Registry(String),
    /// The credentials are not in the form that is read.
    #[error(
        "Failed to load credentials: expected {{\"credentials\": [{{\"principal\": …, \"secret\": …}}]}}"
    )]
    Credentials,
    /// Authentication is on without principals.
    #[error(
        "No credentials provided for the default 'basic' HTTP authenticator for realm '{0}'"
    )]
    NoCredentials(&'static str),
    /// Scheduler requests are authenticated by nothing.
    #[error(
        "Missing `--http_framework_authenticators` flag. This must be used in conjunction with `--authenticate_http_frameworks`"
    )]
    NoFrameworkAuthenticator,
}

/// The settings of a master.
#[derive(Debug, Clone)]
pub struct Config {
    /// All flags, to be shown.
    pub flags: Flags,
    /// Where the master is.
    pub place: Place,
    /// Where the election is; `None` for a master without others.
    pub zk: Option<ZkUrl>,
    /// How long ZooKeeper waits for a silent master.
    pub zk_session_timeout: Duration,
    /// Where the registry is kept; `None` in memory.
    pub registry: Option<Registry>,
    /// The name of the cluster.
    pub cluster: Option<String>,
    /// The fault domain.
    pub domain: Option<Value>,
    /// How often agents are pinged.
    pub ping_period: Duration,
    /// How many pings they may miss.
    pub n_missed_pings: u32,
    /// How long agents of an earlier master may take to come back.
    pub reregister_timeout: Duration,
    /// How often resources are offered.
    pub allocation_period: Duration,
    /// Who may do what.
    pub access: Access,
    /// Whether agents must name a principal.
    pub authenticates_agents: bool,
    /// Access to what only shows.
    pub readonly: Gate,
    /// Access to what changes.
    pub readwrite: Gate,
    /// Access for frameworks.
    pub frameworks: Gate,
}

/// The settings of the registry.
#[derive(Debug, Clone)]
pub struct Registry {
    /// How many masters must have a write.
    pub quorum: usize,
    /// Whether empty copies may begin by themselves.
    pub initialises: bool,
    /// The master's folder.
    pub work_dir: PathBuf,
    /// How long a new leader waits for a quorum.
    pub fetch_timeout: Duration,
}

impl Config {
    /// Reads the command line.
    ///
    /// # Errors
    /// When it is refused.
    pub fn load(
        variables: impl IntoIterator<Item = (String, String)>,
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Self, ConfigError> {
        let mut flags =
            Flags::load(&Table::parse(TABLE), "MESOS_", variables, arguments)?;
        let zk = flags.text_or_file("zk")?.map(|text| text.parse()).transpose()?;
        let registry = registry(&flags, zk.is_some())?;
        let place = Place::from_flags(&flags)?;
        flags.set("hostname", place.hostname.clone());
        let access = Access {
            credentials: credentials(&flags)?,
            acls: flags.json("acls")?.unwrap_or_default(),
        };
        let config = Self {
            zk,
            registry,
            zk_session_timeout: flags.duration("zk_session_timeout")?,
            cluster: flags.get("cluster").map(str::to_owned),
            domain: flags.json("domain")?,
            ping_period: flags.duration("agent_ping_timeout")?,
            n_missed_pings: flags.parsed("max_agent_ping_timeouts")?.unwrap_or(5),
            reregister_timeout: flags.duration("agent_reregister_timeout")?,
            allocation_period: flags.duration("allocation_interval")?,
            authenticates_agents: flags.is_on("authenticate_agents"),
            readonly: gate(&flags, "authenticate_http_readonly", "mesos-master-readonly"),
            readwrite: gate(
                &flags,
                "authenticate_http_readwrite",
                "mesos-master-readwrite",
            ),
            frameworks: framework_gate(&flags)?,
            access,
            place,
            flags,
        };
        for gate in [&config.readonly, &config.readwrite, &config.frameworks] {
            if gate.is_closed && config.access.credentials.is_empty() {
                return Err(ConfigError::NoCredentials(gate.realm));
            }
        }
        Ok(config)
    }
}

fn registry(flags: &Flags, has_zk: bool) -> Result<Option<Registry>, ConfigError> {
    match flags.get("registry") {
        Some("in_memory") => return Ok(None),
        Some("replicated_log") => (),
        other => return Err(ConfigError::Registry(other.unwrap_or_default().to_owned())),
    }
    let work_dir = flags.required("work_dir")?.into();
    let quorum = match flags.parsed::<usize>("quorum")? {
        Some(quorum) => quorum.max(1),
        None if has_zk => return Err(ConfigError::NoQuorum),
        None => 1,
    };
    Ok(Some(Registry {
        quorum,
        initialises: flags.is_on("log_auto_initialize"),
        work_dir,
        fetch_timeout: flags.duration("registry_fetch_timeout")?,
    }))
}

fn credentials(flags: &Flags) -> Result<Credentials, ConfigError> {
    let path = flags.get("credentials").map(|_| flags.file("credentials")).transpose()?;
    let Some(Some(text)) = path else { return Ok(Credentials::default()) };
    serde_json::from_str(&text)
        .ok()
        .and_then(|value| Credentials::from_json(&value))
        .ok_or(ConfigError::Credentials)
}

fn gate(flags: &Flags, flag: &str, realm: &'static str) -> Gate {
    Gate { is_closed: flags.is_on(flag), realm }
}

/// Frameworks over HTTP need a principal when either kind of framework does: the stand-ins know
/// no other way to subscribe.
fn framework_gate(flags: &Flags) -> Result<Gate, ConfigError> {
    let over_http = flags.is_on("authenticate_http_frameworks");
    if over_http && flags.get("http_framework_authenticators").is_none() {
        return Err(ConfigError::NoFrameworkAuthenticator);
    }
    let is_closed = over_http || flags.is_on("authenticate_frameworks");
    Ok(Gate { is_closed, realm: "mesos-master-scheduler" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(arguments: &[&str]) -> Result<Config, String> {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        Config::load([], arguments).map_err(|error| error.to_string())
    }

    const ZK: [&str; 3] = ["--zk=zk://h:2181/mesos", "--work_dir=/w", "--ip=127.0.0.1"];

    #[test]
    fn a_master_needs_a_folder_and_a_quorum() {
        assert_eq!(
            load(&["--ip=127.0.0.1"]).unwrap_err(),
            "Flag 'work_dir' is required, but it was not provided"
        );
        assert_eq!(
            load(&ZK).unwrap_err(),
            "Need to specify --quorum for replicated log based registry when using ZooKeeper"
        );
        let config = load(&[&ZK[..], &["--quorum=2"]].concat()).unwrap();
        let registry = config.registry.unwrap();
        assert_eq!((registry.quorum, registry.initialises), (2, true));
        assert_eq!(config.ping_period * config.n_missed_pings, Duration::from_secs(75));
    }

    #[test]
    fn authentication_needs_principals() {
        let error =
            load(&["--ip=127.0.0.1", "--work_dir=/w", "--authenticate_http_readonly"]);
        assert!(error.unwrap_err().contains("mesos-master-readonly"));
    }

    #[test]
    fn credentials_in_the_old_text_form_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        std::fs::write(&path, "admin secret\n").unwrap();
        let flag = format!("--credentials={}", path.display());
        let error = load(&["--ip=127.0.0.1", "--work_dir=/w", &flag]).unwrap_err();
        assert!(
            error.contains("Failed to load credentials") && !error.contains("secret\n")
        );
    }
}

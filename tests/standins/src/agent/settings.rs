//! The agent's flags, checked once.
//!
//! Reads files and asks for addresses, and decides nothing later. Invariant: no secret is in an
//! error or in Debug output.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::info::{Policy, agent_info};
use super::resources::{BadValue, Machine, parse};
use crate::flags::{FlagError, Flags, Table};
use crate::http::Credentials;
use crate::zk::{ZkError, ZkUrl};

/// The known flags, one a line.
const TABLE: &str = include_str!("flags.txt");

/// Why the agent cannot start; worded as the real one words it.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A flag.
    #[error(transparent)]
    Flag(#[from] FlagError),
    /// Resources or attributes.
    #[error(transparent)]
    Resources(#[from] BadValue),
    /// The master's address.
    #[error("Failed to create a master detector: {0}")]
    Master(#[from] ZkError),
    /// The machine's own name has no address.
    #[error(
        "Failed to obtain the IP address for '{0}'; the DNS service may not be able to \
         resolve it: Name or service not known"
    )]
    OwnName(String),
    /// Docker tasks are wanted where there is no Docker.
    #[error(
        "Failed to create a containerizer: Could not create DockerContainerizer: {0}"
    )]
    Docker(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Where the masters are.
#[derive(Debug, Clone)]
pub enum MasterAddress {
    /// In ZooKeeper.
    ZooKeeper(ZkUrl),
    /// At `host:port`.
    Direct(String),
}

/// What the agent is to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// All flags, for `/flags`.
    pub flags: Flags,
    /// The masters.
    pub master: MasterAddress,
    /// The address listened at.
    pub ip: IpAddr,
    /// The port listened at.
    pub port: u16,
    /// The name that tasks are told of.
    pub hostname: String,
    /// The work folder.
    pub work_dir: PathBuf,
    /// `AgentInfo`.
    pub info: Value,
    /// What may change of it.
    pub policy: Policy,
    /// The credential for the masters.
    pub credential: Option<Credential>,
    /// Who may ask the agent's endpoints.
    pub http_credentials: Credentials,
    /// Docker, where Docker tasks may run.
    pub docker: Option<DockerSettings>,
}

/// A principal and its secret.
#[derive(Clone)]
pub struct Credential {
    /// The principal.
    pub principal: String,
    /// Its secret.
    pub secret: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("principal", &self.principal).finish()
    }
}

/// How Docker is spoken to.
#[derive(Clone)]
pub struct DockerSettings {
    /// The command-line client.
    pub program: String,
    /// The engine, as `unix:///…`.
    pub host: String,
    /// The content of a `config.json` for pulls, where there is one.
    pub config: Option<Value>,
    /// How long a container may take to stop where nothing else says.
    pub stop_timeout: Duration,
    /// How long an ended container is kept.
    pub remove_delay: Duration,
    /// Whether unknown containers are stopped at the start.
    pub kills_orphans: bool,
}

impl std::fmt::Debug for DockerSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DockerSettings")
            .field("program", &self.program)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// Reads the command line and the environment.
///
/// # Errors
/// When a flag is unknown or ill-formed.
pub fn load_flags(
    variables: impl IntoIterator<Item = (String, String)>,
    arguments: impl IntoIterator<Item = String>,
) -> Result<Flags, FlagError> {
    Flags::load(&Table::parse(TABLE), "MESOS_", variables, arguments)
}

impl Settings {
    /// Checks the flags, and finds out what they leave open.
    ///
    /// # Errors
    /// When the real agent would refuse to start.
    pub fn check(mut flags: Flags) -> Result<Self, SettingsError> {
        let work_dir = PathBuf::from(flags.required("work_dir")?);
        let port = flags.parsed::<u16>("port")?.unwrap_or(5051);
        let (ip, hostname) = name_and_address(&flags)?;
        flags.set("hostname", hostname.clone());
        std::fs::create_dir_all(&work_dir).map_err(|error| {
            SettingsError::Other(format!(
                "Failed to create agent work directory '{}': {error}",
                work_dir.display()
            ))
        })?;
        let resources =
            parse(flags.text_or_file("resources")?.as_deref(), machine(&work_dir)?)?;
        let attributes = flags.get("attributes").unwrap_or_default();
        let attributes = crate::mesos::attributes(attributes)
            .ok_or_else(|| BadValue::new("attributes", attributes))?;
        let domain = flags.json("domain")?;
        if flags.is_on("authenticate_http_executors")
            && flags.file("jwt_secret_key")?.is_none()
        {
            return Err(other(
                "--jwt_secret_key must be given to authenticate executors",
            ));
        }
        let docker = docker(&flags)?;
        // As the real one shows it: not the file that the flag names, but what is in it.
        if let Some(config) = docker.as_ref().and_then(|docker| docker.config.as_ref()) {
            flags.set("docker_config", config.to_string());
        }
        Ok(Self {
            master: master(&flags)?,
            ip,
            port,
            info: agent_info(&hostname, port, &resources, attributes, domain.as_ref()),
            hostname,
            work_dir,
            policy: policy(&flags)?,
            credential: credential(&flags)?,
            http_credentials: http_credentials(&flags)?,
            docker,
            flags,
        })
    }

    /// Whether executors that speak HTTP may register, as the default one of task groups does.
    pub fn admits_executors(&self) -> bool {
        let is_on = |flag: &str| self.flags.is_on(&format!("authenticate_http_{flag}"));
        !is_on("readwrite") || is_on("executors")
    }

    /// `ip:port`.
    pub fn address(&self) -> String {
        std::net::SocketAddr::new(self.ip, self.port).to_string()
    }
}

fn other(message: impl Into<String>) -> SettingsError {
    SettingsError::Other(message.into())
}

fn name_and_address(flags: &Flags) -> Result<(IpAddr, String), SettingsError> {
    let name = flags.get("hostname").map(str::to_owned);
    let ip = match flags.parsed::<IpAddr>("ip")? {
        Some(ip) => ip,
        None => own_address()?,
    };
    let name = match name {
        Some(name) => name,
        None if flags.is_on("hostname_lookup") => name_of(ip),
        None => ip.to_string(),
    };
    Ok((ip, name))
}

fn own_address() -> Result<IpAddr, SettingsError> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    let found = (name, 0).to_socket_addrs().ok().and_then(|mut all| {
        all.find(std::net::SocketAddr::is_ipv4).map(|address| address.ip())
    });
    found.ok_or_else(|| SettingsError::OwnName(name.to_owned()))
}

/// The name of an address, or the address itself where it has none, as `getnameinfo` has it.
fn name_of(ip: IpAddr) -> String {
    let output = Command::new("getent").arg("hosts").arg(ip.to_string()).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.split_whitespace().nth(1).map_or_else(|| ip.to_string(), str::to_owned)
}

fn machine(work_dir: &Path) -> Result<Machine, SettingsError> {
    let fault = |what: &str, error: &dyn std::fmt::Display| {
        other(format!("Failed to determine agent resources: {what}: {error}"))
    };
    let n_cpus =
        std::thread::available_parallelism().map_err(|e| fault("processors", &e))?;
    let memory =
        std::fs::read_to_string("/proc/meminfo").map_err(|e| fault("memory", &e))?;
    let disk = rustix::fs::statvfs(work_dir).map_err(|e| fault("disk", &e))?;
    Ok(Machine {
        n_cpus: n_cpus.get() as u64,
        memory: memory_total(&memory).ok_or_else(|| fault("memory", &"no MemTotal"))?,
        disk: disk.f_blocks * disk.f_frsize,
    })
}

/// `MemTotal` in bytes.
pub fn memory_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn master(flags: &Flags) -> Result<MasterAddress, SettingsError> {
    let text = flags
        .text_or_file("master")?
        .ok_or_else(|| other("Missing required option --master or --master_detector"))?;
    if text.starts_with("zk://") {
        return Ok(MasterAddress::ZooKeeper(text.parse()?));
    }
    let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    match port {
        Some(_) => Ok(MasterAddress::Direct(text)),
        None => Err(other(format!(
            "Failed to create a master detector: Failed to parse '{text}'"
        ))),
    }
}

fn policy(flags: &Flags) -> Result<Policy, SettingsError> {
    match flags.get("reconfiguration_policy") {
        Some("equal") | None => Ok(Policy::Equal),
        Some("additive") => Ok(Policy::Additive),
        Some(text) => {
            Err(other(format!("Unknown option for 'reconfiguration_policy' flag {text}")))
        }
    }
}

fn credential(flags: &Flags) -> Result<Option<Credential>, SettingsError> {
    let Some(value) = flags.json("credential")? else {
        return Ok(None);
    };
    Credentials::one_from_json(&value)
        .map(|(principal, secret)| Some(Credential { principal, secret }))
        .ok_or_else(|| {
            other("Invalid credential format; it is {\"principal\", \"secret\"}")
        })
}

fn http_credentials(flags: &Flags) -> Result<Credentials, SettingsError> {
    let credentials = match flags.json("http_credentials")? {
        None => Credentials::default(),
        Some(value) => Credentials::from_json(&value)
            .ok_or_else(|| other("Invalid format of --http_credentials"))?,
    };
    let asks = flags.is_on("authenticate_http_readonly")
        || flags.is_on("authenticate_http_readwrite");
    if asks && credentials.is_empty() {
        return Err(other(
            "No credentials provided for the default 'basic' HTTP authenticator: \
             give --http_credentials",
        ));
    }
    Ok(credentials)
}

fn docker(flags: &Flags) -> Result<Option<DockerSettings>, SettingsError> {
    let mut has_docker = false;
    for name in flags.get("containerizers").unwrap_or("mesos").split(',') {
        match name.trim() {
            "docker" => has_docker = true,
            "mesos" => (),
            name => {
                return Err(other(format!(
                    "Failed to create a containerizer: Unknown or unsupported \
                     containerizer: {name}"
                )));
            }
        }
    }
    if !has_docker {
        return Ok(None);
    }
    let program = flags.required("docker")?.to_owned();
    let host = format!("unix://{}", flags.required("docker_socket")?);
    let output = Command::new(&program).args(["-H", &host, "--version"]).output();
    if !output.is_ok_and(|output| output.status.success()) {
        return Err(SettingsError::Docker(format!(
            "Failed to create docker: Failed to get docker version: Failed to execute \
             '{program} -H {host} --version'"
        )));
    }
    Ok(Some(DockerSettings {
        program,
        host,
        config: flags.json("docker_config")?,
        stop_timeout: flags.duration("docker_stop_timeout")?,
        remove_delay: flags.duration("docker_remove_delay")?,
        kills_orphans: flags.is_on("docker_kill_orphans"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str]) -> Result<Settings, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let mut all = vec![format!("--work_dir={}", folder.path().display())];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        Settings::check(load_flags([], all)?)
    }

    #[test]
    fn an_agent_is_what_its_flags_say() {
        let settings = check(&[
            "--master=zk://u:p@h:1/mesos",
            "--ip=127.0.9.1",
            "--hostname=a1",
            "--port=6051",
            "--attributes=rack:r1",
            "--resources=cpus:3",
            "--reconfiguration_policy=additive",
        ])
        .unwrap();
        assert_eq!(settings.address(), "127.0.9.1:6051");
        assert_eq!(
            (settings.policy, settings.docker.is_none()),
            (Policy::Additive, true)
        );
        assert_eq!(settings.info["hostname"], "a1");
        assert_eq!(settings.info["resources"][0]["scalar"]["value"], 3.0);
        assert!(
            matches!(&settings.master, MasterAddress::ZooKeeper(url) if url.path() == "/mesos")
        );
    }

    #[test]
    fn what_the_real_one_refuses_is_refused() {
        let ok = ["--master=127.0.0.1:5050", "--ip=127.0.9.1"];
        assert!(check(&ok).is_ok());
        for flag in [
            "--attribute=rack:r1",
            "--containerizers=lxc",
            "--reconfiguration_policy=any",
            "--authenticate_http_readonly",
            "--authenticate_http_executors",
            "--resources=cpus",
            "--domain=file:///does/not/exist",
        ] {
            assert!(check(&[ok[0], ok[1], flag]).is_err(), "{flag}");
        }
        let error =
            check(&[ok[0], ok[1], "--containerizers=docker,mesos", "--docker=/none"]);
        assert!(matches!(error, Err(SettingsError::Docker(_))));
        assert!(check(&["--master=nonsense", ok[1]]).is_err());
    }

    #[test]
    fn secrets_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c");
        std::fs::write(&path, r#"{"principal":"agent","secret":"hidden"}"#).unwrap();
        let flag = format!("--credential={}", path.display());
        let settings =
            check(&["--master=127.0.0.1:5050", "--ip=127.0.9.1", &flag]).unwrap();
        assert_eq!(settings.credential.as_ref().unwrap().secret, "hidden");
        assert!(!format!("{settings:?}").contains("hidden"));
    }
}

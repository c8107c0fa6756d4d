//! What flags say that Marathon and Chronos have in common, each by names of its own.

use super::credentials::Credentials;
use super::options::OptionsError;
use crate::zk::{Lists, Session, ZkError, ZkUrl, watch_leader};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;

/// Why flags are refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// As options.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// Not an address in ZooKeeper.
    #[error("--{0} is no address in ZooKeeper, zk://host:port,…/path")]
    Address(&'static str),
    /// A value that the flag does not know.
    #[error("--{0} has a value that is not known")]
    Value(&'static str),
    /// Two flags that cannot stand together.
    #[error("--{0} and --{1} cannot both be given")]
    Both(&'static str, &'static str),
    /// A master in the same process.
    #[error("--master is local: this stand-in needs a master of its own")]
    Local,
    /// The file of the secret.
    #[error("cannot read the file of --mesos_authentication_secret_file")]
    SecretFile,
}

/// What settings ask of the world.
pub struct World<'a> {
    /// The host's name.
    pub hostname: &'a str,
    /// `MESOSPHERE_HTTP_CREDENTIALS`.
    pub http_credentials: Option<&'a str>,
    /// Reads a file.
    pub read: &'a dyn Fn(&str) -> Option<String>,
}

impl<'a> World<'a> {
    /// That of a process with this environment.
    pub fn of(
        environment: &'a BTreeMap<String, String>,
        hostname: &'a str,
        read: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let credentials = environment.get("MESOSPHERE_HTTP_CREDENTIALS");
        Self { hostname, http_credentials: credentials.map(String::as_str), read }
    }
}

/// Where a member listens, whom it talks to, and how it stands for election.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program's name, for its log.
    pub name: &'static str,
    /// The host's name, as others are told it.
    pub hostname: String,
    /// Where it listens.
    pub http_address: String,
    /// The port where it listens.
    pub http_port: u16,
    /// Who may ask it anything; everyone when there are none.
    pub credentials: Option<Credentials>,
    /// Whether credentials are given that cannot be read, so that everyone may ask.
    pub malformed_credentials: bool,
    /// What the password is for.
    pub realm: String,
    /// ZooKeeper, and who we are there.
    pub zk: ZkUrl,
    /// How long a session outlives its connection.
    pub zk_timeout: Duration,
    /// Whether it ends as soon as its connection to ZooKeeper does, or that to the master while it
    /// leads, however short that is.
    pub ends_when_cut_off: bool,
    /// The path of the election.
    pub candidates: String,
    /// The path of what is kept.
    pub state: String,
    /// Who may use its nodes there.
    pub lists: Lists,
    /// The master.
    pub master: MasterAt,
    /// Who we are to the master.
    pub framework: Value,
    /// The principal and the secret, when the master asks for them.
    pub mesos_credentials: Option<Credentials>,
    /// How long offers stay away that are declined, in seconds.
    pub decline_seconds: f64,
    /// How often the master is asked for the states of all tasks.
    pub reconcile_every: Duration,
}

impl Setup {
    /// The id in the election.
    pub fn id(&self) -> String {
        format!("{}:{}", self.hostname, self.http_port)
    }
}

/// Where the master is looked for.
#[derive(Clone, Debug)]
pub enum MasterAt {
    /// In an election.
    Elected(ZkUrl),
    /// Always there: `host:port`.
    Fixed(String),
}

impl MasterAt {
    /// Reads `zk://…` or `host:port`.
    ///
    /// # Errors
    /// When it begins like an address in ZooKeeper and is none.
    pub fn read(text: &str) -> Result<Self, ZkError> {
        match text.starts_with("zk://") {
            true => text.parse().map(Self::Elected),
            false => Ok(Self::Fixed(text.to_owned())),
        }
    }

    /// Follows who is the master, as `MasterInfo`.
    ///
    /// # Errors
    /// When ZooKeeper is out of reach.
    pub async fn follow(
        &self,
        zk_timeout: Duration,
    ) -> Result<watch::Receiver<Option<Vec<u8>>>, ZkError> {
        match self {
            Self::Elected(url) => {
                let session = Session::connect(url, zk_timeout).await?;
                Ok(watch_leader(&session, url.path(), "json.info_"))
            }
            Self::Fixed(at) => {
                let (host, port) = at.rsplit_once(':').unwrap_or((at, "5050"));
                let port: u16 = port.parse().unwrap_or(5050);
                let info = json!({"address": {"hostname": host, "port": port}});
                let (sender, receiver) =
                    watch::channel(Some(info.to_string().into_bytes()));
                tokio::spawn(async move { sender.closed().await });
                Ok(receiver)
            }
        }
    }
}

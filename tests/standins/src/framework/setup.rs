//! What flags say that Marathon and Chronos have in common, each by names of its own.

use super::credentials::Credentials;
use super::options::{Options, OptionsError};
use crate::zk::{Lists, Session, ZkError, ZkUrl, watch_leader};
use serde_json::{Value, json};
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

/// Where a member listens, and who may ask it.
#[derive(Clone, Debug)]
pub struct Http {
    /// The host's name, as others are told it.
    pub hostname: String,
    /// Where it listens.
    pub address: String,
    /// The port where it listens.
    pub port: u16,
    /// Who may ask it anything; everyone when there are none.
    pub credentials: Option<Credentials>,
    /// Whether credentials are given that cannot be read, so that everyone may ask.
    pub malformed_credentials: bool,
    /// What the password is for.
    pub realm: String,
}

impl Http {
    /// What options mean.
    ///
    /// # Errors
    /// When there is no such port.
    pub fn read(options: &Options, world: &World<'_>) -> Result<Self, SettingsError> {
        let given = options.text("http_credentials").or(world.http_credentials);
        let credentials = given.and_then(Credentials::read);
        let port = options.whole_or("http_port", 8080);
        Ok(Self {
            hostname: options.text_or("hostname", world.hostname).to_owned(),
            address: options.text_or("http_address", "0.0.0.0").to_owned(),
            port: port.try_into().map_err(|_| SettingsError::Value("http_port"))?,
            malformed_credentials: given.is_some() && credentials.is_none(),
            credentials,
            realm: options.text_or("http_realm", "Mesosphere").to_owned(),
        })
    }

    /// The id in the election, and the address for others: `hostname:port`.
    pub fn id(&self) -> String {
        format!("{}:{}", self.hostname, self.port)
    }
}

/// `FrameworkInfo` of a framework with this name and this user.
pub fn framework(
    options: &Options,
    http: &Http,
    (name, user): (&str, &str),
    capabilities: &[&str],
) -> Value {
    let url = format!("http://{}", http.id());
    let capability = |kind: &&str| json!({"type": kind});
    let mut framework = json!({
        "name": name, "user": user,
        "roles": [options.text_or("mesos_role", "*")], "hostname": http.hostname,
        "checkpoint": options.on("checkpoint", true),
        "failover_timeout": options.number_or("failover_timeout", 604_800.0),
        "webui_url": options.text_or("webui_url", &url),
        "capabilities": capabilities.iter().map(capability).collect::<Value>(),
    });
    if let Some(principal) = options.text("mesos_authentication_principal") {
        framework["principal"] = principal.into();
    }
    framework
}

/// Where a member listens, whom it talks to, and how it stands for election.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program's name, for its log.
    pub name: &'static str,
    /// Where it listens, and who may ask it.
    pub http: Http,
    /// ZooKeeper, and who we are there; what is kept is in `state` below its path.
    pub zk: ZkUrl,
    /// How long a session outlives its connection.
    pub zk_timeout: Duration,
    /// Whether it ends as soon as its connection to ZooKeeper does, or that to the master while it
    /// leads, however short that is.
    pub ends_when_cut_off: bool,
    /// The path of the election.
    pub candidates: String,
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
    /// How long one leads before it first asks the master for the states of all tasks by itself.
    pub reconcile_first: Duration,
    /// How often it asks after that.
    pub reconcile_every: Duration,
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

/// Settings by a line of flags, for tests.
#[cfg(test)]
pub(crate) fn read_line<T>(
    table: &'static str,
    line: &str,
    read: fn(&Options, &World<'_>) -> Result<T, SettingsError>,
) -> Result<T, SettingsError> {
    let options = super::options::parse(table, &super::options::words(line))?;
    let files = |file: &str| (file == "/s").then(|| "pw\n".to_owned());
    read(&options, &World { hostname: "h", http_credentials: Some("e:v"), read: &files })
}

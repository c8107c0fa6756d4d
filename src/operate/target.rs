//! Where the verbs for apps and jobs send their requests: to the edge of a cluster, as everyone
//! else does, or to any Marathon and Chronos of which the environment gives the URLs.
//!
//! No password is ever an argument: that of a cluster is in its state folder, any other one is in
//! a variable or a file.

mod registries;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use tokio_rustls::rustls::pki_types::ServerName;

pub(super) use self::registries::EdgeRegistries;
pub use self::registries::EdgeRegistryError;
use super::RunContext;
use super::cluster_files::ClusterFiles;
use super::error::{Error, ExitKind};
use super::machines;
use crate::api::chronos::Chronos;
use crate::api::direct::{Direct, NoTrust, Trust};
use crate::api::http::{Access, ApiError, Endpoint, Login, Reason};
use crate::api::marathon::Marathon;
use crate::api::mesos::Master;
use crate::component::haproxy;
use crate::component::mesos::OPERATOR;
use crate::event::in_words;
use crate::inventory::Component;
use crate::inventory::component::{
    CHRONOS_EDGE_PORT, MARATHON_EDGE_PORT, MESOS_EDGE_PORT,
};
use crate::secret::Secret;
use crate::state::Environment;
use crate::topology::Topology;

/// The URL of a Marathon.
pub const URL: &str = "PLATFORM_URL";
/// The URL of a Chronos.
pub const CHRONOS_URL: &str = "PLATFORM_CHRONOS_URL";
/// The user at these URLs.
pub const USER: &str = "PLATFORM_USER";
/// The password of that user.
pub const PASSWORD: &str = "PLATFORM_PASSWORD";
/// The file with the password of that user.
pub const PASSWORD_FILE: &str = "PLATFORM_PASSWORD_FILE";
/// The file with the authorities that may vouch for the certificates at these URLs.
pub const CA_FILE: &str = "PLATFORM_CA_FILE";

/// The longest that one request may take: the edge holds requests while nobody leads.
const ANSWER: Duration = Duration::from_secs(45);

/// The Marathon and the Chronos to talk to.
pub struct Target {
    marathon: Option<Endpoint>,
    chronos: Option<Endpoint>,
    mesos: Option<Endpoint>,
    /// Whether the two are reached over TLS is a matter of their URLs.
    dialers: [Arc<Direct>; 2],
    login: Option<Login>,
    origin: Origin,
}

/// Where the addresses are from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// From this inventory.
    Inventory(PathBuf),
    /// From the environment.
    Environment,
}

/// Why it is not known whom to talk to.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Nothing says where Marathon and Chronos are.
    #[error(
        "which cluster? Name its inventory with `--inventory FILE` or PLATFORM_INVENTORY; or set \
         PLATFORM_URL to the URL of any Marathon, such as https://10.0.0.100:8443"
    )]
    Neither,
    /// Two things do.
    #[error(
        "both an inventory ({}) and {variable} are given, and they may be different clusters: \
         unset one of them",
        inventory.display()
    )]
    Both {
        /// The inventory.
        inventory: PathBuf,
        /// The variable.
        variable: &'static str,
    },
    /// There is only the other one's URL.
    #[error(
        "{variable} is not set, so it is not known where {service} is: set it to its URL"
    )]
    NoUrl {
        /// The variable.
        variable: &'static str,
        /// Whose URL it is.
        service: &'static str,
    },
    /// A URL cannot be used.
    #[error(
        "{variable} is not usable: {why}; it has to look like https://10.0.0.100:8443"
    )]
    Url {
        /// The variable.
        variable: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The login is incomplete, or there are two.
    #[error("{0}")]
    Login(&'static str),
    /// The password's file has none.
    #[error("the file {} of PLATFORM_PASSWORD_FILE has no password on its first line", .0.display())]
    NoPassword(PathBuf),
    /// A file cannot be read.
    #[error("the file {} of {variable} cannot be read", path.display())]
    Unreadable {
        /// The variable that names it.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The authorities cannot be used.
    #[error("{} cannot be used to check certificates", .0)]
    Ca(String, #[source] NoTrust),
    /// The cluster has no edge.
    #[error("the cluster of {} has no edge: add a group with `roles: [edge]`, and run `platform up`", .0.display())]
    NoEdge(PathBuf),
    /// What is wanted is at the agents, which only hosts of the cluster reach.
    #[error(
        "{0} is known only to the agents, which this computer reaches through the SSH access of an \
         inventory: name it with `--inventory FILE` in place of {URL} and {CHRONOS_URL}"
    )]
    NoInventory(&'static str),
    /// The cluster was never set up from here.
    #[error(
        "the state folder of {} has no login for the edge: run `platform up {}` first",
        .0.display(),
        .0.display()
    )]
    NotUp(PathBuf),
}

/// Marathon or Chronos did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{}{hint}", in_words(error))]
pub struct ServiceError {
    error: ApiError,
    /// What to do next; may be empty.
    hint: String,
}

/// Finds out whom to talk to; sends nothing yet.
///
/// # Errors
/// When nothing says it, or two things do, or a password or certificate is missing.
pub async fn open(
    inventory: Option<&Path>,
    ctx: &RunContext<'_>,
) -> Result<Target, Error> {
    match origin(inventory, ctx.env)? {
        Origin::Inventory(inventory) => of_cluster(&inventory, ctx).await,
        Origin::Environment => {
            let target = of_environment(ctx.env)?;
            if target.tells_password() {
                let message = "the password goes over the network without TLS: use a URL with \
                               https:// if there is one";
                ctx.events.warn_once(message.to_owned());
            }
            Ok(target)
        }
    }
}

/// The one thing that says whom to talk to.
fn origin(inventory: Option<&Path>, env: Environment<'_>) -> Result<Origin, TargetError> {
    let url = [URL, CHRONOS_URL].into_iter().find(|name| (env)(name).is_some());
    match (inventory, url) {
        (None, None) => Err(TargetError::Neither),
        (Some(inventory), Some(variable)) => {
            Err(TargetError::Both { inventory: inventory.to_owned(), variable })
        }
        (Some(inventory), None) => Ok(Origin::Inventory(inventory.to_owned())),
        (None, Some(_)) => Ok(Origin::Environment),
    }
}

/// The edge of a cluster, as its inventory and its state folder describe it. Everyone outside may
/// see a certificate of the operator there; this program asks for that of the cluster's authority.
async fn of_cluster(path: &Path, ctx: &RunContext<'_>) -> Result<Target, Error> {
    let files = ClusterFiles::open(path)?;
    let not_up = || TargetError::NotUp(path.to_owned());
    let password = files.state.kept_secret(haproxy::SECRET)?.ok_or_else(not_up)?;
    let authorities = files.state.certificates()?.authorities;
    let pem: String = authorities.iter().map(|(_, authority)| authority.pem()).collect();
    let host = edge_of(&files, ctx).await?;
    let name = haproxy::internal_name(&files.inventory.platform.domain);
    let name = ServerName::try_from(name).map_err(|_| not_up())?;
    let dialer = Direct::tls(&Trust::Only(&pem), Some(name))
        .map_err(|error| TargetError::Ca("the cluster's authority".to_owned(), error))?;
    let dialer = Arc::new(dialer);
    Ok(Target {
        marathon: Some(Endpoint::new(&host, MARATHON_EDGE_PORT)),
        chronos: Some(Endpoint::new(&host, CHRONOS_EDGE_PORT)),
        mesos: Some(Endpoint::new(&host, MESOS_EDGE_PORT)),
        dialers: [Arc::clone(&dialer), dialer],
        login: Some(Login { user: OPERATOR.to_owned(), password }),
        origin: Origin::Inventory(path.to_owned()),
    })
}

/// The address of a cluster's edge. Only without a virtual IP, the provider has to be asked.
async fn edge_of(files: &ClusterFiles, ctx: &RunContext<'_>) -> Result<String, Error> {
    let inventory = &files.inventory;
    let has_edge =
        inventory.groups.iter().any(|group| inventory.runs(group, Component::Haproxy));
    match inventory.platform.vip {
        Some(vip) if has_edge => Ok(vip.to_string()),
        _ => {
            let machines = machines::running(files, ctx).await?;
            let members =
                Topology::new(inventory, &machines)?.members_of(Component::Haproxy);
            match members.first() {
                Some(member) => Ok(member.address.to_string()),
                None if has_edge => Err(Error::NoMachine(files.path.clone())),
                None => Err(TargetError::NoEdge(files.path.clone()).into()),
            }
        }
    }
}

/// What the environment describes.
fn of_environment(env: Environment<'_>) -> Result<Target, TargetError> {
    let marathon = service(URL, env)?;
    let chronos = match service(CHRONOS_URL, env)? {
        None => marathon.as_ref().and_then(|it| it.beside(CHRONOS_EDGE_PORT)),
        own => own,
    };
    let pem = (env)(CA_FILE).map(|file| read(CA_FILE, Path::new(&file))).transpose()?;
    let dialer = |service: &Option<Service>| {
        let dialer = match service.as_ref().is_none_or(|service| service.tls) {
            false => Ok(Direct::plain()),
            true => match &pem {
                None => Direct::tls(&Trust::System, None),
                Some(pem) => Direct::tls(&Trust::Only(pem), None),
            },
        };
        let what = || format!("the file of {CA_FILE}");
        dialer.map(Arc::new).map_err(|error| TargetError::Ca(what(), error))
    };
    let dialers = [dialer(&marathon)?, dialer(&chronos)?];
    let mesos = marathon.as_ref().and_then(|it| it.beside(MESOS_EDGE_PORT));
    Ok(Target {
        marathon: marathon.map(|service| service.at),
        chronos: chronos.map(|service| service.at),
        mesos: mesos.map(|service| service.at),
        dialers,
        login: login(env)?,
        origin: Origin::Environment,
    })
}

/// A service, as a URL describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Service {
    at: Endpoint,
    tls: bool,
}

impl Service {
    /// What the same edge has at a port, if this is the Marathon of an edge that this program set up.
    fn beside(&self, port: u16) -> Option<Self> {
        let at = Endpoint { host: self.at.host.clone(), port };
        (self.tls && self.at.port == MARATHON_EDGE_PORT).then_some(Self { at, tls: true })
    }

    fn of(url: &str) -> Result<Self, String> {
        let url: Uri = url.parse().map_err(|error| format!("{error}"))?;
        let (tls, default) = match url.scheme_str() {
            Some("https") => (true, 443),
            Some("http") => (false, 80),
            _ => return Err("it begins with neither https:// nor http://".to_owned()),
        };
        let authority = url.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return Err(
                "it has a user in it, which others would see: use PLATFORM_USER \
                        and PLATFORM_PASSWORD"
                    .to_owned(),
            );
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(format!("leave out everything behind {authority}"));
        }
        let host = url.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let at = Endpoint::new(host, url.port_u16().unwrap_or(default));
        Ok(Self { at, tls })
    }
}

fn service(
    variable: &'static str,
    env: Environment<'_>,
) -> Result<Option<Service>, TargetError> {
    let fault = |why| TargetError::Url { variable, why };
    (env)(variable).map(|url| Service::of(&url).map_err(fault)).transpose()
}

fn login(env: Environment<'_>) -> Result<Option<Login>, TargetError> {
    let password = match ((env)(PASSWORD), (env)(PASSWORD_FILE)) {
        (None, None) => None,
        (Some(password), None) => Some(Secret::new(password)),
        (None, Some(file)) => {
            let text = Secret::new(read(PASSWORD_FILE, Path::new(&file))?);
            let line = text.expose().lines().next().filter(|line| !line.is_empty());
            Some(Secret::new(line.ok_or(TargetError::NoPassword(file.into()))?))
        }
        (Some(_), Some(_)) => {
            let both =
                "both PLATFORM_PASSWORD and PLATFORM_PASSWORD_FILE are set: unset one";
            return Err(TargetError::Login(both));
        }
    };
    match ((env)(USER), password) {
        (None, None) => Ok(None),
        (Some(user), Some(password)) => Ok(Some(Login { user, password })),
        (Some(_), None) => Err(TargetError::Login(
            "PLATFORM_USER is set and has no password: set PLATFORM_PASSWORD, or \
             PLATFORM_PASSWORD_FILE",
        )),
        (None, Some(_)) => Err(TargetError::Login(
            "there is a password and no user: set PLATFORM_USER to the user's name",
        )),
    }
}

fn read(variable: &'static str, path: &Path) -> Result<String, TargetError> {
    std::fs::read_to_string(path).map_err(|source| {
        let path = path.to_owned();
        TargetError::Unreadable { variable, path, source }
    })
}

impl Target {
    /// Whether a password would be sent without TLS.
    fn tells_password(&self) -> bool {
        self.login.is_some() && self.dialers.iter().any(|dialer| dialer.is_plain())
    }

    /// The inventory of the cluster, for what only its hosts reach.
    ///
    /// # Errors
    /// When the addresses are from the environment; `what` is then missing.
    pub(super) fn inventory(&self, what: &'static str) -> Result<&Path, TargetError> {
        match &self.origin {
            Origin::Inventory(path) => Ok(path),
            Origin::Environment => Err(TargetError::NoInventory(what)),
        }
    }

    /// The Marathon.
    ///
    /// # Errors
    /// When only the URL of a Chronos is known.
    pub(crate) fn marathon(&self) -> Result<Marathon, Error> {
        let at = self
            .marathon
            .clone()
            .ok_or(TargetError::NoUrl { variable: URL, service: "Marathon" })?;
        Ok(Marathon::new(self.access("Marathon", at, &self.dialers[0])))
    }

    /// The Chronos.
    ///
    /// # Errors
    /// When its URL is not known.
    pub(crate) fn chronos(&self) -> Result<Chronos, Error> {
        let at = self
            .chronos
            .clone()
            .ok_or(TargetError::NoUrl { variable: CHRONOS_URL, service: "Chronos" })?;
        Ok(Chronos::new(self.access("Chronos", at, &self.dialers[1])))
    }

    /// The masters, if it is known where they are: behind the same edge as Marathon.
    pub(crate) fn mesos(&self) -> Option<Master> {
        let at = self.mesos.clone()?;
        Some(Master::new(self.access("Mesos", at, &self.dialers[0])))
    }

    fn access(&self, name: &str, ask: Endpoint, dialer: &Arc<Direct>) -> Access {
        let dialer = Arc::<Direct>::clone(dialer);
        Access {
            name: name.to_owned(),
            ask,
            own: BTreeSet::new(),
            login: self.login.clone(),
            dialer,
            deadline: ANSWER,
        }
    }

    /// The error of a request, with what to do next.
    pub(crate) fn fails(&self, error: ApiError) -> Error {
        let hint = self.origin.hint(&error.reason);
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        ServiceError { error, hint }.into()
    }
}

impl Origin {
    /// What to do about a failed request.
    fn hint(&self, reason: &Reason) -> Option<String> {
        let inventory = match self {
            Self::Inventory(path) => Some(path.display()),
            Self::Environment => None,
        };
        Some(match (reason, inventory) {
            (Reason::Unauthorized { .. }, Some(path)) => format!(
                "the edge does not know the password of the state folder: `platform up {path}` \
                 gives it that password"
            ),
            (Reason::Unauthorized { user: None }, None) => format!(
                "set {USER}, and {PASSWORD} or {PASSWORD_FILE}; `platform users` shows and adds \
                 users"
            ),
            (Reason::Unauthorized { user: Some(_) }, None) => format!(
                "check {USER}, {PASSWORD} and {PASSWORD_FILE}; who runs the cluster can see the \
                 users with `platform users ls`, and give one a new password"
            ),
            (Reason::Status { status: 429, .. }, _) => {
                "too many wrong passwords came from here: try again in a minute"
                    .to_owned()
            }
            (Reason::Untrusted(_), Some(path)) => format!(
                "another program answers there, or the state folder is that of another cluster: \
                 `platform status {path}` asks the hosts themselves"
            ),
            (Reason::Untrusted(_), None) => format!(
                "set {CA_FILE} to the file of its authority; that of a cluster of this program \
                 is .platform/CLUSTER/ca/ca.crt beside its inventory"
            ),
            (Reason::Unreachable(_), Some(path)) => format!(
                "this computer has to reach the edge itself: `platform status {path}` asks the \
                 hosts over SSH"
            ),
            (Reason::Unreachable(_), None) => format!("check {URL} and {CHRONOS_URL}"),
            (Reason::Locked(_), _) => {
                "wait until that is done, or end it with `platform app stop`".to_owned()
            }
            _ => return None,
        })
    }
}

impl TargetError {
    /// The kind of this failure.
    pub(super) fn kind(&self) -> ExitKind {
        match self {
            Self::NoEdge(_) => ExitKind::Invalid,
            Self::NotUp(_) => ExitKind::Failed,
            _ => ExitKind::Usage,
        }
    }
}

impl ServiceError {
    /// Whether it may go away by itself.
    pub(super) fn may_pass(&self) -> bool {
        self.error.is_transient()
    }

    /// The kind of this failure.
    pub(super) fn kind(&self) -> ExitKind {
        of_service(&self.error.reason)
    }
}

/// The kind of failure of a request.
pub(super) fn of_service(reason: &Reason) -> ExitKind {
    match reason {
        Reason::Unreachable(_) | Reason::Untrusted(_) | Reason::Broken(_) => {
            ExitKind::Unreachable
        }
        Reason::TimedOut(_) | Reason::NotSettled { .. } => ExitKind::TimedOut,
        Reason::Locked(_) => ExitKind::Refused,
        _ => ExitKind::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::ctx;
    use super::*;

    fn of(variables: &'static [(&str, &str)]) -> Result<Target, TargetError> {
        of_environment(&|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn refused(variables: &'static [(&str, &str)]) -> String {
        of(variables).err().expect("it is refused").to_string()
    }

    #[test]
    fn a_url_says_where_marathon_is_and_at_an_edge_where_chronos_is() {
        let at = |variables| {
            let Target { marathon, chronos, .. } = of(variables).unwrap();
            [marathon, chronos].map(|at| at.map(|at| at.to_string()).unwrap_or_default())
        };
        assert_eq!(at(&[(URL, "https://Vip:8443/")]), ["vip:8443", "vip:4443"]);
        assert_eq!(at(&[(URL, "http://m:8080")]), ["m:8080", ""]);
        assert_eq!(at(&[(URL, "https://[fd00::1]")]), ["[fd00::1]:443", ""]);
        assert_eq!(at(&[(CHRONOS_URL, "http://c:4400")]), ["", "c:4400"]);
        let own = &[(URL, "https://vip:8443"), (CHRONOS_URL, "http://c")];
        assert_eq!(at(own), ["vip:8443", "c:80"]);
    }

    #[test]
    fn a_url_that_cannot_be_meant_is_refused_with_the_reason() {
        for (url, why) in [
            ("vip:8443", "neither https:// nor http://"),
            ("ftp://vip", "neither https:// nor http://"),
            ("https://vip:8443/v2/apps", "leave out everything behind vip:8443"),
            ("https://ann:secret@vip:8443", "use PLATFORM_USER"),
        ] {
            let said = Service::of(url).unwrap_err();
            assert!(said.contains(why) && !said.contains("secret"), "{url}: {said}");
        }
    }

    #[test]
    fn half_a_login_and_two_logins_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let env = |name: &str| match name {
            USER => Some("ann".to_owned()),
            PASSWORD_FILE => Some(file.path().display().to_string()),
            _ => None,
        };
        assert!(matches!(login(&env), Err(TargetError::NoPassword(_))));
        std::fs::write(file.path(), "hunter2\r\nmore").unwrap();
        let found = login(&env).unwrap().unwrap();
        assert_eq!((found.user.as_str(), found.password.expose()), ("ann", "hunter2"));
        assert!(refused(&[(USER, "ann")]).contains("has no password"));
        assert!(refused(&[(PASSWORD, "x")]).contains("no user"));
        let two = refused(&[(USER, "a"), (PASSWORD, "x"), (PASSWORD_FILE, "f")]);
        assert!(two.contains("unset one"), "{two}");
    }

    #[test]
    fn a_file_that_is_no_authority_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let env = |name: &str| match name {
            URL => Some("https://vip:8443".to_owned()),
            CA_FILE => Some(file.path().display().to_string()),
            _ => None,
        };
        let refused = || of_environment(&env).err().expect("it is refused");
        assert!(matches!(refused(), TargetError::Ca(_, NoTrust::Empty)));
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(file.path(), damaged).unwrap();
        assert!(matches!(refused(), TargetError::Ca(_, NoTrust::Damaged(_))));
        drop(std::fs::remove_file(file.path()));
        assert!(matches!(refused(), TargetError::Unreadable { .. }));
    }

    #[tokio::test]
    async fn exactly_one_thing_has_to_say_which_cluster() {
        let open = async |inventory: Option<&str>, url: Option<&'static str>| {
            let env = move |name: &str| url.filter(|_| name == URL).map(str::to_owned);
            let ctx = RunContext { env: &env, ..ctx(false) };
            let target = super::open(inventory.map(Path::new), &ctx).await;
            target.err().map(|error| (error.kind(), error.to_string()))
        };
        let (kind, said) = open(None, None).await.unwrap();
        assert!(kind == ExitKind::Usage && said.contains("PLATFORM_INVENTORY"), "{said}");
        let (kind, said) = open(Some("lab.yaml"), Some("https://vip")).await.unwrap();
        assert!(kind == ExitKind::Usage && said.contains("unset one"), "{said}");
        assert!(open(None, Some("https://vip")).await.is_none());
    }

    #[tokio::test]
    async fn a_cluster_that_was_never_up_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lab.yaml");
        let text = "cluster: lab\nprovider: {local: {}}\ngroups:\n  \
                    edge: {roles: [edge], count: 1}\n";
        std::fs::write(&path, text).unwrap();
        let error = super::open(Some(&path), &ctx(false)).await.err().unwrap();
        let again = format!("run `platform up {}` first", path.display());
        assert!(error.to_string().contains(&again), "{error}");
        assert!(!folder.path().join(".platform").exists(), "nothing is made");
    }

    #[test]
    fn a_failed_request_says_what_to_do_next() {
        let said = |origin: &Origin, reason| origin.hint(&reason).unwrap_or_default();
        let cluster = Origin::Inventory("lab.yaml".into());
        let wrong =
            |user: Option<&str>| Reason::Unauthorized { user: user.map(str::to_owned) };
        assert!(said(&cluster, wrong(Some("x"))).contains("`platform up lab.yaml`"));
        let urls = Origin::Environment;
        assert!(said(&urls, wrong(None)).starts_with("set PLATFORM_USER"));
        assert!(said(&urls, wrong(Some("ann"))).contains("`platform users ls`"));
        let untrusted = || Reason::Untrusted("unknown issuer".into());
        assert!(said(&urls, untrusted()).contains("PLATFORM_CA_FILE"));
        assert!(said(&cluster, untrusted()).contains("`platform status lab.yaml`"));
        assert!(said(&urls, Reason::Unreachable("refused".into())).contains(URL));
        assert_eq!(said(&urls, Reason::Redirects(5)), "");
    }
}

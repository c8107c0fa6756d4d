//! ZooKeeper as the components use it: addresses, sessions and elections.
//!
//! Elections are those of Mesos and of Curator: ephemeral nodes with a sequence number, of which
//! the lowest leads. Nothing here knows what a node's data means.
//! Invariant: a password is in no error, no Debug output and no node.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::sync::watch;
use zookeeper_client::{
    Acl, Acls, Client, CreateMode, Error as ClientError, Permission, SessionState,
};

/// The digits that ZooKeeper ends a sequential node's name with.
const N_SEQUENCE_DIGITS: usize = 10;

/// How long a lost connection may go unnoticed before the election is read again.
const RETRY: Duration = Duration::from_secs(1);

/// Why ZooKeeper could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ZkError {
    /// The address is not of the form `zk://[user:password@]host:port,…/path`.
    #[error("not a ZooKeeper address: {0}")]
    Address(&'static str),
    /// No server answered in time.
    #[error("cannot connect to ZooKeeper at {servers} within {seconds} s")]
    Unreachable {
        /// The servers that were asked.
        servers: String,
        /// The deadline.
        seconds: u64,
    },
    /// A request failed.
    #[error("ZooKeeper at {path}: {source}")]
    Request {
        /// The node asked for.
        path: String,
        /// What the client said.
        source: ClientError,
    },
}

/// Where a component's data is in ZooKeeper, and who may read it.
#[derive(Clone, PartialEq, Eq)]
pub struct ZkUrl {
    servers: String,
    credentials: Option<(String, String)>,
    path: String,
}

impl ZkUrl {
    /// The servers, as `host:port,host:port`.
    pub fn servers(&self) -> &str {
        &self.servers
    }

    /// User and password, where the address has them.
    pub fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials
            .as_ref()
            .map(|(user, password)| (user.as_str(), password.as_str()))
    }

    /// The path, beginning with a slash and not ending with one unless it is the root.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Debug for ZkUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.credentials.is_some() { "…@" } else { "" };
        write!(f, "zk://{user}{}{}", self.servers, self.path)
    }
}

impl FromStr for ZkUrl {
    type Err = ZkError;

    fn from_str(text: &str) -> Result<Self, ZkError> {
        let rest = text
            .trim()
            .strip_prefix("zk://")
            .ok_or(ZkError::Address("it does not begin with zk://"))?;
        // A password may hold any sign but the last `@`, which ends it.
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let credentials = user.map(parse_user).transpose()?;
        let (servers, path) = rest.split_once('/').unwrap_or((rest, ""));
        if servers.split(',').any(str::is_empty) {
            return Err(ZkError::Address("a server is missing"));
        }
        let path = format!("/{}", path.trim_matches('/'));
        Ok(Self { servers: servers.to_owned(), credentials, path })
    }
}

fn parse_user(user: &str) -> Result<(String, String), ZkError> {
    let (name, password) =
        user.split_once(':').ok_or(ZkError::Address("the user has no password"))?;
    Ok((name.to_owned(), password.to_owned()))
}

/// Whom a component lets use the nodes that it makes, where it has a user of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// Itself alone, as Marathon does.
    Own,
    /// Everyone reads, as with Mesos.
    EveryoneReads,
    /// Everyone does everything, but only reads values, as with Chronos.
    Open,
}

const OWNER: Acl = Acl::new_const(Permission::ALL, "auth", "");
static EVERYONE_READS: [Acl; 2] =
    [OWNER, Acl::new_const(Permission::READ, "world", "anyone")];

/// A ZooKeeper session; clones share it.
#[derive(Clone)]
pub struct Session {
    client: Client,
    authenticated: bool,
    lists: Lists,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("authenticated", &self.authenticated)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Connects, with a session of `timeout`, which is the deadline for connecting as well.
    pub async fn connect(url: &ZkUrl, timeout: Duration) -> Result<Self, ZkError> {
        let mut connector = Client::connector().with_session_timeout(timeout);
        if let Some((user, password)) = url.credentials() {
            connector =
                connector.with_auth("digest", format!("{user}:{password}").as_bytes());
        }
        let unreachable = || ZkError::Unreachable {
            servers: url.servers().to_owned(),
            seconds: timeout.as_secs(),
        };
        let client = tokio::time::timeout(timeout, connector.connect(url.servers()))
            .await
            .map_err(|_| unreachable())?
            .map_err(|source| match source {
                ClientError::Timeout | ClientError::NoHosts => unreachable(),
                source => ZkError::Request { path: url.path().to_owned(), source },
            })?;
        let authenticated = url.credentials().is_some();
        Ok(Self { client, authenticated, lists: Lists::Own })
    }

    /// The same session, whose nodes these may use.
    pub fn with(self, lists: Lists) -> Self {
        Self { lists, ..self }
    }

    /// The client of this session.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Who may use the nodes of this session; anyone when it has no user.
    pub fn acl(&self) -> Acls<'static> {
        match self.lists {
            _ if !self.authenticated => Acls::anyone_all(),
            Lists::Own => Acls::creator_all(),
            Lists::EveryoneReads => Acls::new(&EVERYONE_READS),
            Lists::Open => Acls::anyone_all(),
        }
    }

    /// Who may use a node of this session that holds a value.
    pub fn value_acl(&self) -> Acls<'static> {
        match self.lists {
            Lists::Open if self.authenticated => Acls::new(&EVERYONE_READS),
            _ => self.acl(),
        }
    }

    /// Resolves when the session is lost, after which nothing of it can be used.
    pub fn expired(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut states = self.client.state_watcher();
        async move {
            let mut state = states.peek_state();
            while !state.is_terminated() {
                state = states.changed().await;
            }
        }
    }

    /// Resolves when the connection is lost, be it for a moment.
    pub fn interrupted(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut states = self.client.state_watcher();
        async move {
            let mut state = states.peek_state();
            while state == SessionState::SyncConnected {
                state = states.changed().await;
            }
        }
    }

    /// Creates a persistent path with its parents; those that exist are left alone.
    pub async fn make_path(&self, path: &str) -> Result<(), ZkError> {
        if path == "/" {
            return Ok(());
        }
        let options = CreateMode::Persistent.with_acls(self.acl());
        match self.client.mkdir(path, &options).await {
            Ok(()) => Ok(()),
            // A user who may not create below a foreign parent may still use what is there.
            Err(ClientError::NoAuth) if self.exists(path).await => Ok(()),
            Err(source) => Err(request_error(path, source)),
        }
    }

    async fn exists(&self, path: &str) -> bool {
        matches!(self.client.check_stat(path).await, Ok(Some(_)))
    }
}

fn request_error(path: &str, source: ClientError) -> ZkError {
    ZkError::Request { path: path.to_owned(), source }
}

/// What a candidate knows of its election.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The data of the node that leads; `None` while no one does.
    pub leader_data: Option<Vec<u8>>,
    /// Whether the candidate itself leads.
    pub leads: bool,
}

/// A place in an election, kept as long as the session lives.
#[derive(Debug)]
pub struct Candidate {
    session: Session,
    node: String,
    standing: watch::Receiver<Standing>,
}

impl Candidate {
    /// Adds a node named `prefix` and a number below `parent`, which is created if missing.
    ///
    /// Rivals are the nodes whose names end like `prefix` (for Curator's `_c_<uuid>-latch-`,
    /// whatever the uuid) before their number.
    pub async fn join(
        session: &Session,
        parent: &str,
        prefix: &str,
        data: &[u8],
    ) -> Result<Self, ZkError> {
        session.make_path(parent).await?;
        let options = CreateMode::EphemeralSequential.with_acls(session.acl());
        let path = child_path(parent, prefix);
        let (_, sequence) = session
            .client
            .create(&path, data, &options)
            .await
            .map_err(|source| request_error(&path, source))?;
        let name = format!("{prefix}{sequence}");
        let election = Election::new(session, parent, prefix, Some(name));
        let standing = election.watch();
        Ok(Self { session: session.clone(), node: format!("{path}{sequence}"), standing })
    }

    /// The election as it goes on; the sender goes away when the session is lost.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Gives the place up at once, so that the next may lead.
    pub async fn leave(self) -> Result<(), ZkError> {
        match self.session.client.delete(&self.node, None).await {
            Ok(()) | Err(ClientError::NoNode) => Ok(()),
            Err(source) => Err(request_error(&self.node, source)),
        }
    }
}

/// Follows who leads the election at `parent`: the data of the leading node.
///
/// The sender goes away when the session is lost.
pub fn watch_leader(
    session: &Session,
    parent: &str,
    prefix: &str,
) -> watch::Receiver<Option<Vec<u8>>> {
    let mut standing = Election::new(session, parent, prefix, None).watch();
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        loop {
            let leader = standing.borrow_and_update().leader_data.clone();
            sender.send_if_modified(|known| {
                let is_new = *known != leader;
                *known = leader;
                is_new
            });
            tokio::select! {
                changed = standing.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
        }
    });
    receiver
}

/// An election seen from one session.
struct Election {
    session: Session,
    parent: String,
    prefix: String,
    own_name: Option<String>,
}

impl Election {
    fn new(
        session: &Session,
        parent: &str,
        prefix: &str,
        own_name: Option<String>,
    ) -> Self {
        Self {
            session: session.clone(),
            parent: parent.to_owned(),
            prefix: prefix.to_owned(),
            own_name,
        }
    }

    /// Reads the election again and again until the session or every receiver is gone.
    fn watch(self) -> watch::Receiver<Standing> {
        let (sender, receiver) = watch::channel(Standing::default());
        tokio::spawn(async move {
            tokio::select! {
                () = self.follow(&sender) => (),
                () = self.session.expired() => (),
                () = sender.closed() => (),
            }
            sender.send_replace(Standing::default());
        });
        receiver
    }

    async fn follow(&self, sender: &watch::Sender<Standing>) {
        let mut states = self.session.client.state_watcher();
        loop {
            let done = match self.read(sender).await {
                // The path is missing before the first candidate, and after a wipe.
                Err(ClientError::NoNode) => {
                    self.session.make_path(&self.parent).await.is_ok()
                }
                read => read.is_ok(),
            };
            if !done {
                let _ = tokio::time::timeout(RETRY, states.changed()).await;
            }
            if matches!(
                states.peek_state(),
                SessionState::Expired | SessionState::AuthFailed
            ) {
                return;
            }
        }
    }

    /// Reads once, and returns when the candidates have changed since.
    async fn read(&self, sender: &watch::Sender<Standing>) -> Result<(), ClientError> {
        let (names, _, changed) =
            self.session.client.get_and_watch_children(&self.parent).await?;
        let first = first_of(&names, &self.prefix);
        let data = match first {
            Some(name) => {
                match self.session.client.get_data(&child_path(&self.parent, name)).await
                {
                    Ok((data, _)) => Some(data),
                    // It went between the two requests: the watch below has fired already.
                    Err(ClientError::NoNode) => None,
                    Err(error) => return Err(error),
                }
            }
            None => None,
        };
        let leads = first.is_some() && first == self.own_name.as_deref();
        sender.send_if_modified(|known| {
            let standing = Standing { leader_data: data, leads };
            let is_new = *known != standing;
            *known = standing;
            is_new
        });
        changed.changed().await;
        Ok(())
    }
}

/// The candidate of the lowest number, among the nodes of this kind of election.
fn first_of<'a>(names: &'a [String], prefix: &str) -> Option<&'a str> {
    names
        .iter()
        .filter_map(|name| Some((sequence_of(name, kind_of(prefix))?, name.as_str())))
        .min()
        .map(|(_, name)| name)
}

/// What the names of all rivals have in common: Curator begins each with a uuid of its own.
fn kind_of(prefix: &str) -> &str {
    const UUID_LENGTH: usize = 36;
    prefix.strip_prefix("_c_").and_then(|rest| rest.get(UUID_LENGTH..)).unwrap_or(prefix)
}

fn sequence_of(name: &str, kind: &str) -> Option<u64> {
    let (stem, digits) =
        name.split_at_checked(name.len().checked_sub(N_SEQUENCE_DIGITS)?)?;
    if stem.ends_with(kind) { digits.parse().ok() } else { None }
}

fn child_path(parent: &str, name: &str) -> String {
    format!("{}/{name}", parent.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_servers_user_and_path() {
        let url: ZkUrl = "zk://mesos:p@ss:w@h1:2181,h2:2182/a/mesos/".parse().unwrap();
        assert_eq!(url.servers(), "h1:2181,h2:2182");
        assert_eq!(url.credentials(), Some(("mesos", "p@ss:w")));
        assert_eq!(url.path(), "/a/mesos");
        assert_eq!(format!("{url:?}"), "zk://…@h1:2181,h2:2182/a/mesos");
    }

    #[test]
    fn an_address_may_lack_user_and_path() {
        let url: ZkUrl = "zk://h1:2181".parse().unwrap();
        assert_eq!((url.credentials(), url.path()), (None, "/"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["http://h1:1/x", "zk://", "zk://h1,/x", "zk://user@h1:1/x"] {
            assert!(text.parse::<ZkUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_lowest_number_of_the_own_kind_leads() {
        let names =
            |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let mesos = names(&[
            "log_replicas",
            "info_0000000001",
            "json.info_0000000012",
            "json.info_0000000009",
        ]);
        assert_eq!(first_of(&mesos, "json.info_"), Some("json.info_0000000009"));
        let ours = "_c_11111111-2222-3333-4444-555555555555-latch-";
        let latches = names(&[
            "_c_ffffffff-2222-3333-4444-555555555555-latch-0000000003",
            "_c_00000000-2222-3333-4444-555555555555-latch-0000000004",
        ]);
        assert_eq!(first_of(&latches, ours), Some(latches[0].as_str()));
        assert_eq!(first_of(&latches, "-latch-"), Some(latches[0].as_str()));
        assert_eq!(first_of(&names(&["log_replicas"]), "json.info_"), None);
    }
}

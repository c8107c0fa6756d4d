//! The real [`Remote`]: SSH, spoken by this program itself.
//!
//! In reading order: [`Connector`] finds the way to a [`Target`] (`route`), holds back logins
//! that a server would drop (`login_limits`), makes the connection (`link` over `prompt`), checks the host's key
//! (`host_keys`), logs in (`auth`), and gives an [`Ssh`], which runs commands (`exec`), told
//! from what the host says before them (`begin`), as root where asked (`sudo`).
//!
//! Invariants: no key passes unchecked; nothing waits without a deadline; a connection that
//! ends in mid-exec is an error. One [`Ssh`] is one TCP connection, meant to be kept for the
//! whole run: it never reconnects by itself. A [`ReconnectingSsh`] connection is made anew when asked, and for
//! a look at a service.

mod auth;
mod begin;
mod certificate;
mod endpoint;
mod exec;
mod host_keys;
mod keys;
mod link;
mod login_limits;
mod pace;
mod prompt;
mod proxy;
mod reconnecting;
mod revoked;
mod route;
mod sessions;
mod shown;
mod signer;
mod stdout;
mod sudo;
mod system;
mod watcher;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

use crate::event::{Event, Events};
use crate::host::HostName;
use crate::inventory::SshAccess;
use crate::secret::Secret;

use super::config::OperatorConfig;
use super::{Exec, Output, Remote, RemoteError, Stream};

pub use self::host_keys::{FirstContact, TrustPrompt};
pub use self::keys::KeyFileError;
pub use self::reconnecting::ReconnectingSsh;
pub use self::sudo::SudoProblem;
pub use self::system::{Purpose, system_ssh};

use self::auth::AuthContext;
use self::endpoint::Endpoint;
use self::host_keys::HostKeys;
use self::keys::Keyring;
use self::link::Link;
use self::login_limits::{Backoff, LoginLimits};
use self::route::Bastions;

/// A host to connect to, and how.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name in the cluster.
    pub host: HostName,
    /// Where SSH reaches it: a name or an IP address.
    pub address: String,
    /// How to log in, as the inventory says; it wins over the operator's configuration.
    pub access: SshAccess,
    /// The passphrase of `access.key`.
    pub passphrase: Option<Secret>,
    /// The password for sudo.
    pub sudo_password: Option<Secret>,
    /// Keys that the host's provider vouches for, as OpenSSH public key lines. Where there
    /// are any, exactly these pass.
    pub host_keys: Vec<String>,
    /// Whether the operator's own SSH configuration, agent and known hosts have a say: not
    /// on machines that this program made.
    pub operator_config: bool,
}

/// The time: certificates have an end.
pub type Clock = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;

/// What all connections of a run have in common.
#[derive(Clone)]
pub struct Settings {
    /// The file that host keys are pinned in, in the format of `known_hosts`. It need not
    /// exist.
    pub pins: PathBuf,
    /// Asks whether an unknown key is right; without one, the answer is no.
    pub ask: Option<TrustPrompt>,
    /// Read in place of the operator's usual SSH configuration files.
    pub ssh_config: Option<PathBuf>,
    /// How long everything may take.
    pub timing: Timing,
    /// The time.
    pub clock: Clock,
}

/// How long each part of a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// From the first packet to a TCP connection, names looked up.
    pub connect: Duration,
    /// From there to agreed keys: a loaded host may take seconds to start its sshd.
    pub handshake: Duration,
    /// From there to the end of the login: a host may ask its directory, an agent its owner.
    pub login: Duration,
    /// For so long a server that hangs up before keys are agreed is tried again: an sshd that
    /// counts too many unfinished logins, whoever's they are, drops some by lot.
    pub hang_ups: Duration,
    /// After so long a silence the host is asked for a sign of life.
    pub keepalive: Duration,
    /// So many questions in a row may stay unanswered.
    pub unanswered: usize,
    /// After so long a silence, words of sudo without an end of line are taken for a question
    /// that this program has no answer to.
    pub sudo: Duration,
    /// The longest that the host may refuse to take bytes that were sent. It catches the
    /// frozen host whose buffers are full, where no question can be sent any more. Longer
    /// than all unanswered questions take together.
    pub stall: Duration,
}

impl Default for Timing {
    /// Finds a dead host within 20 seconds, and leaves alone one that swaps for 15.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(10),
            handshake: seconds(20),
            login: seconds(30),
            hang_ups: seconds(5),
            keepalive: seconds(5),
            unanswered: 3,
            sudo: seconds(15),
            stall: seconds(60),
        }
    }
}

/// Makes the connections of a run; shared by all of its tasks.
///
/// At most 24 logins are under way at once, and at most 8 with one server or through one
/// jump host, as sshd drops unfinished logins beyond 10; one that is dropped is tried again.
/// Connections to jump hosts are shared.
pub struct Connector {
    timing: Timing,
    clock: Clock,
    events: Events,
    operator: OperatorConfig,
    host_keys: HostKeys,
    keyring: Keyring,
    login_limits: LoginLimits,
    bastions: Bastions,
}

impl Connector {
    /// Makes a connector; nothing is read or connected yet.
    pub fn new(settings: Settings, events: Events) -> Self {
        let Settings { pins, ask, ssh_config, timing, clock } = settings;
        Self {
            timing,
            operator: OperatorConfig::new(ssh_config),
            host_keys: HostKeys::new(pins, ask, clock.clone(), events.clone()),
            events,
            clock,
            keyring: Keyring::default(),
            login_limits: LoginLimits::default(),
            bastions: Bastions::default(),
        }
    }

    /// Connects to a target and logs in, through its jump hosts where it has any.
    ///
    /// Each call makes a connection of its own; keep it for the whole run. Waiting for other
    /// logins to end, and for the operator's answer about an unknown key, has no deadline.
    ///
    /// # Errors
    /// Says at which host on the way, and whether the network, the host's key or the login
    /// was at fault.
    pub async fn connect(&self, target: Target) -> Result<Ssh, RemoteError> {
        let route = self.route(&target).await?;
        let way = self.through(&route.hops, &target.host).await?;
        let link = self.open(&route.end, way).await?;
        let Target { host, sudo_password, .. } = target;
        self.events.emit(&Event::Connected { host: host.clone(), took: link.took });
        let events = self.events.clone();
        let (user, sudo_patience) = (route.end.config.user, self.timing.sudo);
        Ok(Ssh { host, user, sudo_password, sudo_patience, link, events })
    }

    /// Connects to one server; asks about its key where it is not known.
    async fn open(
        &self,
        end: &Endpoint,
        way: Option<Arc<Link>>,
    ) -> Result<Link, RemoteError> {
        // Asking happens between two connections, so that neither the server's patience nor
        // a place among the logins runs out while the operator looks up the fingerprint.
        let mut pauses = Backoff::until(Instant::now() + self.timing.hang_ups);
        loop {
            match self.attempt(end, way.as_ref()).await {
                Ok(link) => return Ok(link),
                Err(link::Failure::Unseen(unseen)) => {
                    self.host_keys.ask(end, unseen).await?;
                }
                Err(link::Failure::HungUp(error)) => match pauses.next() {
                    Some(pause) => sleep(pause).await,
                    None => return Err(error),
                },
                Err(link::Failure::Error(error)) => return Err(error),
            }
        }
    }

    async fn attempt(
        &self,
        end: &Endpoint,
        way: Option<&Arc<Link>>,
    ) -> Result<Link, link::Failure> {
        let _place =
            self.login_limits.enter(end, way.map(|link| link.name.as_str())).await;
        let guard = self.host_keys.guard(end).await?;
        let mut link = Link::connect(end, way.cloned(), guard, &self.timing).await?;
        let means = AuthContext { keyring: &self.keyring, clock: &self.clock };
        link.log_in(end, &means, &self.timing).await?;
        Ok(link)
    }
}

/// A host that was logged in to: one connection, for any number of commands.
///
/// Up to 8 commands run at once; further ones wait, as sshd refuses more than 10. Where it
/// allows fewer, fewer run at once.
pub struct Ssh {
    host: HostName,
    user: String,
    sudo_password: Option<Secret>,
    sudo_patience: Duration,
    link: Link,
    events: Events,
}

impl Ssh {
    /// The user that logged in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether the connection has ended; it will not come back.
    pub fn is_closed(&self) -> bool {
        self.link.handle.is_closed()
    }
}

impl Remote for Ssh {
    fn exec<'a>(&'a self, exec: Exec<'a>) -> BoxFuture<'a, Result<Output, RemoteError>> {
        exec::run(self, exec).boxed()
    }

    fn dial<'a>(
        &'a self,
        address: &'a str,
        port: u16,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Box<dyn Stream>, RemoteError>> {
        self.link.dial(address, port, deadline).boxed()
    }

    fn has_room(&self) -> BoxFuture<'_, Result<(), RemoteError>> {
        self.link.has_room().boxed()
    }

    /// One connection never comes back: this only says whether it stands.
    fn renew(&self) -> BoxFuture<'_, Result<(), RemoteError>> {
        let ended = self.is_closed().then(|| self.link.lost("a reboot"));
        async move { ended.map_or(Ok(()), Err) }.boxed()
    }
}

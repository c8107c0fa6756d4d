//! The real [`Remote`]: an SSH client inside this program.
//!
//! In reading order: [`Connector`] finds the route to a [`Target`] (`route`), limits the number
//! of logins so that servers do not drop them (`login_limits`), makes the connection (`link`,
//! over `prompt`), checks the host's key (`host_keys`), logs in (`auth`), and returns an [`Ssh`].
//! That runs commands (`exec`), separates their output from what the host prints before
//! (`begin`), and runs them as root if asked (`sudo`).
//!
//! Invariants: no key is accepted unchecked; every wait has a deadline; a connection that ends
//! while a command runs is an error. One [`Ssh`] is one TCP connection, kept for the whole run:
//! it never reconnects by itself. A [`ReconnectingSsh`] makes a new connection when asked, and to
//! query a service.

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

pub use self::host_keys::{FirstContact, NewPins, TrustPrompt};
pub use self::keys::KeyFileError;
pub use self::reconnecting::ReconnectingSsh;
pub use self::sudo::SudoProblem;
pub use self::system::{Purpose, system_ssh};

use self::auth::AuthContext;
use self::endpoint::Endpoint;
use self::host_keys::{HostKeys, Pins};
use self::keys::Keyring;
use self::link::Link;
use self::login_limits::{Backoff, LoginLimits};
use self::route::Bastions;

/// A host to connect to, and how.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name in the cluster.
    pub host: HostName,
    /// Its address for SSH: a name or an IP address.
    pub address: String,
    /// How to log in, as the inventory says; this takes precedence over the operator's
    /// configuration.
    pub access: SshAccess,
    /// The passphrase of `access.key`.
    pub passphrase: Option<Secret>,
    /// The password for sudo.
    pub sudo_password: Option<Secret>,
    /// Keys that the host's provider confirms, as OpenSSH public key lines. If there are any,
    /// only these are accepted.
    pub host_keys: Vec<String>,
    /// Whether the operator's own SSH configuration, SSH agent and known hosts are used: not on
    /// machines that this program created.
    pub operator_config: bool,
}

/// The clock: certificates expire.
pub type Clock = Arc<dyn Fn() -> jiff::Timestamp + Send + Sync>;

/// What all connections of a run share.
#[derive(Clone)]
pub struct Settings {
    /// The file of pinned host keys, in the format of `known_hosts`. It need not exist.
    pub pins: PathBuf,
    /// The keys that are pinned but not in that file yet.
    pub new_pins: NewPins,
    /// Asks whether an unknown key is right; if `None`, the answer is no.
    pub ask: Option<TrustPrompt>,
    /// Read instead of the operator's usual SSH configuration files.
    pub ssh_config: Option<PathBuf>,
    /// How long everything may take.
    pub timing: Timing,
    /// The time.
    pub clock: Clock,
}

/// How long each part of a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// From the first packet to a TCP connection, name lookup included.
    pub connect: Duration,
    /// From there until keys are agreed: a loaded host may take seconds to start its sshd.
    pub handshake: Duration,
    /// From there to the end of the login: a host may query a directory, an SSH agent its user.
    pub login: Duration,
    /// How long to retry a server that closes connections before keys are agreed: an sshd that
    /// counts too many unfinished logins, from any client, drops some at random.
    pub hang_ups: Duration,
    /// After this much silence, a keepalive is sent to the host.
    pub keepalive: Duration,
    /// The number of keepalives in a row that may stay unanswered.
    pub unanswered: usize,
    /// After this much silence, text from sudo without an end of line counts as a question that
    /// this program cannot answer.
    pub sudo: Duration,
    /// The longest that the host may refuse to accept bytes. This detects a frozen host whose
    /// buffers are full, to which no keepalive can be sent. Longer than all unanswered keepalives
    /// take together.
    pub stall: Duration,
}

impl Default for Timing {
    /// Detects a dead host within 20 seconds, and tolerates one that swaps for 15.
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
/// At most 24 logins run at once, and at most 8 with one server or through one jump host, because
/// sshd drops unfinished logins beyond 10; a dropped login is retried. Connections to jump hosts
/// are shared.
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
    /// Makes a connector; it does not read or connect anything yet.
    pub fn new(settings: Settings, events: Events) -> Self {
        let Settings { pins, new_pins, ask, ssh_config, timing, clock } = settings;
        let pins = Pins::new(pins, new_pins);
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

    /// Connects to a target and logs in, through its jump hosts if it has any.
    ///
    /// Each call makes its own connection; keep it for the whole run. There is no deadline for
    /// the wait for other logins, nor for the operator's answer about an unknown key.
    ///
    /// # Errors
    /// The error says which host on the route failed, and whether the cause was the network, the
    /// host's key or the login.
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

    /// Connects to one server; asks about its key if it is not known.
    async fn open(
        &self,
        end: &Endpoint,
        way: Option<Arc<Link>>,
    ) -> Result<Link, RemoteError> {
        // The question is asked between two connections, so that the server does not time out,
        // and no login place is blocked, while the operator looks up the fingerprint.
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

/// A host that is logged in to: one connection, for any number of commands.
///
/// Up to 8 commands run at once; further ones wait, because sshd refuses more than 10. If the
/// server allows fewer, fewer run at once.
pub struct Ssh {
    host: HostName,
    user: String,
    sudo_password: Option<Secret>,
    sudo_patience: Duration,
    link: Link,
    events: Events,
}

impl Ssh {
    /// The user that is logged in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether the connection has ended; it is never restored.
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

    /// One connection is never restored: this only checks whether it still works.
    fn renew(&self) -> BoxFuture<'_, Result<(), RemoteError>> {
        let ended = self.is_closed().then(|| self.link.lost("a reboot"));
        async move { ended.map_or(Ok(()), Err) }.boxed()
    }
}

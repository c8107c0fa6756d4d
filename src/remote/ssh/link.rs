//! One SSH connection: makes it, checks the host key, keeps it alive, and notices its end.

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use russh::client::{self, Config, Handle, Msg};
use russh::keys::ssh_key::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Channel, ChannelOpenFailure, Preferred, cipher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::host::HostName;
use crate::remote::{RemoteError, Stream};

use super::Timing;
use super::auth::{self, AuthContext};
use super::endpoint::Endpoint;
use super::host_keys::{CertificateKinds, Guard, Rejection, Unseen};
use super::login_limits::Backoff;
use super::pace::{Pace, Paced, at_pace};
use super::prompt::Prompt;
use super::proxy::Proxy;
use super::sessions::{Refused, Session, Sessions};
use super::watcher::{Closed, Watcher};

/// The time that a server may need after a session ends before it opens another.
const FREED: Duration = Duration::from_secs(3);

/// The longest that a server may take to open a session in which nothing runs.
const ROOM: Duration = Duration::from_secs(10);

/// A connection to a server.
pub(super) struct Link {
    /// `user@host:port`.
    pub name: String,
    pub handle: Handle<Watcher>,
    /// How fast it sends what is queued.
    pub pace: Pace,
    /// The time from the first packet to the end of the login.
    pub took: Duration,
    sessions: Sessions,
    host: HostName,
    started: Instant,
    ended: Arc<OnceLock<String>>,
    /// The connection that carries this one; it must live as long as this one.
    _way: Option<Arc<Link>>,
    proxy: Option<Proxy>,
}

/// Why a connection was not made.
pub(super) enum Failure {
    /// The server's key is new: the operator must be asked.
    Unseen(Unseen),
    /// The server closed the connection before keys were agreed: nothing has happened there.
    HungUp(RemoteError),
    /// Anything else.
    Error(RemoteError),
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        Self::Error(error)
    }
}

impl Link {
    /// Connects to a server, through another one if given, and lets the guard check its key.
    /// Nobody is logged in yet.
    pub(super) async fn connect(
        end: &Endpoint,
        way: Option<Arc<Link>>,
        guard: Guard,
        timing: &Timing,
    ) -> Result<Self, Failure> {
        let started = Instant::now();
        let config = Arc::new(client_config(&guard, timing));
        let ended = Arc::new(OnceLock::new());
        let watcher = Watcher::new(guard, ended.clone());
        let mut proxy = None;
        let greeting = Greeting { end, config, watcher, limit: timing.handshake };
        let (handle, pace) = match (&way, &end.config.proxy_command) {
            (Some(way), _) => {
                greeting.over(way.reach(end, timing.connect).await?).await?
            }
            (None, Some(command)) => {
                let started = Proxy::start(command);
                let (running, stream) =
                    started.map_err(|error| unreachable(end, error))?;
                let running = proxy.insert(running);
                match greeting.over(stream).await {
                    Ok(made) => made,
                    Err(failure) => return Err(explain(end, running, failure).await),
                }
            }
            (None, None) => {
                greeting.over(connect_tcp(end, timing.connect).await?).await?
            }
        };
        Ok(Self {
            name: end.name(),
            handle,
            pace,
            took: Duration::ZERO,
            sessions: Sessions::default(),
            host: end.host.clone(),
            started,
            ended,
            _way: way,
            proxy,
        })
    }

    /// Logs in; after that, commands can run.
    pub(super) async fn log_in(
        &mut self,
        end: &Endpoint,
        means: &AuthContext<'_>,
        timing: &Timing,
    ) -> Result<(), RemoteError> {
        let login = auth::log_in(&mut self.handle, end, means);
        let login = timeout(timing.login, login);
        login.await.map_err(|_| timed_out(&end.host, "the login", timing.login))??;
        self.took = self.started.elapsed();
        Ok(())
    }

    /// Opens a session for one command; waits for a free place if too many commands run. The
    /// deadline is for the server to open it.
    pub(super) async fn session(
        &self,
        during: &str,
        deadline: Duration,
    ) -> Result<(Channel<Msg>, Session<'_>), RemoteError> {
        let mut pauses = None;
        loop {
            let (place, waited) = self.sessions.enter().await;
            if waited {
                // The wait took as long as other commands run.
                pauses = None;
            }
            let open = self.handle.channel_open_session();
            let refusal = match timeout(deadline, open).await {
                Err(_) => return Err(timed_out(&self.host, during, deadline)),
                Ok(Ok(channel)) => return Ok((channel, place.opened())),
                Ok(Err(russh::Error::ChannelOpenFailure(refusal))) => refusal,
                Ok(Err(_)) => return Err(self.lost(during)),
            };
            match place.refused() {
                Refused::Wait => {}
                // The server may not have finished with a session that ended a moment ago.
                Refused::Alone => match pauses
                    .get_or_insert_with(|| Backoff::until(Instant::now() + FREED))
                    .next()
                {
                    Some(pause) => sleep(pause).await,
                    None => return Err(self.no_session(during, &refusal)),
                },
            }
        }
    }

    fn no_session(&self, during: &str, refusal: &ChannelOpenFailure) -> RemoteError {
        RemoteError::Refused {
            host: self.host.clone(),
            during: during.to_owned(),
            said: format!(
                "it opens no session ({refusal:?}); see MaxSessions in its sshd_config"
            ),
        }
    }

    /// Checks whether a second session can be opened next to a first one. No other session may be
    /// open.
    pub(super) async fn has_room(&self) -> Result<(), RemoteError> {
        let during = "checking whether two commands can run at once";
        let (first, _place) = self.session(during, ROOM).await?;
        let second = self.second_session(during).await;
        // Errors do not matter: only the end of the session counts.
        let _ = first.close().await;
        second
    }

    async fn second_session(&self, during: &str) -> Result<(), RemoteError> {
        let mut pauses = Backoff::until(Instant::now() + FREED);
        loop {
            match timeout(ROOM, self.handle.channel_open_session()).await {
                Err(_) => return Err(timed_out(&self.host, during, ROOM)),
                Ok(Ok(second)) => {
                    let _ = second.close().await;
                    return Ok(());
                }
                // The server may not have finished with a command that ended a moment ago.
                Ok(Err(russh::Error::ChannelOpenFailure(_))) => match pauses.next() {
                    Some(pause) => sleep(pause).await,
                    None => {
                        return Err(RemoteError::OneSession { host: self.host.clone() });
                    }
                },
                Ok(Err(_)) => return Err(self.lost(during)),
            }
        }
    }

    /// Opens a TCP connection from the server to an address.
    pub(super) async fn dial(
        &self,
        address: &str,
        port: u16,
        deadline: Duration,
    ) -> Result<Box<dyn Stream>, RemoteError> {
        let during = || format!("connecting to {address}:{port}");
        let host = || self.host.clone();
        let open = self.handle.channel_open_direct_tcpip(
            address,
            u32::from(port),
            "127.0.0.1",
            0,
        );
        match timeout(deadline, open).await {
            Err(_) => Err(timed_out(&self.host, &during(), deadline)),
            Ok(Ok(channel)) => {
                Ok(Box::new(at_pace(channel.into_stream(), self.pace.clone())))
            }
            Ok(Err(russh::Error::ChannelOpenFailure(
                ChannelOpenFailure::AdministrativelyProhibited,
            ))) => Err(RemoteError::Forwarding { host: host() }),
            Ok(Err(russh::Error::ChannelOpenFailure(
                ChannelOpenFailure::ConnectFailed,
            ))) => {
                Err(RemoteError::Dial { host: host(), address: address.to_owned(), port })
            }
            Ok(Err(russh::Error::ChannelOpenFailure(reason))) => {
                let said = format!("its SSH server opens no channel ({reason:?})");
                Err(RemoteError::Refused { host: host(), during: during(), said })
            }
            Ok(Err(_)) => Err(self.lost(&during())),
        }
    }

    /// Opens the connection to a server behind this one.
    async fn reach(
        &self,
        end: &Endpoint,
        limit: Duration,
    ) -> Result<Box<dyn Stream>, RemoteError> {
        let dialled = self.dial(&end.config.hostname, end.config.port, limit).await;
        dialled.map_err(|error| match error {
            RemoteError::Dial { address, port, .. } => {
                let said = format!("{} cannot connect to {address}:{port}", self.name);
                unreachable(end, io::Error::other(said))
            }
            error => RemoteError::Jump {
                host: end.host.clone(),
                jump: self.name.clone(),
                source: Arc::new(error),
            },
        })
    }

    /// The error of a call during which the connection was lost.
    pub(super) fn lost(&self, during: &str) -> RemoteError {
        let words = self.proxy.as_ref().map(Proxy::last_words).unwrap_or_default();
        let words =
            (!words.is_empty()).then(|| format!("its ProxyCommand said: {words}"));
        let why: Vec<String> =
            self.ended.get().cloned().into_iter().chain(words).collect();
        let during = match why.is_empty() {
            false => format!("{during} ({})", why.join("; ")),
            true => during.to_owned(),
        };
        RemoteError::Lost { host: self.host.clone(), during }
    }
}

/// The start of a connection to a server: versions, keys, the host key.
struct Greeting<'a> {
    end: &'a Endpoint,
    config: Arc<Config>,
    watcher: Watcher,
    limit: Duration,
}

impl Greeting<'_> {
    async fn over<S>(self, stream: S) -> Result<(Handle<Watcher>, Pace), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { end, config, watcher, limit } = self;
        let (stream, pace) = Paced::new(stream);
        match timeout(limit, client::connect_stream(config, stream, watcher)).await {
            Err(_) => Err(timed_out(&end.host, "the SSH key exchange", limit).into()),
            Ok(Ok(handle)) => Ok((handle, pace)),
            Ok(Err(Closed::Rejected(Rejection::Unseen(unseen)))) => {
                Err(Failure::Unseen(unseen))
            }
            Ok(Err(Closed::Rejected(Rejection::Error(error)))) => Err((*error).into()),
            Ok(Err(Closed::Ssh(error))) => Err(greeting_error(end, error)),
        }
    }
}

fn greeting_error(end: &Endpoint, error: russh::Error) -> Failure {
    match error {
        russh::Error::IO(source) => Failure::HungUp(unreachable(end, source)),
        russh::Error::Disconnect | russh::Error::HUP => {
            let said = "it closed the connection before it was complete";
            let source = io::Error::new(io::ErrorKind::ConnectionReset, said);
            Failure::HungUp(unreachable(end, source))
        }
        error => {
            let said = error.to_string();
            Failure::Error(RemoteError::Protocol { host: end.host.clone(), said })
        }
    }
}

async fn connect_tcp(end: &Endpoint, limit: Duration) -> Result<Prompt, RemoteError> {
    let address = (end.config.hostname.as_str(), end.config.port);
    let connected = timeout(limit, TcpStream::connect(address)).await;
    let stream = connected.unwrap_or_else(|_| {
        let said = format!("nothing answers within {}s", limit.as_secs_f32());
        Err(io::Error::new(io::ErrorKind::TimedOut, said))
    });
    let stream = stream.map_err(|source| {
        let said = format!("{}: {source}", end.lookup);
        unreachable(end, io::Error::new(source.kind(), said))
    })?;
    Prompt::new(stream).map_err(|source| unreachable(end, source))
}

/// Why the connection over a `ProxyCommand` failed: in the command's own words, if it printed
/// any.
async fn explain(end: &Endpoint, proxy: &mut Proxy, failure: Failure) -> Failure {
    match failure {
        Failure::HungUp(_) => {
            let ended = proxy.end().await;
            let error = unreachable(end, io::Error::other(ended.told));
            // If it reported a failure itself, another try would fail again.
            if ended.failed { Failure::Error(error) } else { Failure::HungUp(error) }
        }
        Failure::Error(RemoteError::TimedOut { host, during, deadline }) => {
            let during = match proxy.last_words() {
                words if words.is_empty() => format!("{during} over its ProxyCommand"),
                words => format!("{during} over its ProxyCommand, which said `{words}`,"),
            };
            RemoteError::TimedOut { host, during, deadline }.into()
        }
        Failure::Error(RemoteError::Protocol { host, said }) => {
            let words = proxy.last_words();
            let said = match words.is_empty() {
                true => said,
                false => format!("{said}; its ProxyCommand said: {words}"),
            };
            RemoteError::Protocol { host, said }.into()
        }
        failure => failure,
    }
}

/// The settings of a connection to a host whose key this guard checks.
fn client_config(guard: &Guard, timing: &Timing) -> Config {
    let keys = host_key_order(&guard.kinds());
    let preferred = Preferred {
        host_key_certificates: Cow::Owned(certified(&keys, &guard.certificate_kinds())),
        key: Cow::Owned(keys),
        // Several times as fast as russh's first choice if the processor supports AES.
        cipher: Cow::Borrowed(&[
            cipher::AES_256_GCM,
            cipher::CHACHA20_POLY1305,
            cipher::AES_256_CTR,
            cipher::AES_192_CTR,
            cipher::AES_128_CTR,
        ]),
        ..Preferred::DEFAULT
    };
    Config {
        preferred,
        keepalive_interval: Some(timing.keepalive),
        keepalive_max: timing.unanswered,
        // Every answer to a keepalive counts as activity: this only ends connections whose bytes
        // the host does not accept, on which no keepalive can be sent.
        inactivity_timeout: Some(timing.stall),
        ..Config::default()
    }
}

/// The host key algorithms to offer. The key types by which the host is known come first, so that
/// a known host with several keys shows one that can be compared. SHA-1 is not offered.
fn host_key_order(kinds: &[String]) -> Vec<Algorithm> {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    let rsa = |hash| Algorithm::Rsa { hash: Some(hash) };
    let mut order = vec![
        Algorithm::Ed25519,
        ecdsa(EcdsaCurve::NistP256),
        ecdsa(EcdsaCurve::NistP384),
        ecdsa(EcdsaCurve::NistP521),
        rsa(HashAlg::Sha512),
        rsa(HashAlg::Sha256),
    ];
    order.sort_by_key(|algorithm| !kinds.contains(&kind(algorithm)));
    order
}

/// Those of the given algorithms whose keys may be shown in a certificate.
fn certified(order: &[Algorithm], kinds: &CertificateKinds) -> Vec<Algorithm> {
    match kinds {
        CertificateKinds::All => order.to_vec(),
        CertificateKinds::Only(kinds) => {
            order.iter().filter(|it| kinds.contains(&kind(it))).cloned().collect()
        }
    }
}

/// The type of the keys that an algorithm signs with.
fn kind(algorithm: &Algorithm) -> String {
    match algorithm {
        Algorithm::Rsa { .. } => "ssh-rsa".to_owned(),
        other => other.to_string(),
    }
}

fn unreachable(end: &Endpoint, source: io::Error) -> RemoteError {
    RemoteError::Unreachable { host: end.host.clone(), source }
}

fn timed_out(host: &HostName, during: &str, deadline: Duration) -> RemoteError {
    RemoteError::TimedOut { host: host.clone(), during: during.to_owned(), deadline }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_key_types_are_asked_for_first_and_sha1_never() {
        let order = |kinds: &[&str]| {
            let kinds: Vec<String> = kinds.iter().map(|&kind| kind.to_owned()).collect();
            let order = host_key_order(&kinds);
            order.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(order(&[])[0], "ssh-ed25519");
        assert_eq!(
            order(&["ssh-rsa"])[..3],
            ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]
        );
        assert_eq!(order(&["ecdsa-sha2-nistp384"])[0], "ecdsa-sha2-nistp384");
        assert!(!order(&["ssh-rsa"]).contains(&"ssh-rsa".to_owned()));
    }
}

//! HTTP as Mesos, Marathon and Chronos use it: plain on the private network, and over TLS at the edge.
//!
//! Requests are sent with hyper over streams that the cluster's hosts open, one for each request.
//! A [tunnel](super::tunnel)'s port with another client would not work: other users of this
//! computer could reach it, each redirect would need one more port, and clients drop the password
//! when a follower redirects to its leader. Nothing here reads the environment, so a proxy set
//! there is never used.
//!
//! Redirects are followed by this module, and only to addresses of the cluster: the password is
//! sent nowhere else. A request that may have been carried out is repeated only if that changes
//! nothing.

mod error;
mod refusal;
mod wire;

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use hyper::Method;
use hyper::body::Bytes;
use hyper::http::uri::{Authority, Uri};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::remote::{Remote, RemoteError, Stream};
use crate::secret::Secret;

pub(crate) use self::error::{ApiError, Reason};
use self::wire::{Failed, Reply};

const MAX_REDIRECTS: usize = 5;
/// How often a request is tried, if it may be repeated.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(250);
/// A connection inside one network is made much sooner, or not at all.
const DIAL: Duration = Duration::from_secs(5);
/// Marathon and Chronos answer this path while they serve.
const PING: &str = "/ping";

/// Opens connections inside the cluster's private network.
pub(crate) trait Dialer: Send + Sync {
    /// Opens a TCP connection to a component.
    ///
    /// # Errors
    /// When nothing listens there, no host can open it, or the deadline passes; with TLS, when the
    /// certificate is not trusted.
    fn dial<'a>(
        &'a self,
        to: &'a Endpoint,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Box<dyn Stream>, DialError>>;
}

/// Why there is no connection. Nothing was sent.
#[derive(Debug)]
pub(crate) enum DialError {
    /// None could be made.
    Unreachable(Box<dyn Error + Send + Sync>),
    /// Nobody who is trusted vouches for the certificate of the other side.
    Untrusted(Box<dyn Error + Send + Sync>),
}

impl From<RemoteError> for DialError {
    fn from(error: RemoteError) -> Self {
        Self::Unreachable(error.into())
    }
}

/// Opens every connection from one host.
pub(crate) struct ThroughHost(pub(crate) Arc<dyn Remote>);

impl Dialer for ThroughHost {
    fn dial<'a>(
        &'a self,
        to: &'a Endpoint,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Box<dyn Stream>, DialError>> {
        self.0.dial(&to.host, to.port, deadline).map_err(DialError::from).boxed()
    }
}

/// Where a component listens; shown and read as `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Endpoint {
    /// A name or an address, in lower case; an IPv6 address without its brackets.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
}

/// What was read is not `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not HOST:PORT")]
pub(crate) struct NotAnEndpoint(pub(crate) String);

/// How to reach a component.
#[derive(Clone)]
pub(crate) struct Access {
    /// Its name in messages, such as `the Mesos master`.
    pub(crate) name: String,
    /// The member to ask.
    pub(crate) ask: Endpoint,
    /// The cluster's addresses: a redirect may lead to these and to the one above, and nowhere
    /// else.
    pub(crate) own: BTreeSet<Endpoint>,
    /// The user to log in as.
    pub(crate) login: Option<Login>,
    /// Opens the connections.
    pub(crate) dialer: Arc<dyn Dialer>,
    /// The longest that one call may take, including redirects and retries.
    pub(crate) deadline: Duration,
}

/// A user and the password to send.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    /// The user, or principal.
    pub(crate) user: String,
    /// The password.
    pub(crate) password: Secret,
}

/// A client that all components share.
pub(super) struct Http {
    access: Access,
}

/// One question or order.
pub(super) struct Call {
    method: Method,
    path: String,
    body: Option<Bytes>,
    /// Its name in messages.
    what: String,
    /// Whether it may be repeated if it is not known whether it was carried out.
    repeatable: bool,
}

/// The progress of a call, for when its deadline passes.
struct Trail {
    /// The member that is asked now.
    at: Endpoint,
    /// Why the previous try failed.
    failed: Option<ApiError>,
}

impl Call {
    /// A question: it may be repeated.
    pub(super) fn get(path: impl Into<String>) -> Self {
        Self { repeatable: true, ..Self::order(Method::GET, path) }
    }

    /// An order: it is never repeated.
    pub(super) fn order(method: Method, path: impl Into<String>) -> Self {
        let path = path.into();
        let what = format!("{method} {path}");
        Self { method, path, body: None, what, repeatable: false }
    }

    pub(super) fn body(self, body: &Value) -> Self {
        Self { body: Some(Bytes::from(body.to_string())), ..self }
    }

    pub(super) fn named(self, what: &str) -> Self {
        Self { what: what.to_owned(), ..self }
    }

    /// Marks an order as repeatable: carrying it out twice is the same as once.
    pub(super) fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }
}

impl Http {
    pub(super) fn new(access: Access) -> Self {
        Self { access }
    }

    /// The same client without a password.
    fn without_password(&self) -> Self {
        Self::new(Access { login: None, ..self.access.clone() })
    }

    /// The body of the answer, parsed.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        call: &Call,
    ) -> Result<T, ApiError> {
        let reply = self.answer(call).await?;
        serde_json::from_slice(&reply.body).map_err(|source| {
            self.error(call, &reply.from, Reason::NotUnderstood(source))
        })
    }

    /// Whether the same request without a password is refused.
    pub(super) async fn is_guarded(&self, call: &Call) -> Result<bool, ApiError> {
        match self.without_password().answer(call).await {
            Ok(_) => Ok(false),
            Err(ApiError { reason: Reason::Unauthorized { .. }, .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Checks that a server answers `/ping`, as Marathon and Chronos do.
    pub(super) async fn ping(&self) -> Result<(), ApiError> {
        self.answer(&Call::get(PING)).await.map(drop)
    }

    /// Whether that server refuses `/ping` without a password.
    pub(super) async fn guards_ping(&self) -> Result<bool, ApiError> {
        self.is_guarded(&Call::get(PING)).await
    }

    /// The leader that a component names as `{"leader": "HOST:PORT"}`; `None` if it knows none.
    pub(super) async fn leader(&self, path: &str) -> Result<Option<Endpoint>, ApiError> {
        #[derive(Deserialize)]
        struct Named {
            leader: String,
        }
        let call = Call::get(path);
        let named = match self.json::<Named>(&call).await {
            Err(ApiError { reason: Reason::NotFound(_), .. }) => return Ok(None),
            answer => answer?.leader,
        };
        let unreadable = |error: NotAnEndpoint| serde_json::Error::custom(error);
        match named.is_empty() {
            true => Ok(None),
            false => named.parse().map(Some).map_err(|error| {
                self.complaint(&call.what, Reason::NotUnderstood(unreadable(error)))
            }),
        }
    }

    /// The answer to a call, if it is a success.
    pub(super) async fn answer(&self, call: &Call) -> Result<Reply, ApiError> {
        let mut trail = Trail { at: self.access.ask.clone(), failed: None };
        let deadline = self.access.deadline;
        match timeout(deadline, self.tries(call, &mut trail)).await {
            Ok(answer) => answer,
            // The reason of an earlier failed try is more useful than the deadline. But the last
            // try of an order may have been carried out, even if earlier tries failed.
            Err(_) => {
                Err(trail.failed.filter(|_| call.repeatable).unwrap_or_else(|| {
                    self.error(call, &trail.at, Reason::TimedOut(deadline))
                }))
            }
        }
    }

    async fn tries(&self, call: &Call, trail: &mut Trail) -> Result<Reply, ApiError> {
        for _ in 1..TRIES {
            trail.at.clone_from(&self.access.ask);
            match self.follow(call, trail).await {
                Err(error) if error.may_be_repeated(call.repeatable) => {
                    trail.failed = Some(error);
                }
                ended => return ended,
            }
            sleep(PAUSE).await;
        }
        trail.at.clone_from(&self.access.ask);
        self.follow(call, trail).await
    }

    /// Asks a member, and follows its redirects.
    async fn follow(&self, call: &Call, trail: &mut Trail) -> Result<Reply, ApiError> {
        let mut path = call.path.clone();
        for _ in 0..=MAX_REDIRECTS {
            let reply = self.exchange(call, &trail.at, &path).await?;
            let Some(location) = call.redirected(&reply) else {
                return self.accepted(call, reply);
            };
            (trail.at, path) = self.target(call, &reply.from, location)?;
        }
        Err(self.error(call, &trail.at, Reason::Redirects(MAX_REDIRECTS)))
    }

    async fn exchange(
        &self,
        call: &Call,
        at: &Endpoint,
        path: &str,
    ) -> Result<Reply, ApiError> {
        let fail = |reason| self.error(call, at, reason);
        let stream = self.access.dialer.dial(at, DIAL.min(self.access.deadline)).await;
        let stream = stream.map_err(|error| fail(error.into()))?;
        let request = wire::request(call, at, path, self.access.login.as_ref());
        let request = request.map_err(|source| fail(Reason::BadRequest(source)))?;
        wire::exchange(stream, request, at).await.map_err(|failed| match failed {
            Failed::Broken(source) => fail(Reason::Broken(source)),
            Failed::TooLarge(limit) => fail(Reason::TooLarge(limit)),
        })
    }

    fn accepted(&self, call: &Call, reply: Reply) -> Result<Reply, ApiError> {
        if reply.status.is_success() {
            return Ok(reply);
        }
        let user = self.access.login.as_ref().map(|login| login.user.clone());
        Err(self.error(call, &reply.from, refusal::read(&reply, user)))
    }

    /// The target of a redirect, if it is in the cluster.
    fn target(
        &self,
        call: &Call,
        at: &Endpoint,
        location: &str,
    ) -> Result<(Endpoint, String), ApiError> {
        let (to, path) = parse_location(at, location).unwrap_or_default();
        let access = &self.access;
        let is_own = |to: &Endpoint| *to == access.ask || access.own.contains(to);
        match to.filter(is_own) {
            Some(to) => Ok((to, path)),
            None => {
                Err(self.error(call, at, Reason::OtherService(refusal::short(location))))
            }
        }
    }

    fn error(&self, call: &Call, at: &Endpoint, reason: Reason) -> ApiError {
        let who = format!("{} at {at}", self.access.name);
        ApiError { who, what: call.what.clone(), reason }
    }

    /// An error of the component as a whole, not of one member.
    pub(super) fn complaint(&self, what: &str, reason: Reason) -> ApiError {
        ApiError { who: self.access.name.clone(), what: what.to_owned(), reason }
    }
}

impl Call {
    /// The address to ask instead. An order follows only a redirect that keeps it an order.
    fn redirected<'a>(&self, reply: &'a Reply) -> Option<&'a str> {
        let follows = match reply.status.as_u16() {
            307 | 308 => true,
            301..=303 => self.method == Method::GET,
            _ => false,
        };
        reply.location.as_deref().filter(|_| follows)
    }
}

/// Reads `//host:port/path` as Mesos writes it, `http://host:port/path`, and `/path`.
fn parse_location(at: &Endpoint, location: &str) -> Option<(Option<Endpoint>, String)> {
    let absolute = match location {
        same if same.starts_with("//") => format!("http:{same}"),
        path if path.starts_with('/') => format!("http://{at}{path}"),
        other => other.to_owned(),
    };
    let uri: Uri = absolute.parse().ok()?;
    if uri.scheme_str() != Some("http") {
        return None;
    }
    let endpoint = endpoint_of(uri.authority()?, Some(80));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Some((endpoint, path.to_owned()))
}

fn endpoint_of(authority: &Authority, default_port: Option<u16>) -> Option<Endpoint> {
    if authority.as_str().contains('@') {
        return None;
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port =
        authority.port_u16().or(default_port.filter(|_| authority.port().is_none()))?;
    Some(Endpoint::new(host, port)).filter(|endpoint| !endpoint.host.is_empty())
}

impl Endpoint {
    /// An endpoint from its parts.
    pub(crate) fn new(host: &str, port: u16) -> Self {
        Self { host: host.to_ascii_lowercase(), port }
    }
}

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        let authority = text.parse::<Authority>().ok();
        authority
            .and_then(|authority| endpoint_of(&authority, None))
            .ok_or_else(|| NotAnEndpoint(text.to_owned()))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A text as one part of a path; if `/` is kept, as a path. It cannot begin a query.
pub(super) fn encode(text: &str, keep: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match char::from(byte) {
            plain if plain.is_ascii_alphanumeric() || "-._~".contains(plain) => {
                encoded.push(plain);
            }
            kept if keep.contains(kept) => encoded.push(kept),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Endpoint {
        Endpoint::new("10.0.0.1", 5050)
    }

    fn check(location: &str, host: &str, port: u16, path: &str) {
        let expected = (Some(Endpoint::new(host, port)), path.to_owned());
        assert_eq!(parse_location(&at(), location), Some(expected), "{location}");
    }

    #[test]
    fn locations_are_read_as_components_write_them() {
        check("//10.0.0.2:5050", "10.0.0.2", 5050, "/");
        check(
            "//10.0.0.2:5050/master/slaves?x=1",
            "10.0.0.2",
            5050,
            "/master/slaves?x=1",
        );
        check("http://Control-2.lab:8080/v2/events", "control-2.lab", 8080, "/v2/events");
        check("http://control-2/", "control-2", 80, "/");
        check("//[fd00::2]:5050/x", "fd00::2", 5050, "/x");
        check("/leader", "10.0.0.1", 5050, "/leader");
    }

    #[test]
    fn a_location_with_a_user_another_scheme_or_no_sense_leads_nowhere() {
        for bad in [
            "https://10.0.0.2:5050/",
            "ftp://10.0.0.2/",
            "http://",
            "x y",
            "",
            "mailto:x",
        ] {
            assert_eq!(parse_location(&at(), bad), None, "{bad}");
        }
        let (endpoint, _) = parse_location(&at(), "//10.0.0.1:5050@evil:80/").unwrap();
        assert_eq!(endpoint, None);
    }

    #[test]
    fn endpoints_are_read_and_shown_alike() {
        for text in ["10.0.0.1:5050", "control-1.lab:8080", "[fd00::1]:4400"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for bad in ["", "host", "host:", "host:99999", "a@b:1", "http://a:1", "a:1/b"] {
            assert_eq!(bad.parse::<Endpoint>(), Err(NotAnEndpoint(bad.to_owned())));
        }
    }

    #[test]
    fn nothing_in_a_name_can_change_what_a_path_asks() {
        assert_eq!(encode("/prod/web-1.x", "/"), "/prod/web-1.x");
        assert_eq!(encode("a b?force=true#/é", ""), "a%20b%3Fforce%3Dtrue%23%2F%C3%A9");
    }
}

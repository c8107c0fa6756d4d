//! The edge: checks that HAProxy asks for a password, and asks for an API through it.
//!
//! Trusts only the cluster's CA, and uses no proxy: the edge is reached through a tunnel on this
//! computer. Asks for the certificate of that CA by a name that nobody else uses, as everyone else
//! may see a certificate of the operator.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Client, StatusCode};

use super::tunnel;
use crate::secret::Secret;

/// How long the edge may take to refuse a request.
const ANSWER: Duration = Duration::from_secs(5);
/// How long the edge may take to serve a request: it holds requests while nobody leads.
const HELD: Duration = Duration::from_secs(40);

/// An API at the edge.
#[derive(Debug)]
pub struct Edge {
    /// The URL of its root on this computer.
    root: String,
    http: Client,
}

/// Why an API at the edge does not work.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The CA's certificate cannot be used.
    #[error("the CA's certificate is not usable")]
    Settings(#[source] reqwest::Error),
    /// It cannot be reached, or its certificate is wrong.
    #[error(transparent)]
    Unreachable(reqwest::Error),
    /// It lets everyone in.
    #[error(
        "it does not ask for a password: another program listens there, or its configuration was \
         changed by hand; `platform up` writes it again"
    )]
    Open,
    /// It gave an unexpected answer.
    #[error("it answered {0}")]
    Answer(StatusCode),
}

impl Edge {
    /// A client for the API behind a port of this computer, where it has a certificate of this
    /// name; sends nothing yet.
    ///
    /// # Errors
    /// When the CA's certificate cannot be used.
    pub fn new(address: SocketAddr, name: &str, ca_pem: &str) -> Result<Self, EdgeError> {
        let http = tunnel::https(ca_pem)
            .and_then(|builder| {
                builder.resolve(name, address).connect_timeout(ANSWER).build()
            })
            .map_err(EdgeError::Settings)?;
        Ok(Self { root: format!("https://{name}:{}/", address.port()), http })
    }

    /// Checks that it refuses a request without a password.
    ///
    /// # Errors
    /// When it does not answer, or answers anything else.
    pub async fn is_guarded(&self) -> Result<(), EdgeError> {
        let asked = self.http.get(&self.root).timeout(ANSWER).send().await;
        match asked.map_err(EdgeError::Unreachable)?.status() {
            StatusCode::UNAUTHORIZED => Ok(()),
            status if status.is_success() => Err(EdgeError::Open),
            status => Err(EdgeError::Answer(status)),
        }
    }

    /// Whether it lets an account in. A request that it lets in waits while nobody leads behind it.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn lets_in(
        &self,
        (user, password): (&str, &Secret),
    ) -> Result<bool, EdgeError> {
        let request = self.http.get(&self.root).basic_auth(user, Some(password.expose()));
        let answer = request.timeout(HELD).send().await;
        let status = answer.map_err(EdgeError::Unreachable)?.status();
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];
        Ok(!refused.contains(&status))
    }

    /// Checks that a path is served to an account. While nobody leads behind it, this waits.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    pub async fn serves(
        &self,
        path: &str,
        (user, password): (&str, &Secret),
    ) -> Result<(), EdgeError> {
        let url = format!("{}{path}", self.root);
        let request = self.http.get(url).basic_auth(user, Some(password.expose()));
        let answer = request.timeout(HELD).send().await;
        match answer.map_err(EdgeError::Unreachable)?.status() {
            status if status.is_success() => Ok(()),
            status => Err(EdgeError::Answer(status)),
        }
    }
}

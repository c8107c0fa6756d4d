//! Chronos 3: whether a member answers, and which one leads.

use super::http::{Access, ApiError, Endpoint, Http};

/// The Chronos of a cluster.
pub(crate) struct Chronos {
    http: Http,
}

impl Chronos {
    /// Creates a client for Chronos; sends nothing yet.
    pub(crate) fn new(access: Access) -> Self {
        Self { http: Http::new(access) }
    }

    /// Checks that Chronos answers. A member that does not lead answers for its leader.
    ///
    /// # Errors
    /// When it does not answer, or refuses the password.
    pub(crate) async fn ping(&self) -> Result<(), ApiError> {
        self.http.ping().await
    }

    /// Whether a request without a password is refused.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn is_guarded(&self) -> Result<bool, ApiError> {
        self.http.guards_ping().await
    }

    /// The member that leads; `None` if there is none.
    ///
    /// # Errors
    /// When no member answers, or the answer is not an address.
    pub(crate) async fn leader(&self) -> Result<Option<Endpoint>, ApiError> {
        self.http.leader("/v1/scheduler/leader").await
    }
}

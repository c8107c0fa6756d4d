//! The balancer: what it serves, and what it does not serve and why.

use serde::Deserialize;

use super::http::{Access, ApiError, Call, Http};

/// The balancer of an edge host.
pub(crate) struct Balancer {
    http: Http,
}

/// What a balancer tells about itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct BalancerStatus {
    /// Why the last list of apps could not be read.
    pub(crate) list_error: Option<String>,
    /// Why HAProxy does not do what is wanted.
    pub(crate) haproxy_error: Option<String>,
    /// How long ago HAProxy did all that was wanted; `None` if it never did.
    pub(crate) last_good_seconds_ago: Option<f64>,
    /// The ports of apps that are not served.
    pub(crate) quarantined: Vec<Quarantined>,
    /// The service ports that several apps want.
    pub(crate) clashes: Vec<Clash>,
}

/// A port of an app that is not served.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Quarantined {
    /// The app.
    pub(crate) app: String,
    /// Why.
    pub(crate) reason: String,
}

/// A service port that several apps want.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Clash {
    /// The port.
    pub(crate) port: u16,
    /// The app that has it.
    pub(crate) kept_by: AppPort,
    /// The apps that do not get it.
    pub(crate) refused: Vec<AppPort>,
}

/// One of an app's ports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct AppPort {
    /// The app.
    pub(crate) app: String,
}

impl BalancerStatus {
    /// Why HAProxy does not do what the apps want; `None` if it does.
    pub(crate) fn fault(&self) -> Option<String> {
        let never = || {
            self.last_good_seconds_ago
                .is_none()
                .then(|| "has not read the apps yet".to_owned())
        };
        let errors = [&self.haproxy_error, &self.list_error];
        errors.into_iter().flatten().next().cloned().or_else(never)
    }

    /// What it does not serve, and why, as sentences.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = String> {
        let quarantined = self.quarantined.iter().map(|Quarantined { app, reason }| {
            format!("the edge does not serve {app}: {reason}")
        });
        let clashes = self.clashes.iter().map(|Clash { port, kept_by, refused }| {
            let refused: Vec<&str> =
                refused.iter().map(|port| port.app.as_str()).collect();
            format!(
                "the edge does not serve {} on port {port}: {} has it",
                refused.join(", "),
                kept_by.app
            )
        });
        quarantined.chain(clashes)
    }
}

impl Balancer {
    /// Creates a client for a balancer; sends nothing yet.
    pub(crate) fn new(access: Access) -> Self {
        Self { http: Http::new(access) }
    }

    /// What it tells about itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn status(&self) -> Result<BalancerStatus, ApiError> {
        self.http.json(&Call::get("/status.json")).await
    }
}

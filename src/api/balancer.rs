//! The balancer: what it serves, and what it does not serve and why.

use serde::Deserialize;

use super::http::{Access, ApiError, Call, Http};

/// For so many seconds HAProxy may lag behind what the apps want.
const LASTING: f64 = 20.0;

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
    /// Why HAProxy does not do what the apps want; `None` if it does, or did a moment ago: a reload, or
    /// a list that failed once, is no fault.
    pub(crate) fn fault(&self) -> Option<String> {
        if self.last_good_seconds_ago.is_some_and(|age| age < LASTING) {
            return None;
        }
        let errors = [&self.haproxy_error, &self.list_error];
        let error = errors.into_iter().flatten().next().cloned();
        Some(error.unwrap_or_else(|| "has not done yet what the apps want".to_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn status(last_good: Option<f64>, error: Option<&str>) -> BalancerStatus {
        BalancerStatus {
            list_error: None,
            haproxy_error: error.map(str::to_owned),
            last_good_seconds_ago: last_good,
            quarantined: Vec::new(),
            clashes: Vec::new(),
        }
    }

    #[test]
    fn only_what_lasts_is_a_fault() {
        let fault = |last_good, error| status(last_good, error).fault();
        assert_eq!(fault(Some(0.2), None), None);
        assert_eq!(fault(Some(3.0), Some("it does not answer")), None);
        let lasting = fault(Some(30.0), Some("it does not answer"));
        assert_eq!(lasting.as_deref(), Some("it does not answer"));
        assert_eq!(
            fault(None, None).as_deref(),
            Some("has not done yet what the apps want")
        );
    }

    #[test]
    fn what_is_left_out_is_told_with_the_reason() {
        let text = r#"{"last_good_seconds_ago": 1.5, "list_error": null, "haproxy_error": null,
            "quarantined": [{"app": "/odd", "index": 0, "reason": "its label is odd"}],
            "clashes": [{"port": 10005, "kept_by": {"app": "/a", "index": 0},
                "refused": [{"app": "/b", "index": 0}, {"app": "/c", "index": 1}]}]}"#;
        let status: BalancerStatus = serde_json::from_str(text).unwrap();
        let told: Vec<String> = status.left_out().collect();
        assert_eq!(
            told,
            [
                "the edge does not serve /odd: its label is odd",
                "the edge does not serve /b, /c on port 10005: /a has it",
            ]
        );
    }
}

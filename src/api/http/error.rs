//! Why a call to a component failed: which component, what was asked, and how it answered.
//!
//! Contains no password: it only quotes what the component said.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::DialError;

/// A call that failed.
#[derive(Debug)]
pub(crate) struct ApiError {
    /// The component, and the member that answered last.
    pub(crate) who: String,
    /// The request, such as `GET /v2/info`.
    pub(crate) what: String,
    /// Why.
    pub(crate) reason: Reason,
}

/// Why a call failed. Reasons that callers treat differently have their own variants.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    /// No connection could be made; nothing was sent.
    #[error("cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// Its certificate is not trusted; nothing was sent.
    #[error("shows a certificate that is not trusted")]
    Untrusted(#[source] Box<dyn Error + Send + Sync>),
    /// The connection was lost; it is not known whether an order was carried out.
    #[error("closed the connection before its answer was complete")]
    Broken(#[source] hyper::Error),
    /// It took too long; it is not known whether an order was carried out.
    #[error("did not answer within {}s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The request cannot be built.
    #[error("cannot be sent this request")]
    BadRequest(#[source] hyper::http::Error),
    /// It redirects to an address outside the cluster; nothing was sent there.
    #[error("redirects to {0}, which is not in this cluster; nothing was sent there")]
    OtherService(String),
    /// Its redirects do not end.
    #[error(
        "still redirects after {0} redirects, as members do while they elect a leader"
    )]
    Redirects(usize),
    /// Its answer exceeds the size limit.
    #[error("gave an answer of more than {} MiB", .0 >> 20)]
    TooLarge(usize),
    /// Its answer cannot be read.
    #[error("gave an answer that this program does not understand")]
    NotUnderstood(#[source] serde_json::Error),
    /// It wants a password, or a different one (401).
    #[error("{}", tell_user(user.as_deref()))]
    Unauthorized {
        /// The user whose password it rejects; `None` if no password was sent.
        user: Option<String>,
    },
    /// Its rules do not allow this user to do that (403).
    #[error("does not allow this for {}: {said}", tell_name(user.as_deref()))]
    Forbidden {
        /// The user.
        user: Option<String>,
        /// Its message.
        said: String,
    },
    /// It does not have what was asked for (404).
    #[error("does not have it: {0}")]
    NotFound(String),
    /// What should be created already exists (409).
    #[error("already has it: {0}")]
    Exists(String),
    /// A deployment locks what should be changed (409).
    #[error("is still changing it, in deployment {}", .0.join(", "))]
    Locked(
        /// The deployments' ids.
        Vec<String>,
    ),
    /// It rejects its input (422).
    #[error("reports errors: {said}{}", tell_faults(faults))]
    Invalid {
        /// Its message.
        said: String,
        /// Each fault.
        faults: Vec<Fault>,
    },
    /// A master leads, but does not know its agents yet (503).
    #[error(
        "leads, but has not finished recovery: more masters must be up to make a quorum"
    )]
    NotRecovered,
    /// What was waited for did not happen in time.
    #[error("has not finished after {}s: {still}", after.as_secs())]
    NotSettled {
        /// The time limit.
        after: Duration,
        /// What is still missing.
        still: String,
    },
    /// It answers 500 without a message: it tried to forward the request to a leader that is
    /// gone.
    #[error("answered 500 without a message, as a member does whose leader is gone")]
    Speechless,
    /// Any other error answer.
    #[error("answered {status}: {said}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// Its message.
        said: String,
    },
}

impl From<DialError> for Reason {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Unreachable(source) => Self::Unreachable(source),
            DialError::Untrusted(source) => Self::Untrusted(source),
        }
    }
}

/// An error that a component reports in its input.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// Where, such as `/id`; empty for the whole input.
    pub(crate) path: String,
    /// What is wrong there.
    pub(crate) errors: Vec<String>,
}

impl ApiError {
    /// Whether the error may go away by itself: the component is away, or elects a leader.
    pub(crate) fn is_transient(&self) -> bool {
        match &self.reason {
            Reason::Unreachable(_)
            | Reason::Broken(_)
            | Reason::TimedOut(_)
            | Reason::Redirects(_)
            | Reason::Speechless
            | Reason::NotRecovered => true,
            Reason::Status { status, .. } => matches!(status, 502..=504),
            _ => false,
        }
    }

    /// Whether the call may be repeated at once. An order may be repeated if it was certainly not
    /// carried out.
    pub(super) fn may_be_repeated(&self, repeatable: bool) -> bool {
        match &self.reason {
            Reason::Unreachable(_) => true,
            Reason::Broken(_) | Reason::Speechless | Reason::NotRecovered => repeatable,
            Reason::Status { status, .. } => repeatable && matches!(status, 502 | 503),
            _ => false,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (asked: {})", self.who, self.reason, self.what)
    }
}

impl Error for ApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.source()
    }
}

fn tell_user(user: Option<&str>) -> String {
    match user {
        Some(user) => format!("rejects the password of `{user}`"),
        None => "asks for a password".to_owned(),
    }
}

fn tell_name(user: Option<&str>) -> String {
    user.map_or_else(|| "users without a password".to_owned(), |user| format!("`{user}`"))
}

fn tell_faults(faults: &[Fault]) -> String {
    let tell =
        |fault: &Fault| format!("; at `{}`: {}", fault.path, fault.errors.join(", "));
    faults.iter().map(tell).collect()
}

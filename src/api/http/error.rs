//! Why a component did not do what it should: who, asked for what, and how it answered.
//!
//! Says no password: what is quoted is what the component said.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::remote::RemoteError;

/// A call that failed.
#[derive(Debug)]
pub struct ApiError {
    /// The component, and the member of it that answered last.
    pub who: String,
    /// What was asked, such as `GET /v2/info`.
    pub what: String,
    /// Why.
    pub reason: Reason,
}

/// Why a call failed. Those that callers treat differently have their own.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// No connection comes about; nothing was asked.
    #[error("cannot be reached")]
    Unreachable(#[source] Box<RemoteError>),
    /// The connection broke; whether an order was carried out is not known.
    #[error("broke off before its answer ended")]
    Broken(#[source] hyper::Error),
    /// It took too long; whether an order was carried out is not known.
    #[error("did not answer within {}s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The request cannot be written.
    #[error("cannot be asked this")]
    BadRequest(#[source] hyper::http::Error),
    /// It redirects to an address that is not the cluster's; nothing was sent there.
    #[error(
        "redirects to {0}, which is none of this cluster's own; nothing was sent there"
    )]
    OtherService(String),
    /// Its redirects do not end.
    #[error(
        "still redirects after {0} redirects, as members do while they elect a leader"
    )]
    Redirects(usize),
    /// Its answer is larger than any that makes sense.
    #[error("gave an answer of more than {} MiB", .0 >> 20)]
    TooLarge(usize),
    /// Its answer cannot be read.
    #[error("gave an answer that makes no sense here")]
    NotUnderstood(#[source] serde_json::Error),
    /// It wants a password, or another one (401).
    #[error("{}", tell_user(user.as_deref()))]
    Unauthorized {
        /// Whose password it refuses; none where none was sent.
        user: Option<String>,
    },
    /// Its rules do not let this user do that (403).
    #[error("forbids this to {}: {said}", tell_name(user.as_deref()))]
    Forbidden {
        /// The user.
        user: Option<String>,
        /// What it said.
        said: String,
    },
    /// It does not know what was asked for (404).
    #[error("does not know that: {0}")]
    NotFound(String),
    /// What should be made is there already (409).
    #[error("has that already: {0}")]
    Exists(String),
    /// A deployment holds what should be changed (409).
    #[error("is still at work on that, in {}", .0.join(", "))]
    Locked(
        /// The deployments' ids.
        Vec<String>,
    ),
    /// It finds faults in what it was given (422).
    #[error("finds faults: {said}{}", tell_faults(faults))]
    Invalid {
        /// What it said.
        said: String,
        /// Each fault.
        faults: Vec<Fault>,
    },
    /// A master leads, but does not know its agents yet (503).
    #[error(
        "leads, but has not finished recovery: more masters must be up to make a quorum"
    )]
    NotRecovered,
    /// What was waited for did not come in time.
    #[error("is not done after {}s: {still}", after.as_secs())]
    NotSettled {
        /// How long it was given.
        after: Duration,
        /// What is still missing.
        still: String,
    },
    /// It answers 500 without a word: it would pass the request on to a leader that has gone.
    #[error("answered 500 without a word, as one does whose leader has gone")]
    Speechless,
    /// Any other refusal.
    #[error("answered {status}: {said}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What it said.
        said: String,
    },
}

/// A fault that a component finds in what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, such as `/id`; empty for the whole.
    pub path: String,
    /// What is wrong there.
    pub errors: Vec<String>,
}

impl ApiError {
    /// Whether it may pass by itself: the component is away, or electing a leader.
    pub fn is_transient(&self) -> bool {
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

    /// Whether the call may be made again at once. An order may, when it was not carried out
    /// for sure.
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
        Some(user) => format!("refuses the password of `{user}`"),
        None => "asks for a password".to_owned(),
    }
}

fn tell_name(user: Option<&str>) -> String {
    user.map_or_else(|| "those without a password".to_owned(), |user| format!("`{user}`"))
}

fn tell_faults(faults: &[Fault]) -> String {
    let tell =
        |fault: &Fault| format!("; at `{}`: {}", fault.path, fault.errors.join(", "));
    faults.iter().map(tell).collect()
}

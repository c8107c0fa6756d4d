//! The places for commands that run at once on one connection.
//!
//! sshd allows 10 unless its `MaxSessions` says otherwise, and it does not report that limit
//! beforehand.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Out of sshd's 10; the rest is for the operator's own sessions.
const SESSIONS: usize = 8;

/// The places of one connection.
pub(super) struct Sessions {
    places: Semaphore,
    n_open: AtomicUsize,
}

/// A place; its holder asks the server for a session.
pub(super) struct SessionSlot<'a> {
    sessions: &'a Sessions,
    permit: Option<SemaphorePermit<'a>>,
}

/// An open session; its place is returned when it is dropped.
pub(super) struct Session<'a>(SessionSlot<'a>);

/// What a refusal means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The server allows fewer at once: wait for a place that another command returns.
    Wait,
    /// No other command runs.
    Alone,
}

impl Default for Sessions {
    fn default() -> Self {
        let places = Semaphore::new(SESSIONS);
        Self { places, n_open: AtomicUsize::new(0) }
    }
}

impl Sessions {
    /// Gets a place, and returns whether it had to wait.
    pub(super) async fn enter(&self) -> (SessionSlot<'_>, bool) {
        let (permit, waited) = match self.places.try_acquire() {
            Ok(permit) => (Some(permit), false),
            // The only error is a closed semaphore, and this one is never closed.
            Err(_) => (self.places.acquire().await.ok(), true),
        };
        (SessionSlot { sessions: self, permit }, waited)
    }
}

impl<'a> SessionSlot<'a> {
    /// The server opened a session.
    pub(super) fn opened(self) -> Session<'a> {
        self.sessions.n_open.fetch_add(1, Ordering::AcqRel);
        Session(self)
    }

    /// The server refused: if other commands run, this place is removed for good.
    pub(super) fn refused(self) -> Refused {
        let Self { sessions, permit } = self;
        if sessions.n_open.load(Ordering::Acquire) == 0 {
            return Refused::Alone;
        }
        if let Some(permit) = permit {
            permit.forget();
        }
        Refused::Wait
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.0.sessions.n_open.fetch_sub(1, Ordering::AcqRel);
    }
}

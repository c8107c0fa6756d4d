//! The places for commands that run at once on one connection.
//!
//! sshd allows 10 unless its `MaxSessions` says otherwise, which it does not tell beforehand.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Of sshd's 10 the rest is for the operator's own.
const SESSIONS: usize = 8;

/// The places of one connection.
pub(super) struct Sessions {
    places: Semaphore,
    n_open: AtomicUsize,
}

/// A place, for which the server is asked for a session.
pub(super) struct SessionSlot<'a> {
    sessions: &'a Sessions,
    permit: Option<SemaphorePermit<'a>>,
}

/// A session that is open; its place is given back when it is dropped.
pub(super) struct Session<'a>(SessionSlot<'a>);

/// What a refusal means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The server allows fewer at once: the next place is one that another command gives back.
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
    /// A place, and whether it had to be waited for.
    pub(super) async fn enter(&self) -> (SessionSlot<'_>, bool) {
        let (permit, waited) = match self.places.try_acquire() {
            Ok(permit) => (Some(permit), false),
            // A closed semaphore is the only error, and this one is never closed.
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

    /// The server refused: where others run, this place is given up for good.
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

//! Limits how many logins run at once, so that servers do not drop them, and spreads retries of
//! dropped logins.
//!
//! sshd drops a growing share of unfinished logins beyond 10 (`MaxStartups 10:30:100`): of 60 at
//! once 17 were dropped, of 8 none. But a busy sshd counts a login for a while after its end, and
//! counts other people's logins too, so some logins may still be dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::endpoint::Endpoint;

const LOGINS_PER_SERVER: usize = 8;
/// Each login costs this computer some milliseconds of work; more at once gain nothing.
const LOGINS_IN_ALL: usize = 24;

/// The pause before the second try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The places for logins that run at once.
pub(super) struct LoginLimits {
    all: Arc<Semaphore>,
    each: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// A place among the logins; returned when dropped.
pub(super) struct LoginSlot {
    _of_all: Option<OwnedSemaphorePermit>,
    _of_server: Option<OwnedSemaphorePermit>,
}

impl Default for LoginLimits {
    fn default() -> Self {
        let all = Arc::new(Semaphore::new(LOGINS_IN_ALL));
        Self { all, each: Mutex::default() }
    }
}

impl LoginLimits {
    /// Waits for a place: at the jump host if there is one, otherwise at the server itself.
    pub(super) async fn enter(&self, end: &Endpoint, jump: Option<&str>) -> LoginSlot {
        let server = match jump {
            Some(jump) => jump.to_owned(),
            None => end.lookup.to_string(),
        };
        let gate = {
            let mut each = self.each.lock().await;
            each.entry(server)
                .or_insert_with(|| Arc::new(Semaphore::new(LOGINS_PER_SERVER)))
                .clone()
        };
        // The server's place first: a login that waits for a busy server must not block other
        // logins.
        let _of_server = gate.acquire_owned().await.ok();
        let _of_all = match jump {
            Some(_) => None,
            None => self.all.clone().acquire_owned().await.ok(),
        };
        LoginSlot { _of_all, _of_server }
    }
}

/// The pauses between tries at a server that closes connections: each is twice as long as the one
/// before, until a given time, and random, so that logins that were dropped together do not retry
/// together.
pub(super) struct Backoff {
    next: Duration,
    end: Instant,
}

impl Backoff {
    /// Pauses until the given time: none lasts beyond it.
    pub(super) fn until(end: Instant) -> Self {
        Self { next: FIRST_PAUSE, end }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.next.mul_f64(rand::random_range(0.75..1.25));
        self.next *= 2;
        (Instant::now() + pause <= self.end).then_some(pause)
    }
}

//! Holds logins back, so that servers do not drop them.
//!
//! sshd drops a growing share of unfinished logins beyond 10 (`MaxStartups 10:30:100`): of 60
//! at once 17 were dropped, of 8 none.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::endpoint::Endpoint;

const LOGINS_PER_SERVER: usize = 8;
/// Logins cost this computer some milliseconds of work each; more at once gain nothing.
const LOGINS_IN_ALL: usize = 24;

/// The places for logins under way.
pub(super) struct Gates {
    all: Arc<Semaphore>,
    each: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// A place among the logins; given back when dropped.
pub(super) struct Place {
    _of_all: Option<OwnedSemaphorePermit>,
    _of_server: Option<OwnedSemaphorePermit>,
}

impl Default for Gates {
    fn default() -> Self {
        let all = Arc::new(Semaphore::new(LOGINS_IN_ALL));
        Self { all, each: Mutex::default() }
    }
}

impl Gates {
    /// Waits for a place: at the jump host where there is one, at the server itself else.
    pub(super) async fn enter(&self, end: &Endpoint, jump: Option<&str>) -> Place {
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
        // The server's place first: who waits for a busy server must not keep others waiting.
        let _of_server = gate.acquire_owned().await.ok();
        let _of_all = match jump {
            Some(_) => None,
            None => self.all.clone().acquire_owned().await.ok(),
        };
        Place { _of_all, _of_server }
    }
}

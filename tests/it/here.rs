//! What tests need of this computer: free ports, and waits for a condition.

use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A loopback port on which nothing listens.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits for a condition; fails the test when it does not come true.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "gave up waiting until {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

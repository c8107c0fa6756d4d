//! Networks that no other test has, and a limit for tests on a small computer.

use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::machine::docker;

/// The first two numbers of every test's network.
const RANGE: &str = "10.81";

/// One of the /24 networks of [`RANGE`]. It belongs to this process while the socket is open; the
/// kernel closes the socket however the process ends. So names made from it are never in use.
pub(super) struct Slot {
    number: u8,
    _claim: UnixListener,
}

impl Slot {
    /// Takes a free network, and removes what a killed test left there. If Docker does not
    /// release a network, it is skipped: the next test would fail with it.
    pub(super) fn take() -> Self {
        let slot = (0..=u8::MAX).filter_map(Self::claim).find(|slot| {
            remove_all_of(&slot.cluster());
            everything_of(&slot.cluster()).iter().all(|(_, names)| names.is_empty())
        });
        slot.expect("a network that no other test uses")
    }

    fn claim(number: u8) -> Option<Self> {
        let name = format!("platform-e2e-{RANGE}.{number}");
        let address = SocketAddr::from_abstract_name(name).expect("a short name");
        let claim = UnixListener::bind_addr(&address).ok()?;
        Some(Self { number, _claim: claim })
    }

    /// The name of its cluster.
    pub(super) fn cluster(&self) -> String {
        format!("e2e-{}-{}", RANGE.replace('.', "-"), self.number)
    }

    /// Its network.
    pub(super) fn network(&self) -> String {
        format!("{RANGE}.{}.0/24", self.number)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        remove_all_of(&self.cluster());
    }
}

/// Removes containers, volumes and networks by the cluster's label.
fn remove_all_of(cluster: &str) {
    for (kind, names) in everything_of(cluster) {
        let force: &[&str] = if kind == "container" { &["-f", "-v"] } else { &[] };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if !names.is_empty() {
            docker(&[&[kind, "rm"], force, &names].concat());
        }
    }
}

/// The resources that Docker has with the cluster's label, by kind.
pub(super) fn everything_of(cluster: &str) -> [(&'static str, Vec<String>); 3] {
    let label = format!("label=platform.cluster={cluster}");
    [("container", "-aq"), ("volume", "-q"), ("network", "-q")].map(|(kind, options)| {
        let list = docker(&[kind, "ls", options, "--filter", &label]);
        let names = String::from_utf8_lossy(&list.stdout).into_owned();
        (kind, names.split_whitespace().map(str::to_owned).collect())
    })
}

static WORKING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// The permission to have a cluster; returned when it is dropped, which also shows how long the
/// test took.
#[must_use = "the turn ends when this is dropped"]
pub(crate) struct Turn {
    begun: Instant,
}

/// Waits until this computer can run another cluster: one for each two processors.
pub(crate) fn turn() -> Turn {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let room = (processors / 2).max(1);
    let working = WORKING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut working = ENDED
        .wait_while(working, |working| *working >= room)
        .unwrap_or_else(PoisonError::into_inner);
    *working += 1;
    Turn { begun: Instant::now() }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *WORKING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_one();
        let thread = std::thread::current();
        let (test, took) = (thread.name().unwrap_or("a test"), self.begun.elapsed());
        // Unlike `eprintln`, it is shown for tests that pass as well.
        let _ = writeln!(std::io::stderr(), "{test} took {} s", took.as_secs());
    }
}

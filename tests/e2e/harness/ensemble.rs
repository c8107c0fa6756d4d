//! The state of ZooKeeper, asked by this computer and not by the program under test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use zookeeper_client::{Client, Error};

use super::{End, inside, pause};

/// A healthy member answers within milliseconds; a frozen one never does.
const ANSWER: Duration = Duration::from_secs(1);

/// How long a member keeps the session of a client that is silent.
const SESSION: Duration = Duration::from_secs(10);

/// Connects to members, `address:port` with commas between, as a user with a password.
pub(crate) async fn zookeeper_client(
    members: &str,
    user: &str,
    password: &str,
) -> Result<Client, Error> {
    let proof = format!("{user}:{password}");
    let connector = Client::connector().with_session_timeout(SESSION);
    connector.with_auth("digest", proof.as_bytes()).connect(members).await
}

/// Whether a member serves, and its role: `leader` or `follower`.
pub(crate) fn mode(address: &str) -> Option<String> {
    let answer = inside(address, || ask(address, "srvr"))?;
    let mode = answer.lines().find_map(|line| line.strip_prefix("Mode: "))?;
    Some(mode.to_owned())
}

fn ask(address: &str, word: &str) -> Option<String> {
    let address: SocketAddr = format!("{address}:2181").parse().expect("an address");
    let mut stream = TcpStream::connect_timeout(&address, ANSWER).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    stream.write_all(word.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// How many members served, at each query.
pub(crate) struct Watch {
    begun: Instant,
    ended: AtomicBool,
    seen: Mutex<Vec<(Duration, usize)>>,
}

impl Watch {
    /// Asks all members repeatedly while `work` runs, and returns what it saw, and the result of
    /// the work.
    pub(crate) fn during<T>(
        addresses: &[String],
        work: impl FnOnce(&Self) -> T,
    ) -> (Self, T) {
        let watch = Self {
            begun: Instant::now(),
            ended: AtomicBool::new(false),
            seen: Mutex::default(),
        };
        let done = std::thread::scope(|scope| {
            scope.spawn(|| watch.look(addresses));
            let _end = End(&watch.ended);
            work(&watch)
        });
        (watch, done)
    }

    /// The time span.
    pub(crate) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The number of queries in that time.
    pub(crate) fn n_looks(&self, from: Duration, to: Duration) -> usize {
        self.looks(from, to).len()
    }

    /// The fewest members that served at once in that time.
    pub(crate) fn fewest(&self, from: Duration, to: Duration) -> Option<usize> {
        self.looks(from, to).into_iter().map(|(_, n)| n).min()
    }

    /// The longest time without a majority: from the first query without one to the next with
    /// one.
    pub(crate) fn longest_without(&self, majority: usize) -> Duration {
        let looks = self.looks(Duration::ZERO, Duration::MAX);
        let mut lost = None;
        let mut longest = Duration::ZERO;
        for (at, n_serving) in looks {
            if n_serving < majority {
                lost.get_or_insert(at);
            } else if let Some(lost) = lost.take() {
                longest = longest.max(at - lost);
            }
        }
        longest
    }

    fn looks(&self, from: Duration, to: Duration) -> Vec<(Duration, usize)> {
        let seen = self.seen.lock().expect("no look panics");
        seen.iter().filter(|(at, _)| (from..to).contains(at)).copied().collect()
    }

    fn look(&self, addresses: &[String]) {
        while !self.ended.load(Ordering::Relaxed) {
            let at = self.now();
            let serving = std::thread::scope(|scope| {
                let asked: Vec<_> = addresses
                    .iter()
                    .map(|address| scope.spawn(|| mode(address)))
                    .collect();
                asked.into_iter().filter_map(|asked| asked.join().ok().flatten()).count()
            });
            self.seen.lock().expect("no look panics").push((at, serving));
            pause(Duration::from_millis(50));
        }
    }
}

//! The loop: looks at all registries, lets pure code decide, and has images copied.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use platform_daemon::journal::{chain, say};
use ureq::Agent;

use crate::book::{Book, Writes};
use crate::copy::{Copy, CopyError};
use crate::folder::{Folder, Unreadable};
use crate::holdings::Holdings;
use crate::lacking::{Image, Lacking, Retag, lacking};
use crate::registry::{NoAuthority, Registry, agent};
use crate::settings::{Other, Settings};
use crate::status::{Board, HOLDINGS, LackingRow, OtherRow, words};

/// Everything is looked at this often, and whenever a copy has ended.
const LOOK: Duration = Duration::from_secs(5);
/// A copier answers at once, and a host that is down must not hold others up.
const ANSWER: Duration = Duration::from_secs(4);
/// A list of a hundred thousand images.
const MAX_HOLDINGS: u64 = 64 << 20;
const AT_ONCE: usize = 4;
/// When to try again what has failed: twice as long after each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why the copier cannot run.
#[derive(Debug, thiserror::Error)]
pub enum CannotRun {
    /// Another program uses the address, or this host does not have it.
    #[error("nothing can be told at {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Registries cannot be asked.
    #[error(transparent)]
    Authority(#[from] NoAuthority),
    /// The book cannot be read.
    #[error("cannot read {}", path.display())]
    Book {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Nothing can be copied now.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Folder(#[from] Unreadable),
    #[error("cannot write {}", path.display())]
    Book { path: PathBuf, source: io::Error },
}

/// Why another copier tells nothing.
#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error("its copier does not answer")]
    Silent(#[from] ureq::Error),
    #[error("its copier does not know yet what its registry has")]
    NotYet,
    #[error("its copier's answer cannot be read")]
    Unreadable(#[from] serde_json::Error),
}

/// Runs for ever.
///
/// # Errors
///
/// If the address is in use, or a file that is needed cannot be read.
pub fn run(settings: Settings) -> Result<(), CannotRun> {
    let address = settings.listen;
    let listener = TcpListener::bind(address)
        .map_err(|source| CannotRun::Listen { address, source })?;
    let mut copier = Copier::new(settings)?;
    copier.board.serve(listener);
    loop {
        copier.turn();
    }
}

struct Copier {
    settings: Settings,
    agent: Agent,
    own: Arc<Registry>,
    others: Vec<Arc<Registry>>,
    folder: Folder,
    book: Book,
    /// The text of the book that is in its file.
    kept: String,
    board: Board,
    /// The copies that are made now.
    running: BTreeMap<Image, Lacking>,
    /// Those of them that have ended.
    ended: Vec<Image>,
    failures: BTreeMap<Image, Failure>,
    send_ended: Sender<Ended>,
    has_ended: Receiver<Ended>,
}

/// A copy that has ended.
struct Ended {
    image: Image,
    result: Result<(), CopyError>,
}

/// A copy that has failed.
struct Failure {
    times: u32,
    reason: String,
    again: Instant,
}

impl Copier {
    fn new(settings: Settings) -> Result<Self, CannotRun> {
        let agent = agent(&settings.authority)?;
        let registry = |name, address| {
            let (login, agent) = (settings.login.clone(), agent.clone());
            Arc::new(Registry::new(name, address, login, agent))
        };
        let other = |other: &Other| {
            registry(format!("the registry on {}", other.host), other.registry)
        };
        let path = settings.book.clone();
        let book =
            Book::read(&path).map_err(|source| CannotRun::Book { path, source })?;
        let (send_ended, has_ended) = mpsc::channel();
        Ok(Self {
            own: registry("the registry of this host".to_owned(), settings.registry),
            others: settings.others.iter().map(other).collect(),
            folder: Folder::new(settings.data.clone()),
            kept: book.json(),
            book,
            board: Board::default(),
            running: BTreeMap::new(),
            ended: Vec::new(),
            failures: BTreeMap::new(),
            send_ended,
            has_ended,
            agent,
            settings,
        })
    }

    /// Looks once, and waits until it is time for the next look.
    fn turn(&mut self) {
        let fault = self.look().err().map(|error| chain(&error));
        self.tell_fault(fault);
        let Ok(ended) = self.has_ended.recv_timeout(LOOK) else { return };
        self.end(ended);
        while let Ok(ended) = self.has_ended.try_recv() {
            self.end(ended);
        }
    }

    fn tell_fault(&self, fault: Option<String>) {
        let mut status = self.board.status();
        match &fault {
            Some(fault) if status.fault.as_ref() != Some(fault) => {
                say(format_args!("nothing is copied: {fault}"));
            }
            None if status.fault.is_some() => say("images are copied again"),
            _ => {}
        }
        status.fault = fault;
    }

    fn look(&mut self) -> Result<(), Fault> {
        let others: Vec<Result<Holdings, Untold>> =
            self.settings.others.iter().map(|other| self.ask(other)).collect();
        self.tell_others(&others);
        let others: Vec<Option<Holdings>> = others.into_iter().map(Result::ok).collect();
        let own = self.holdings(&others)?;
        let all = lacking(&own, &others);
        let lacked: BTreeSet<&Image> = all.iter().map(|lacking| &lacking.image).collect();
        self.failures.retain(|image, _| lacked.contains(image));
        all.iter().for_each(|lacking| self.start(lacking));
        self.publish(&own, &all);
        Ok(())
    }

    /// What another copier tells that its registry has.
    fn ask(&self, other: &Other) -> Result<Holdings, Untold> {
        let url = format!("http://{}{HOLDINGS}", other.copier);
        let request = self.agent.get(url).config().timeout_global(Some(ANSWER)).build();
        let mut answer = request.call()?;
        if answer.status() != 200 {
            return Err(Untold::NotYet);
        }
        let body = answer.body_mut().with_config().limit(MAX_HOLDINGS).read_to_vec()?;
        Ok(serde_json::from_slice(&body)?)
    }

    fn tell_others(&self, told: &[Result<Holdings, Untold>]) {
        let rows = self.settings.others.iter().zip(told).map(|(other, told)| OtherRow {
            host: other.host.clone(),
            fault: told.as_ref().err().map(|error| chain(error)),
        });
        let mut status = self.board.status();
        let before = std::mem::replace(&mut status.others, rows.collect());
        for (n, row) in status.others.iter().enumerate() {
            let before = before.get(n).and_then(|row| row.fault.as_ref());
            match &row.fault {
                Some(fault) if Some(fault) != before => {
                    say(format_args!("nothing is known of {}: {fault}", row.host));
                }
                None if before.is_some() => {
                    say(format_args!("{} tells again what it has", row.host));
                }
                _ => {}
            }
        }
    }

    /// What the registry of this host has. Copies that have ended are done in it, so they end here.
    fn holdings(&mut self, others: &[Option<Holdings>]) -> Result<Holdings, Fault> {
        let writes = writes(self.running.values());
        let mut own = self.book.update(self.folder.read()?, &writes);
        others.iter().flatten().for_each(|other| self.book.learn(&mut own, other));
        let text = self.book.json();
        if text != self.kept {
            let path = self.settings.book.clone();
            self.book.write(&path).map_err(|source| Fault::Book { path, source })?;
            self.kept = text;
        }
        for image in self.ended.drain(..) {
            self.running.remove(&image);
        }
        Ok(own)
    }

    /// Begins a copy, unless it is being made, has failed just now, or too many are.
    fn start(&mut self, lacking: &Lacking) {
        let failure = self.failures.get(&lacking.image);
        let is_due = failure.is_none_or(|failure| failure.again <= Instant::now());
        let is_running = self.running.contains_key(&lacking.image);
        if !is_due || is_running || self.running.len() >= AT_ONCE {
            return;
        }
        let turn = failure.map_or(0, |failure| failure.times as usize);
        let Some(from) = lacking.from.get(turn % lacking.from.len().max(1)) else {
            return;
        };
        let (from, to) = (Arc::clone(&self.others[*from]), Arc::clone(&self.own));
        let (folder, results) = (self.folder.clone(), self.send_ended.clone());
        self.running.insert(lacking.image.clone(), lacking.clone());
        let lacking = lacking.clone();
        thread::spawn(move || {
            let copy = Copy { from: &from, to: &to, folder: &folder };
            let result = copy.image(&lacking);
            // The loop ends only with the program.
            let _ = results.send(Ended { image: lacking.image, result });
        });
    }

    /// Takes in how a copy ended. It stays among those that are made until the folder is read again:
    /// until then nobody knows that what is new there is no push.
    fn end(&mut self, Ended { image, result }: Ended) {
        let what = self.running.get(&image).map(words).unwrap_or_default();
        let counts = &mut self.board.status().counts;
        match result {
            Ok(()) => {
                say(format_args!("{what} is copied"));
                self.failures.remove(&image);
                counts.copied += 1;
            }
            Err(error) => {
                let reason = chain(&error);
                let before = self.failures.get(&image);
                if before.is_none_or(|before| before.reason != reason) {
                    say(format_args!("{what} is not copied: {reason}"));
                }
                let times = before.map_or(0, |before| before.times) + 1;
                self.failures.insert(image.clone(), Failure::new(times, reason));
                counts.failed += 1;
            }
        }
        self.ended.push(image);
    }

    fn publish(&self, own: &Holdings, all: &[Lacking]) {
        let host = |n: &usize| self.settings.others[*n].host.clone();
        let rows = all.iter().map(|lacking| LackingRow {
            image: words(lacking),
            from: lacking.from.iter().map(host).collect(),
            fault: self.failures.get(&lacking.image).map(|it| it.reason.clone()),
        });
        let mut status = self.board.status();
        status.lacking = rows.collect();
        status.holdings = serde_json::to_string(own).expect("names and numbers are JSON");
        status.counts.looks += 1;
        status.counts.bytes = self.own.n_stored();
        status.looked = Some(Instant::now());
    }
}

impl Failure {
    fn new(times: u32, reason: String) -> Self {
        let pause = FIRST_PAUSE * 2_u32.saturating_pow(times.saturating_sub(1)).min(64);
        Self { times, reason, again: Instant::now() + pause.min(LONGEST_PAUSE) }
    }
}

/// The tags that these copies write, with their pushes.
fn writes<'a>(copies: impl Iterator<Item = &'a Lacking>) -> Writes {
    let mut writes = Writes::new();
    for Lacking { image, tags, .. } in copies {
        for Retag { tag, push, .. } in tags {
            let of = (image.repository.clone(), tag.clone());
            writes.entry(of).or_default().push(push.clone());
        }
    }
    writes
}

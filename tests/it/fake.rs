//! Hosts with a script: they refuse, hang, fail, and die in the middle.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use platform::event::{Event, Sink};
use platform::host::HostName;
use platform::remote::{Exec, Input, Output, Remote, RemoteError, Stream};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Notify;

/// How a host handles one command.
#[derive(Clone)]
pub(crate) enum Act {
    /// Prints these lines and ends with a status.
    Ends(Vec<String>, u32, &'static str),
    /// Prints these lines; then the connection is lost.
    Dies(Vec<String>),
    /// Prints these lines; then nothing until the deadline.
    Hangs(Vec<String>),
    /// Prints these lines, waits until it is released, and succeeds.
    Waits(Vec<String>, Arc<Notify>),
    /// Prints these lines, and ends with its input.
    Holds(Vec<String>),
}

/// A command that a host received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) purpose: String,
    pub(crate) words: Vec<String>,
    pub(crate) input: Vec<u8>,
}

/// A host with a script: one act for each command; a missing act is an error of the test.
pub(crate) struct Fake {
    host: HostName,
    acts: Mutex<VecDeque<Act>>,
    asked: Mutex<Vec<Asked>>,
    n_ended: AtomicUsize,
}

impl Fake {
    pub(crate) fn new(host: &str, acts: impl IntoIterator<Item = Act>) -> Arc<Self> {
        Arc::new(Self {
            host: host.parse().expect("a host's name"),
            acts: Mutex::new(acts.into_iter().collect()),
            asked: Mutex::default(),
            n_ended: AtomicUsize::new(0),
        })
    }

    pub(crate) fn name(&self) -> HostName {
        self.host.clone()
    }

    /// Whether every command that it received has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.n_ended.load(Ordering::Relaxed) == self.asked().len()
    }

    /// The commands that it received.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics while it writes").clone()
    }

    fn next(&self, asked: Asked) -> Act {
        let mut acts = self.acts.lock().expect("no test panics while it writes");
        let act =
            acts.pop_front().unwrap_or_else(|| panic!("{} got {asked:?}", self.host));
        self.asked.lock().expect("no test panics while it writes").push(asked);
        act
    }

    async fn play(&self, exec: Exec<'_>) -> Result<Output, RemoteError> {
        let Exec { purpose, argv, input, on_line, deadline, .. } = exec;
        let words = argv.words().to_vec();
        let (input, rest) = match input {
            Input::Empty => (Vec::new(), None),
            Input::Bytes(bytes) => (bytes, None),
            // A command that holds a lock does not end by itself.
            Input::Stream(stream) if purpose == "lock" => (Vec::new(), Some(stream)),
            Input::Stream(stream) => (read_all(stream).await, None),
        };
        let act = self.next(Asked { purpose: purpose.clone(), words, input });
        let (Act::Ends(lines, ..)
        | Act::Dies(lines)
        | Act::Hangs(lines)
        | Act::Holds(lines)
        | Act::Waits(lines, _)) = &act;
        let mut stdout = Vec::new();
        match on_line {
            Some(on_line) => lines.iter().for_each(|line| on_line(line)),
            None => {
                lines.iter().for_each(|line| stdout.extend(format!("{line}\n").bytes()))
            }
        }
        let (host, during) = (self.host.clone(), purpose);
        let ended = |status, stdout, stderr| Output {
            status,
            stdout,
            stderr,
            greeting: Vec::new(),
        };
        let well = |stdout| ended(0, stdout, Vec::new());
        match act {
            Act::Ends(_, status, stderr) => {
                Ok(ended(status, stdout, stderr.as_bytes().to_vec()))
            }
            Act::Dies(_) => Err(RemoteError::Lost { host, during }),
            Act::Hangs(_) => {
                tokio::time::sleep(deadline).await;
                Err(RemoteError::TimedOut { host, during, deadline })
            }
            Act::Waits(_, go) => {
                go.notified().await;
                Ok(well(stdout))
            }
            Act::Holds(_) => {
                if let Some(rest) = rest {
                    read_all(rest).await;
                }
                Ok(well(stdout))
            }
        }
    }
}

async fn read_all(mut stream: Box<dyn AsyncRead + Send + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("it is in memory");
    bytes
}

impl Remote for Fake {
    fn exec<'a>(&'a self, exec: Exec<'a>) -> BoxFuture<'a, Result<Output, RemoteError>> {
        async move {
            let ended = self.play(exec).await;
            self.n_ended.fetch_add(1, Ordering::Relaxed);
            ended
        }
        .boxed()
    }

    fn dial<'a>(
        &'a self,
        address: &'a str,
        port: u16,
        _: Duration,
    ) -> BoxFuture<'a, Result<Box<dyn Stream>, RemoteError>> {
        let (host, address) = (self.host.clone(), address.to_owned());
        async move { Err(RemoteError::Dial { host, address, port }) }.boxed()
    }

    fn renew(&self) -> BoxFuture<'_, Result<(), RemoteError>> {
        async { Ok(()) }.boxed()
    }
}

/// Keeps every event.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Vec<Event>>);

impl Sink for Kept {
    fn take(&self, event: &Event) {
        self.0.lock().expect("no test panics while it writes").push(event.clone());
    }
}

impl Kept {
    pub(crate) fn all(&self) -> Vec<Event> {
        self.0.lock().expect("no test panics while it writes").clone()
    }
}

//! What every verb on a cluster needs first: the files, the display, the journal.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;

use super::args::{Global, Output};
use super::ask::Prompt;
use super::error;
use super::exit::Exit;
use crate::event::{Event, Events, Sink};
use crate::operate::{ClusterFiles, Ended, Error, RunContext, in_run, lock};
use crate::report::{Fanout, Purpose, Screen, Settings, TerminalInfo};
use crate::state::{Journal, Lock};

/// A cluster, and a display for what happens to it.
pub(super) struct Session {
    pub(super) files: ClusterFiles,
    pub(super) ctx: RunContext<'static>,
    work: Option<Work>,
}

/// What kind of verb a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionKind {
    /// This verb may change the cluster, so it writes a journal.
    Work(&'static str),
    /// It only reads.
    Facts,
    /// This verb changes apps or jobs, not the cluster itself.
    Change,
}

impl Session {
    /// Reads the inventory and opens the display; a verb that may change the cluster takes
    /// its lock and begins a journal first. Errors are printed.
    pub(super) fn open(
        path: &Path,
        global: &Global,
        kind: SessionKind,
    ) -> Result<Self, Exit> {
        let again = match kind {
            SessionKind::Work(verb) => {
                Some(format!("platform {verb} {}", path.display()))
            }
            SessionKind::Facts | SessionKind::Change => None,
        };
        Self::open_for(path, global, kind, again)
    }

    /// The same, for a verb that needs another command to finish than `platform VERB INVENTORY`.
    pub(super) fn open_for(
        path: &Path,
        global: &Global,
        kind: SessionKind,
        again: Option<String>,
    ) -> Result<Self, Exit> {
        let files =
            ClusterFiles::open(path).map_err(|error| error::report(&error.into()))?;
        let screen = screen(global, kind, again);
        let work = match kind {
            SessionKind::Work(verb) => Some(Work::begin(&files, verb)?),
            SessionKind::Facts | SessionKind::Change => None,
        };
        let run = work.as_ref().map(|work| work.journal.id().to_owned());
        let journal = work.iter().map(|work| Arc::clone(&work.journal) as Arc<dyn Sink>);
        let sinks = Fanout::to(journal.chain([screen.sink()]).collect());
        let events = Events::to(Arc::new(sinks));
        let state = files.state.clone();
        let mut ctx = ctx(global, screen, events, run.unwrap_or_default());
        ctx.is_own_run = Arc::new(move |run| state.run(run).is_ok());
        Ok(Self { files, ctx, work })
    }

    /// Runs the verb, and reports its beginning and its end.
    pub(super) async fn run<F>(&self, work: F) -> Exit
    where
        F: Future<Output = Result<Ended, Error>>,
    {
        watch_for_interrupts(&self.ctx);
        let verb = self.work.as_ref().map_or("look", |work| work.verb);
        let ended = in_run(&self.files, verb, &self.ctx, work).await;
        if let Some(failure) = self.work.as_ref().and_then(|work| work.journal.failure())
        {
            self.ctx.events.emit(&Event::Warned { message: failure });
        }
        match ended {
            Ok(_) => Exit::Done,
            Err(error) => error::conclude(&error),
        }
    }
}

/// A run that may change the cluster: it holds the cluster's lock and writes a journal.
struct Work {
    verb: &'static str,
    journal: Arc<Journal>,
    _lock: Lock,
}

impl Work {
    fn begin(files: &ClusterFiles, verb: &'static str) -> Result<Self, Exit> {
        let lock =
            lock(files, verb, &env, now()).map_err(|error| error::report(&error))?;
        let journal = files.state.journal(Arc::new(now));
        let told = |error| error::report(&Error::Journal(error));
        Ok(Self { verb, journal: Arc::new(journal.map_err(told)?), _lock: lock })
    }
}

/// What verbs need from this computer: its environment, its clock, its terminal.
pub(super) fn ctx(
    global: &Global,
    screen: Screen,
    events: Events,
    run: String,
) -> RunContext<'static> {
    let stopped = Arc::<AtomicBool>::default();
    RunContext {
        env: &env,
        clock: Arc::new(now),
        events,
        run,
        is_own_run: Arc::new(|_| false),
        ask: Arc::new(Prompt::on(screen, stopped.clone())),
        parallel: global.parallel.get(),
        stopped,
    }
}

/// The display that fits the command line and the terminal.
pub(super) fn screen(
    global: &Global,
    kind: SessionKind,
    again: Option<String>,
) -> Screen {
    let surroundings = TerminalInfo {
        json: global.output == Output::Json,
        verbose: global.verbose,
        stdout_is_terminal: io::stdout().is_terminal(),
        stderr_is_terminal: io::stderr().is_terminal(),
        term: std::env::var("TERM").ok(),
        no_color: std::env::var("NO_COLOR").ok(),
    };
    let purpose = match kind {
        SessionKind::Work(_) => Purpose::Work,
        SessionKind::Facts => Purpose::Facts,
        SessionKind::Change => Purpose::Change,
    };
    let settings =
        Settings { colour: surroundings.colour(), verbose: global.verbose, again };
    surroundings.choose(purpose).open(settings, now)
}

/// The operator's environment.
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// This computer's clock; only this function reads it.
fn now() -> Timestamp {
    Timestamp::now()
}

/// After the first interrupt, running steps finish and no more begin. The second ends the
/// program at once; the next run can finish that too.
fn watch_for_interrupts(ctx: &RunContext<'static>) {
    let (stopped, events): (Arc<AtomicBool>, Events) =
        (Arc::clone(&ctx.stopped), ctx.events.clone());
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if stopped.swap(true, Ordering::Relaxed) {
                std::process::exit(Exit::Interrupted.code().into());
            }
            let message = "stopping: running steps finish, no more begin; \
                           press Ctrl-C again to quit at once"
                .to_owned();
            events.emit(&Event::Warned { message });
        }
    });
}

//! What every verb on a cluster begins with: the files, the display, the journal.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;

use super::args::{Global, Output};
use super::ask::Prompt;
use super::exit::Exit;
use super::trouble;
use crate::event::{Event, Events, Sink};
use crate::operate::{Ambient, Ended, Lab, Trouble, in_run, lock};
use crate::report::{Fanout, Purpose, Screen, Settings, Surroundings};
use crate::state::{Journal, Lock};

/// A cluster, and a display for what happens to it.
pub(super) struct Session {
    pub(super) lab: Lab,
    pub(super) ambient: Ambient<'static>,
    work: Option<Work>,
}

/// What kind of verb a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// This verb may change the cluster: it is journalled.
    Work(&'static str),
    /// It only looks.
    Facts,
}

impl Session {
    /// Reads the inventory and opens the display; a verb that may change the cluster takes
    /// its lock and begins a journal first. What goes wrong is told.
    pub(super) fn open(path: &Path, global: &Global, kind: For) -> Result<Self, Exit> {
        let again = match kind {
            For::Work(verb) => Some(format!("platform {verb} {}", path.display())),
            For::Facts => None,
        };
        Self::open_for(path, global, kind, again)
    }

    /// The same for a verb that is finished by another command than it and the inventory.
    pub(super) fn open_for(
        path: &Path,
        global: &Global,
        kind: For,
        again: Option<String>,
    ) -> Result<Self, Exit> {
        let lab = Lab::open(path).map_err(|error| trouble::report(&error.into()))?;
        let screen = screen(global, kind, again);
        let work = match kind {
            For::Work(verb) => Some(Work::begin(&lab, verb)?),
            For::Facts => None,
        };
        let run = work.as_ref().map(|work| work.journal.id().to_owned());
        let journal = work.iter().map(|work| Arc::clone(&work.journal) as Arc<dyn Sink>);
        let sinks = Fanout::to(journal.chain([screen.sink()]).collect());
        let events = Events::to(Arc::new(sinks));
        let state = lab.state.clone();
        let mut ambient = ambient(global, screen, events, run.unwrap_or_default());
        ambient.is_own_run = Arc::new(move |run| state.run(run).is_ok());
        Ok(Self { lab, ambient, work })
    }

    /// Runs the verb, with its beginning and its end told.
    pub(super) async fn run<F>(&self, work: F) -> Exit
    where
        F: Future<Output = Result<Ended, Trouble>>,
    {
        watch_for_interrupts(&self.ambient);
        let verb = self.work.as_ref().map_or("look", |work| work.verb);
        let ended = in_run(&self.lab, verb, &self.ambient, work).await;
        if let Some(failure) = self.work.as_ref().and_then(|work| work.journal.failure())
        {
            self.ambient.events.emit(&Event::Warned { message: failure });
        }
        match ended {
            Ok(_) => Exit::Done,
            Err(error) => trouble::conclude(&error),
        }
    }
}

/// A run that may change the cluster: it is alone on this computer, and journalled.
struct Work {
    verb: &'static str,
    journal: Arc<Journal>,
    _lock: Lock,
}

impl Work {
    fn begin(lab: &Lab, verb: &'static str) -> Result<Self, Exit> {
        let lock =
            lock(lab, verb, &env, now()).map_err(|error| trouble::report(&error))?;
        let journal = lab.state.journal(Arc::new(now));
        let told = |error| trouble::report(&Trouble::Journal(error));
        Ok(Self { verb, journal: Arc::new(journal.map_err(told)?), _lock: lock })
    }
}

/// What verbs need of this computer: its environment, its clock, its terminal.
pub(super) fn ambient(
    global: &Global,
    screen: Screen,
    events: Events,
    run: String,
) -> Ambient<'static> {
    Ambient {
        env: &env,
        clock: Arc::new(now),
        events,
        run,
        is_own_run: Arc::new(|_| false),
        ask: Arc::new(Prompt::on(screen)),
        parallel: global.parallel.get(),
        stopped: Arc::default(),
    }
}

/// The display that fits the command line and the terminal.
pub(super) fn screen(global: &Global, kind: For, again: Option<String>) -> Screen {
    let surroundings = Surroundings {
        json: global.output == Output::Json,
        verbose: global.verbose,
        stdout_is_terminal: io::stdout().is_terminal(),
        stderr_is_terminal: io::stderr().is_terminal(),
        term: std::env::var("TERM").ok(),
        no_color: std::env::var("NO_COLOR").ok(),
    };
    let purpose = match kind {
        For::Work(_) => Purpose::Work,
        For::Facts => Purpose::Facts,
    };
    let settings =
        Settings { colour: surroundings.colour(), verbose: global.verbose, again };
    surroundings.choose(purpose).open(settings, now)
}

/// The operator's environment.
fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// This computer's clock: the one place that reads it.
fn now() -> Timestamp {
    Timestamp::now()
}

/// The first interrupt lets the steps under way end and begins no more; the second ends the
/// program at once, which the next run can finish all the same.
fn watch_for_interrupts(ambient: &Ambient<'static>) {
    let (stopped, events): (Arc<AtomicBool>, Events) =
        (Arc::clone(&ambient.stopped), ambient.events.clone());
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if stopped.swap(true, Ordering::Relaxed) {
                std::process::exit(Exit::Interrupted.code().into());
            }
            let message = "stopping: the steps under way end, no more begin; \
                           press Ctrl-C again to leave at once"
                .to_owned();
            events.emit(&Event::Warned { message });
        }
    });
}

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
use crate::state::Journal;

/// A cluster, and a display for what happens to it.
pub(super) struct Session {
    pub(super) lab: Lab,
    pub(super) ambient: Ambient<'static>,
    journal: Option<Arc<Journal>>,
}

/// What kind of verb a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// It may change the cluster: it is journalled.
    Work,
    /// It only looks.
    Facts,
}

impl Session {
    /// Reads the inventory and opens the display; for a verb that may change the cluster, the
    /// journal too. What goes wrong is told.
    pub(super) fn open(path: &Path, global: &Global, kind: For) -> Result<Self, Exit> {
        let lab = Lab::open(path).map_err(|error| trouble::report(&error.into()))?;
        let screen =
            screen(global, kind, Some(format!("platform up {}", path.display())));
        let journal = match kind {
            For::Work => {
                let journal = lab.state.journal(Arc::new(now));
                let told = |error| trouble::report(&Trouble::Journal(error));
                Some(Arc::new(journal.map_err(told)?))
            }
            For::Facts => None,
        };
        let run =
            journal.as_ref().map(|journal| journal.id().to_owned()).unwrap_or_default();
        let sinks = journal.iter().map(|journal| Arc::clone(journal) as Arc<dyn Sink>);
        let sinks = sinks.chain([screen.sink()]).collect();
        let ambient =
            ambient(global, screen, Events::to(Arc::new(Fanout::to(sinks))), run);
        Ok(Self { lab, ambient, journal })
    }

    /// Runs a verb that may change the cluster, alone, with its beginning and end told.
    pub(super) async fn run<F>(&self, verb: &str, work: F) -> Exit
    where
        F: Future<Output = Result<Ended, Trouble>>,
    {
        let _lock = match lock(&self.lab, verb, &self.ambient) {
            Ok(lock) => lock,
            Err(error) => return trouble::report(&error),
        };
        watch_for_interrupts(&self.ambient);
        let ended = in_run(&self.lab, verb, &self.ambient, work).await;
        if let Some(failure) = self.journal.as_ref().and_then(|journal| journal.failure())
        {
            let message = format!("the journal is not complete: {failure}");
            self.ambient.events.emit(&Event::Warned { message });
        }
        match ended {
            Ok(_) => Exit::Done,
            Err(error) => trouble::exit(&error),
        }
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
        env: &|name| std::env::var(name).ok(),
        clock: Arc::new(now),
        events,
        run,
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
        For::Work => Purpose::Work,
        For::Facts => Purpose::Facts,
    };
    let settings =
        Settings { colour: surroundings.colour(), verbose: global.verbose, again };
    surroundings.choose(purpose).open(settings, now)
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
                std::process::exit(130);
            }
            let message = "stopping: the steps under way end, no more begin; \
                           press Ctrl-C again to leave at once"
                .to_owned();
            events.emit(&Event::Warned { message });
        }
    });
}

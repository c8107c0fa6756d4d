//! What every run did: one file per run, one JSON line per event.
//!
//! A line is written before the run goes on, so no line is lost if the program dies. At the end
//! of each step the file is also synced to the disk: in the background, and once for all steps
//! that ended in the meantime. The clock is passed in.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use super::{State, StateError, files};
use crate::event::{Event, RunResult, Sink};

/// Returns the current time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Writes one run's journal.
pub struct Journal {
    id: String,
    clock: Clock,
    writing: Mutex<Writing>,
    to_disk: Option<SyncSender<()>>,
    syncer: Option<JoinHandle<()>>,
}

struct Writing {
    file: File,
    failed: Option<io::Error>,
}

/// A run in one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    /// Its id; ids sort by time.
    pub id: String,
    /// The verb, such as `up`.
    pub verb: String,
    /// Who started it, as `user@machine`.
    pub who: String,
    /// When it began.
    pub started: Timestamp,
    /// How long it took, in JSON in milliseconds; up to its last line if it was cut off.
    #[serde(serialize_with = "as_millis")]
    pub took: Duration,
    /// How it ended.
    #[serde(flatten)]
    pub ending: Ending,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "ending", rename_all = "snake_case")]
pub enum Ending {
    /// It came to its end.
    Finished {
        /// The result that it recorded.
        result: RunResult,
        /// The result in one sentence.
        summary: String,
    },
    /// It still runs: its process holds the cluster's lock.
    Running,
    /// It was killed, or the computer went down.
    CutOff {
        /// The last step it began or ended.
        last_step: Option<String>,
    },
}

/// A whole run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its events in order.
    pub lines: Vec<Line>,
    /// Whether the last line was incomplete and is left out.
    pub last_line_cut: bool,
}

/// One event and its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When it was written, to the millisecond.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Why a journal cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Its file cannot be used.
    #[error(transparent)]
    File(#[from] StateError),
    /// No run has that id.
    #[error("there is no run `{0}`: `platform audit` lists all runs")]
    Unknown(String),
    /// A line is not an event.
    #[error("line {line} of {} is not an event of this program", path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

impl State {
    /// Begins a run's journal: a new file, named after the time and the process.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn journal(&self, clock: Clock) -> Result<Journal, JournalError> {
        let folder = self.journal_dir();
        files::make_folder(&folder)?;
        let begun = clock().strftime("%Y%m%dT%H%M%SZ").to_string();
        let (id, file) = create(&folder, &format!("{begun}-{}", std::process::id()))
            .map_err(StateError::of("begin a journal in", &folder))?;
        let synced =
            file.try_clone().map_err(StateError::of("write a journal in", &folder))?;
        let (to_disk, wanted) = sync_channel(1);
        let syncer = std::thread::spawn(move || sync_when_wanted(&synced, &wanted));
        Ok(Journal {
            id,
            clock,
            writing: Mutex::new(Writing { file, failed: None }),
            to_disk: Some(to_disk),
            syncer: Some(syncer),
        })
    }

    /// Every run of the cluster, the oldest first. A file without a complete first line is left
    /// out: that run did nothing.
    ///
    /// # Errors
    /// When a journal cannot be read, or a line before its last is not an event.
    pub fn runs(&self) -> Result<Vec<RunSummary>, JournalError> {
        let folder = self.journal_dir();
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let running = self.lock_holder().map(|holder| holder.pid);
        let mut runs = Vec::new();
        for id in ids(&folder).map_err(StateError::of("list", &folder))? {
            runs.extend(summarise(&id, &self.run(&id)?.lines, running));
        }
        Ok(runs)
    }

    /// One run, event by event.
    ///
    /// # Errors
    /// When there is no such run, or a line before its last is not an event.
    pub fn run(&self, id: &str) -> Result<Run, JournalError> {
        let unknown = || JournalError::Unknown(id.to_owned());
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if id.is_empty() || !id.chars().all(fits) {
            return Err(unknown());
        }
        let path = self.journal_dir().join(format!("{id}.jsonl"));
        match File::open(&path) {
            Ok(file) => read_lines(BufReader::new(file), &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(unknown()),
            Err(error) => Err(StateError::of("read", &path)(error).into()),
        }
    }
}

impl Journal {
    /// The run's id, for `platform audit`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Why the journal ends before the run, such as a full disk. The run does not stop for this,
    /// but should report it.
    pub fn failure(&self) -> Option<String> {
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        writing
            .failed
            .as_ref()
            .map(|error| format!("the journal {} is not complete: {error}", self.id))
    }

    fn write(&self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let writing = &mut *self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if writing.failed.is_some() {
            // The last line may be cut; with more lines after it, the file could not be read.
            return Ok(());
        }
        // One write for one line: a line is cut only if the disk is full or power fails.
        let written = writing.file.write_all(&text).and_then(|()| match line.event {
            Event::RunFinished { .. } => writing.file.sync_data(),
            _ => Ok(()),
        });
        written.map_err(|error| {
            let kind = error.kind();
            writing.failed = Some(error);
            kind.into()
        })
    }
}

impl Sink for Journal {
    fn take(&self, event: &Event) {
        if matches!(event, Event::Progress { .. } | Event::Waiting { .. }) {
            return;
        }
        let line = Line { at: whole_millis((self.clock)()), event: event.clone() };
        let ends_a_step =
            matches!(event, Event::StepFinished { .. } | Event::StageFinished { .. });
        if self.write(&line).is_ok()
            && ends_a_step
            && let Some(to_disk) = &self.to_disk
        {
            // If the channel is full, a sync is due already and will cover this line too.
            let _ = to_disk.try_send(());
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.to_disk = None;
        if let Some(syncer) = self.syncer.take() {
            let _ = syncer.join();
        }
    }
}

fn sync_when_wanted(file: &File, wanted: &Receiver<()>) {
    while wanted.recv().is_ok() {
        // If the disk fails here, the next write fails too and reports it.
        let _ = file.sync_data();
    }
}

/// Creates the file. Runs that begin in the same second in the same process get a number.
fn create(folder: &Path, wish: &str) -> io::Result<(String, File)> {
    let mut ids = (1..).map(|n: u32| match n {
        1 => wish.to_owned(),
        n => format!("{wish}-{n}"),
    });
    let create_new = |id: String| {
        let mut options = OpenOptions::new();
        options.append(true).create_new(true).mode(0o600);
        match options.open(folder.join(format!("{id}.jsonl"))) {
            Ok(file) => Some(Ok((id, file))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
            Err(error) => Some(Err(error)),
        }
    };
    let made = ids.find_map(create_new);
    made.unwrap_or_else(|| Err(io::ErrorKind::AlreadyExists.into()))
}

fn as_millis<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
}

fn whole_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

fn ids(folder: &Path) -> io::Result<Vec<String>> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        ids.extend(
            name.to_str().and_then(|name| name.strip_suffix(".jsonl")).map(String::from),
        );
    }
    ids.sort();
    Ok(ids)
}

fn read_lines(mut reader: impl BufRead, path: &Path) -> Result<Run, JournalError> {
    let mut run = Run { lines: Vec::new(), last_line_cut: false };
    let mut text = Vec::new();
    loop {
        text.clear();
        let n_read =
            reader.read_until(b'\n', &mut text).map_err(StateError::of("read", path))?;
        if n_read == 0 {
            return Ok(run);
        }
        if text.last() != Some(&b'\n') {
            run.last_line_cut = true;
            return Ok(run);
        }
        let damaged = |source| JournalError::Damaged {
            path: path.to_owned(),
            line: run.lines.len() + 1,
            source,
        };
        run.lines.push(serde_json::from_slice(&text).map_err(damaged)?);
    }
}

fn summarise(id: &str, lines: &[Line], running: Option<u32>) -> Option<RunSummary> {
    let (first, last) = (lines.first()?, lines.last()?);
    let Event::RunStarted { verb, who, .. } = &first.event else { return None };
    let until_last = Duration::try_from(last.at.duration_since(first.at));
    let (took, ending) = match &last.event {
        Event::RunFinished { result, summary, took } => {
            (*took, Ending::Finished { result: *result, summary: summary.clone() })
        }
        _ => (until_last.unwrap_or_default(), unfinished(id, lines, running)),
    };
    let (verb, who) = (verb.clone(), who.clone());
    Some(RunSummary { id: id.to_owned(), verb, who, started: first.at, took, ending })
}

fn unfinished(id: &str, lines: &[Line], running: Option<u32>) -> Ending {
    let pid = id.split('-').nth(1).and_then(|pid| pid.parse().ok());
    if pid.is_some() && pid == running {
        return Ending::Running;
    }
    let last_step = lines.iter().rev().find_map(|line| match &line.event {
        Event::StepStarted { stage, host, step }
        | Event::StepFinished { stage, host, step, .. } => Some(match host {
            Some(host) => format!("{stage}: {step} on {host}"),
            None => format!("{stage}: {step}"),
        }),
        _ => None,
    });
    Ending::CutOff { last_step }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;
    use crate::state::fixture::state;

    /// Advances by 1.5 s with each call.
    fn ticking() -> Clock {
        let start: Timestamp = "2026-11-23T10:15:00.123456Z".parse().unwrap();
        let asked = std::sync::atomic::AtomicI64::new(0);
        Arc::new(move || {
            let n = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            start + jiff::SignedDuration::from_millis(1500 * n)
        })
    }

    fn started() -> Event {
        Event::RunStarted {
            verb: "up".into(),
            cluster: "lab7".into(),
            who: "ada@desk".into(),
        }
    }

    fn step_finished() -> Event {
        Event::StepFinished {
            stage: "base".into(),
            host: Some("control-1".parse().unwrap()),
            step: "write /etc/platform/ca.crt".into(),
            took: Duration::from_millis(12),
            outcome: Outcome::Done,
        }
    }

    fn finished() -> Event {
        Event::RunFinished {
            result: RunResult::Changed,
            summary: "1 change made".into(),
            took: Duration::from_secs(3),
        }
    }

    fn write(state: &State, events: &[Event]) -> String {
        let journal = state.journal(ticking()).unwrap();
        events.iter().for_each(|event| journal.take(event));
        assert_eq!(journal.failure(), None);
        journal.id().to_owned()
    }

    #[test]
    fn each_event_is_a_line_with_its_moment_except_what_only_a_screen_needs() {
        let (_dir, state) = state();
        let progress = Event::Progress { what: "push".into(), done: 1, total: 2 };
        let waiting = Event::Waiting { gate: "leader".into(), seen: "none".into() };
        let id =
            write(&state, &[started(), progress, waiting, step_finished(), finished()]);
        assert_eq!(id, format!("20261123T101500Z-{}", std::process::id()));

        let path = state.journal_dir().join(format!("{id}.jsonl"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text.lines().next(),
            Some(
                r#"{"at":"2026-11-23T10:15:01.623Z","event":"run_started","verb":"up","cluster":"lab7","who":"ada@desk"}"#
            )
        );
        let run = state.run(&id).unwrap();
        let events: Vec<Event> = run.lines.into_iter().map(|line| line.event).collect();
        assert_eq!(events, [started(), step_finished(), finished()]);
        assert!(!run.last_line_cut);
    }

    #[test]
    fn runs_are_listed_in_order_and_two_in_one_second_are_two() {
        let (_dir, state) = state();
        let first = write(&state, &[started(), finished()]);
        let second = write(&state, &[started(), step_finished()]);
        let runs = state.runs().unwrap();
        let ids: Vec<&str> = runs.iter().map(|run| run.id.as_str()).collect();
        assert_eq!(ids, [first, second]);
        assert_eq!(runs[0].took, Duration::from_secs(3));
        let done = Ending::Finished {
            result: RunResult::Changed,
            summary: "1 change made".into(),
        };
        assert_eq!(runs[0].ending, done);
    }

    #[test]
    fn a_run_that_was_killed_in_mid_line_is_cut_off_after_its_last_step() {
        let (_dir, state) = state();
        let id = write(&state, &[started(), step_finished(), finished()]);
        let path = state.journal_dir().join(format!("{id}.jsonl"));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 20]).unwrap();

        let run = state.run(&id).unwrap();
        assert!(run.last_line_cut);
        assert_eq!(run.lines.len(), 2);
        let summary = &state.runs().unwrap()[0];
        let last_step = Some("base: write /etc/platform/ca.crt on control-1".to_owned());
        assert_eq!(summary.ending, Ending::CutOff { last_step });
        assert_eq!(summary.took, Duration::from_millis(1500));
    }

    #[test]
    fn a_journal_that_cannot_be_written_says_so_and_stays_readable() {
        let (_dir, state) = state();
        let journal = state.journal(ticking()).unwrap();
        journal.take(&started());
        let path = state.journal_dir().join(format!("{}.jsonl", journal.id()));
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let file = std::mem::replace(&mut journal.writing.lock().unwrap().file, full);
        journal.take(&step_finished());
        journal.writing.lock().unwrap().file = file;
        journal.take(&finished());
        let said = journal.failure().unwrap();
        assert!(said.contains(journal.id()), "{said}");
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 1);
    }

    #[test]
    fn a_summary_is_flat_json() {
        let (_dir, state) = state();
        write(&state, &[started(), finished()]);
        let json = serde_json::to_value(&state.runs().unwrap()[0]).unwrap();
        assert_eq!(json["took"], 3000);
        assert_eq!(
            (&json["ending"], &json["result"]),
            (&"finished".into(), &"changed".into())
        );
    }

    #[test]
    fn a_run_whose_process_holds_the_lock_is_running() {
        let (_dir, state) = state();
        write(&state, &[started(), step_finished()]);
        let holder = super::super::Holder {
            who: "ada@desk".into(),
            pid: std::process::id(),
            verb: "up".into(),
            since: "2026-11-23T10:15:00Z".parse().unwrap(),
        };
        let _lock = state.lock(&holder).unwrap();
        assert_eq!(state.runs().unwrap()[0].ending, Ending::Running);
    }

    #[test]
    fn a_line_in_the_middle_that_is_no_event_is_named() {
        let (_dir, state) = state();
        let id = write(&state, &[started(), finished()]);
        let path = state.journal_dir().join(format!("{id}.jsonl"));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("\"run_finished\"", "\"run_flown\"", 1))
            .unwrap();
        let damaged = state.run(&id).unwrap_err();
        assert!(matches!(damaged, JournalError::Damaged { line: 2, .. }), "{damaged}");
    }

    #[test]
    fn no_id_leads_out_of_the_folder() {
        let (_dir, state) = state();
        for bad in ["", "../lock", "20261123T101500Z-1"] {
            assert!(matches!(state.run(bad), Err(JournalError::Unknown(_))), "{bad}");
        }
        assert_eq!(state.runs().unwrap(), []);
    }
}

//! One line per event that matters, for pipes, logs and terminals that cannot move.
//!
//! The lines depend on the events alone: the same run gives the same text.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::out::Out;
use super::summary::Summary;
use super::text::{brief, clean, indented, one_line, place, took};
use crate::event::{Event, Outcome, PlannedStage, Sink, count};
use crate::host::HostName;
use crate::unit::Size;

/// The width of the column with the stages; a longer name shifts its line to the right.
const STAGE_WIDTH: usize = 13;

/// How much to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Only warnings and failures, for verbs that print their own facts.
    Warnings,
    /// Also what is waited for, for verbs that change something and print what they did.
    Waits,
    /// What an operator needs to follow a run.
    Normal,
    /// Also each connection and each command.
    Verbose,
}

/// Writes plain lines.
pub struct Plain<W>(Mutex<State<W>>);

struct State<W> {
    out: Out<W>,
    script: Script,
}

impl<W: Write> Plain<W> {
    /// Writes to `writer`; `again` is the command that finishes what a failed run left.
    pub fn new(writer: W, detail: Detail, again: Option<String>) -> Self {
        let script = Script { detail, again, ..Script::default() };
        Self(Mutex::new(State { out: Out::new(writer), script }))
    }
}

impl<W: Write + Send> Sink for Plain<W> {
    fn take(&self, event: &Event) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in state.script.lines(event) {
            state.out.line(&line);
        }
    }
}

/// Turns events into lines; remembers only what later lines need.
struct Script {
    detail: Detail,
    again: Option<String>,
    summary: Summary,
    stage: String,
    host_width: usize,
    waiting: Option<(String, String)>,
    quarters: HashMap<String, u64>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            detail: Detail::Normal,
            again: None,
            summary: Summary::default(),
            stage: String::new(),
            host_width: 0,
            waiting: None,
            quarters: HashMap::new(),
        }
    }
}

impl Script {
    fn lines(&mut self, event: &Event) -> Vec<String> {
        self.summary.take(event);
        let lines = match event {
            Event::RunStarted { verb, cluster, who } => {
                vec![format!("{verb} {cluster}, started by {who}")]
            }
            Event::Planned { stages } => vec![planned(stages)],
            Event::StageStarted { stage, hosts, n_steps } => {
                self.begin(stage, hosts, *n_steps)
            }
            Event::StepFinished { stage, host, step, took: time, outcome } => {
                let place = place(host.as_ref());
                let place = format!("{place:<width$}", width = self.host_width);
                let head = in_stage(stage, &format!("{place}  {} …", one_line(step)));
                self.ended(&head, *time, outcome)
            }
            Event::Progress { what, done, total } => self.progress(what, *done, *total),
            Event::Waiting { gate, seen } => self.waiting(gate, seen),
            Event::GatePassed { gate, seen, took } => self.passed(gate, seen, *took),
            Event::GateFailed { gate, reason, took } => self.shut(gate, reason, *took),
            Event::StageFinished { stage, took, ok } => self.end(stage, *took, *ok),
            Event::Warned { message } => vec![format!("warning: {}", one_line(message))],
            Event::RunFinished { .. } => self.summary.last_lines(self.again.as_deref()),
            Event::Connected { host, took: time } => {
                vec![format!("connected to {host} in {}", took(*time))]
            }
            Event::Executed { host, purpose } => {
                vec![format!("command to {host}: {}", one_line(purpose))]
            }
            Event::StepStarted { .. } => Vec::new(),
        };
        if self.detail >= needed(event) { lines } else { Vec::new() }
    }

    fn begin(&mut self, stage: &str, hosts: &[HostName], n_steps: usize) -> Vec<String> {
        stage.clone_into(&mut self.stage);
        self.host_width = hosts.iter().map(|host| host.as_str().len()).max().unwrap_or(0);
        self.waiting = None;
        let places = match hosts.len() {
            0 => "this computer".to_owned(),
            n => count(n, "host"),
        };
        vec![format!("{stage}: {} on {places}", count(n_steps, "step"))]
    }

    /// Shows a transfer at each quarter, so that a log does not get a line for every few bytes.
    fn progress(&mut self, what: &str, done: u64, total: u64) -> Vec<String> {
        let quarter = (done.min(total) * 4).checked_div(total).unwrap_or(4);
        let told = self.quarters.insert(what.to_owned(), quarter).unwrap_or(0);
        if quarter <= told {
            return Vec::new();
        }
        let size = Size::bytes(total);
        vec![self.in_stage(&format!("{}: {}% of {size}", one_line(what), quarter * 25))]
    }

    fn waiting(&mut self, gate: &str, seen: &str) -> Vec<String> {
        let now = Some((gate.to_owned(), seen.to_owned()));
        if self.waiting == now {
            return Vec::new();
        }
        self.waiting = now;
        let (gate, seen) = (one_line(gate), one_line(seen));
        vec![self.in_stage(&format!("waiting until {gate}; seen: {seen}"))]
    }

    fn passed(&mut self, gate: &str, seen: &str, time: Duration) -> Vec<String> {
        self.waiting = None;
        let (gate, seen) = (one_line(gate), one_line(seen));
        vec![self.in_stage(&format!("after {} {gate}: {seen}", took(time)))]
    }

    fn shut(&mut self, gate: &str, reason: &str, time: Duration) -> Vec<String> {
        self.waiting = None;
        let line =
            format!("gave up after waiting {} until {}", took(time), one_line(gate));
        std::iter::once(self.in_stage(&line)).chain(self.reason(reason)).collect()
    }

    fn ended(&self, head: &str, time: Duration, outcome: &Outcome) -> Vec<String> {
        match outcome {
            Outcome::Done => vec![format!("{head} done {}", took(time))],
            Outcome::NotStarted { reason } => {
                vec![format!("{head} not started: {}", one_line(reason))]
            }
            Outcome::Failed { reason } => {
                let failed = format!("{head} failed {}", took(time));
                std::iter::once(failed).chain(self.reason(reason)).collect()
            }
        }
    }

    /// The whole reason if all details are wanted, as for the journal; otherwise a part of it.
    fn reason(&self, reason: &str) -> Vec<String> {
        match self.detail {
            Detail::Verbose => indented(reason).collect(),
            Detail::Normal | Detail::Waits | Detail::Warnings => brief(reason),
        }
    }

    fn end(&mut self, stage: &str, time: Duration, ok: bool) -> Vec<String> {
        self.quarters.clear();
        let how = if ok { "done" } else { "failed" };
        vec![format!("{stage}: {how} {}", took(time))]
    }

    fn in_stage(&self, line: &str) -> String {
        in_stage(&self.stage, line)
    }
}

fn in_stage(stage: &str, line: &str) -> String {
    let line = format!("{stage:<STAGE_WIDTH$} {line}");
    line.trim_end().to_owned()
}

fn planned(stages: &[PlannedStage]) -> String {
    let changes = stages.iter().map(|stage| stage.n_changes).sum();
    if changes == 0 {
        return "plan: nothing to change".to_owned();
    }
    let list: Vec<String> =
        stages.iter().map(|s| format!("{} {}", s.stage, s.n_changes)).collect();
    let stages = count(stages.len(), "stage");
    clean(&format!("plan: {} in {stages}: {}", count(changes, "change"), list.join(", ")))
}

/// The least detail at which an event is shown.
fn needed(event: &Event) -> Detail {
    match event {
        Event::Warned { .. }
        | Event::GateFailed { .. }
        | Event::StepFinished { outcome: Outcome::Failed { .. }, .. } => Detail::Warnings,
        // The last lines count these steps, and name the stages that were not reached.
        Event::StepFinished { outcome: Outcome::NotStarted { .. }, .. } => {
            Detail::Verbose
        }
        Event::Waiting { .. } => Detail::Waits,
        Event::Connected { .. } | Event::Executed { .. } => Detail::Verbose,
        _ => Detail::Normal,
    }
}

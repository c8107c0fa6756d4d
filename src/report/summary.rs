//! Counts how the steps of a run ended, and makes the run's last lines from that.
//!
//! Pure: events in, sentences out. Every step of a stage counts as done, failed, running or not
//! started; a step without any event was not started.

use std::collections::BTreeSet;
use std::time::Duration;

use super::text;
use crate::event::{Event, Outcome, PlannedStage, RunResult, count};
use crate::host::HostName;

/// So many failures are listed in the last lines; each was shown in full when it happened.
const MAX_SPELT_OUT: usize = 5;

/// The state of a run so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    planned: Vec<PlannedStage>,
    stages: Vec<StageAccount>,
    ending: Option<Ending>,
}

/// The state of one stage so far.
#[derive(Debug, Clone, PartialEq)]
pub struct StageAccount {
    /// Its name.
    pub stage: String,
    /// The hosts it works on.
    pub hosts: Vec<HostName>,
    /// How many steps it has on all hosts together.
    pub n_steps: usize,
    /// How many steps were done.
    pub n_done: usize,
    /// The steps that failed, in the order of their failures.
    pub failed: Vec<Failure>,
    /// The steps that began and have not ended: host and step.
    pub under_way: Vec<(Option<HostName>, String)>,
    /// What the last gate that opened saw.
    pub proof: Option<String>,
    /// The gate that has not opened, and what it saw last.
    pub waiting: Option<(String, String)>,
    /// The gates that will not open, each with the decisive line of the reason.
    pub shut: Vec<(String, String)>,
    /// How long it took and whether it succeeded; `None` before its end.
    pub ended: Option<(Duration, bool)>,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The host; `None` if the step ran on this computer.
    pub host: Option<HostName>,
    /// The step.
    pub step: String,
    /// The output of the host.
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq)]
struct Ending {
    result: RunResult,
    summary: String,
    took: Duration,
}

impl Summary {
    /// Counts one event.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::Planned { stages } => self.planned.clone_from(stages),
            Event::StageStarted { stage, hosts, n_steps } => {
                self.stages.push(StageAccount::new(stage, hosts, *n_steps));
            }
            Event::RunFinished { result, summary, took } => {
                let summary = text::clean(summary);
                self.ending = Some(Ending { result: *result, summary, took: *took });
            }
            Event::StepStarted { stage, .. }
            | Event::StepFinished { stage, .. }
            | Event::StageFinished { stage, .. } => {
                let named = self.stages.iter_mut().rev().find(|s| s.stage == *stage);
                if let Some(account) = named {
                    account.take(event);
                }
            }
            Event::Waiting { .. }
            | Event::GatePassed { .. }
            | Event::GateFailed { .. } => {
                if let Some(account) = self.stages.last_mut() {
                    account.take(event);
                }
            }
            _ => {}
        }
    }

    /// The stages that have begun, in order.
    pub fn stages(&self) -> &[StageAccount] {
        &self.stages
    }

    /// The state of the stage with this name that began last.
    pub fn stage(&self, name: &str) -> Option<&StageAccount> {
        self.stages.iter().rev().find(|account| account.stage == name)
    }

    /// How many steps of the stages that have begun were not started.
    pub fn n_not_started(&self) -> usize {
        self.stages.iter().map(StageAccount::n_not_started).sum()
    }

    /// The last lines of a run: what happened, and, if the run did not finish, `again`, the
    /// command that would finish it.
    ///
    /// Empty before the run's end, and after a run that only read: its verb shows what it found.
    pub fn last_lines(&self, again: Option<&str>) -> Vec<String> {
        let Some(ending) = &self.ending else { return Vec::new() };
        if ending.result == RunResult::Looked {
            return Vec::new();
        }
        let mut lines = ending.lines();
        if stopped_early(ending.result) {
            lines.extend(self.stages.iter().filter_map(StageAccount::problem));
            lines.extend(self.not_reached());
            let next = |command| self.what_next(ending.result, command);
            lines.extend(again.map(next));
        }
        lines
    }

    fn what_next(&self, result: RunResult, command: &str) -> String {
        match (self.stages.is_empty(), result) {
            (true, RunResult::Interrupted) => {
                format!("Nothing was changed. To do it, run `{command}` again.")
            }
            (true, _) => {
                format!("Nothing was changed. Fix this, then run `{command}` again.")
            }
            (false, _) => format!("Run `{command}` again to finish."),
        }
    }

    /// Whether the run did what it was asked for; `None` before its end.
    pub fn went_well(&self) -> Option<bool> {
        let refused = |result| result == RunResult::Refused;
        let ending = self.ending.as_ref();
        ending.map(|it| !stopped_early(it.result) && !refused(it.result))
    }

    /// The planned stages that never began.
    fn not_reached(&self) -> Option<String> {
        let begun = |name: &str| self.stages.iter().any(|account| account.stage == name);
        let stages: Vec<&str> = self
            .planned
            .iter()
            .map(|planned| planned.stage.as_str())
            .filter(|name| !begun(name))
            .collect();
        match stages.len() {
            0 => None,
            1 => Some(format!("Stage {} was not reached.", stages[0])),
            _ => Some(format!("Stages {} were not reached.", stages.join(", "))),
        }
    }
}

impl Ending {
    /// What happened. How long it took is at the end of the first line, before the details.
    fn lines(&self) -> Vec<String> {
        let mut lines = self.summary.lines().map(str::to_owned);
        let first = lines.next().unwrap_or_default();
        let took = text::took(self.took);
        let first = match first.strip_suffix(':') {
            Some(head) => format!("{head} ({took}):"),
            None => format!("{first} ({took})"),
        };
        std::iter::once(first).chain(lines).collect()
    }
}

impl StageAccount {
    fn new(stage: &str, hosts: &[HostName], n_steps: usize) -> Self {
        Self {
            stage: stage.to_owned(),
            hosts: hosts.to_vec(),
            n_steps,
            n_done: 0,
            failed: Vec::new(),
            under_way: Vec::new(),
            proof: None,
            waiting: None,
            shut: Vec::new(),
            ended: None,
        }
    }

    /// How many steps were not started.
    pub fn n_not_started(&self) -> usize {
        let begun = self.n_done + self.failed.len() + self.under_way.len();
        self.n_steps.saturating_sub(begun)
    }

    /// The hosts on which a step failed.
    pub fn failed_hosts(&self) -> BTreeSet<&HostName> {
        self.failed.iter().filter_map(|failure| failure.host.as_ref()).collect()
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::StepStarted { host, step, .. } => {
                self.under_way.push((host.clone(), step.clone()));
            }
            Event::StepFinished { host, step, outcome, .. } => {
                self.end_step(host.as_ref(), step, outcome);
            }
            Event::Waiting { gate, seen } => {
                self.waiting = Some((text::one_line(gate), text::one_line(seen)));
            }
            Event::GatePassed { seen, .. } => {
                self.waiting = None;
                self.proof = Some(text::one_line(seen));
            }
            Event::GateFailed { gate, reason, .. } => {
                self.waiting = None;
                self.shut.push((text::one_line(gate), text::first_line(reason)));
            }
            Event::StageFinished { took, ok, .. } => self.ended = Some((*took, *ok)),
            _ => {}
        }
    }

    fn end_step(&mut self, host: Option<&HostName>, step: &str, outcome: &Outcome) {
        let same = |(at, what): &(Option<HostName>, String)| {
            at.as_ref() == host && what.as_str() == step
        };
        if let Some(position) = self.under_way.iter().position(same) {
            self.under_way.remove(position);
        }
        match outcome {
            Outcome::Done => self.n_done += 1,
            Outcome::Failed { reason } => self.failed.push(Failure {
                host: host.cloned(),
                step: step.to_owned(),
                reason: reason.clone(),
            }),
            Outcome::NotStarted { .. } => {}
        }
    }

    /// What went wrong, in one sentence; `None` if nothing did.
    fn problem(&self) -> Option<String> {
        let ended = match self.ended {
            Some((_, true)) => return None,
            Some((_, false)) => "failed",
            None => "did not end",
        };
        let known =
            [self.failures(), self.shut_gates(), self.closed_gate(), self.cut_off()];
        let mut parts: Vec<String> = known.into_iter().flatten().collect();
        if parts.is_empty() {
            parts.push(format!("stage {} {ended}", self.stage));
        }
        parts.extend(self.left_over());
        Some(capitalised(&format!("{}.", parts.join("; "))))
    }

    fn left_over(&self) -> Option<String> {
        match self.n_not_started() {
            0 => None,
            1 => Some("1 step was not started".to_owned()),
            n => Some(format!("{n} steps were not started")),
        }
    }

    fn failures(&self) -> Option<String> {
        let listed = listed(self.failed.iter().map(Failure::brief));
        let hosts = self.failed_hosts().len();
        match (self.failed.len(), hosts) {
            (0, _) => None,
            (_, 0) => {
                Some(format!("stage {} failed on this computer: {listed}", self.stage))
            }
            _ => Some(format!(
                "{hosts} of {} failed in stage {}: {listed}",
                count(self.hosts.len(), "host"),
                self.stage
            )),
        }
    }

    fn shut_gates(&self) -> Option<String> {
        let shut = self.shut.iter().map(|(gate, reason)| {
            let reason = reason.trim_end_matches('.');
            format!("stage {} gave up waiting until {gate}: {reason}", self.stage)
        });
        (!self.shut.is_empty()).then(|| shut.collect::<Vec<String>>().join("; "))
    }

    fn closed_gate(&self) -> Option<String> {
        let (gate, seen) = self.waiting.as_ref()?;
        Some(format!("stage {} was waiting until {gate}; last seen: {seen}", self.stage))
    }

    fn cut_off(&self) -> Option<String> {
        let steps = self.under_way.iter();
        let list = listed(
            steps.map(|(host, step)| format!("{} ({step})", text::place(host.as_ref()))),
        );
        (!self.under_way.is_empty()).then(|| {
            format!("stage {} was cut off while it worked on {list}", self.stage)
        })
    }
}

impl Failure {
    fn brief(&self) -> String {
        let reason = text::first_line(&self.reason);
        match &self.host {
            Some(host) => format!("{host} ({reason})"),
            None => format!("{} ({reason})", text::one_line(&self.step)),
        }
    }
}

fn stopped_early(result: RunResult) -> bool {
    matches!(result, RunResult::Failed | RunResult::Interrupted)
}

fn listed(items: impl ExactSizeIterator<Item = String>) -> String {
    let more = items.len().saturating_sub(MAX_SPELT_OUT);
    let mut list = items.take(MAX_SPELT_OUT).collect::<Vec<_>>().join(", ");
    if more > 0 {
        list.push_str(&format!(" and {more} more"));
    }
    list
}

fn capitalised(sentence: &str) -> String {
    let mut characters = sentence.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

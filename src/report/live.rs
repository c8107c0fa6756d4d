//! The moving part of a terminal: what is running right now.
//!
//! Pure: it takes events and the time, and returns lines that fit the terminal's width and
//! height. It never shows the past, which is printed above it and scrolls away.

use std::time::Duration;

use console::{measure_text_width, truncate_str};

use super::text::{one_line, place, took};
use crate::event::{Event, Outcome, count};
use crate::host::HostName;
use crate::unit::Size;

const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const FRAME_TIME: Duration = Duration::from_millis(100);
const BAR_WIDTH: usize = 24;
const PERCENT: usize = 100;

/// Whether and how text is coloured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    /// Whether to colour at all.
    pub(super) colour: bool,
}

/// What the lines must fit.
pub(super) struct Viewport {
    /// In characters.
    pub(super) width: usize,
    /// In lines.
    pub(super) height: usize,
    /// The colours.
    pub(super) paint: Paint,
    /// The time since the run began.
    pub(super) now: Duration,
}

/// What is running.
#[derive(Default)]
pub(super) struct Live {
    title: String,
    n_connected: usize,
    stage: Option<Stage>,
    hosts: Vec<Host>,
    transfers: Vec<Transfer>,
    waiting: Option<(String, String)>,
}

struct Stage {
    name: String,
    n_steps: usize,
    n_ended: usize,
    began: Duration,
}

struct Host {
    name: String,
    mark: Mark,
    doing: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    // In the order in which they are kept if the screen has no room for all.
    Working,
    Failed,
    Idle,
    Done,
}

struct Transfer {
    what: String,
    done: u64,
    total: u64,
}

impl Live {
    /// Takes one event, which happened `now` after the run began.
    pub(super) fn take(&mut self, event: &Event, now: Duration) {
        match event {
            Event::RunStarted { verb, cluster, .. } => {
                self.title = format!("{verb} {cluster}");
            }
            Event::Connected { .. } => self.n_connected += 1,
            Event::StageStarted { stage, hosts, n_steps } => {
                self.begin(stage, hosts, *n_steps, now);
            }
            Event::StepStarted { host, step, .. } => {
                self.set(host.as_ref(), Mark::Working, step);
            }
            Event::StepFinished { host, step, outcome, .. } => {
                self.end_step(host.as_ref(), step, outcome);
            }
            Event::Progress { what, done, total } => self.transfer(what, *done, *total),
            Event::Waiting { gate, seen } => {
                self.waiting = Some((one_line(gate), one_line(seen)));
            }
            Event::GatePassed { .. } | Event::GateFailed { .. } => self.waiting = None,
            Event::StageFinished { .. } => self.clear(),
            _ => {}
        }
    }

    /// Draws it.
    pub(super) fn lines(&self, canvas: &Viewport) -> Vec<String> {
        let mut lines = vec![self.headline(canvas)];
        let below: Vec<String> = self.below(canvas);
        let room = canvas.height.saturating_sub(lines.len() + below.len());
        lines.extend(self.host_lines(canvas, room));
        lines.extend(below);
        lines.truncate(canvas.height);
        lines
            .iter()
            .map(|line| truncate_str(line, canvas.width, "…").into_owned())
            .collect()
    }

    fn begin(&mut self, name: &str, hosts: &[HostName], n_steps: usize, began: Duration) {
        self.clear();
        self.stage = Some(Stage { name: name.to_owned(), n_steps, n_ended: 0, began });
        self.hosts = hosts.iter().map(|host| Host::idle(host.as_str())).collect();
    }

    fn clear(&mut self) {
        self.stage = None;
        self.hosts.clear();
        self.transfers.clear();
        self.waiting = None;
    }

    fn end_step(&mut self, host: Option<&HostName>, step: &str, outcome: &Outcome) {
        if let Some(stage) = &mut self.stage {
            stage.n_ended += 1;
        }
        match outcome {
            Outcome::Done => self.set(host, Mark::Done, step),
            Outcome::Failed { .. } => self.set(host, Mark::Failed, step),
            // The host's line keeps the step that failed, which is the reason.
            Outcome::NotStarted { .. } => {}
        }
    }

    fn set(&mut self, host: Option<&HostName>, mark: Mark, doing: &str) {
        let name = place(host);
        let known = self.hosts.iter().position(|host| host.name == name);
        let index = known.unwrap_or_else(|| {
            self.hosts.push(Host::idle(name));
            self.hosts.len() - 1
        });
        self.hosts[index].mark = mark;
        self.hosts[index].doing = one_line(doing);
    }

    fn transfer(&mut self, what: &str, done: u64, total: u64) {
        self.transfers.retain(|transfer| transfer.what != what || done < total);
        match self.transfers.iter_mut().find(|transfer| transfer.what == what) {
            Some(transfer) => (transfer.done, transfer.total) = (done, total),
            None if done < total => {
                let what = what.to_owned();
                self.transfers.push(Transfer { what, done, total });
            }
            None => {}
        }
    }

    fn headline(&self, canvas: &Viewport) -> String {
        let spinner = canvas.paint.cyan(frame(canvas.now));
        match &self.stage {
            Some(stage) => {
                let bar = bar(stage.n_ended, stage.n_steps);
                let time = took(canvas.now.saturating_sub(stage.began));
                format!(
                    "{spinner} {}  {} {}/{}  {}",
                    canvas.paint.bold(&stage.name),
                    canvas.paint.cyan(&bar),
                    stage.n_ended,
                    stage.n_steps,
                    canvas.paint.dim(&time)
                )
            }
            None => {
                let reached = count(self.n_connected, "host");
                format!("{spinner} {}  {reached} reached", canvas.paint.bold(&self.title))
            }
        }
    }

    fn host_lines(&self, canvas: &Viewport, room: usize) -> Vec<String> {
        let shown = self.shown(room);
        let left_out = self.hosts.len() - shown.len();
        let width = shown.iter().map(|host| measure_text_width(&host.name)).max();
        let line = |host: &&Host| host.line(canvas, width.unwrap_or(0));
        let mut lines: Vec<String> = shown.iter().map(line).collect();
        if left_out > 0 && room > 0 {
            let more = format!("  … and {}", count(left_out, "more host"));
            lines.push(canvas.paint.dim(&more));
        }
        lines
    }

    /// The hosts that there is room for: working hosts are preferred, the order stays.
    fn shown(&self, room: usize) -> Vec<&Host> {
        if self.hosts.len() <= room {
            return self.hosts.iter().collect();
        }
        // One line says how many more there are.
        let room = room.saturating_sub(1);
        let mut indices: Vec<usize> = (0..self.hosts.len()).collect();
        indices.sort_by_key(|&index| (self.hosts[index].mark, index));
        indices.truncate(room);
        indices.sort_unstable();
        indices.into_iter().map(|index| &self.hosts[index]).collect()
    }

    fn below(&self, canvas: &Viewport) -> Vec<String> {
        let mut lines: Vec<String> = self.transfers.iter().map(Transfer::line).collect();
        lines.extend(self.waiting.iter().map(|(gate, seen)| {
            format!(
                "  waiting until {gate}: {}",
                canvas.paint.dim(&format!("saw {seen}"))
            )
        }));
        lines
    }
}

impl Host {
    fn idle(name: &str) -> Self {
        Self { name: name.to_owned(), mark: Mark::Idle, doing: String::new() }
    }

    fn line(&self, canvas: &Viewport, width: usize) -> String {
        let paint = canvas.paint;
        let mark = match self.mark {
            Mark::Working => paint.cyan(frame(canvas.now)),
            Mark::Failed => paint.red("✗"),
            Mark::Done => paint.green("✓"),
            Mark::Idle => paint.dim("·"),
        };
        format!("  {:<width$}  {mark} {}", self.name, self.doing).trim_end().to_owned()
    }
}

impl Transfer {
    fn line(&self) -> String {
        let (done, total) = (Size::bytes(self.done), Size::bytes(self.total));
        // Thousandths are fine enough for a bar, and fit for any size.
        let share = u128::from(self.done) * 1000 / u128::from(self.total.max(1));
        let bar = bar(usize::try_from(share).unwrap_or(1000), 1000);
        format!("  {}  {bar} {done} of {total}", one_line(&self.what))
    }
}

impl Paint {
    pub(super) fn red(self, text: &str) -> String {
        self.coded("31", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.coded("32", text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.coded("33", text)
    }

    pub(super) fn cyan(self, text: &str) -> String {
        self.coded("36", text)
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.coded("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.coded("2", text)
    }

    fn coded(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

fn frame(now: Duration) -> &'static str {
    let n = now.as_millis() / FRAME_TIME.as_millis();
    FRAMES[usize::try_from(n % FRAMES.len() as u128).unwrap_or(0)]
}

/// A bar that is full only when all is done.
fn bar(done: usize, total: usize) -> String {
    let percent = (done.min(total) * PERCENT).checked_div(total).unwrap_or(PERCENT);
    let filled = percent * BAR_WIDTH / PERCENT;
    format!("{}{}", "█".repeat(filled), "░".repeat(BAR_WIDTH - filled))
}

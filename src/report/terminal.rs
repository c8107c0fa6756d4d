//! The display for a terminal: what is running moves at the bottom; what has ended scrolls up
//! above it, one line per stage.
//!
//! One bar of `indicatif` holds the whole moving part. [`Live`] draws it ten times a second, each
//! time with one write, so nothing flickers and one thread animates any number of hosts.
//!
//! Locks are taken in one order: history, bar, live. `indicatif` calls the drawing function with
//! the bar locked, so code that has locked the live part must not use the bar.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use console::truncate_str;
use indicatif::{
    ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressState, ProgressStyle,
    TermLike,
};

use super::live::{Live, Paint, Viewport};
use super::summary::{StageAccount, Summary};
use super::text::{brief, indented, one_line, place, took, wrapped};
use crate::event::{Event, Outcome, Sink, count};
use crate::host::HostName;

const ANIMATION: Duration = Duration::from_millis(100);

/// A stage's proof is cut to this many characters.
const PROOF_WIDTH: usize = 40;

/// Shows a run on a terminal.
pub struct Terminal {
    bar: ProgressBar,
    live: Arc<Mutex<Live>>,
    history: Mutex<History>,
}

/// What has been printed permanently, and the command to continue with.
struct History {
    term: Box<dyn TermLike>,
    summary: Summary,
    paint: Paint,
    verbose: bool,
    again: Option<String>,
}

impl Terminal {
    /// Draws on `term`; its size is read at each drawing.
    pub fn new<T>(term: T, settings: &super::Settings) -> Self
    where
        T: TermLike + Clone + 'static,
    {
        let live = Arc::new(Mutex::new(Live::default()));
        let paint = Paint { colour: settings.colour };
        let style = ProgressStyle::with_template("{live}")
            .expect("the template is constant")
            .with_key("live", draw(term.clone(), Arc::clone(&live), paint));
        let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
        let bar = ProgressBar::with_draw_target(None, target)
            .with_style(style)
            .with_finish(ProgressFinish::AndClear);
        let history = Mutex::new(History {
            term: Box::new(term),
            summary: Summary::default(),
            paint,
            verbose: settings.verbose,
            again: settings.again.clone(),
        });
        Self { bar, live, history }
    }

    /// Keeps the moving part moving until the run's end, also while there are no events.
    pub fn animate(&self) {
        self.bar.enable_steady_tick(ANIMATION);
    }

    /// Clears the moving part, does something else with the terminal, such as asking a
    /// question, and draws it again. Events wait until then.
    pub fn suspend<R>(&self, other: impl FnOnce() -> R) -> R {
        self.bar.suspend(other)
    }
}

impl Sink for Terminal {
    fn take(&self, event: &Event) {
        // Locked to the end, so that lines are printed in the order of the events.
        let mut history = locked(&self.history);
        let now = self.bar.elapsed();
        locked(&self.live).take(event, now);
        let lines = history.lines(event);
        if matches!(event, Event::RunFinished { .. }) {
            self.bar.finish_and_clear();
        }
        if !lines.is_empty() {
            self.bar.println(lines.join("\n"));
        }
        // Draws only if nothing animates the bar.
        self.bar.tick();
    }
}

/// The function with which `indicatif` draws the moving part.
fn draw<T: TermLike + Clone + 'static>(
    term: T,
    live: Arc<Mutex<Live>>,
    paint: Paint,
) -> impl Fn(&ProgressState, &mut dyn std::fmt::Write) + Send + Sync + Clone + 'static {
    move |state, out| {
        let canvas = Viewport {
            width: usize::from(term.width()),
            // The last line belongs to the cursor.
            height: usize::from(term.height()).saturating_sub(1),
            paint,
            now: state.elapsed(),
        };
        let lines = locked(&live).lines(&canvas);
        // The writer is a string in memory, so this cannot fail.
        let _ = out.write_str(&lines.join("\n"));
    }
}

impl History {
    /// The permanent lines of an event.
    fn lines(&mut self, event: &Event) -> Vec<String> {
        self.summary.take(event);
        match event {
            Event::StepFinished {
                stage,
                host,
                step,
                outcome: Outcome::Failed { reason },
                ..
            } => self.failed(stage, host.as_ref(), step, reason),
            Event::GateFailed { gate, reason, .. } => self.shut(gate, reason),
            Event::StageFinished { stage, took, ok } => self
                .summary
                .stage(stage)
                .map(|s| self.ended(s, *took, *ok))
                .into_iter()
                .collect(),
            Event::Warned { message } => {
                vec![format!("{} {}", self.paint.yellow("!"), one_line(message))]
            }
            Event::RunFinished { .. } => self.last_lines(),
            Event::Connected { host, took: time } if self.verbose => {
                vec![self.paint.dim(&format!("connected to {host} in {}", took(*time)))]
            }
            Event::Executed { host, purpose } if self.verbose => {
                vec![self.paint.dim(&format!("command to {host}: {}", one_line(purpose)))]
            }
            _ => Vec::new(),
        }
    }

    fn failed(
        &self,
        stage: &str,
        host: Option<&HostName>,
        step: &str,
        reason: &str,
    ) -> Vec<String> {
        let mut head = format!("{} {}", self.paint.red("✗"), place(host));
        let _ = write!(head, "  {stage}: {}", one_line(step));
        std::iter::once(head).chain(self.reason(reason)).collect()
    }

    fn shut(&self, gate: &str, reason: &str) -> Vec<String> {
        let head =
            format!("{} gave up waiting until {}", self.paint.red("✗"), one_line(gate));
        std::iter::once(head).chain(self.reason(reason)).collect()
    }

    fn reason(&self, reason: &str) -> Vec<String> {
        if self.verbose { indented(reason).collect() } else { brief(reason) }
    }

    fn ended(&self, stage: &StageAccount, time: Duration, ok: bool) -> String {
        let mark = if ok { self.paint.green("✓") } else { self.paint.red("✗") };
        let name = self.paint.bold(&stage.stage);
        let mut line = format!("{mark} {name}  {}  {}", accounted(stage, ok), took(time));
        if let Some(proof) = stage.proof.as_ref().filter(|_| ok) {
            let proof = truncate_str(proof, PROOF_WIDTH, "…");
            let _ = write!(line, "  {}", self.paint.dim(&proof));
        }
        line
    }

    fn last_lines(&self) -> Vec<String> {
        let mut lines = self.summary.last_lines(self.again.as_deref());
        if let Some(first) = lines.first_mut() {
            let mark = match self.summary.went_well() {
                Some(true) => self.paint.green("✓"),
                _ => self.paint.red("✗"),
            };
            *first = format!("{mark} {first}");
        }
        let width = usize::from(self.term.width());
        lines.iter().flat_map(|line| wrapped(line, width)).collect()
    }
}

/// How a stage ended, in a few words.
fn accounted(stage: &StageAccount, ok: bool) -> String {
    let hosts = count(stage.hosts.len(), "host");
    if ok {
        let changes = count(stage.n_done, "change");
        let here = stage.hosts.is_empty();
        return if here { changes } else { format!("{hosts}, {changes}") };
    }
    let done = format!("{} of {} done", stage.n_done, count(stage.n_steps, "step"));
    match stage.failed_hosts().len() {
        0 => format!("failed, {done}"),
        n => format!("{n} of {hosts} failed, {done}"),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

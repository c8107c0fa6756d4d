//! Chooses the display that fits the command line and the terminal, and opens it.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;

use super::json::Json;
use super::plain::{Detail, Plain};
use super::terminal::Terminal;
use crate::event::Sink;

/// Returns the current time.
pub type Clock = fn() -> Timestamp;

/// What a verb's standard output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To follow its work, as with `up`: the display is its output.
    Work,
    /// To read facts that the verb prints itself, as with `plan`: the display does not use it.
    Facts,
    /// To read what was changed, which the verb prints itself: the display shows what it waits for.
    Change,
}

/// What is known about the output and its reader.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TerminalInfo {
    /// `--output json` was given.
    pub json: bool,
    /// `--verbose` was given.
    pub verbose: bool,
    /// Standard output is a terminal.
    pub stdout_is_terminal: bool,
    /// Standard error is a terminal.
    pub stderr_is_terminal: bool,
    /// The variable `TERM`.
    pub term: Option<String>,
    /// The variable `NO_COLOR`.
    pub no_color: Option<String>,
}

/// A kind of display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// A terminal that can move its cursor.
    Terminal,
    /// Plain lines, in this detail.
    Plain(Detail),
    /// Lines of JSON.
    Json,
}

/// One of the program's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A display and where it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The display.
    pub display: Display,
    /// Where it writes.
    pub stream: Stream,
}

/// Settings of a display of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Whether it may use colours.
    pub colour: bool,
    /// Whether it also shows each connection and command.
    pub verbose: bool,
    /// The command that finishes what a failed or interrupted run left, such as
    /// `platform up lab.yaml`; `None` if running it again would not finish it.
    pub again: Option<String>,
}

/// An open display.
pub struct Screen {
    sink: Arc<dyn Sink>,
    terminal: Option<Arc<Terminal>>,
}

impl TerminalInfo {
    /// The display that fits.
    pub fn choose(&self, purpose: Purpose) -> Choice {
        let moves = self.term.as_deref().is_some_and(|term| !matches!(term, "" | "dumb"));
        let (stream, watched) = match purpose {
            Purpose::Work => (Stream::Stdout, self.stdout_is_terminal),
            Purpose::Facts | Purpose::Change => (Stream::Stderr, self.stderr_is_terminal),
        };
        let display = match purpose {
            Purpose::Work if self.json => Display::Json,
            _ if watched && moves => Display::Terminal,
            _ if self.verbose => Display::Plain(Detail::Verbose),
            Purpose::Work => Display::Plain(Detail::Normal),
            Purpose::Facts => Display::Plain(Detail::Warnings),
            Purpose::Change => Display::Plain(Detail::Waits),
        };
        Choice { display, stream }
    }

    /// Whether to use colours: not if `NO_COLOR` is set and not empty.
    pub fn colour(&self) -> bool {
        self.no_color.as_deref().is_none_or(str::is_empty)
    }
}

impl Choice {
    /// Opens the display.
    pub fn open(self, settings: Settings, clock: Clock) -> Screen {
        match self.display {
            Display::Terminal => Screen::moving(self.stream, &settings),
            Display::Json => Screen::still(Json::new(self.stream.writer(), clock)),
            Display::Plain(detail) => {
                Screen::still(Plain::new(self.stream.writer(), detail, settings.again))
            }
        }
    }
}

impl Screen {
    /// The sink for its events.
    pub fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.sink)
    }

    /// Does something else with the terminal, such as asking a question; the moving part is
    /// cleared meanwhile.
    pub fn suspend<R>(&self, other: impl FnOnce() -> R) -> R {
        match &self.terminal {
            Some(terminal) => terminal.suspend(other),
            None => other(),
        }
    }

    fn still(sink: impl Sink + 'static) -> Self {
        Self { sink: Arc::new(sink), terminal: None }
    }

    fn moving(stream: Stream, settings: &Settings) -> Self {
        let term = match stream {
            Stream::Stdout => console::Term::buffered_stdout(),
            Stream::Stderr => console::Term::buffered_stderr(),
        };
        let terminal = Arc::new(Terminal::new(term, settings));
        terminal.animate();
        Self { sink: Arc::<Terminal>::clone(&terminal), terminal: Some(terminal) }
    }
}

impl Stream {
    fn writer(self) -> Box<dyn io::Write + Send> {
        match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::Stderr => Box::new(io::stderr()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_terminal() -> TerminalInfo {
        TerminalInfo {
            stdout_is_terminal: true,
            stderr_is_terminal: true,
            term: Some("xterm".to_owned()),
            ..TerminalInfo::default()
        }
    }

    fn chosen(surroundings: &TerminalInfo, purpose: Purpose) -> (Display, Stream) {
        let Choice { display, stream } = surroundings.choose(purpose);
        (display, stream)
    }

    #[test]
    fn work_moves_on_a_terminal_and_is_plain_elsewhere() {
        let work = |surroundings| chosen(&surroundings, Purpose::Work);
        assert_eq!(work(on_terminal()), (Display::Terminal, Stream::Stdout));
        let plain = (Display::Plain(Detail::Normal), Stream::Stdout);
        let piped = TerminalInfo { stdout_is_terminal: false, ..on_terminal() };
        assert_eq!(work(piped), plain);
        for term in [None, Some("dumb".to_owned()), Some(String::new())] {
            assert_eq!(work(TerminalInfo { term, ..on_terminal() }), plain);
        }
        let json = TerminalInfo { json: true, ..on_terminal() };
        assert_eq!(work(json), (Display::Json, Stream::Stdout));
    }

    #[test]
    fn facts_have_standard_output_to_themselves() {
        let everywhere = [false, true].into_iter().flat_map(|json| {
            [false, true].map(|terminal| TerminalInfo {
                json,
                stdout_is_terminal: terminal,
                stderr_is_terminal: terminal,
                ..on_terminal()
            })
        });
        for surroundings in everywhere {
            let (display, stream) = chosen(&surroundings, Purpose::Facts);
            assert_eq!(stream, Stream::Stderr, "{surroundings:?}");
            assert_ne!(display, Display::Json, "{surroundings:?}");
        }
        let silent = chosen(&TerminalInfo::default(), Purpose::Facts).0;
        assert_eq!(silent, Display::Plain(Detail::Warnings));
        let waits = chosen(&TerminalInfo::default(), Purpose::Change);
        assert_eq!(waits, (Display::Plain(Detail::Waits), Stream::Stderr));
    }

    #[test]
    fn no_color_counts_only_with_a_text_in_it() {
        let colour = |value: Option<&str>| {
            let no_color = value.map(str::to_owned);
            TerminalInfo { no_color, ..TerminalInfo::default() }.colour()
        };
        assert_eq!(
            [colour(None), colour(Some("")), colour(Some("1"))],
            [true, true, false]
        );
    }
}

//! Runs of the program under test.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use platform::event::{Event, Outcome, RunResult};

use super::until;

/// The longest time for a run of a test on a busy computer, even if an emulated machine boots.
const DEADLINE: Duration = Duration::from_secs(600);

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code; -1 if a signal ended it.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
    /// The time from its start to its end.
    pub(crate) took: Duration,
}

/// A run in progress; killed when dropped.
pub(crate) struct Running {
    child: Child,
    begun: Instant,
    lines: Receiver<String>,
    stdout: String,
    stderr: Option<JoinHandle<String>>,
}

impl Run {
    /// Checks the exit code.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.said());
        self
    }

    /// Both outputs, to show or to search.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// The commands that ran on hosts, each with its host. A machine that started a moment ago, as
    /// those of a test have, is also asked whether it has booted; these questions are left out.
    pub(crate) fn commands(&self) -> Vec<(String, String)> {
        let command = |event| match event {
            Event::Executed { host, purpose } => Some((host.to_string(), purpose)),
            _ => None,
        };
        let all = self.events().into_iter().filter_map(command);
        all.filter(|(_, purpose)| purpose != "check whether the units were started")
            .collect()
    }

    /// The events of a run with `-o json`.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.stdout.lines().map(event).collect()
    }

    /// Whether a run with `-o json` has done a step of this name.
    pub(crate) fn has_done(&self, wanted: &str) -> bool {
        self.events().iter().any(|event| {
            matches!(event, Event::StepFinished { step, outcome: Outcome::Done, .. } if step == wanted)
        })
    }

    /// The result that a run with `-o json` reports.
    pub(crate) fn result(&self) -> RunResult {
        match self.events().pop() {
            Some(Event::RunFinished { result, .. }) => result,
            other => panic!("the last event is {other:?}\n{}", self.said()),
        }
    }

    /// The only document that a read-only verb prints with `-o json`.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.said()))
    }
}

fn event(line: &str) -> Event {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with(command, "")
    }

    /// The same with something to read, which is short.
    pub(crate) fn start_with(command: &mut Command, input: &str) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may end without reading it.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let (out, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| out.send(line))
        });
        let mut pipe = child.stderr.take().expect("a pipe");
        let stderr = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // The output before a fault is useful for the analysis.
            let _ = pipe.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let (begun, stdout) = (Instant::now(), String::new());
        Self { child, begun, lines, stdout, stderr: Some(stderr) }
    }

    /// Waits for an event of a run with `-o json`. Each event is checked once.
    ///
    /// # Panics
    /// When the run ends without it.
    pub(crate) fn wait_for(
        &mut self,
        what: &str,
        mut fits: impl FnMut(&Event) -> bool,
    ) -> Event {
        while let Some(line) = self.next_line() {
            let event = event(&line);
            if fits(&event) {
                return event;
            }
        }
        panic!("the run ended without {what}:\n{}", self.stdout)
    }

    /// Waits for a line of its output. Each line is checked once.
    ///
    /// # Panics
    /// When it ends without it.
    pub(crate) fn wait_for_line(&mut self, wanted: &str) {
        while let Some(line) = self.next_line() {
            if line == wanted {
                return;
            }
        }
        panic!("it ended without `{wanted}`:\n{}", self.stdout)
    }

    /// Sends it a signal, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Kills it at once with SIGKILL.
    pub(crate) fn kill(mut self) -> Run {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.end()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Run {
        while self.next_line().is_some() {}
        let status: ExitStatus = until("the end of the run", DEADLINE, || {
            self.child.try_wait().expect("the child is ours")
        });
        let took = self.begun.elapsed();
        let stderr = self.stderr.take().and_then(|stderr| stderr.join().ok());
        Run {
            code: status.code().unwrap_or(-1),
            stdout: std::mem::take(&mut self.stdout),
            stderr: stderr.unwrap_or_default(),
            took,
        }
    }

    fn next_line(&mut self) -> Option<String> {
        let left = DEADLINE.saturating_sub(self.begun.elapsed());
        match self.lines.recv_timeout(left) {
            Ok(line) => {
                self.stdout.push_str(&line);
                self.stdout.push('\n');
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("the run goes on after {DEADLINE:?}:\n{}", self.stdout)
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended long ago, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

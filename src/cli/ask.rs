//! Asks the operator on the terminal. Without a terminal the answer is no, and a message says
//! what would make it yes.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{QueueSelector, tcflush};

use crate::operate::Ask;
use crate::remote::ssh::FirstContact;
use crate::report::{Screen, visible};

/// How often a question checks whether Ctrl-C was pressed: the signal may reach another thread.
const CHECK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Asks on the terminal; the display is suspended meanwhile.
pub(super) struct Prompt {
    screen: Screen,
    /// Whether the operator wants to stop, which ends a question.
    stopped: Arc<AtomicBool>,
}

impl Prompt {
    pub(super) fn on(screen: Screen, stopped: Arc<AtomicBool>) -> Self {
        Self { screen, stopped }
    }

    /// Asks if there is a terminal; otherwise says what to do instead. `answer` says what a line
    /// means; if it means nothing, the question is asked again. Ctrl-C and Ctrl-D mean no.
    fn ask(
        &self,
        instead: &str,
        question: &str,
        answer: impl Fn(&str) -> Option<bool>,
    ) -> bool {
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            tell(&format!("There is no terminal to ask on: {instead}\n"));
            return false;
        }
        self.screen.suspend(|| {
            loop {
                // What was typed before did not answer this question.
                let flushed = tcflush(io::stdin(), QueueSelector::IFlush);
                tell(&format!("{question} "));
                let Some(line) = flushed.ok().and_then(|()| self.line()) else {
                    tell("\n");
                    return false;
                };
                if let Some(answer) = answer(line.trim()) {
                    return answer;
                }
                tell("The answer must be yes or no.\n");
            }
        })
    }

    /// The next line that is typed. `None` if there is none, because of Ctrl-C or Ctrl-D.
    fn line(&self) -> Option<String> {
        loop {
            if self.stopped.load(Ordering::Relaxed) {
                return None;
            }
            let stdin = io::stdin();
            let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut ready, Some(&CHECK_EVERY)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => break,
                Err(_) => return None,
            }
        }
        let mut line = String::new();
        match io::stdin().read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line),
        }
    }
}

/// What a typed line means as an answer, if it means anything.
fn yes_or_no(line: &str) -> Option<bool> {
    match line.to_lowercase().as_str() {
        "y" | "yes" => Some(true),
        "" | "n" | "no" => Some(false),
        _ => None,
    }
}

impl Ask for Prompt {
    fn proceed(&self, shown: &str) -> bool {
        self.screen.suspend(|| tell(shown));
        let instead = "add --yes to agree in advance.";
        self.ask(instead, "Make these changes? [y/N]", yes_or_no)
    }

    fn retype(&self, shown: &str, cluster: &str) -> bool {
        self.screen.suspend(|| tell(shown));
        let question = format!("Type the cluster's name, {cluster}, to go on:");
        let instead = "add --yes to agree in advance.";
        self.ask(instead, &question, |line| Some(line == cluster))
    }

    fn trust(&self, contact: &FirstContact) -> bool {
        let FirstContact { host, address, key_type, fingerprint, known_types, note } =
            contact;
        let at = match host.as_str() == address {
            true => String::new(),
            false => format!(" ({address})"),
        };
        let mut shown = format!(
            "{host}{at} was never seen before. Its {key_type} key is\n  {fingerprint}\n"
        );
        if !known_types.is_empty() {
            shown.push_str(&format!(
                "Its known keys are of other types: {}\n",
                known_types.join(", ")
            ));
        }
        if let Some(note) = note {
            shown.push_str(&format!("In your known hosts: {note}\n"));
        }
        self.screen.suspend(|| tell(&shown));
        let instead = "add the key to your known hosts (ssh-keyscan, then check it yourself), \
                       or set `host_keys: accept-new` in the inventory.";
        self.ask(instead, "Is this the host's key? [y/N]", yes_or_no)
    }
}

fn tell(text: &str) {
    // If standard error is closed, there is nowhere to report it.
    let _ = io::stderr().lock().write_all(visible(text).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_word_agrees() {
        for (line, meant) in [
            ("y", Some(true)),
            ("YES", Some(true)),
            ("", Some(false)),
            ("n", Some(false)),
            ("No", Some(false)),
            ("maybe", None),
            ("why not", None),
            ("yy", None),
        ] {
            assert_eq!(yes_or_no(line), meant, "{line}");
        }
    }
}

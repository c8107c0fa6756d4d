//! Becoming root by sudo, within the one exec that runs the command.
//!
//! Pure: the words to send, and a reader of standard error that says what to do next. Sudo
//! asks with a prompt of ours, so the password is sent only when it is asked for, only once,
//! and never reaches the command. Once sudo has let us through, a marker on standard error
//! says so: what comes before it is sudo's, what comes after is the command's. The command's
//! input is held back until then where sudo might read it for a password.

use crate::remote::Argv;

/// What sudo prints on standard error to ask for a password.
const PROMPT: &str = "platform-asks-for-the-sudo-password:";
/// What is printed on standard error once sudo has let us through.
const MARKER: &str = "platform-is-root-now:";
/// More than sudo ever says before it lets somebody through or does not.
const LONGEST_PREAMBLE: usize = 64 * 1024;

/// Why sudo did not let the command through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SudoProblem {
    /// It wants a password and none is given.
    #[error(
        "sudo asks for a password: set `sudo_password` in the inventory, or allow the user \
         NOPASSWD in the host's /etc/sudoers.d"
    )]
    PasswordNeeded,
    /// It did not accept the password.
    #[error(
        "sudo does not accept the password that `sudo_password` in the inventory names"
    )]
    WrongPassword,
    /// The user may not become root.
    #[error("sudo does not allow this user to become root: {0}")]
    NotAllowed(String),
    /// There is no sudo.
    #[error("there is no sudo on the host: install it, or log in as root")]
    Missing,
    /// It wants a terminal.
    #[error("sudo wants a terminal: remove `requiretty` from the host's sudoers")]
    Terminal,
    /// It failed in another way.
    #[error("sudo failed: {0}")]
    Other(String),
}

/// The command that runs a command as root.
///
/// Sudo's own texts are asked for in English, so that [`diagnose`] knows them; the command
/// does not see that setting.
pub(super) fn command(argv: &Argv, with_password: bool) -> Argv {
    let script = format!("unset LC_ALL; echo {MARKER} >&2; exec \"$@\"");
    let ask: &[&str] = match with_password {
        true => &["-S", "-p", PROMPT],
        false => &["-n"],
    };
    let head = ["env", "LC_ALL=C", "sudo"].iter().chain(ask);
    let shell = ["--", "sh", "-c", script.as_str(), "sh"];
    let words = head.copied().chain(shell).map(str::to_owned);
    Argv::new(words.chain(argv.words().iter().cloned()))
}

/// What sudo's side of the conversation calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// Send the password.
    SendPassword,
    /// It was not accepted: close the input.
    GiveUp,
    /// The command runs: its input may flow.
    Start,
}

/// Reads standard error until the command itself runs.
#[derive(Debug, Default)]
pub(super) struct Preamble {
    text: Vec<u8>,
    n_asked: usize,
}

impl Preamble {
    /// Takes the next bytes of standard error. On [`Call::Start`], `bytes` is left with what
    /// is already the command's.
    pub(super) fn read(&mut self, bytes: &mut Vec<u8>) -> Option<Call> {
        self.text.append(bytes);
        let marker = format!("{MARKER}\n");
        if let Some(at) = find(&self.text, marker.as_bytes()) {
            *bytes = self.text.split_off(at + marker.len());
            return Some(Call::Start);
        }
        if let Some(at) = find(&self.text, PROMPT.as_bytes()) {
            self.text.drain(at..at + PROMPT.len());
            self.n_asked += 1;
            return Some(if self.n_asked == 1 {
                Call::SendPassword
            } else {
                Call::GiveUp
            });
        }
        let excess = self.text.len().saturating_sub(LONGEST_PREAMBLE);
        self.text.drain(..excess);
        None
    }

    /// Why sudo ended without letting the command through.
    pub(super) fn diagnose(&self, status: u32) -> SudoProblem {
        diagnose(&String::from_utf8_lossy(&self.text), status, self.n_asked)
    }
}

fn diagnose(said: &str, status: u32, n_asked: usize) -> SudoProblem {
    let says = |texts: &[&str]| texts.iter().any(|text| said.contains(text));
    let told =
        || said.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>();
    match () {
        () if n_asked > 1 => SudoProblem::WrongPassword,
        () if says(&["not in the sudoers", "is not allowed to", "may not run sudo"]) => {
            SudoProblem::NotAllowed(told().join("; "))
        }
        () if says(&["must have a tty"]) => SudoProblem::Terminal,
        () if says(&["password is required", "incorrect password"]) => match n_asked {
            0 => SudoProblem::PasswordNeeded,
            _ => SudoProblem::WrongPassword,
        },
        () if status == 127 => SudoProblem::Missing,
        () => SudoProblem::Other(match told().as_slice() {
            [] => format!("status {status}, without a word"),
            lines => lines.join("; "),
        }),
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::to_shell;

    fn feed(preamble: &mut Preamble, text: &str) -> (Option<Call>, String) {
        let mut bytes = text.as_bytes().to_vec();
        let call = preamble.read(&mut bytes);
        (call, String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_command_stays_words_and_holds_no_password() {
        let argv = Argv::new(["cat", "a b"]);
        assert_eq!(
            to_shell(&command(&argv, false)),
            "'env' 'LC_ALL=C' 'sudo' '-n' '--' 'sh' '-c' \
             'unset LC_ALL; echo platform-is-root-now: >&2; exec \"$@\"' 'sh' 'cat' 'a b'"
        );
        let words = command(&argv, true);
        assert_eq!(words.words()[3..6], ["-S", "-p", PROMPT]);
    }

    #[test]
    fn what_follows_the_marker_is_the_commands() {
        let mut preamble = Preamble::default();
        assert_eq!(
            feed(&mut preamble, "sudo: a warning\nplatform-is-"),
            (None, "".into())
        );
        let (call, rest) = feed(&mut preamble, "root-now:\noops\n");
        assert_eq!((call, rest.as_str()), (Some(Call::Start), "oops\n"));
    }

    #[test]
    fn the_password_is_sent_once_however_the_prompt_is_cut() {
        let mut preamble = Preamble::default();
        let (head, tail) = PROMPT.split_at(7);
        assert_eq!(feed(&mut preamble, head).0, None);
        assert_eq!(feed(&mut preamble, tail).0, Some(Call::SendPassword));
        assert_eq!(feed(&mut preamble, "Sorry, try again.\n").0, None);
        assert_eq!(feed(&mut preamble, PROMPT).0, Some(Call::GiveUp));
        assert_eq!(preamble.diagnose(1), SudoProblem::WrongPassword);
    }

    #[test]
    fn a_preamble_without_end_does_not_fill_the_memory() {
        let mut preamble = Preamble::default();
        feed(&mut preamble, &"x".repeat(LONGEST_PREAMBLE * 3));
        assert_eq!(preamble.text.len(), LONGEST_PREAMBLE);
    }

    #[test]
    fn each_refusal_of_sudo_is_told_apart() {
        let check = |said: &str, status, n_asked, expected| {
            assert_eq!(diagnose(said, status, n_asked), expected, "{said}");
        };
        check("sudo: a password is required\n", 1, 0, SudoProblem::PasswordNeeded);
        check("sudo: 1 incorrect password attempt", 1, 1, SudoProblem::WrongPassword);
        check(
            "sudo: sorry, you must have a tty to run sudo",
            1,
            0,
            SudoProblem::Terminal,
        );
        check("env: 'sudo': No such file or directory", 127, 0, SudoProblem::Missing);
        let refusal = "amy is not in the sudoers file.";
        check(refusal, 1, 1, SudoProblem::NotAllowed(refusal.into()));
        check("sudo: broken", 1, 0, SudoProblem::Other("sudo: broken".into()));
        check("", 1, 0, SudoProblem::Other("status 1, without a word".into()));
    }
}

//! Becomes root through sudo, within the same exec that runs the command.
//!
//! Pure: builds the script, and reads standard error to decide what to do next. Sudo uses a
//! prompt set by this program, so the password is sent only when sudo asks for it, only once, and
//! never reaches the command. When sudo lets the command run, a marker appears on standard error:
//! everything before it is from sudo, everything after it is from the command. If sudo might read
//! the command's input as a password, the input is held back until then.

use std::time::Duration;

use crate::remote::{Argv, to_script};

/// What sudo prints on standard error to ask for a password.
const PROMPT: &str = "platform-asks-for-the-sudo-password:";
/// Printed on standard error once sudo lets the command run.
const MARKER: &str = "platform-is-root-now:";
/// More than sudo prints before it accepts or refuses a user.
const LONGEST_PREAMBLE: usize = 64 * 1024;

/// What the classic sudo and the Rust version print if the user is not allowed.
const NOT_ALLOWED: [&str; 4] = [
    "not in the sudoers",
    "is not allowed to",
    "may not run sudo",
    "I'm afraid I can't do that",
];

/// What they print if a password is needed, or was wrong.
const WANTS_PASSWORD: [&str; 7] = [
    "password is required",
    "interactive authentication is required",
    "no password was provided",
    "incorrect password",
    "incorrect authentication attempt",
    "Authentication failed",
    "uthentication failure",
];

/// Why sudo did not let the command run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SudoProblem {
    /// It wants a password and none is set.
    #[error(
        "sudo asks for a password: set `sudo_password` in the inventory, or allow the user \
         NOPASSWD in the host's /etc/sudoers.d"
    )]
    PasswordNeeded,
    /// It did not accept the password.
    #[error("sudo does not accept the password from `sudo_password` in the inventory")]
    WrongPassword,
    /// The user may not become root.
    #[error("sudo does not allow this user to become root: {0}")]
    NotAllowed(String),
    /// There is no sudo.
    #[error("there is no sudo on the host: install it, or log in as root")]
    Missing,
    /// It asks for something other than the password, or with an unknown prompt.
    #[error(
        "sudo asks `{0}`, which this program cannot answer: allow the user NOPASSWD in the \
         host's /etc/sudoers.d, or log in as root"
    )]
    Asks(String),
    /// It printed something, and then neither ran the command nor exited.
    #[error("sudo did not run the command, and has been silent since it said: {0}")]
    Silent(String),
    /// It wants a terminal.
    #[error("sudo wants a terminal: remove `requiretty` from the host's sudoers")]
    Terminal,
    /// It failed for another reason.
    #[error("sudo failed: {0}")]
    Other(String),
}

/// The script for a POSIX shell that runs a command as root.
///
/// Sudo's own messages are requested in English, so that [`diagnose`] recognizes them; the
/// command does not see that setting. A command that is itself a script runs in the same shell
/// that prints the marker: another shell would cost the host a millisecond.
pub(super) fn script(argv: &Argv, with_password: bool) -> String {
    let ask: &[&str] = match with_password {
        true => &["-S", "-p", PROMPT],
        false => &["-n"],
    };
    let (run, words) = match argv.words() {
        [shell, option, script, words @ ..] if shell == "sh" && option == "-c" => {
            (script.as_str(), words.to_vec())
        }
        words => ("exec \"$@\"", [&["sh".to_owned()], words].concat()),
    };
    // On its own line: a script with a syntax error must not suppress the marker.
    let script = format!("unset LC_ALL; echo {MARKER} >&2\n{run}");
    let shell = ["--", "sh", "-c", script.as_str()];
    let head = ["sudo"].iter().chain(ask).chain(&shell);
    let command = Argv::new(head.copied().map(str::to_owned).chain(words));
    format!("LC_ALL=C; export LC_ALL; {}", to_script(&command))
}

/// What sudo's output requires next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// Send the password.
    SendPassword,
    /// The password was not accepted: close the input.
    GiveUp,
    /// The command runs: its input may be sent.
    Start,
}

/// Reads standard error until the command itself begins.
#[derive(Debug, Default)]
pub(super) struct Preamble {
    text: Vec<u8>,
    n_asked: usize,
}

impl Preamble {
    /// Takes the next bytes of standard error. On [`Call::Start`], `bytes` keeps only what
    /// belongs to the command.
    pub(super) fn read(&mut self, bytes: &mut Vec<u8>) -> Option<Call> {
        self.text.append(bytes);
        let marker = format!("{MARKER}\n");
        if let Some(at) = find(&self.text, marker.as_bytes()) {
            *bytes = self.text.split_off(at + marker.len());
            return Some(Call::Start);
        }
        if let Some(at) = find(&self.text, PROMPT.as_bytes()) {
            self.text.drain(..at + PROMPT.len());
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

    /// How long sudo may stay silent now: without limit if it has printed nothing, because a
    /// directory may be slow; `question` if it printed a line without an end, as a program that
    /// waits for an answer does; and three times as long after a whole line, for example for a
    /// login that is approved on a phone, or after the password.
    pub(super) fn patience(&self, question: Duration) -> Option<Duration> {
        match (self.question(), self.text.is_empty(), self.n_asked) {
            (Some(_), ..) => Some(question),
            (None, true, 0) => None,
            (None, ..) => Some(question * 3),
        }
    }

    /// Why sudo is stuck after it has been silent for too long.
    pub(super) fn stuck(&self) -> SudoProblem {
        let text = String::from_utf8_lossy(&self.text);
        match (self.question(), said(&text).as_slice()) {
            (Some(question), _) => SudoProblem::Asks(question),
            (None, []) => SudoProblem::Silent("nothing, after the password".to_owned()),
            (None, lines) => SudoProblem::Silent(lines.join("; ")),
        }
    }

    /// The line that sudo left without an end. Text after this program's own prompt does not
    /// count.
    fn question(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.text);
        let line = match text.rsplit_once('\n') {
            Some((_, line)) => line,
            None if self.n_asked > 0 => return None,
            None => &text,
        };
        let line = line.trim();
        (!line.is_empty()).then(|| line.to_owned())
    }

    /// Why sudo ended without running the command.
    pub(super) fn diagnose(&self, status: u32) -> SudoProblem {
        diagnose(&String::from_utf8_lossy(&self.text), status, self.n_asked)
    }
}

fn diagnose(said: &str, status: u32, n_asked: usize) -> SudoProblem {
    let says = |texts: &[&str]| texts.iter().any(|text| said.contains(text));
    let told = || self::said(said);
    match () {
        () if n_asked > 1 => SudoProblem::WrongPassword,
        () if says(&NOT_ALLOWED) => SudoProblem::NotAllowed(told().join("; ")),
        () if says(&["must have a tty"]) => SudoProblem::Terminal,
        () if says(&WANTS_PASSWORD) => match n_asked {
            0 => SudoProblem::PasswordNeeded,
            _ => SudoProblem::WrongPassword,
        },
        () if status == 127 => SudoProblem::Missing,
        () => SudoProblem::Other(match told().as_slice() {
            [] => format!("status {status}, without a message"),
            lines => lines.join("; "),
        }),
    }
}

/// The lines that sudo printed.
fn said(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(preamble: &mut Preamble, text: &str) -> (Option<Call>, String) {
        let mut bytes = text.as_bytes().to_vec();
        let call = preamble.read(&mut bytes);
        (call, String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_command_stays_words_and_holds_no_password() {
        let argv = Argv::new(["cat", "a b"]);
        assert_eq!(
            script(&argv, false),
            "LC_ALL=C; export LC_ALL; exec 'sudo' '-n' '--' 'sh' '-c' \
             'unset LC_ALL; echo platform-is-root-now: >&2\nexec \"$@\"' 'sh' 'cat' 'a b'"
        );
        let asks = format!("exec 'sudo' '-S' '-p' '{PROMPT}' '--' 'sh'");
        assert!(script(&argv, true).contains(&asks));
    }

    #[test]
    fn a_script_runs_in_the_shell_that_is_there() {
        let argv = Argv::new(["sh", "-c", "echo $0 $1", "name", "a b"]);
        assert_eq!(
            script(&argv, false),
            "LC_ALL=C; export LC_ALL; exec 'sudo' '-n' '--' 'sh' '-c' \
             'unset LC_ALL; echo platform-is-root-now: >&2\necho $0 $1' 'name' 'a b'"
        );
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
    fn a_question_is_waited_for_less_long_than_a_silence() {
        let question = Duration::from_secs(15);
        let mut preamble = Preamble::default();
        assert_eq!(preamble.patience(question), None);
        feed(&mut preamble, "sudo: cannot resolve h1\n");
        assert_eq!(preamble.patience(question), Some(question * 3));
        assert_eq!(
            preamble.stuck(),
            SudoProblem::Silent("sudo: cannot resolve h1".into())
        );
        feed(&mut preamble, "One-time code for amy: ");
        assert_eq!(preamble.patience(question), Some(question));
        assert_eq!(preamble.stuck(), SudoProblem::Asks("One-time code for amy:".into()));
    }

    #[test]
    fn words_around_the_prompt_do_not_hide_it() {
        let mut preamble = Preamble::default();
        let asked = format!("[sudo: {PROMPT}] Password: ");
        assert_eq!(feed(&mut preamble, &asked).0, Some(Call::SendPassword));
        let second = Duration::from_secs(1);
        assert_eq!(
            preamble.patience(second),
            Some(second * 3),
            "its own words ask nothing"
        );
        feed(&mut preamble, "\nOne-time code: ");
        assert_eq!(preamble.stuck(), SudoProblem::Asks("One-time code:".into()));
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
        // The Rust version of sudo.
        let needed = "sudo: interactive authentication is required\n";
        check(needed, 1, 0, SudoProblem::PasswordNeeded);
        let wrong = "[sudo: ] Password: \nsudo: Authentication failed, try again.\n";
        check(wrong, 1, 1, SudoProblem::WrongPassword);
        let many = "sudo: maximum 3 incorrect authentication attempts\n";
        check(many, 1, 1, SudoProblem::WrongPassword);
        let sorry = "sudo: I'm sorry amy. I'm afraid I can't do that";
        check(sorry, 1, 0, SudoProblem::NotAllowed(sorry.into()));
        check(
            "sudo: sorry, you must have a tty to run sudo",
            1,
            0,
            SudoProblem::Terminal,
        );
        check("sh: 1: exec: sudo: not found", 127, 0, SudoProblem::Missing);
        let refusal = "amy is not in the sudoers file.";
        check(refusal, 1, 1, SudoProblem::NotAllowed(refusal.into()));
        check("sudo: broken", 1, 0, SudoProblem::Other("sudo: broken".into()));
        check("", 1, 0, SudoProblem::Other("status 1, without a message".into()));
    }
}

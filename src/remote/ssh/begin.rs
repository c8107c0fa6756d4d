//! Separates a command's output from what the host prints before it begins.
//!
//! Pure. Some hosts print a greeting for every session, or run `nologin` or print "log in as the
//! user …" instead of the command; all of this arrives on the same streams as the command's own
//! output. So a line that is unique to the command is printed on both streams just before it
//! begins.

const KEPT: usize = 64 * 1024;

/// The mark of one command.
#[derive(Debug, Clone)]
pub(super) struct Mark(String);

impl Mark {
    /// The mark with this number; each command has its own.
    pub(super) fn new(number: u64) -> Self {
        Self(format!("platform-begins-{number:016x}"))
    }

    /// The script for a POSIX shell that prints the mark before another script.
    pub(super) fn before(&self, script: &str) -> String {
        format!("echo {0}; echo {0} >&2; {script}", self.0)
    }
}

/// One stream, until its mark arrives.
#[derive(Debug)]
pub(super) struct Beginning {
    line: Vec<u8>,
    before: Vec<u8>,
    has_begun: bool,
}

impl Beginning {
    pub(super) fn new(mark: &Mark) -> Self {
        let line = format!("{}\n", mark.0).into_bytes();
        Self { line, before: Vec::new(), has_begun: false }
    }

    /// Takes the next bytes of the stream and leaves those that belong to the command.
    pub(super) fn read(&mut self, bytes: &mut Vec<u8>) {
        if self.has_begun {
            return;
        }
        // The mark may be split anywhere, so the end of the earlier bytes is searched again.
        let from = self.before.len().saturating_sub(self.line.len());
        self.before.append(bytes);
        let mut windows = self.before[from..].windows(self.line.len());
        if let Some(at) = windows.position(|window| window == self.line) {
            *bytes = self.before.split_off(from + at + self.line.len());
            self.before.truncate(from + at);
            self.has_begun = true;
        }
        let excess = self.before.len().saturating_sub(KEPT);
        self.before.drain(..excess);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// What arrived before the mark.
    pub(super) fn before(&self) -> &[u8] {
        &self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_mark_is_the_commands_however_the_stream_is_cut() {
        let mark = Mark::new(0xab);
        let text = "=== rack 7 ===\n\u{1b}[0mplatform-begins-00000000000000ab\nout\nput";
        for step in 1..text.len() {
            let mut beginning = Beginning::new(&mark);
            let mut own = Vec::new();
            for piece in text.as_bytes().chunks(step) {
                let mut bytes = piece.to_vec();
                beginning.read(&mut bytes);
                own.append(&mut bytes);
            }
            assert_eq!(String::from_utf8_lossy(&own), "out\nput", "pieces of {step}");
            assert_eq!(beginning.before(), "=== rack 7 ===\n\u{1b}[0m".as_bytes());
        }
    }

    #[test]
    fn the_command_as_text_is_no_mark() {
        let mark = Mark::new(1);
        let mut beginning = Beginning::new(&mark);
        let mut bytes = mark.before("exec true").into_bytes();
        bytes.push(b'\n');
        beginning.read(&mut bytes);
        assert!(!beginning.has_begun() && bytes.is_empty());
    }

    #[test]
    fn a_host_that_talks_without_end_does_not_fill_the_memory() {
        let mut beginning = Beginning::new(&Mark::new(1));
        beginning.read(&mut vec![b'x'; 5 * KEPT]);
        assert_eq!(beginning.before().len(), KEPT);
    }
}

//! A command's standard output, with a limit: a host that writes without an end must not fill
//! this computer's memory.

use crate::remote::OnLine;

/// The most that is kept: the output of a probe is less than a hundredth of it.
const MOST_KEPT: usize = 32 << 20;
/// The longest line that is passed to a listener.
const LONGEST_LINE: usize = 1 << 20;

/// The output exceeds a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMuch {
    /// What was too long: begins with a blank, or is empty for the whole output.
    pub(super) what: &'static str,
    pub(super) most_mib: usize,
}

/// Standard output: kept, or passed on line by line.
pub(super) enum Stdout<'a> {
    Kept(Vec<u8>),
    Lines { rest: Vec<u8>, on_line: OnLine<'a> },
}

impl<'a> Stdout<'a> {
    /// Keeps the output, or passes it to a listener if there is one.
    pub(super) fn new(on_line: Option<OnLine<'a>>) -> Self {
        match on_line {
            None => Self::Kept(Vec::new()),
            Some(on_line) => Self::Lines { rest: Vec::new(), on_line },
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// If there is more output than any command of this program writes.
    pub(super) fn take(&mut self, data: &[u8]) -> Result<(), TooMuch> {
        match self {
            Self::Kept(kept) if kept.len() + data.len() > MOST_KEPT => {
                Err(TooMuch { what: "", most_mib: MOST_KEPT >> 20 })
            }
            Self::Kept(kept) => {
                kept.extend_from_slice(data);
                Ok(())
            }
            Self::Lines { rest, on_line } => {
                let mut pieces = data.split(|&byte| byte == b'\n');
                // `split` gives at least one piece; the last one has no newline yet.
                let last = pieces.next_back().unwrap_or_default();
                for piece in pieces {
                    rest.extend_from_slice(piece);
                    on_line(&String::from_utf8_lossy(rest));
                    rest.clear();
                }
                rest.extend_from_slice(last);
                match rest.len() > LONGEST_LINE {
                    true => Err(TooMuch {
                        what: " in one line",
                        most_mib: LONGEST_LINE >> 20,
                    }),
                    false => Ok(()),
                }
            }
        }
    }

    /// The output that was kept; a last line without a newline counts as a line.
    pub(super) fn end(self) -> Vec<u8> {
        match self {
            Self::Kept(kept) => kept,
            Self::Lines { rest, on_line } => {
                if !rest.is_empty() {
                    on_line(&String::from_utf8_lossy(&rest));
                }
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_arrive_whole_however_the_data_is_cut() {
        let mut lines = Vec::new();
        let mut on_line = |line: &str| lines.push(line.to_owned());
        let mut stdout = Stdout::new(Some(&mut on_line));
        for piece in ["on", "e\ntwo\n", "\n", "thr", "ee"] {
            stdout.take(piece.as_bytes()).unwrap();
        }
        assert_eq!(stdout.end(), b"");
        assert_eq!(lines, ["one", "two", "", "three"]);
    }

    #[test]
    fn output_without_an_end_is_not_kept() {
        let mut stdout = Stdout::new(None);
        let piece = vec![b'x'; 1 << 20];
        let n_taken = (0..).take_while(|_| stdout.take(&piece).is_ok()).count();
        assert_eq!(n_taken, 32);
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_and_any_number_of_lines_passes() {
        let mut n_lines = 0;
        let mut on_line = |_: &str| n_lines += 1;
        let mut stdout = Stdout::new(Some(&mut on_line));
        let lines = b"0123456\n".repeat(1 << 17);
        for _ in 0..40 {
            assert_eq!(stdout.take(&lines), Ok(()));
        }
        let piece = vec![b'x'; 1 << 19];
        assert_eq!(stdout.take(&piece), Ok(()));
        assert_eq!(stdout.take(&piece), Ok(()));
        let much = TooMuch { what: " in one line", most_mib: 1 };
        assert_eq!(stdout.take(b"x"), Err(much));
        drop(stdout);
        assert_eq!(n_lines, 40 << 17);
    }
}

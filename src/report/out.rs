//! Writes lines to a writer that may go away, such as a pipe whose reader stops early.

use std::io::Write;

/// Writes whole lines; after the first error it writes nothing more.
///
/// A display that cannot be written to must not stop the work that it shows.
pub(super) struct Out<W>(Option<W>);

impl<W: Write> Out<W> {
    /// Writes to `writer`.
    pub(super) fn new(writer: W) -> Self {
        Self(Some(writer))
    }

    /// Writes one line and flushes it.
    pub(super) fn line(&mut self, line: &str) {
        let Some(writer) = &mut self.0 else { return };
        // One call, so that lines of two programs on one pipe do not mix.
        let whole = format!("{line}\n");
        if writer.write_all(whole.as_bytes()).and_then(|()| writer.flush()).is_err() {
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Takes one line, then is gone.
    struct Closing<'a>(&'a mut Vec<u8>);

    impl Write for Closing<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                self.0.extend_from_slice(bytes);
                return Ok(bytes.len());
            }
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_pipe_closed_by_its_reader_silences_the_rest() {
        let mut seen = Vec::new();
        let mut out = Out::new(Closing(&mut seen));
        for line in ["first", "second", "third"] {
            out.line(line);
        }
        assert!(out.0.is_none());
        assert_eq!(seen, b"first\n");
    }
}

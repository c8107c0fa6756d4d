//! Lines from bytes that come in pieces. Pure.

/// What is kept of a line that has not ended. A longer one is given in parts.
const LONGEST: usize = 64 << 10;

/// Joins pieces to lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The beginning of a line that has not ended.
    begun: Vec<u8>,
}

impl Lines {
    /// Gives each line that ends in this piece, without its end.
    ///
    /// # Errors
    /// Those of `take`.
    pub(super) fn add<E>(
        &mut self,
        piece: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(part);
            let is_whole = self.begun.ends_with(b"\n");
            if is_whole || self.begun.len() >= LONGEST {
                let line = std::mem::take(&mut self.begun);
                take(&line[..line.len() - usize::from(is_whole)])?;
            }
        }
        Ok(())
    }

    /// Gives what is there of a line that will not end.
    ///
    /// # Errors
    /// Those of `take`.
    pub(super) fn end<E>(
        &mut self,
        take: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match std::mem::take(&mut self.begun) {
            none if none.is_empty() => Ok(()),
            line => take(&line),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let mut take = |line: &[u8]| -> Result<(), Infallible> {
            found.push(line.to_vec());
            Ok(())
        };
        for piece in pieces {
            let Ok(()) = lines.add(piece, &mut take);
        }
        let Ok(()) = lines.end(take);
        found
    }

    #[test]
    fn lines_are_joined_from_any_pieces() {
        assert_eq!(
            lines(&[b"a\nb", b"c", b"\n", b"\nd"]),
            ["a", "bc", "", "d"].map(Vec::from)
        );
        assert_eq!(
            lines(&[b"\xc3", b"\xa9\n\xff\n"]),
            [b"\xc3\xa9".to_vec(), b"\xff".to_vec()]
        );
        assert!(lines(&[b"", b""]).is_empty());
    }

    #[test]
    fn a_line_without_an_end_does_not_fill_the_memory() {
        let piece = vec![b'x'; LONGEST / 2 + 1];
        let found = lines(&[&piece, &piece, &piece, b"y\n"]);
        let lengths: Vec<usize> = found.iter().map(Vec::len).collect();
        assert_eq!(lengths, [LONGEST + 2, LONGEST / 2 + 2]);
    }
}

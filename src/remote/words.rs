//! The last lines of a program's output, for the text of an error.

/// The number of lines that are shown.
const MOST_LINES: usize = 8;
/// The number of bytes that are shown, in whole lines; the last line is always shown.
const MOST_BYTES: usize = 1000;

/// The last lines of an output, whole and joined into one line, without control characters for a
/// terminal; empty if there was no output.
pub(super) fn last_words(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let clean = |line: &str| {
        let line = console::strip_ansi_codes(line);
        let line: String = line.chars().filter(|c| !c.is_control()).collect();
        line.trim().to_owned()
    };
    let lines = said.lines().rev().map(clean).filter(|line| !line.is_empty());
    let mut kept: Vec<String> = Vec::new();
    for line in lines.take(MOST_LINES) {
        let n_bytes: usize = kept.iter().map(String::len).sum();
        if !kept.is_empty() && n_bytes + line.len() > MOST_BYTES {
            break;
        }
        kept.push(line);
    }
    kept.reverse();
    kept.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_told_whole_and_without_what_steers_a_terminal() {
        assert_eq!(last_words(b""), "");
        assert_eq!(last_words(b"\n \r\n"), "");
        assert_eq!(last_words(b"one\r\n\n\x1b[31mtwo\x1b[0m\n\x07"), "one; two");
        let lines: String = (0..20).map(|n| format!("{n}\n")).collect();
        assert_eq!(last_words(lines.as_bytes()), "12; 13; 14; 15; 16; 17; 18; 19");
        let long = "x".repeat(2000);
        assert_eq!(last_words(format!("a\n{long}\n").as_bytes()), long);
    }
}

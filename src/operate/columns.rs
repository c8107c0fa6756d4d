//! Text in aligned columns, and numbers in it. Pure.

/// Where the text of a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// At the left: words.
    Left,
    /// At the right: numbers.
    Right,
}

/// Lines with aligned columns: the head, then the rows. No line ends with spaces.
pub(super) fn columns<const N: usize>(
    head: [(&str, Align); N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let names = head.map(|(name, _)| name.to_owned());
    let all: Vec<[String; N]> = std::iter::once(names).chain(rows).collect();
    let width = |n: usize| all.iter().map(|row| row[n].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|n| width(n).unwrap_or(0));
    let mut text = String::new();
    for row in &all {
        let cells = row.iter().zip(widths).zip(head);
        let cells = cells.map(|((cell, width), (_, align))| match align {
            Align::Left => format!("{cell:width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        let line = cells.collect::<Vec<String>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A number with at most two digits behind the point.
pub(super) fn amount(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_at_the_left_and_numbers_at_the_right() {
        let row = |id: &str, n: &str, state: &str| [id, n, state].map(str::to_owned);
        let head = [("ID", Align::Left), ("CPUS", Align::Right), ("STATE", Align::Left)];
        let rows = [row("/größe", "0.5", "Running"), row("/b", "12.25", "")];
        assert_eq!(
            columns(head, rows),
            "ID       CPUS  STATE\n/größe    0.5  Running\n/b      12.25\n"
        );
    }
}

//! Properties of the reading of every text, checked against many random texts.

use proptest::prelude::*;

use super::*;

const WHOLE: &str = include_str!("../../tests/inventories/valid/everything-on-ssh.yaml");
const PASSWORD: &str = "Tr0ub4dor";

/// Parts of inventories, and some that break them.
const PIECES: [&str; 30] = [
    "{",
    "}",
    "[",
    "]",
    ":",
    ": ",
    "- ",
    ",",
    "\n",
    "\n  ",
    "\t",
    "\"",
    "'",
    "#",
    "&a ",
    "*a",
    "? ",
    "|\n",
    ">-\n",
    "!t ",
    "---\n",
    "${X}",
    "ü",
    "~",
    "0",
    "-1",
    "\u{feff}",
    "count",
    "10.0.0.11",
    "\\x",
];

/// A change of a text: where, in thousandths of its length; how many characters to remove; which
/// piece to insert.
type Edit = (usize, usize, usize);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec((0..1000_usize, 0..6_usize, 0..PIECES.len()), 1..5)
}

fn edited(text: &str, edits: &[Edit]) -> String {
    let mut text = text.to_owned();
    for (place, n_removed, piece) in edits {
        let start = text.floor_char_boundary(place * text.len() / 1000);
        let end = text.ceil_char_boundary((start + n_removed).min(text.len()));
        text.replace_range(start..end, PIECES[*piece]);
    }
    text
}

/// Reads the text, and returns the faults as an operator would see them.
fn seen(text: &str) -> String {
    let mut shown = String::new();
    for faults in [
        read(text, &|path| path.as_os_str().len() % 2 == 0).err(),
        catalog::read(text, &|_| true).err(),
    ]
    .into_iter()
    .flatten()
    {
        assert!(!faults.is_empty(), "refused without a fault: {text:?}");
        for fault in &faults {
            assert!(text.get(fault.span.clone()).is_some(), "{fault:?} in {text:?}");
        }
        let source = Source { name: "x", text };
        assert!(render(source, &faults, Paint::Plain, &mut shown).is_ok());
    }
    shown
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused_with_spans_within_it(text in "\\PC*") {
        seen(&text);
    }

    #[test]
    fn any_mixture_of_yaml_is_read_or_refused(
        pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40)
    ) {
        seen(&pieces.concat());
    }

    #[test]
    fn any_damaged_inventory_is_read_or_refused(edits in edits()) {
        seen(&edited(WHOLE, &edits));
        seen(&edited(EXAMPLE_LOCAL, &edits));
        seen(&edited(EXAMPLE_AWS, &edits));
    }

    #[test]
    fn no_damage_around_a_password_shows_it(before in edits(), after in edits()) {
        let Some((head, tail)) = WHOLE.split_once("  base:\n") else { panic!("no base") };
        let line = format!("      - {{name: other, password: {PASSWORD}}}\n");
        let text = edited(head, &before) + "\n" + &line + &edited(tail, &after);
        prop_assert!(!seen(&text).contains(PASSWORD), "{}", seen(&text));
    }
}

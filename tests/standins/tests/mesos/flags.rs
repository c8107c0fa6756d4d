//! The stand-ins know the flags that the real ones list in their help, and no others.

use std::collections::BTreeMap;

use crate::replay::recording;

/// All names of a flag with its default, as a table of the stand-ins writes them.
type Known = BTreeMap<String, String>;

/// `--[no-]name[=VALUE], --old_name…` and `(default: …)`, as the help prints them.
fn recorded(help: &str) -> Known {
    let mut known = Known::new();
    let mut names = None;
    for line in help.lines().map(str::trim) {
        if line.starts_with("--") {
            let (signature, _) = line.split_once("  ").unwrap_or((line, ""));
            let each = signature.split(", ").map(|name| {
                name.trim_start_matches("--").trim_end_matches("=VALUE").to_owned()
            });
            names = Some(each.collect::<Vec<_>>().join(",").replace(",[no-]", ","));
            known.insert(names.clone().unwrap(), String::new());
        }
        let default =
            line.rsplit_once("(default: ").and_then(|(_, d)| d.strip_suffix(')'));
        if let (Some(names), Some(default)) = (&names, default) {
            known.insert(names.clone(), default.to_owned());
        }
    }
    known
}

fn tabled(table: &str) -> Known {
    let rows = table.lines().map(|line| line.split_once(' ').unwrap_or((line, "")));
    // The help writes no default and an empty one alike.
    rows.map(|(names, default)| (names.to_owned(), default.trim_matches('"').to_owned()))
        .collect()
}

fn check(help: &str, table: &str) {
    let (recorded, tabled) = (recorded(&recording::file(help).unwrap()), tabled(table));
    assert!(recorded.len() > 50, "{help} was not read");
    for (names, default) in &recorded {
        assert_eq!(tabled.get(names), Some(default), "--{names}");
    }
    for names in tabled.keys() {
        assert!(recorded.contains_key(names), "{help} does not know --{names}");
    }
}

#[test]
fn a_master_knows_the_flags_of_a_real_one() {
    check("master-help.txt", include_str!("../../src/master/flags.txt"));
}

#[test]
fn an_agent_knows_the_flags_of_a_real_one() {
    check("agent-help.txt", include_str!("../../src/agent/flags.txt"));
}

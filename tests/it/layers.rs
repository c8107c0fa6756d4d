//! Checks the layers of `src`: which module may use which, and where I/O is not allowed.
//!
//! It reads the tokens of every source file, so comments, strings and code that is compiled only
//! for tests do not count: a test may use its subject from anywhere.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The modules of the crate in reading order. A module may use those in the lines above its own,
/// and the others on its line. A module that is not written yet already has its place.
const READING_ORDER: [&[&str]; 20] = [
    &[
        "certificate",
        "digest",
        "event",
        "host",
        "path",
        "reason",
        "reference",
        "secret",
        "unit",
    ],
    // Modules that decide: no I/O, no clock, no environment, nothing asynchronous.
    &["inventory"],
    &["definition"],
    &["topology"],
    &["resource"],
    &["template"],
    &["component"],
    &["plan"],
    // Modules that act: asynchronous and fallible, without decisions.
    &["progress"],
    &["remote"],
    &["provider"],
    &["images"],
    &["state"],
    &["api"],
    &["run"],
    &["balancer"],
    &["operate"],
    // Modules that show.
    &["report"],
    &["cli"],
    &["main", "lib"],
];

/// All modules up to this one decide.
const LAST_THAT_DECIDES: &str = "plan";

/// A module that may use less than its place allows.
const SEES_ONLY: [(&str, &[&str]); 1] = [("report", &["event", "host", "unit"])];

/// Words and paths that mean I/O, the clock, the environment or other tasks.
const WORLD: [&[&str]; 21] = [
    &["async"],
    &["await"],
    &["tokio"],
    &["futures"],
    &["reqwest"],
    &["russh"],
    &["oci_client"],
    &["rustix"],
    &["fd_lock"],
    &["tempfile"],
    &["rand"],
    &["SystemTime"],
    &["Instant"],
    &["Timestamp", "now"],
    &["Zoned", "now"],
    &["std", "fs"],
    &["std", "env"],
    &["std", "process"],
    &["std", "thread"],
    &["File", "open"],
    &["TcpStream"],
];

#[test]
fn every_module_keeps_to_its_layer() {
    let complaints: Vec<String> = sources(Path::new("src"))
        .iter()
        .flat_map(|path| complaints(path, &fs::read_to_string(path).unwrap()))
        .collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn no_module_is_in_the_reading_order_twice() {
    let mut modules: Vec<&str> = READING_ORDER.concat();
    modules.sort_unstable();
    assert!(modules.is_sorted_by(|one, next| one < next), "{modules:?}");
}

#[test]
fn an_arrow_up_is_found_however_it_is_written() {
    let planted = "//! use crate::run;\n\
        use crate::inventory::Inventory;\n\
        use crate::{event::Event, run::{Lock, Probe}};\n\
        fn f() { crate::operate::up(\"crate::cli\") }\n\
        use super::super::remote;\n\
        mod inner { use super::super::super::state; }\n";
    let found = complaints(Path::new("src/plan/order.rs"), planted);
    let lines: Vec<&str> = found.iter().map(|c| c.split(' ').next().unwrap()).collect();
    let at = |line| format!("src/plan/order.rs:{line}:");
    assert_eq!(lines, [3, 3, 4, 5, 6].map(at), "{found:#?}");
    assert_eq!(
        found[4],
        "src/plan/order.rs:6: `plan` uses `state`, which comes after it: a file uses only \
         what stands above its own module in the reading order"
    );
}

#[test]
fn a_display_that_looks_past_events_is_found() {
    let planted = "use crate::event::Event;\nuse crate::plan::Plan;\n";
    let found = complaints(Path::new("src/report/plain.rs"), planted);
    assert_eq!(
        found,
        ["src/report/plain.rs:2: `report` uses `plan`: it sees only event, host, unit"]
    );
}

#[test]
fn a_decision_that_touches_the_world_is_found() {
    let planted = "use std::{collections::BTreeMap, fs};\n\
        use std::net::IpAddr;\n\
        async fn f() { jiff::Timestamp::now(); }\n\
        #[cfg(test)]\n\
        mod tests { fn g() { std::fs::read(crate::run::X); } }\n\
        fn h() -> std::time::SystemTime { now(env!(\"A\")) }\n";
    let found = complaints(Path::new("src/topology.rs"), planted);
    let lines: Vec<&str> = found.iter().map(|c| c.split(' ').next().unwrap()).collect();
    let at = |line| format!("src/topology.rs:{line}:");
    assert_eq!(lines, [1, 3, 3, 6].map(at), "{found:#?}");
    assert!(complaints(Path::new("src/run/apply.rs"), "async fn f() {}").is_empty());
}

#[test]
fn a_file_that_says_it_is_pure_is_held_to_it() {
    let at = Path::new("src/run/order.rs");
    for head in ["//! Orders. Pure.\n", "//! Orders.\n//!\n//! Pure: on values.\n"] {
        let found = complaints(at, &format!("{head}async fn f() {{}}\n"));
        assert_eq!(found.len(), 1, "{found:?}");
    }
    assert!(
        complaints(at, "//! Asks what pure code decided.\nasync fn f() {}\n").is_empty()
    );
}

#[test]
fn a_module_without_a_place_is_found() {
    let found = complaints(Path::new("src/util.rs"), "");
    assert_eq!(found.len(), 1, "{found:?}");
    let used = complaints(Path::new("src/cli/mod.rs"), "use crate::util::x;");
    assert_eq!(used.len(), 1, "{used:?}");
}

/// A name with its path, such as `crate::event::Event`, and its line.
struct Name {
    line: usize,
    words: Vec<String>,
    /// How many modules enclose it in its own file.
    depth: usize,
}

/// Every rule that a file breaks, as `file:line: sentence`.
fn complaints(path: &Path, text: &str) -> Vec<String> {
    let (module, depth) = place(path);
    let decides = decides(&module) || says_pure(text);
    let mut complaints = Vec::new();
    if rank(&module).is_none() {
        complaints.push((1, format!("`{module}` has no place in the reading order")));
    }
    let tokens: TokenStream =
        text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for mut name in names(tokens) {
        name.depth += depth;
        let broken =
            broken_arrow(&module, &name).or_else(|| worldly(&module, &name, decides));
        complaints.extend(broken.map(|sentence| (name.line, sentence)));
    }
    let at = path.display();
    complaints.iter().map(|(line, sentence)| format!("{at}:{line}: {sentence}")).collect()
}

/// The module of the crate that a file belongs to, and how deep in the crate the file is.
fn place(path: &Path) -> (String, usize) {
    let inside = path.strip_prefix("src").expect("only files of src are checked");
    let mut words: Vec<String> = inside
        .with_extension("")
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    if words.last().is_some_and(|word| word == "mod") {
        words.pop();
    }
    let depth = words.len();
    (words.swap_remove(0), depth)
}

fn rank(module: &str) -> Option<usize> {
    READING_ORDER.iter().position(|line| line.contains(&module))
}

fn broken_arrow(module: &str, name: &Name) -> Option<String> {
    let inside = inside_crate(name)?;
    let used = inside.first().filter(|used| *used != module)?;
    let Some(theirs) = rank(used) else {
        return Some(format!("`{used}` has no place in the reading order"));
    };
    let sees_only = SEES_ONLY.iter().find(|(who, _)| *who == module);
    if let Some((_, seen)) = sees_only.filter(|(_, seen)| !seen.contains(&used.as_str()))
    {
        let seen = seen.join(", ");
        return Some(format!("`{module}` uses `{used}`: it sees only {seen}"));
    }
    let above = rank(module).is_none_or(|own| theirs <= own);
    (!above).then(|| {
        format!(
            "`{module}` uses `{used}`, which comes after it: a file uses only what stands \
             above its own module in the reading order"
        )
    })
}

/// The part of a name after the crate's root; `None` if it leads elsewhere.
fn inside_crate(name: &Name) -> Option<&[String]> {
    let n_up = name.words.iter().take_while(|word| *word == "super").count();
    match name.words.first()?.as_str() {
        "crate" => Some(&name.words[1..]),
        "super" if n_up == name.depth => Some(&name.words[n_up..]),
        _ => None,
    }
}

/// Whether every file of a module is pure.
fn decides(module: &str) -> bool {
    rank(module).is_some_and(|rank| Some(rank) <= self::rank(LAST_THAT_DECIDES))
}

/// Whether a file declares it: a line of its head begins with `Pure`.
fn says_pure(text: &str) -> bool {
    let head = text.lines().map_while(|line| line.strip_prefix("//!"));
    head.flat_map(|line| line.trim().split(". ")).any(|sentence| {
        sentence.starts_with("Pure:") || sentence.trim_end_matches('.') == "Pure"
    })
}

fn worldly(module: &str, name: &Name, decides: bool) -> Option<String> {
    // Keys are parsed from text: that part of the library does no I/O.
    if name.words.windows(2).any(|words| words == ["russh", "keys"]) {
        return None;
    }
    let found = WORLD.iter().find(|path| {
        name.words.windows(path.len()).any(|words| words.iter().eq(path.iter()))
    })?;
    decides.then(|| {
        let found = found.join("::");
        format!(
            "`{module}` uses `{found}`: it decides on values, and touches no file, clock, \
             environment or task"
        )
    })
}

/// Every name in a file, except in code for tests.
fn names(tokens: TokenStream) -> Vec<Name> {
    let mut reader = Reader::default();
    reader.read(tokens, &[]);
    reader.names
}

#[derive(Default)]
struct Reader {
    names: Vec<Name>,
    depth: usize,
}

impl Reader {
    /// Reads the tokens of a file or a group; `lead` is the path before each name of a `use`
    /// group.
    fn read(&mut self, tokens: TokenStream, lead: &[String]) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at += match &tokens[at] {
                _ if is_for_tests(&tokens[at..]) => item_length(&tokens[at..]),
                TokenTree::Ident(_) => self.read_name(&tokens[at..], lead),
                TokenTree::Group(group) => {
                    let is_module = at > 1 && is_word(&tokens[at - 2], "mod");
                    self.depth += usize::from(is_module);
                    self.read(group.stream(), &[]);
                    self.depth -= usize::from(is_module);
                    1
                }
                _ => 1,
            };
        }
    }

    /// Reads the name that begins here, and returns the number of its tokens.
    fn read_name(&mut self, tokens: &[TokenTree], lead: &[String]) -> usize {
        let mut words = lead.to_vec();
        words.push(tokens[0].to_string());
        let mut length = 1;
        while let Some([colon, other, next]) = tokens.get(length..length + 3) {
            if !is_sign(colon, ':') || !is_sign(other, ':') {
                break;
            }
            match next {
                TokenTree::Ident(word) => words.push(word.to_string()),
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    self.read(group.stream(), &words);
                    return length + 3;
                }
                _ => break,
            }
            length += 3;
        }
        let line = tokens[0].span().start().line;
        self.names.push(Name { line, words, depth: self.depth });
        length
    }
}

fn is_for_tests(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [hash, TokenTree::Group(attribute), ..]
        if is_sign(hash, '#') && attribute.stream().to_string().replace(' ', "") == "cfg(test)")
}

/// How many tokens an item has, its attributes included.
fn item_length(tokens: &[TokenTree]) -> usize {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        other => is_sign(other, ';'),
    };
    tokens.iter().position(is_end).map_or(tokens.len(), |last| last + 1)
}

fn is_sign(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(found) if found.as_char() == sign)
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(found) if found == word)
}

/// All Rust files of a folder, in the order of their paths.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .expect("the folder can be listed");
    entries.sort();
    let below = |path: PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
    let all = entries.into_iter().flat_map(below);
    all.filter(|path| path.extension().is_some_and(|kind| kind == "rs")).collect()
}

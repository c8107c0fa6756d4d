//! The verbs of `platform app` that begin with a file.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::{AppValidate, Global, Output};
use super::exit::Exit;
use super::{error, print, print_json};
use crate::definition::File;
use crate::event::count;
use crate::inventory::{Diagnostic, Level, Paint, Source, render};

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
struct Unreadable {
    path: PathBuf,
    source: std::io::Error,
}

/// A file of apps, and what is to be said of it.
struct Judged {
    name: String,
    text: String,
    file: File,
}

pub(super) fn validate(args: &AppValidate, global: &Global) -> Exit {
    let judged: Result<Vec<Judged>, Unreadable> =
        args.files.iter().map(|path| Judged::read(path)).collect();
    let judged = match judged {
        Ok(judged) => judged,
        Err(error) => return error::tell(&error, Exit::Failed),
    };
    let printed = match global.output {
        Output::Human => {
            print(&judged.iter().map(|it| it.said(args.force)).collect::<String>())
        }
        Output::Json => {
            let files = judged.iter().map(|it| it.file.to_json(&it.name, &it.text));
            print_json(&json!({"files": files.collect::<Vec<_>>()}))
        }
    };
    let verdicts = judged.iter().map(|it| it.verdict(args.force));
    match printed {
        Exit::Done => verdicts.fold(Exit::Done, worse),
        failed => failed,
    }
}

/// What Marathon refuses is worse than what is not safe.
fn worse(one: Exit, other: Exit) -> Exit {
    match (one, other) {
        (Exit::InvalidInventory, _) | (_, Exit::InvalidInventory) => {
            Exit::InvalidInventory
        }
        (Exit::Done, other) => other,
        (one, _) => one,
    }
}

impl Judged {
    fn read(path: &Path) -> Result<Self, Unreadable> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Unreadable { path: path.to_owned(), source })?;
        let file = File::read(&text);
        Ok(Self { name: path.display().to_string(), text, file })
    }

    fn verdict(&self, force: bool) -> Exit {
        match (self.file.is_refused(), self.file.stops() && !force) {
            (true, _) => Exit::InvalidInventory,
            (false, true) => Exit::Refused,
            (false, false) => Exit::Done,
        }
    }

    /// All remarks with their lines, and one line on the whole.
    fn said(&self, force: bool) -> String {
        let remarks: Vec<Diagnostic> =
            self.file.remarks.iter().map(|it| it.diagnostic.clone()).collect();
        let mut text = String::new();
        let source = Source { name: &self.name, text: &self.text };
        // Writing to a string does not fail.
        let _ = render(source, &remarks, Paint::Plain, &mut text);
        if !remarks.is_empty() {
            text.push('\n');
        }
        let counts: Vec<String> = [Level::Error, Level::Warning, Level::Note]
            .into_iter()
            .map(|level| (self.file.count(level), level.word()))
            .filter(|(n, _)| *n > 0)
            .map(|(n, word)| count(n, word))
            .collect();
        let counts = match counts.is_empty() {
            true => String::new(),
            false => format!(" ({})", counts.join(", ")),
        };
        let verdict = match self.verdict(force) {
            Exit::InvalidInventory => "Marathon would refuse this",
            Exit::Refused => {
                "this would stop Marathon itself, for all apps; `--force` allows it"
            }
            _ => "Marathon takes this",
        };
        text + &format!("{}: {verdict}{counts}\n", self.name)
    }
}

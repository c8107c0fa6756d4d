//! The verbs on apps and groups that begin with a file: `validate`, `diff` and `deploy`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::{AppFiles, AppValidate, DeployArgs, Global, OnFailure, Output};
use super::exit::Exit;
use super::{client, error, print, print_json};
use crate::definition::{BadSetting, File, Setting};
use crate::event::count;
use crate::inventory::{Diagnostic, Level, Paint, Source, render};
use crate::operate::RunContext;
use crate::operate::app::{self, Changed, Differences};
use crate::operate::target::Target;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("cannot read {}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: {bad}", path.display())]
    Setting { path: PathBuf, bad: BadSetting },
}

/// A file of apps, and what is to be said of it.
struct Judged {
    name: String,
    text: String,
    file: File,
}

pub(super) fn validate(args: &AppValidate, global: &Global) -> Exit {
    let judged = match read(&args.files, &[]) {
        Ok(judged) => judged,
        Err(exit) => return exit,
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

/// Files, and what the command line says in place of them.
type Said<'a> = (&'a AppFiles, &'a [Setting]);

pub(super) async fn diff(said: Said<'_>, prune: bool, global: &Global) -> Exit {
    let (found, _) = match compare(said, prune, global).await {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    match client::show(&found, &found.show(), global) {
        Exit::Done if found.is_any() => Exit::Pending,
        printed => printed,
    }
}

pub(super) async fn deploy(
    said: Said<'_>,
    prune: bool,
    how: DeployArgs,
    global: &Global,
) -> Exit {
    let (found, opened) = match compare(said, prune, global).await {
        Ok(found) => found,
        Err(exit) => return exit,
    };
    let (target, ctx) = opened;
    let manner = how.manner.manner();
    let is_asked = found.is_any() && !manner.agreed;
    if global.output == Output::Human && !is_asked {
        print(&found.show());
    }
    let how = (manner, how.on_failure.into());
    let deployed = app::deploy(&target, &found, how, &ctx).await;
    // The display is cleared before anything else is printed.
    drop(ctx);
    match deployed {
        Ok(done) => {
            let lines: String = done.iter().map(Changed::show).collect();
            client::show(&done, &lines, global)
        }
        Err(why) => error::report(&why),
    }
}

type Opened = (Target, RunContext<'static>);

/// Reads files, says what is wrong with them, and compares them with Marathon's apps.
async fn compare(
    (files, set): Said<'_>,
    prune: bool,
    global: &Global,
) -> Result<(Differences, Opened), Exit> {
    let judged = read(&files.files, set)?;
    let verdicts = judged.iter().map(|it| it.verdict(files.force));
    let verdict = verdicts.fold(Exit::Done, worse);
    for it in judged.iter().filter(|it| it.is_remarkable()) {
        error::note(&it.said(files.force));
    }
    if verdict != Exit::Done {
        return Err(verdict);
    }
    let (target, ctx) = client::open(&files.target, global).await?;
    let definitions: Vec<_> =
        judged.into_iter().flat_map(|it| it.file.definitions).collect();
    let found = app::differ(&target, &definitions, prune, &ctx).await;
    let found = found.map_err(|error| error::report(&error))?;
    Ok((found, (target, ctx)))
}

fn read(paths: &[PathBuf], settings: &[Setting]) -> Result<Vec<Judged>, Exit> {
    let judged: Result<Vec<Judged>, Unusable> =
        paths.iter().map(|path| Judged::read(path, settings)).collect();
    judged.map_err(|error| {
        let exit = match error {
            Unusable::Setting { .. } => Exit::Usage,
            _ => Exit::Failed,
        };
        error::tell(&error, exit)
    })
}

impl From<OnFailure> for app::OnFailure {
    fn from(chosen: OnFailure) -> Self {
        match chosen {
            OnFailure::Keep => Self::Keep,
            OnFailure::Rollback => Self::Rollback,
        }
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
    fn read(path: &Path, settings: &[Setting]) -> Result<Self, Unusable> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| Unusable::Unreadable { path: path.to_owned(), source })?;
        let file = File::read_with(&text, settings)
            .map_err(|bad| Unusable::Setting { path: path.to_owned(), bad })?;
        Ok(Self { name: path.display().to_string(), text, file })
    }

    /// Whether it has more than notes.
    fn is_remarkable(&self) -> bool {
        self.file.count(Level::Error) + self.file.count(Level::Warning) > 0
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
